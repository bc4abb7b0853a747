//! Five hundred clusters, each with its own troubles.

use kask_sim::{Options, run};

#[test]
fn five_hundred_seeds_end_as_the_serial_run_says() {
    let (mut deaths, mut freezes, mut compared, mut failures) = (0, 0, 0, 0);
    let (mut spilled, mut adopted, mut handed_back) = (0, 0, 0);
    let mut bad = Vec::new();
    for seed in 0..500 {
        match run(seed, &Options::default()) {
            Ok(report) => {
                deaths += report.deaths;
                freezes += report.freezes;
                compared += report.compared;
                failures += report.failures;
                spilled += report.spilled;
                adopted += report.adopted;
                handed_back += report.handed_back;
            }
            Err(failure) => {
                if bad.is_empty() {
                    eprintln!("{failure}");
                }
                bad.push(failure.seed);
            }
        }
    }
    assert!(bad.is_empty(), "{} seeds failed: {bad:?}", bad.len());
    // The swarm must reach what it is there for.
    let reached = format!("{deaths} deaths, {freezes} freezes, {compared} values compared, {failures} keys failed");
    assert!(deaths > 500 && freezes > 50 && compared > 5_000 && failures > 500, "{reached}");
    let reached = format!("{spilled} values spilled, {adopted} adopted, {handed_back} attempts handed back");
    assert!(spilled > 5_000 && adopted > 500 && handed_back > 500, "{reached}");
}

#[test]
fn a_seed_is_the_same_run_every_time() {
    for seed in [3, 77, 1234] {
        let (first, second) = (run(seed, &Options::default()), run(seed, &Options::default()));
        assert_eq!(first.expect("it goes well").digest, second.expect("it goes well").digest);
    }
}
