//! A simulator that finds nothing is worth nothing: bugs planted in the surroundings of the cores must fail runs.

use kask_sim::{Options, Planted, run};

fn failures_of(planted: Planted) -> Vec<String> {
    let options = Options { planted: Some(planted), ..Options::default() };
    (0..60).filter_map(|seed| run(seed, &options).err()).map(|failure| failure.message).collect()
}

fn must_fail(planted: Planted, at_least: usize, saying: &[&str]) {
    let messages = failures_of(planted);
    let expected = messages.iter().filter(|message| saying.iter().any(|text| message.contains(text))).count();
    assert!(expected >= at_least, "{planted:?}: {expected} of 60 runs failed as they should: {messages:#?}");
}

#[test]
fn a_lost_result_is_found_as_work_that_never_ends() {
    must_fail(Planted::LostFinished, 8, &["has not ended"]);
}

#[test]
fn a_wrong_value_is_found_by_comparison() {
    must_fail(Planted::WrongValue, 8, &["serially"]);
}

#[test]
fn a_lost_release_is_found_as_a_leak() {
    must_fail(Planted::LostFree, 8, &["there is still", "the scheduler believes"]);
}

#[test]
fn an_attempt_that_goes_on_though_it_was_cancelled_is_found() {
    must_fail(Planted::LostCancel, 3, &["knows that it was cancelled"]);
}

#[test]
fn a_peer_that_is_asked_though_it_has_left_is_found() {
    must_fail(Planted::LostPeerLeft, 3, &["knows that it has left"]);
}

#[test]
fn a_lost_answer_of_the_disk_is_found_as_work_that_never_ends() {
    must_fail(Planted::LostUnspilled, 5, &["has not ended", "there is still"]);
}

#[test]
fn a_value_that_leaves_memory_too_early_is_found() {
    must_fail(Planted::SpillEvicts, 5, &["is in memory", "core and store disagree", "without its input"]);
}

#[test]
fn a_function_that_comes_too_late_is_found_as_nonsense() {
    must_fail(Planted::Reordered, 8, &["without the function"]);
}
