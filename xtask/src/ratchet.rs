//! The list of files and functions that are allowed to be too long, with the length they must not exceed.
//!
//! The file is a small subset of TOML: `[files]` and `[functions]`, then `"name" = lines`. It is written in one
//! way only, so that reading and writing it back changes nothing.

use std::collections::BTreeMap;

/// Where the list is kept.
pub(crate) const PATH: &str = "xtask/ratchet.toml";

const HEADER: &str = "\
# Files and functions that are longer than the limits, and the length that they may not exceed. Entries only shrink:
# split the code, then run `cargo xtask lengths --tighten`. New entries are not a way out; a shorter function is.
";

/// Allowed lengths in lines, by path (`crates/x/src/lib.rs`) and by function (`crates/x/src/lib.rs::name`).
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Ratchet {
    pub(crate) files: BTreeMap<String, usize>,
    pub(crate) functions: BTreeMap<String, usize>,
}

impl Ratchet {
    pub(crate) fn parse(text: &str) -> Result<Ratchet, String> {
        let mut ratchet = Ratchet::default();
        let mut section: Option<&mut BTreeMap<String, usize>> = None;
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            match line {
                "" => {}
                _ if line.starts_with('#') => {}
                "[files]" => section = Some(&mut ratchet.files),
                "[functions]" => section = Some(&mut ratchet.functions),
                _ => {
                    let entry =
                        entry(line).ok_or_else(|| format!("{PATH}:{}: expected \"name\" = lines", index + 1))?;
                    let section = section.as_mut();
                    section
                        .ok_or_else(|| format!("{PATH}:{}: outside of a section", index + 1))?
                        .insert(entry.0, entry.1);
                }
            }
        }
        Ok(ratchet)
    }

    pub(crate) fn print(&self) -> String {
        let mut text = HEADER.to_owned();
        for (name, entries) in [("files", &self.files), ("functions", &self.functions)] {
            text.push_str(&format!("\n[{name}]\n"));
            for (place, lines) in entries {
                text.push_str(&format!("\"{place}\" = {lines}\n"));
            }
        }
        text
    }
}

fn entry(line: &str) -> Option<(String, usize)> {
    let (name, lines) = line.split_once('=')?;
    let name = name.trim().strip_prefix('"')?.strip_suffix('"')?;
    Some((name.to_owned(), lines.trim().parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printing_and_reading_again_changes_nothing() {
        let files = BTreeMap::from([("a.rs".to_owned(), 900), ("b.py".to_owned(), 801)]);
        let ratchet = Ratchet { files, functions: BTreeMap::from([("a.rs::f".to_owned(), 81)]) };
        assert_eq!(Ratchet::parse(&ratchet.print()), Ok(ratchet));
    }

    #[test]
    fn mistakes_name_their_line() {
        assert!(Ratchet::parse("\n\"a\" = 1").expect_err("no section").contains(":2:"));
        assert!(Ratchet::parse("[files]\na = 1").expect_err("no quotes").contains(":2:"));
    }
}
