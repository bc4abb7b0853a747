//! Runs one seed, or a range of seeds, and says how it went.
//!
//! `cargo run -p kask-sim --example replay -- SEED[..END] [--trace]`

use kask_sim::{Options, run};
use std::process::ExitCode;

fn main() -> ExitCode {
    let (mut trace, mut seeds) = (false, None);
    for argument in std::env::args().skip(1) {
        if argument == "--trace" {
            trace = true;
        } else {
            seeds = parse(&argument);
        }
    }
    let Some((first, end)) = seeds else {
        eprintln!("usage: replay SEED[..END] [--trace]");
        return ExitCode::from(2);
    };
    let options = Options { trace, ..Options::default() };
    let mut bad = 0;
    for seed in first..end {
        match run(seed, &options) {
            Ok(report) if end == first + 1 => println!("{report:#?}"),
            Ok(_) => {}
            Err(mut failure) if end == first + 1 => {
                if trace {
                    failure.trace.clear();
                }
                eprintln!("{failure}");
                bad += 1;
            }
            Err(failure) => {
                eprintln!("seed {seed}: {}", failure.message);
                bad += 1;
            }
        }
    }
    if bad == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn parse(argument: &str) -> Option<(u64, u64)> {
    match argument.split_once("..") {
        Some((first, end)) => Some((first.parse().ok()?, end.parse().ok()?)),
        None => {
            let seed: u64 = argument.parse().ok()?;
            Some((seed, seed + 1))
        }
    }
}
