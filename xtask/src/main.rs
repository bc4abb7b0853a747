//! Checks of this repository that no off-the-shelf linter knows: `cargo xtask <check>`.
//!
//! Each check is a function from the repository to a list of [`Finding`]s: what is wrong, where, and what to
//! do about it. Start reading with `CHECKS`; a new check is a new file and a line in that table.

mod arrows;
mod finding;
mod lengths;
mod metadata;
mod pure;
mod python_source;
mod ratchet;
mod repository;
mod rust_source;
mod words;

use finding::Finding;
use repository::Repository;
use std::process::ExitCode;

type Check = fn(&Repository) -> Result<Vec<Finding>, String>;

/// Name, what it is for, how to run it.
const CHECKS: [(&str, &str, Check); 4] = [
    ("arrows", "crates depend on each other only along the allowed arrows", arrows::check),
    ("pure", "the pure crates know no clock, file, thread, socket or random source", pure::check),
    ("lengths", "files and functions stay short; listed exceptions only shrink", lengths::check),
    ("words", "no machine's paths, private registries or unfinished-work markers", words::check),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("xtask: {message}");
            ExitCode::FAILURE
        }
    }
}

/// True when all the checks that were asked for found nothing.
fn run(arguments: &[String]) -> Result<bool, String> {
    let wanted: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let repository = Repository::find()?;
    if wanted == ["lengths", "--tighten"] {
        return lengths::tighten(&repository).map(|()| true);
    }
    if wanted.is_empty() {
        println!("{}", usage());
        return Ok(true);
    }
    let mut clean = true;
    for (name, purpose, check) in chosen(&wanted)? {
        let findings = check(&repository)?;
        for finding in &findings {
            println!("{finding}");
        }
        clean &= findings.is_empty();
        match findings.len() {
            0 => println!("{name}: ok ({purpose})"),
            count => println!("{name}: {count} found ({purpose})"),
        }
    }
    Ok(clean)
}

fn chosen<'a>(wanted: &[&'a str]) -> Result<Vec<(&'a str, &'static str, Check)>, String> {
    if wanted == ["all"] {
        return Ok(CHECKS.to_vec());
    }
    wanted
        .iter()
        .map(|name| {
            let known = CHECKS.iter().find(|(known, ..)| known == name);
            known.copied().ok_or_else(|| format!("there is no check named {name}\n{}", usage()))
        })
        .collect()
}

fn usage() -> String {
    let mut text = String::from("cargo xtask all, or any of:");
    for (name, purpose, _) in CHECKS {
        text.push_str(&format!("\n  {name:<9} {purpose}"));
    }
    text.push_str("\ncargo xtask lengths --tighten lowers the listed exceptions to what they have shrunk to");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_check_is_refused_and_the_known_ones_are_named() {
        let refused = chosen(&["arows"]).expect_err("a typing error is not a check");
        assert!(refused.contains("arows") && refused.contains("arrows"), "{refused}");
        assert_eq!(chosen(&["all"]).expect("all is always there").len(), CHECKS.len());
    }
}
