//! Whatever the disk does, the budget is kept, nothing starves, and in the end nothing is set aside for anybody.

use crate::common::budget;
use crate::common::play::{Node, Play};
use kask_worker::{Config, MemoryConfig, SpillProblem};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Op {
    End(usize),
    Write(usize, Result<(), SpillProblem>),
    Read(usize, Result<(), SpillProblem>),
    Wait(u64),
}

fn op() -> impl Strategy<Value = Op> {
    use SpillProblem::{Damaged, DiskFull, Io, Unpicklable};
    let written = prop_oneof![
        8 => Just(Ok(())),
        2 => Just(Err(DiskFull)),
        1 => Just(Err(Unpicklable)),
        1 => Just(Err(Io)),
    ];
    let read = prop_oneof![6 => Just(Ok(())), 1 => Just(Err(Damaged)), 1 => Just(Err(Io))];
    prop_oneof![
        6 => any::<usize>().prop_map(Op::End),
        5 => (any::<usize>(), written).prop_map(|(which, answer)| Op::Write(which, answer)),
        3 => (any::<usize>(), read).prop_map(|(which, answer)| Op::Read(which, answer)),
        1 => (0u64..12_000).prop_map(Op::Wait),
    ]
}

/// Any graph: each task reads some of those before it.
fn nodes() -> impl Strategy<Value = Vec<Node>> {
    let nbytes = prop_oneof![6 => 1u64..200, 3 => Just(100), 1 => 200u64..1400].prop_map(|hundredth| hundredth * 20);
    let inputs = prop_oneof![6 => 0usize..4, 1 => 17usize..50];
    let inputs = inputs.prop_flat_map(|count| prop::collection::vec(any::<u32>(), count));
    let one = (inputs, nbytes, prop::bool::weighted(0.3));
    prop::collection::vec(one, 1..40).prop_map(|all| {
        let node = |(at, (inputs, nbytes, wanted)): (usize, (Vec<u32>, u64, bool))| {
            let mut inputs: Vec<u32> = inputs.iter().filter(|_| at > 0).map(|of| of % at.max(1) as u32).collect();
            inputs.sort_unstable();
            inputs.dedup();
            let family = ["load", "sum", "join"][at % 3];
            Node { family, inputs, nbytes, wanted }
        };
        all.into_iter().enumerate().map(node).collect()
    })
}

fn play(nodes: Vec<Node>, threads: u32, memory: MemoryConfig, ops: Vec<Op>) -> Play {
    let mut play = Play::new(nodes, Config { nthreads: threads, memory, ..Config::default() });
    for op in ops {
        match op {
            Op::End(which) => drop(play.end_one(which)),
            Op::Write(which, answer) => drop(play.write_one(which, answer)),
            Op::Read(which, answer) => drop(play.read_one(which, answer)),
            Op::Wait(ms) => play.waits(ms),
        }
    }
    play
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn the_budget_is_kept_and_every_graph_ends(
        nodes in nodes(),
        threads in 1u32..4,
        ops in prop::collection::vec(op(), 0..150),
    ) {
        let mut play = play(nodes, threads, budget(12_000), ops);
        play.play_to_the_end();
        play.give_up_all();
    }

    #[test]
    fn without_a_disk_the_budget_is_kept_and_what_cannot_fit_fails_or_waits(
        nodes in nodes(),
        ops in prop::collection::vec(op(), 0..100),
    ) {
        let mut play = play(nodes, 2, MemoryConfig { can_spill: false, ..budget(12_000) }, ops);
        for _ in 0..200 {
            while play.end_one(0) {}
            play.waits(500);
        }
        prop_assert!(play.is_done() || !play.failed.is_empty(), "it neither ends nor fails");
    }
}
