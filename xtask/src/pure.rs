//! The pure crates: no clock, no file, no thread, no socket, no random source, no order that differs between runs.
//!
//! That is what lets `kask-sim` run a whole cluster a million times from a seed. Three rules, for each pure crate:
//! its direct dependencies are on a short list; nothing below them (normal dependencies) is on the forbidden list; its
//! own sources (tests excluded) name none of the forbidden things.

use crate::finding::Finding;
use crate::metadata::Metadata;
use crate::repository::Repository;
use crate::rust_source::{Token, is_mark_at, paths, tokens, without_tests};
use std::collections::BTreeSet;

const PURE: [&str; 6] = ["kask-types", "kask-graph", "kask-wire", "kask-scheduler", "kask-worker", "kask-sim"];

/// What the words that every crate speaks may themselves need.
const FOR_TYPES: [&str; 4] = ["serde", "bytes", "smallvec", "blake3"];

/// Outside libraries that a pure crate may use directly.
const FOR_PURE: [&str; 9] =
    ["serde", "bytes", "smallvec", "blake3", "thiserror", "rustc-hash", "hashbrown", "indexmap", "postcard"];

/// Nothing pure has one of these anywhere below it.
const FORBIDDEN_BELOW: [&str; 16] = [
    "tokio",
    "mio",
    "socket2",
    "async-std",
    "smol",
    "pyo3",
    "pyo3-ffi",
    "rand",
    "rand_core",
    "getrandom",
    "fastrand",
    "libc",
    "rayon",
    "crossbeam-channel",
    "parking_lot",
    "tracing",
];

/// Paths that no pure source may start with.
const FORBIDDEN_PATHS: [(&str, &str); 15] = [
    ("std::time::Instant", "take the time as a Tick parameter"),
    ("std::time::SystemTime", "take the time as a Tick parameter"),
    ("std::time::self", "import Duration by its name; clocks stay outside"),
    ("std::thread", "threads belong to the shells (kask-server, kask-executor)"),
    ("std::fs", "files belong to the shells (kask-server, kask-executor)"),
    ("std::net", "sockets belong to kask-net"),
    ("std::process", "processes belong to kask-executor"),
    ("std::env", "take the setting as a parameter"),
    ("std::hash::RandomState", "use FxHashMap, FxHashSet or a BTree collection"),
    ("std::collections::hash_map::RandomState", "use FxHashMap, FxHashSet or a BTree collection"),
    ("hashbrown::DefaultHashBuilder", "use FxHashMap, FxHashSet or a BTree collection"),
    ("rand", "take the seed or the number as a parameter"),
    ("getrandom", "take the number as a parameter"),
    ("tokio", "input and output belong to the shells"),
    ("pyo3", "Python belongs to kask-python"),
];

const FIXED_ORDER: &str = "name a hasher that is the same in every run: FxHashMap, FxHashSet, or a BTree collection";

pub(crate) fn check(repository: &Repository) -> Result<Vec<Finding>, String> {
    let metadata = Metadata::load(&repository.root)?;
    let mut found = Vec::new();
    for name in PURE.into_iter().filter(|name| metadata.members.contains_key(*name)) {
        found.extend(dependency_findings(name, &metadata));
    }
    for path in repository.files()? {
        if is_pure_source(&path) {
            let text = repository.text(&path)?.ok_or_else(|| format!("{path} is not UTF-8"))?;
            found.extend(source_findings(&path, &text));
        }
    }
    Ok(found)
}

fn dependency_findings(name: &str, metadata: &Metadata) -> Vec<Finding> {
    let allowed: &[&str] = if name == "kask-types" { &FOR_TYPES } else { &FOR_PURE };
    let outside: BTreeSet<&String> =
        metadata.members[name].iter().filter(|dependency| !metadata.members.contains_key(*dependency)).collect();
    let mut found: Vec<Finding> = outside
        .into_iter()
        .filter(|dependency| !allowed.contains(&dependency.as_str()))
        .map(|dependency| {
            let hint = format!("a pure crate uses {} only; do this work in a shell crate", allowed.join(", "));
            Finding::new(name, format!("depends on {dependency}"), hint)
        })
        .collect();
    if let Some(chain) = metadata.chain(name, |below| FORBIDDEN_BELOW.contains(&below)) {
        let hint = "drop the feature or the library that brings it in";
        found.push(Finding::new(name, format!("is not pure: {}", chain.join(" -> ")), hint));
    }
    found
}

fn is_pure_source(path: &str) -> bool {
    let pure = PURE.iter().any(|name| path.starts_with(&format!("crates/{name}/src/")));
    let is_test = path.ends_with("/tests.rs") || path.ends_with("_tests.rs") || path.contains("/tests/");
    pure && path.ends_with(".rs") && !is_test
}

fn source_findings(path: &str, source: &str) -> Vec<Finding> {
    let code = without_tests(&tokens(source));
    let mut found = forbidden_paths(path, &code);
    found.extend(maps_without_a_hasher(path, &code));
    found
}

fn forbidden_paths(place: &str, code: &[Token]) -> Vec<Finding> {
    let mut found = Vec::new();
    for (segments, line) in paths(code) {
        let path = segments.join("::");
        let forbidden = FORBIDDEN_PATHS.iter().find(|(start, _)| {
            let exact_word = start.contains("::") || segments.len() > 1;
            exact_word && (path == *start || path.starts_with(&format!("{start}::")))
        });
        if let Some((_, hint)) = forbidden {
            found.push(Finding::new(format!("{place}:{line}"), format!("`{path}` in a pure crate"), *hint));
        }
        let last_two = segments.len().checked_sub(2).map(|from| segments[from..].join("::"));
        let seeded = ["HashMap::new", "HashMap::with_capacity", "HashSet::new", "HashSet::with_capacity"];
        if last_two.is_some_and(|call| seeded.contains(&call.as_str())) {
            found.push(Finding::new(
                format!("{place}:{line}"),
                format!("`{path}` iterates in a random order"),
                FIXED_ORDER,
            ));
        }
    }
    found
}

/// `HashMap<K, V>` and `HashSet<T>` with the default, randomly seeded hasher.
fn maps_without_a_hasher(place: &str, code: &[Token]) -> Vec<Finding> {
    let mut found = Vec::new();
    for (at, token) in code.iter().enumerate() {
        let needed = match token.word() {
            Some("HashMap") => 3,
            Some("HashSet") => 2,
            Some(_) | None => continue,
        };
        let turbofish = is_mark_at(code, at + 1, ':') && is_mark_at(code, at + 2, ':');
        let open = if turbofish { at + 3 } else { at + 1 };
        if is_mark_at(code, open, '<') && generic_arguments(code, open) < needed {
            let wrong = "a hash map or set with the default hasher iterates in a random order";
            found.push(Finding::new(format!("{place}:{}", token.line), wrong, FIXED_ORDER));
        }
    }
    found
}

/// How many arguments the `<...>` that opens at `at` has.
fn generic_arguments(code: &[Token], at: usize) -> usize {
    let mut depth = 0_i32;
    let mut count = 1;
    for (index, token) in code.iter().enumerate().skip(at) {
        let arrow = index > 0 && code[index - 1].is_mark('-');
        if token.is_mark('<') || token.is_mark('(') || token.is_mark('[') {
            depth += 1;
        } else if (token.is_mark('>') && !arrow) || token.is_mark(')') || token.is_mark(']') {
            depth -= 1;
        } else if token.is_mark(',') && depth == 1 && !is_mark_at(code, index + 1, '>') {
            count += 1;
        }
        if depth == 0 {
            return count;
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrongs(source: &str) -> Vec<String> {
        source_findings("crates/kask-graph/src/x.rs", source).into_iter().map(|finding| finding.wrong).collect()
    }

    #[test]
    fn clocks_threads_and_files_are_found_however_they_are_imported() {
        assert_eq!(wrongs("use std::{fs, time::{Duration, Instant}};").len(), 2);
        assert_eq!(wrongs("fn f() { std::thread::sleep(d); }").len(), 1);
        assert_eq!(wrongs("fn f() { rand::random::<u8>() }").len(), 1);
        assert_eq!(wrongs("use std::time::Duration; use std::sync::Arc; let rand = 1;"), [] as [String; 0]);
    }

    #[test]
    fn tests_and_comments_may_name_anything() {
        assert!(wrongs("// std::fs\n#[cfg(test)] mod tests { use std::fs; }").is_empty());
        assert!(!is_pure_source("crates/kask-graph/tests/all.rs"));
        assert!(!is_pure_source("crates/kask-net/src/lib.rs"));
    }

    #[test]
    fn a_map_needs_a_named_hasher() {
        assert_eq!(wrongs("struct S { a: HashMap<u8, (u8, u8)> }").len(), 1);
        assert_eq!(wrongs("let a = x.collect::<HashSet<_>>();").len(), 1);
        assert_eq!(wrongs("let a = HashMap::new();").len(), 1);
        assert!(wrongs("struct S { a: HashMap<u8, Vec<(u8, u8)>, FxBuildHasher> }").is_empty());
        assert!(wrongs("let a: FxHashMap<u8, u8> = FxHashMap::default();").is_empty());
    }

    #[test]
    fn generic_arguments_are_counted_at_the_top_level_only() {
        let count = |source: &str| generic_arguments(&tokens(source), 0);
        assert_eq!(count("<A, Vec<(B, C)>, D>"), 3);
        assert_eq!(count("<A, fn(B, C) -> D,>"), 2);
    }
}
