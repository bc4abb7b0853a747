//! Files stay under 800 lines and functions under 80. What is longer is listed in `xtask/ratchet.toml` and only shrinks.
//!
//! Functions in tests may be long: a test reads best when it tells its whole story in one place.

use crate::finding::Finding;
use crate::ratchet::{self, Ratchet};
use crate::repository::Repository;
use crate::rust_source::{self, Function, tokens, without_tests};
use std::collections::BTreeMap;

const FILE_LIMIT: usize = 800;
const FUNCTION_LIMIT: usize = 80;

/// The length of everything that is over a limit, keyed as in the ratchet.
type Lengths = Ratchet;

pub(crate) fn check(repository: &Repository) -> Result<Vec<Finding>, String> {
    Ok(findings(&over_limits(repository)?, &listed(repository)?))
}

/// Lowers every listed length to the present one and drops what is within the limits now. Adds nothing.
pub(crate) fn tighten(repository: &Repository) -> Result<(), String> {
    let tightened = tightened(&over_limits(repository)?, &listed(repository)?);
    let path = repository.root.join(ratchet::PATH);
    std::fs::write(&path, tightened.print()).map_err(|error| format!("cannot write {}: {error}", path.display()))
}

fn listed(repository: &Repository) -> Result<Ratchet, String> {
    let text = std::fs::read_to_string(repository.root.join(ratchet::PATH))
        .map_err(|error| format!("cannot read {}: {error}", ratchet::PATH))?;
    Ratchet::parse(&text)
}

fn over_limits(repository: &Repository) -> Result<Lengths, String> {
    let mut lengths = Lengths::default();
    for path in repository.files()? {
        if path.ends_with(".rs") || path.ends_with(".py") {
            let text = repository.text(&path)?.ok_or_else(|| format!("{path} is not UTF-8"))?;
            measure(&path, &text, &mut lengths);
        }
    }
    Ok(lengths)
}

fn measure(path: &str, text: &str, lengths: &mut Lengths) {
    let lines = text.lines().count();
    if lines > FILE_LIMIT {
        lengths.files.insert(path.to_owned(), lines);
    }
    for function in functions(path, text) {
        if function.length > FUNCTION_LIMIT {
            let longest = lengths.functions.entry(format!("{path}::{}", function.name)).or_default();
            *longest = function.length.max(*longest);
        }
    }
}

fn functions(path: &str, text: &str) -> Vec<Function> {
    let in_test_folder = path.split('/').any(|part| part == "tests");
    let name = path.rsplit('/').next().unwrap_or(path);
    if in_test_folder || name == "tests.rs" || name.ends_with("_tests.rs") || name.starts_with("test_") {
        return Vec::new();
    }
    match path.ends_with(".rs") {
        true => rust_source::functions(&without_tests(&tokens(text))),
        false => crate::python_source::functions(text),
    }
}

fn findings(measured: &Lengths, listed: &Ratchet) -> Vec<Finding> {
    let mut found = compare("file", FILE_LIMIT, &measured.files, &listed.files);
    found.extend(compare("function", FUNCTION_LIMIT, &measured.functions, &listed.functions));
    found
}

fn compare(
    what: &str,
    limit: usize,
    measured: &BTreeMap<String, usize>,
    listed: &BTreeMap<String, usize>,
) -> Vec<Finding> {
    let mut found = Vec::new();
    for (place, &length) in measured {
        match listed.get(place) {
            None => found.push(Finding::new(
                place,
                format!("{what} of {length} lines, the limit is {limit}"),
                "split it by purpose",
            )),
            Some(&allowed) if length > allowed => found.push(Finding::new(
                place,
                format!("{what} grew from {allowed} to {length} lines"),
                "it may only shrink: move the new part into its own place",
            )),
            Some(_) => {}
        }
    }
    for (place, &allowed) in listed {
        let present = measured.get(place).copied().unwrap_or(0);
        if present < allowed {
            found.push(Finding::new(
                place,
                format!("listed with {allowed} lines but shorter now"),
                "keep the gain: cargo xtask lengths --tighten",
            ));
        }
    }
    found
}

fn tightened(measured: &Lengths, listed: &Ratchet) -> Ratchet {
    let lower = |measured: &BTreeMap<String, usize>, listed: &BTreeMap<String, usize>| {
        listed
            .iter()
            .filter_map(|(place, &allowed)| Some((place.clone(), allowed.min(*measured.get(place)?))))
            .collect()
    };
    Ratchet { files: lower(&measured.files, &listed.files), functions: lower(&measured.functions, &listed.functions) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths(files: &[(&str, usize)]) -> Lengths {
        Lengths { files: files.iter().map(|(p, n)| ((*p).to_owned(), *n)).collect(), functions: BTreeMap::new() }
    }

    #[test]
    fn long_functions_and_files_are_measured_except_in_tests() {
        let body = "    let x = 1;\n".repeat(79);
        let source =
            format!("fn short() {{}}\nfn long() {{\n{body}}}\n#[cfg(test)]\nmod tests {{\nfn t() {{\n{body}}}\n}}\n");
        let mut measured = Lengths::default();
        measure("crates/a/src/lib.rs", &source, &mut measured);
        measure("crates/a/tests/all.rs", &source, &mut measured);
        assert_eq!(measured.functions, BTreeMap::from([("crates/a/src/lib.rs::long".to_owned(), 81)]));
        measure("a.py", &"x = 1\n".repeat(801), &mut measured);
        assert_eq!(measured.files, BTreeMap::from([("a.py".to_owned(), 801)]));
    }

    #[test]
    fn unlisted_and_grown_are_wrong_and_a_gain_must_be_kept() {
        let measured = lengths(&[("new", 801), ("grown", 950), ("same", 900), ("less", 810)]);
        let listed = lengths(&[("grown", 940), ("same", 900), ("less", 820), ("gone", 990)]);
        let places: Vec<String> = findings(&measured, &listed).into_iter().map(|finding| finding.place).collect();
        assert_eq!(places, ["grown", "new", "gone", "less"]);
    }

    #[test]
    fn tightening_never_raises_and_never_adds() {
        let measured = lengths(&[("new", 801), ("grown", 950), ("less", 810)]);
        let listed = lengths(&[("grown", 940), ("less", 820), ("gone", 990)]);
        assert_eq!(tightened(&measured, &listed), lengths(&[("grown", 940), ("less", 810)]));
    }
}
