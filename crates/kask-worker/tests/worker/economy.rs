//! Graphs over ten times the budget: how much is written and read back, against the least that must be.

use crate::common::budget;
use crate::common::play::{Node, Play};
use kask_worker::Config;

const BLOCK: u64 = 1 << 20;

/// Adds a tree of reductions by 16 over these nodes, each result of this size. Returns the last.
fn reduce(nodes: &mut Vec<Node>, mut level: Vec<u32>, nbytes: u64) -> u32 {
    while level.len() > 1 {
        let groups: Vec<Vec<u32>> = level.chunks(16).map(<[u32]>::to_vec).collect();
        level.clear();
        for inputs in groups {
            level.push(nodes.len() as u32);
            nodes.push(Node { family: "combine", inputs, nbytes, wanted: false });
        }
    }
    level[0]
}

fn node(family: &'static str, inputs: Vec<u32>, nbytes: u64) -> Node {
    Node { family, inputs, nbytes, wanted: false }
}

/// `(x - x.mean()).std()`: every block is made, used for the mean, and used again.
fn two_passes(blocks: u32, keep: bool) -> Vec<Node> {
    let mut nodes = Vec::new();
    let mut partial = Vec::new();
    for _ in 0..blocks {
        let x = nodes.len() as u32;
        nodes.push(Node { wanted: keep, ..node("random", vec![], BLOCK) });
        partial.push(x + 1);
        nodes.push(node("partial", vec![x], 100));
    }
    let mean = reduce(&mut nodes, partial, 100);
    let mut partial = Vec::new();
    for block in 0..blocks {
        let difference = nodes.len() as u32;
        nodes.push(node("subtract", vec![2 * block, mean], BLOCK));
        partial.push(difference + 1);
        nodes.push(node("square", vec![difference], 100));
    }
    let last = reduce(&mut nodes, partial, 100);
    nodes[last as usize].wanted = true;
    nodes
}

/// Plays to the end and returns what was written and read, in blocks.
fn play(nodes: Vec<Node>, budget_blocks: u64) -> (f64, f64, Play) {
    let config = Config { nthreads: 2, memory: budget(budget_blocks * BLOCK), ..Config::default() };
    let mut play = Play::new(nodes, config);
    play.rig.check_every = 5_000;
    play.play_to_the_end();
    play.rig.worker.check();
    assert!(play.most_taken <= budget_blocks * BLOCK, "{} blocks were taken", play.most_taken / BLOCK);
    assert!(play.failed.is_empty() && play.handed_back == 0);
    let (written, read) = (play.rig.written_bytes as f64 / BLOCK as f64, play.rig.read_bytes as f64 / BLOCK as f64);
    println!("written {written:.0} blocks, read {read:.0}");
    (written, read, play)
}

#[test]
fn two_passes_over_ten_times_the_budget_write_and_read_what_does_not_fit_once() {
    let (written, read, _) = play(two_passes(10_000, false), 1_000);
    let least = 9_000.0;
    assert!((least..1.05 * least).contains(&written), "{written} blocks written");
    assert!((least..1.05 * least).contains(&read), "{read} blocks read");
}

#[test]
fn blocks_that_are_kept_are_written_once_and_read_once() {
    let (written, read, play) = play(two_passes(10_000, true), 1_000);
    let least = 9_000.0;
    assert!((least..1.12 * least).contains(&written), "{written} blocks written");
    assert!((least..1.12 * least).contains(&read), "{read} blocks read");
    assert_eq!(play.rig.worker.inventory().0, 10_001);
}

#[test]
fn two_passes_over_what_just_fits_write_nothing() {
    let (written, read, _) = play(two_passes(840, false), 1_000);
    assert_eq!((written, read), (0.0, 0.0));
}

#[test]
fn a_tree_of_sums_in_depth_first_order_needs_no_disk() {
    // In the order that the graph crate computes: a combination comes right after the last of its inputs.
    let mut nodes = Vec::new();
    let mut levels: Vec<Vec<u32>> = vec![Vec::new(); 5];
    for _ in 0..10_000 {
        levels[0].push(nodes.len() as u32);
        nodes.push(node("block", vec![], BLOCK));
        for level in 0..4 {
            if levels[level].len() == 16 {
                let inputs = std::mem::take(&mut levels[level]);
                levels[level + 1].push(nodes.len() as u32);
                nodes.push(node("sum", inputs, BLOCK));
            }
        }
    }
    let rest: Vec<u32> = levels.into_iter().flatten().collect();
    nodes.push(Node { wanted: true, ..node("sum", rest, BLOCK) });
    let (written, read, _) = play(nodes, 100);
    assert_eq!((written, read), (0.0, 0.0));
}
