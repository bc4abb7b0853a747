//! The projected peak against a run that is played through the slow and obvious way, and its verdicts by example.

use crate::common::*;
use kask_graph::{
    Capacity, Expansion, Graph, InputOf, Known, Layer, LayerKind, Output, TaskBytes, Verdict, Wanted, expand,
    projected_peak, summarize, task_bytes, usable_bytes,
};
use kask_types::{Annotations, Key};
use proptest::prelude::*;
use std::collections::BTreeSet;

const MB: u64 = 1_000_000;

fn capacity(runners: u32, workers: u32, limit_bytes: u64) -> Capacity {
    Capacity { runners, workers, limit_bytes }
}

fn sized(mut layer: Layer, prefix: &str, result_bytes: u64, memory_bytes: u64) -> Layer {
    layer.prefix = prefix.into();
    layer.annotations = Annotations { result_bytes, memory_bytes, ..Annotations::default() };
    layer
}

fn local_inputs(expansion: &Expansion, task: u32) -> BTreeSet<u32> {
    let local = |input| match input {
        InputOf::Local(input) => Some(input),
        InputOf::External(_) => None,
    };
    expansion.inputs_of(task).filter_map(local).collect()
}

/// Most bytes and most values held, looking at every task at every step.
fn naive_peak(expansion: &Expansion, bytes: &[TaskBytes], runners: usize) -> (u64, usize) {
    let needed: Vec<u32> = expansion.sequence();
    let inputs = |task: u32| local_inputs(expansion, task);
    let is_wanted = |task: u32| expansion.outputs.contains(&Output::Local(task));
    let mut ended: BTreeSet<u32> = BTreeSet::new();
    let mut running: Vec<u32> = Vec::new();
    let (mut peak_bytes, mut peak_values) = (0, 0);
    while ended.len() < needed.len() {
        let next = needed.iter().copied().find(|&task| {
            !ended.contains(&task) && !running.contains(&task) && inputs(task).iter().all(|input| ended.contains(input))
        });
        match next {
            Some(task) if running.len() < runners => running.push(task),
            _ => {
                ended.insert(running.remove(0));
            }
        }
        let is_held = |task: &u32| {
            is_wanted(*task) || needed.iter().any(|reader| !ended.contains(reader) && inputs(*reader).contains(task))
        };
        let held: Vec<u32> = ended.iter().copied().filter(is_held).collect();
        let in_results: u64 = held.iter().map(|&task| bytes[task as usize].result).sum();
        let in_runners: u64 =
            running.iter().map(|&task| bytes[task as usize].result.max(bytes[task as usize].memory)).sum();
        peak_bytes = peak_bytes.max(in_results + in_runners);
        peak_values = peak_values.max(held.len() + running.len());
    }
    (peak_bytes, peak_values)
}

fn random_graph() -> impl Strategy<Value = Graph> {
    let tasks = (1usize..25).prop_flat_map(|len| {
        (0..len).map(|task| prop::collection::vec(0..task.max(1) as u128, 0..task.min(4) + 1)).collect::<Vec<_>>()
    });
    tasks.prop_map(|tasks| {
        let inputs = |(task, inputs): (usize, &Vec<u128>)| {
            let read = if task == 0 { vec![1000] } else { inputs.iter().map(|input| input + 1).collect() };
            (task as u128 + 1, read)
        };
        graph([explicit(1, &tasks.iter().enumerate().map(inputs).collect::<Vec<_>>())])
    })
}

proptest! {
    #[test]
    fn the_projection_is_what_a_run_holds(
        graph in random_graph(),
        wanted in prop::collection::vec(1u128..26, 1..4),
        sizes in prop::collection::vec((0u64..100, 0u64..150), 25),
        runners in 1u32..5,
        workers in 1u32..3,
        limit_bytes in 0u64..800,
    ) {
        let Ok(expansion) = expand(&graph, &keys(&wanted), &mut |_| Known::No) else { unreachable!("a sound graph") };
        let bytes: Vec<TaskBytes> = sizes[..expansion.tasks() as usize]
            .iter()
            .map(|&(result, memory)| TaskBytes { result, memory })
            .collect();
        let found = projected_peak(&graph, &expansion, &bytes, &capacity(runners, workers, limit_bytes));
        let (peak_bytes, peak_values) = naive_peak(&expansion, &bytes, runners as usize);
        prop_assert_eq!((found.peak_bytes, found.peak_values as usize), (peak_bytes, peak_values));
        prop_assert_eq!(found.peak_task.is_some(), peak_bytes > 0);
        let all = || expansion.needed.iter().map(|task| (task, bytes[task as usize]));
        prop_assert_eq!(found.produced_bytes, all().map(|(_, of)| of.result).sum::<u64>());
        prop_assert_eq!(found.unknown as usize, all().filter(|(_, of)| of.result == 0).count());
        let need = |(task, of): (u32, TaskBytes)| {
            let read: u64 = local_inputs(&expansion, task).iter().map(|&input| bytes[input as usize].result).sum();
            read + of.result.max(of.memory)
        };
        let largest = all().map(need).max().unwrap_or(0);
        prop_assert_eq!(found.largest.map_or(0, |need| need.bytes()), largest);
        let expected = match limit_bytes {
            0 => "fits",
            limit if largest > usable_bytes(limit) => "cannot",
            limit if peak_bytes > usable_bytes(limit) * u64::from(workers) => "spills",
            _ => "fits",
        };
        match found.verdict {
            Verdict::Fits => prop_assert_eq!(expected, "fits"),
            Verdict::FitsWithSpilling { spilled_bytes } => {
                prop_assert_eq!((expected, spilled_bytes), ("spills", peak_bytes - usable_bytes(limit_bytes) * u64::from(workers)));
            }
            Verdict::CannotFit { needs_bytes, limit_bytes: limit, usable_bytes: usable, share, .. } => {
                prop_assert_eq!((expected, needs_bytes, limit), ("cannot", largest, limit_bytes));
                prop_assert_eq!(usable, usable_bytes(limit_bytes));
                prop_assert!((share * needs_bytes as f64 - usable as f64).abs() < 1e-6 && share < 1.0);
            }
        }
    }
}

/// `(x - x.mean()).std()` over blocks of 10 MB.
fn mean_and_std(blocks: u32) -> Graph {
    let grid = [blocks];
    let mean = reads(2, &[1], &[kask_graph::InputAxis::Out(0)]);
    graph([
        sized(blockwise(1, &grid, vec![]), "load", 10 * MB, 0),
        sized(tree(2, 1, &grid, &[(0, 4)]), "mean", MB, 0),
        sized(blockwise(3, &grid, vec![same_block(1, &grid), mean]), "sub", 10 * MB, 0),
        sized(tree(4, 3, &grid, &[(0, 4)]), "std", MB, 0),
    ])
}

fn project(graph: &Graph, wanted: &Wanted, capacity: Capacity) -> kask_graph::ProjectedPeak {
    let expansion = expand_new(graph, wanted).expect("a sound graph");
    let bytes = task_bytes(graph, &expansion, &mut |_| None);
    projected_peak(graph, &expansion, &bytes, &capacity)
}

#[test]
fn a_graph_that_reads_its_data_twice_spills_but_fits() {
    let graph = mean_and_std(100);
    let wanted = Wanted::Keys(vec![graph.layers[3].key_of(0)]);
    let found = project(&graph, &wanted, capacity(1, 1, 200 * MB));
    assert!((1000 * MB..1030 * MB).contains(&found.peak_bytes), "{found:?}");
    assert_eq!(found.verdict, Verdict::FitsWithSpilling { spilled_bytes: found.peak_bytes - usable_bytes(200 * MB) });
    assert_eq!(found.unknown, 0);
    // Ten workers of this size hold it all; more runners hold a little more.
    let many = project(&graph, &wanted, capacity(10, 10, 200 * MB));
    assert_eq!(many.verdict, Verdict::Fits);
    assert!(many.peak_bytes > found.peak_bytes && many.peak_bytes < found.peak_bytes + 150 * MB);
    assert_eq!(project(&graph, &wanted, capacity(1, 1, 0)).verdict, Verdict::Fits, "no limit");
}

#[test]
fn a_task_that_is_larger_than_a_worker_is_named() {
    let whole = reads(1, &[8], &[kask_graph::InputAxis::All]);
    let graph = graph([
        sized(blockwise(1, &[8], vec![]), "load", 100 * MB, 0),
        sized(blockwise(2, &[], vec![whole]), "concat", 800 * MB, 0),
    ]);
    let found = project(&graph, &Wanted::Keys(vec![graph.layers[1].key_of(0)]), capacity(4, 3, 1000 * MB));
    let Verdict::CannotFit { family, needs_bytes, limit_bytes, usable_bytes: usable, share } = &found.verdict else {
        panic!("{found:?}")
    };
    assert_eq!((&**family, *needs_bytes, *limit_bytes), ("concat", 1600 * MB, 1000 * MB));
    assert_eq!(*usable, 900 * MB - (48 << 20), "not what the interpreter takes, nor what a process is ended for");
    assert!((share - *usable as f64 / 1.6e9).abs() < 1e-9);
    let need = found.largest.expect("sizes are known");
    assert_eq!((need.inputs, need.inputs_bytes), (8, 800 * MB));
    assert_eq!((need.own_bytes, need.largest_bytes, need.shuffled), (800 * MB, 800 * MB, None));
    assert_eq!(need.largest_task, need.task);
}

#[test]
fn what_a_task_needs_beside_its_result_counts_while_it_runs() {
    let graph = graph([sized(blockwise(1, &[3], vec![]), "sort", 10 * MB, 50 * MB)]);
    let found = project(&graph, &Wanted::All, capacity(1, 1, 0));
    assert_eq!(found.peak_bytes, 10 * MB + 10 * MB + 50 * MB);
    assert_eq!(project(&graph, &Wanted::All, capacity(3, 1, 0)).peak_bytes, 150 * MB);
    assert!(matches!(project(&graph, &Wanted::All, capacity(1, 1, 80 * MB)).verdict, Verdict::CannotFit { .. }));
    assert_eq!(project(&graph, &Wanted::All, capacity(1, 1, 200 * MB)).verdict, Verdict::Fits);
}

#[test]
fn a_shuffle_is_as_large_as_its_outputs_and_a_merge_needs_a_part_of_the_splits() {
    let graph = graph([
        sized(blockwise(1, &[20], vec![]), "load", 10 * MB, 0),
        sized(shuffle(2, 1, &[20], &[10], &[4, 3, 3]), "shuffle", 20 * MB, 0),
    ]);
    let expansion = expand_new(&graph, &Wanted::Keys((0..10).map(|i| graph.layers[1].key_of(i)).collect())).unwrap();
    let bytes = task_bytes(&graph, &expansion, &mut |_| None);
    let first = expansion.layers[1].start as usize;
    let results: Vec<u64> = [0, 10, 11, 13].map(|index| bytes[first + index].result / MB).to_vec();
    assert_eq!(results, [20, 80, 60, 10]);
    let found = projected_peak(&graph, &expansion, &bytes, &capacity(1, 1, 0));
    // All splits, the first merge, its takes and the next merge; then the last merge frees the splits.
    assert!((300 * MB..=400 * MB).contains(&found.peak_bytes), "{found:?}");
    let need = found.largest.expect("sizes are known");
    assert_eq!((need.inputs_bytes, need.own_bytes), (80 * MB, 80 * MB), "not the whole of every split");
    assert_eq!(need.shuffled, Some((200 * MB, 10)));
    assert_eq!(graph.layers[1].prefix_of(need.task - expansion.layers[1].start).as_ref(), "f-merge");
}

#[test]
fn a_merge_of_one_output_is_named_rather_than_who_takes_it() {
    let graph =
        graph([blockwise(1, &[4], vec![]), sized(shuffle(2, 1, &[4], &[5], &[1, 1, 1, 1, 1]), "shuffle", 20 * MB, 0)]);
    let found = project(&graph, &Wanted::All, capacity(1, 1, 70 * MB));
    let need = found.largest.expect("sizes are known");
    assert_eq!((need.bytes(), need.shuffled), (40 * MB, Some((100 * MB, 5))));
    assert!(matches!(&found.verdict, Verdict::CannotFit { family, .. } if &**family == "f-merge"), "{found:?}");
}

#[test]
fn a_summary_counts_what_is_needed_family_by_family() {
    let graph = graph([
        sized(shuffle(2, 1, &[20], &[10], &[4, 3, 3]), "shuffle", 20 * MB, 0),
        blockwise(1, &[20], vec![]),
        explicit(3, &[(1, vec![kask_types::Key::block(kask_types::LayerToken(2), 9).0]), (2, vec![])]),
    ]);
    let expansion = expand_new(&graph, &keys(&[1])).unwrap();
    let bytes = task_bytes(&graph, &expansion, &mut |_| None);
    let rows: Vec<(String, &str, u32, u64, u64, u32)> = summarize(&graph, &expansion, &bytes)
        .into_iter()
        .map(|of| (of.prefix.to_string(), of.kind, of.tasks, of.edges, of.result_bytes / MB, of.unknown))
        .collect();
    let row =
        |prefix: &str, kind, tasks, edges, bytes, unknown| (prefix.to_owned(), kind, tasks, edges, bytes, unknown);
    assert_eq!(
        rows,
        [
            row("f", "blockwise", 20, 0, 0, 20),
            row("f-split", "shuffle", 20, 20, 200, 0),
            row("f-merge", "shuffle", 1, 20, 60, 0),
            row("shuffle", "shuffle", 1, 1, 20, 0),
            row("g", "tasks", 1, 1, 0, 1),
        ]
    );
}

#[test]
fn sizes_are_annotated_or_learned_or_unknown() {
    let mut list = explicit(3, &[(1, vec![]), (2, vec![1]), (3, vec![2])]);
    let LayerKind::Explicit(kind) = &mut list.kind else { unreachable!("built above") };
    kind.prefixes.push("big".into());
    kind.families = vec![0, 1, 1];
    kind.annotation_sets = vec![Annotations::default(), Annotations { result_bytes: 7, ..Annotations::default() }];
    kind.annotations = vec![0, 0, 1];
    let graph = graph([list, sized(blockwise(4, &[2], vec![]), "h", 0, 9)]);
    let expansion = expand_new(&graph, &Wanted::All).unwrap();
    let bytes = task_bytes(&graph, &expansion, &mut |family| (family == "big").then_some(5));
    let pairs: Vec<(u64, u64)> = bytes.iter().map(|of| (of.result, of.memory)).collect();
    assert_eq!(pairs, [(0, 0), (5, 0), (7, 0), (0, 9), (0, 9)]);
    let found = projected_peak(&graph, &expansion, &bytes, &capacity(1, 1, 0));
    assert_eq!(found.unknown, 3);
    let nothing = projected_peak(&graph, &expansion, &[TaskBytes::default(); 5], &capacity(1, 1, 1));
    assert_eq!((nothing.peak_bytes, nothing.peak_task, nothing.largest), (0, None, None));
    assert_eq!(nothing.verdict, Verdict::Fits);
}

#[test]
fn what_is_there_already_is_not_counted() {
    let graph = graph([
        sized(blockwise(1, &[2], vec![]), "load", 10 * MB, 0),
        sized(blockwise(2, &[2], vec![same_block(1, &[2])]), "inc", MB, 0),
    ]);
    let alive: Vec<Key> = (0..2).map(|index| graph.layers[0].key_of(index)).collect();
    let mut known = |key| if alive.contains(&key) { Known::Alive } else { Known::No };
    let expansion = expand(&graph, &Wanted::Keys(vec![graph.layers[1].key_of(0)]), &mut known).unwrap();
    let bytes = task_bytes(&graph, &expansion, &mut |_| None);
    let found = projected_peak(&graph, &expansion, &bytes, &capacity(1, 1, 0));
    assert_eq!((found.peak_bytes, found.produced_bytes), (MB, MB));
}
