//! Text that must not be in the repository: paths of one person's machine, private package registries, markers of
//! unfinished work, ticket numbers.
//!
//! The patterns are put together from pieces, so that this file does not contain what it looks for.

use crate::finding::Finding;
use crate::repository::Repository;

struct Rule {
    pattern: &'static str,
    /// Whether the pattern must stand alone: no letter, digit or part of a path directly before, no letter after.
    whole: bool,
    wrong: &'static str,
    hint: &'static str,
}

const MACHINE: &str = "a path of one machine";
const MACHINE_HINT: &str = "use a relative path, a temporary directory, or a setting";
const UNFINISHED: &str = "a marker of unfinished work";
const UNFINISHED_HINT: &str = "finish it, or open an issue and say in a sentence what does not work";
const REGISTRY: &str = "a package registry other than the public one";
const REGISTRY_HINT: &str = "leave the choice of a mirror to the settings of pip and cargo";

const RULES: [Rule; 12] = [
    Rule { pattern: concat!("/tmp/kask-", "target"), whole: true, wrong: MACHINE, hint: MACHINE_HINT },
    Rule { pattern: concat!("/ro", "ot/"), whole: true, wrong: MACHINE, hint: MACHINE_HINT },
    Rule { pattern: concat!("/ho", "me/"), whole: true, wrong: MACHINE, hint: MACHINE_HINT },
    Rule { pattern: concat!("/wo", "rk/"), whole: true, wrong: MACHINE, hint: MACHINE_HINT },
    Rule { pattern: concat!("TO", "DO"), whole: true, wrong: UNFINISHED, hint: UNFINISHED_HINT },
    Rule { pattern: concat!("FIX", "ME"), whole: true, wrong: UNFINISHED, hint: UNFINISHED_HINT },
    Rule { pattern: concat!("X", "XX"), whole: true, wrong: UNFINISHED, hint: UNFINISHED_HINT },
    Rule { pattern: concat!("HA", "CK"), whole: true, wrong: UNFINISHED, hint: UNFINISHED_HINT },
    Rule { pattern: concat!("--index", "-url"), whole: false, wrong: REGISTRY, hint: REGISTRY_HINT },
    Rule { pattern: concat!("--extra-index", "-url"), whole: false, wrong: REGISTRY, hint: REGISTRY_HINT },
    Rule { pattern: concat!("--find", "-links"), whole: false, wrong: REGISTRY, hint: REGISTRY_HINT },
    Rule { pattern: concat!("[regis", "tries"), whole: false, wrong: REGISTRY, hint: REGISTRY_HINT },
];

/// The only registry that `Cargo.lock` may name.
const PUBLIC_REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

pub(crate) fn check(repository: &Repository) -> Result<Vec<Finding>, String> {
    let mut found = Vec::new();
    for path in repository.files()? {
        if let Some(text) = repository.text(&path)? {
            found.extend(if path == "Cargo.lock" { lock_findings(&text) } else { text_findings(&path, &text) });
        }
    }
    Ok(found)
}

fn text_findings(path: &str, text: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let place = || format!("{path}:{}", index + 1);
        for rule in RULES.iter().filter(|rule| contains(line, rule)) {
            found.push(Finding::new(place(), format!("{} (`{}`)", rule.wrong, rule.pattern), rule.hint));
        }
        if names_a_ticket(line) {
            found.push(Finding::new(place(), "a ticket number", "say why in a sentence; the history is in git"));
        }
    }
    found
}

fn contains(line: &str, rule: &Rule) -> bool {
    line.match_indices(rule.pattern).any(|(at, pattern)| {
        let before = line[..at].chars().next_back();
        let after = line[at + pattern.len()..].chars().next();
        let joined_before = before.is_some_and(|c| c.is_alphanumeric() || "_-.~}/".contains(c));
        let joined_after = !pattern.ends_with('/') && after.is_some_and(|c| c.is_alphanumeric() || c == '_');
        let standing_alone = !joined_before && (!joined_after || pattern.contains('/'));
        !rule.whole || standing_alone
    })
}

/// The word for a ticket, directly followed by a number.
fn names_a_ticket(line: &str) -> bool {
    let lower = line.to_lowercase();
    lower.match_indices(concat!("is", "sue ")).any(|(at, word)| {
        let rest = &lower[at + word.len()..];
        rest.strip_prefix('#').unwrap_or(rest).starts_with(|c: char| c.is_ascii_digit())
    })
}

fn lock_findings(text: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let source = line.strip_prefix("source = ").map(|value| value.trim_matches('"'));
        if let Some(source) = source.filter(|source| *source != PUBLIC_REGISTRY) {
            found.push(Finding::new(
                format!("Cargo.lock:{}", index + 1),
                format!("{REGISTRY}: {source}"),
                REGISTRY_HINT,
            ));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(line: &str) -> usize {
        text_findings("a.md", line).len()
    }

    #[test]
    fn machine_paths_are_found_where_a_path_starts() {
        assert_eq!(count(concat!("see /wo", "rk/x")), 1);
        assert_eq!(count(concat!("\"/tmp/", "kask-target\"")), 1);
        assert_eq!(count(concat!("target/wo", "rk/x and crates/ho", "me/y")), 0);
    }

    #[test]
    fn markers_stand_alone() {
        assert_eq!(count(concat!("// TO", "DO: more")), 1);
        assert_eq!(count(concat!("mkdtemp X", "XX", "X and TO", "DOS")), 0);
    }

    #[test]
    fn tickets_need_a_number() {
        assert_eq!(count(concat!("see is", "sue 12")), 1);
        assert_eq!(count(concat!("open an is", "sue about it")), 0);
    }

    #[test]
    fn the_lock_file_names_the_public_registry_only() {
        let lock = format!("source = \"{PUBLIC_REGISTRY}\"\nsource = \"registry+https://mirror.example/index\"\n");
        let found = lock_findings(&lock);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].place, "Cargo.lock:2");
    }
}
