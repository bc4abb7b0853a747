//! Printed keys.

use kask_types::{Key, LayerToken, TaskName};
use std::sync::Arc;

/// The name and key of a task whose printed key and family the user or the Python side chose.
pub fn task_name(printed: &str, family: &Arc<str>) -> (Key, TaskName) {
    let key = Key::from_name(printed);
    let hashed = printed.len() == family.len() + 33
        && printed.starts_with(&**family)
        && printed.as_bytes()[family.len()] == b'-'
        && is_token(&printed[family.len() + 1..]);
    if hashed {
        (key, TaskName::Hashed { prefix: family.clone(), key })
    } else {
        (key, TaskName::Custom(printed.into()))
    }
}

/// The family that a printed key speaks of: what precedes the digits.
pub fn family_of(printed: &str) -> &str {
    match printed.rsplit_once('-') {
        Some((family, digits)) if is_token(digits) => family,
        Some(_) | None => printed,
    }
}

fn is_token(digits: &str) -> bool {
    digits.len() == 32 && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// A layer's name, `prefix-<32 hex digits>`, taken apart.
pub fn layer_name(name: &str) -> Option<(&str, LayerToken)> {
    let (prefix, digits) = name.rsplit_once('-')?;
    if !is_token(digits) {
        return None;
    }
    u128::from_str_radix(digits, 16).ok().map(|token| (prefix, LayerToken(token)))
}

/// A block's name, `('layer', i, j)`, taken apart.
pub fn block_name(printed: &str) -> Option<(&str, Vec<u32>)> {
    let inside = printed.strip_prefix("('")?.strip_suffix(')')?;
    let (layer, rest) = inside.split_once('\'')?;
    let mut index = Vec::new();
    for part in rest.split(',') {
        let part = part.trim();
        if !part.is_empty() {
            index.push(part.parse().ok()?);
        }
    }
    Some((layer, index))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printed_keys_come_back() {
        let family: Arc<str> = "inc".into();
        let printed = format!("inc-{}", Key(7));
        let (key, name) = task_name(&printed, &family);
        assert_eq!((key, name.to_string()), (Key(7), printed));
        assert!(matches!(task_name("mine", &family).1, TaskName::Custom(_)));
        assert_eq!(family_of(&format!("a-b-{}", Key(1))), "a-b");
        assert_eq!(family_of("a-b"), "a-b");
    }

    #[test]
    fn block_names_are_taken_apart() {
        let layer = format!("x-{}", LayerToken(3));
        assert_eq!(block_name(&format!("('{layer}', 0, 12)")), Some((layer.as_str(), vec![0, 12])));
        assert_eq!(layer_name(&layer), Some(("x", LayerToken(3))));
        assert_eq!(block_name("x"), None);
        assert_eq!(layer_name("x-12"), None);
    }
}
