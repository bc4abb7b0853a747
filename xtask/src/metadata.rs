//! What `cargo metadata` says about the workspace: packages, their declared dependencies, the resolved graph.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

/// The workspace's packages and the graph of normal dependencies below them.
#[derive(Debug, Default)]
pub(crate) struct Metadata {
    /// Crate name -> its normal and build dependencies, by package name.
    pub(crate) members: BTreeMap<String, BTreeSet<String>>,
    /// Package id -> (name, ids of its normal dependencies), as cargo resolved them for this platform.
    packages: BTreeMap<String, (String, Vec<String>)>,
}

impl Metadata {
    pub(crate) fn load(root: &Path) -> Result<Metadata, String> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let output = Command::new(cargo)
            .args(["metadata", "--format-version", "1", "--filter-platform", &host_platform()?])
            .current_dir(root)
            .output()
            .map_err(|error| format!("cannot run cargo metadata: {error}"))?;
        if !output.status.success() {
            return Err(format!("cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr)));
        }
        let parsed = serde_json::from_slice(&output.stdout);
        Metadata::parse(&parsed.map_err(|error| format!("cargo metadata is not JSON: {error}"))?)
    }

    /// From the JSON document that cargo prints.
    pub(crate) fn parse(document: &Value) -> Result<Metadata, String> {
        let members: BTreeSet<&str> = list(document, "workspace_members")?.iter().filter_map(Value::as_str).collect();
        let mut metadata = Metadata::default();
        for package in list(document, "packages")? {
            let (id, name) = (text(package, "id")?, text(package, "name")?);
            if members.contains(id) {
                metadata.members.insert(name.to_owned(), declared_dependencies(package)?);
            }
            metadata.packages.insert(id.to_owned(), (name.to_owned(), Vec::new()));
        }
        for node in list(&document["resolve"], "nodes")? {
            let dependencies = normal_dependencies(node)?;
            if let Some((_, known)) = metadata.packages.get_mut(text(node, "id")?) {
                *known = dependencies;
            }
        }
        Ok(metadata)
    }

    /// The shortest chain of normal dependencies from `from` to a package that `wanted` accepts, both ends named.
    pub(crate) fn chain(&self, from: &str, wanted: impl Fn(&str) -> bool) -> Option<Vec<String>> {
        let start = self.packages.iter().find(|(_, (name, _))| name == from)?.0;
        let mut reached_from: BTreeMap<&str, Option<&str>> = BTreeMap::from([(start.as_str(), None)]);
        let mut frontier = vec![start.as_str()];
        while !frontier.is_empty() {
            let mut next = Vec::new();
            for id in frontier {
                for below in &self.packages[id].1 {
                    if reached_from.contains_key(below.as_str()) {
                        continue;
                    }
                    reached_from.insert(below, Some(id));
                    if wanted(&self.packages[below].0) {
                        return Some(self.walk_back(below, &reached_from));
                    }
                    next.push(below.as_str());
                }
            }
            frontier = next;
        }
        None
    }

    fn walk_back(&self, end: &str, reached_from: &BTreeMap<&str, Option<&str>>) -> Vec<String> {
        let mut chain = Vec::new();
        let mut at = Some(end);
        while let Some(id) = at {
            chain.push(self.packages[id].0.clone());
            at = reached_from[id];
        }
        chain.reverse();
        chain
    }
}

/// Test dependencies are left out: what a test uses says nothing about what the crate is.
fn declared_dependencies(package: &Value) -> Result<BTreeSet<String>, String> {
    let mut names = BTreeSet::new();
    for dependency in list(package, "dependencies")? {
        if dependency["kind"].as_str() != Some("dev") {
            names.insert(text(dependency, "name")?.to_owned());
        }
    }
    Ok(names)
}

fn normal_dependencies(node: &Value) -> Result<Vec<String>, String> {
    let mut ids = Vec::new();
    for dependency in list(node, "deps")? {
        let normal = list(dependency, "dep_kinds")?.iter().any(|kind| kind["kind"].is_null());
        if normal {
            ids.push(text(dependency, "pkg")?.to_owned());
        }
    }
    Ok(ids)
}

fn host_platform() -> Result<String, String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("-vV").output().map_err(|error| format!("cannot run rustc -vV: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| "rustc -vV names no host".to_owned())
}

fn list<'a>(value: &'a Value, field: &str) -> Result<&'a Vec<Value>, String> {
    value[field].as_array().ok_or_else(|| format!("cargo metadata has no list `{field}`"))
}

fn text<'a>(value: &'a Value, field: &str) -> Result<&'a str, String> {
    value[field].as_str().ok_or_else(|| format!("cargo metadata has no text `{field}`"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn dependency(id: &str, kind: Value) -> Value {
        json!({"pkg": id, "dep_kinds": [{"kind": kind}]})
    }

    /// a -> b -> tokio, and a -(dev)-> rand.
    pub(crate) fn small_workspace() -> Metadata {
        let package = |name: &str, dependencies: Value| json!({"id": name, "name": name, "dependencies": dependencies});
        let document = json!({
            "workspace_members": ["a", "b"],
            "packages": [
                package("a", json!([{"name": "b", "kind": null}, {"name": "rand", "kind": "dev"}])),
                package("b", json!([{"name": "tokio", "kind": null}])),
                package("tokio", json!([])),
                package("rand", json!([])),
            ],
            "resolve": {"nodes": [
                {"id": "a", "deps": [dependency("b", Value::Null), dependency("rand", json!("dev"))]},
                {"id": "b", "deps": [dependency("tokio", Value::Null)]},
                {"id": "tokio", "deps": []},
                {"id": "rand", "deps": []},
            ]},
        });
        Metadata::parse(&document).expect("a well-formed document")
    }

    #[test]
    fn members_have_their_normal_dependencies_only() {
        let metadata = small_workspace();
        assert_eq!(metadata.members["a"], BTreeSet::from(["b".to_owned()]));
        assert!(!metadata.members.contains_key("tokio"));
    }

    #[test]
    fn a_chain_names_every_step_and_ignores_test_dependencies() {
        let metadata = small_workspace();
        assert_eq!(metadata.chain("a", |name| name == "tokio").expect("a chain"), ["a", "b", "tokio"]);
        assert_eq!(metadata.chain("a", |name| name == "rand"), None);
    }
}
