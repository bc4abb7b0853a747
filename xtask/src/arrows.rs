//! Which crate may depend on which. A crate may use anything upstream of it along the arrows, and nothing else.
//!
//! The table is the map in `ARCHITECTURE.md`. A crate that is not in it must be given a place first.
//! Test dependencies are free: a test may start a server to talk to.

use crate::finding::Finding;
use crate::metadata::Metadata;
use crate::repository::Repository;
use std::collections::{BTreeMap, BTreeSet};

/// A crate and what it may depend on directly; all that is upstream of those is allowed as well.
const ARROWS: [(&str, &[&str]); 13] = [
    ("kask-types", &[]),
    ("kask-graph", &["kask-types"]),
    // Messages carry layers.
    ("kask-wire", &["kask-types", "kask-graph"]),
    ("kask-scheduler", &["kask-graph", "kask-wire"]),
    ("kask-worker", &["kask-graph", "kask-wire"]),
    ("kask-sim", &["kask-scheduler", "kask-worker"]),
    ("kask-net", &["kask-wire"]),
    ("kask-kernels", &["kask-types"]),
    ("kask-server", &["kask-net", "kask-scheduler"]),
    ("kask-executor", &["kask-net", "kask-worker", "kask-kernels"]),
    ("kask-client", &["kask-net", "kask-graph"]),
    ("kask-cli", &["kask-client", "kask-server", "kask-executor", "kask-kernels"]),
    // The `kask` command that pip installs is the same code as the binary.
    ("kask-python", &["kask-client", "kask-server", "kask-executor", "kask-kernels", "kask-cli"]),
];

/// Members of the workspace that are tools, not parts of Kask.
const TOOLS: [&str; 1] = ["xtask"];

pub(crate) fn check(repository: &Repository) -> Result<Vec<Finding>, String> {
    Ok(findings(&Metadata::load(&repository.root)?.members))
}

fn findings(members: &BTreeMap<String, BTreeSet<String>>) -> Vec<Finding> {
    let mut found = Vec::new();
    for (name, dependencies) in members {
        let inside = dependencies.iter().filter(|dependency| members.contains_key(*dependency));
        if TOOLS.contains(&name.as_str()) {
            found.extend(inside.map(|dependency| tool_finding(name, dependency)));
            continue;
        }
        let Some(allowed) = upstream(name) else {
            found.push(Finding::new(
                name,
                "this crate is not on the map",
                "decide where it stands and add it to ARROWS in xtask/src/arrows.rs and to ARCHITECTURE.md",
            ));
            continue;
        };
        for dependency in inside.filter(|dependency| !allowed.contains(dependency.as_str())) {
            found.push(Finding::new(name, format!("depends on {dependency}, against the arrows"), hint(&allowed)));
        }
    }
    found
}

fn hint(allowed: &BTreeSet<&str>) -> String {
    let names = match allowed.is_empty() {
        true => "no crate of the workspace".to_owned(),
        false => allowed.iter().copied().collect::<Vec<_>>().join(", "),
    };
    format!("it may use {names}; move the shared code upstream, or hand it in as a parameter")
}

fn tool_finding(name: &str, dependency: &str) -> Finding {
    Finding::new(
        name,
        format!("a tool depends on {dependency}"),
        "tools use no crate of Kask, so that they always build",
    )
}

/// Everything upstream of `name`; `None` for a crate that the table does not know.
fn upstream(name: &str) -> Option<BTreeSet<&'static str>> {
    let direct = |name: &str| ARROWS.iter().find(|(known, _)| *known == name).map(|(_, direct)| *direct);
    let mut reached = BTreeSet::new();
    let mut pending: Vec<&'static str> = direct(name)?.to_vec();
    while let Some(next) = pending.pop() {
        if reached.insert(next) {
            pending.extend(direct(next).expect("every crate that the table names has a row"));
        }
    }
    Some(reached)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(pairs: &[(&str, &[&str])]) -> BTreeMap<String, BTreeSet<String>> {
        let row = |(name, on): &(&str, &[&str])| ((*name).to_owned(), on.iter().map(|d| (*d).to_owned()).collect());
        pairs.iter().map(row).collect()
    }

    #[test]
    fn upstream_is_transitive_and_never_contains_the_crate_itself() {
        for (name, _) in ARROWS {
            assert!(!upstream(name).expect("it is in the table").contains(name), "{name} is in a cycle");
        }
        assert!(upstream("kask-sim").expect("known").contains("kask-types"));
        assert_eq!(upstream("kask-unknown"), None);
    }

    #[test]
    fn an_arrow_backwards_is_found() {
        let found = findings(&members(&[("kask-types", &["kask-graph"]), ("kask-graph", &["kask-types"])]));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].place, "kask-types");
    }

    #[test]
    fn the_pure_cores_may_not_reach_the_network() {
        let found = findings(&members(&[("kask-scheduler", &["kask-net"]), ("kask-net", &[])]));
        assert!(found[0].wrong.contains("kask-net"), "{}", found[0]);
    }

    #[test]
    fn the_two_recorded_exceptions_are_allowed_one_way() {
        let forth = members(&[
            ("kask-wire", &["kask-graph"]),
            ("kask-python", &["kask-cli"]),
            ("kask-graph", &[]),
            ("kask-cli", &[]),
        ]);
        assert_eq!(findings(&forth), []);
        let back = members(&[
            ("kask-graph", &["kask-wire"]),
            ("kask-cli", &["kask-python"]),
            ("kask-wire", &[]),
            ("kask-python", &[]),
        ]);
        assert_eq!(findings(&back).len(), 2);
    }

    #[test]
    fn a_crate_without_a_place_and_a_tool_that_uses_kask_are_found() {
        let found = findings(&members(&[("kask-new", &[]), ("xtask", &["kask-new"])]));
        assert_eq!(found.iter().map(|finding| finding.place.as_str()).collect::<Vec<_>>(), ["kask-new", "xtask"]);
    }
}
