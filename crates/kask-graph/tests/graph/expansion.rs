//! Expansion by example: culling, what the scheduler knows, equal keys, and every refusal.

use crate::common::*;
use kask_graph::chunks::{ChunkSizes, Interval};
use kask_graph::{
    BlockSource, Graph, GraphError, Grid, InputAxis, JoinedGrids, Known, Layer, LayerKind, Limits, Output, Slot, Slots,
    Wanted, expand, expand_within, validate,
};
use kask_types::{Annotations, BlobId, Items, Key, LayerToken, Payload};
use std::collections::BTreeSet;

fn refused(layers: impl IntoIterator<Item = Layer>) -> GraphError {
    expand_new(&graph(layers), &Wanted::All).expect_err("a broken graph")
}

#[test]
fn everything_or_only_what_is_needed() {
    let graph = graph([
        blockwise(1, &[4, 2], vec![]),
        tree(2, 1, &[4, 2], &[(0, 2)]),
        blockwise(3, &[2], vec![reads(2, &[1, 2], &[InputAxis::Fixed(0), InputAxis::Out(0)])]),
    ]);
    let all = expand_new(&graph, &Wanted::All).unwrap();
    assert_eq!(all.tasks(), 8 + 4 + 2 + 2);
    assert_eq!(all.outputs.len(), 8 + 2 + 2);
    assert_eq!(all.needed.count(), 16);
    let wanted = Key::block(LayerToken(3), 1);
    let one = expand_new(&graph, &Wanted::Keys(vec![wanted])).unwrap();
    check(&graph, &[wanted], &BTreeSet::new(), &one);
    assert_eq!(one.needed.count(), 4 + 2 + 1 + 1);
}

#[test]
fn what_the_scheduler_has_is_not_run_again() {
    let graph = graph([blockwise(1, &[8], vec![]), tree(2, 1, &[8], &[(0, 2)])]);
    let alive = BTreeSet::from([Key::block(LayerToken(2), 5), Key::block(LayerToken(1), 7)]);
    let wanted = [Key::block(LayerToken(2), 0), Key::block(LayerToken(2), 5), Key(5)];
    let mut asked = Vec::new();
    let mut known = |key| {
        asked.push(key);
        if alive.contains(&key) { Known::Alive } else { Known::No }
    };
    let expansion = expand(&graph, &Wanted::Keys(wanted.to_vec()), &mut known).unwrap();
    check(&graph, &wanted, &alive, &expansion);
    assert_eq!(expansion.needed.count(), 3 + 1 + 2 + 1);
    assert_eq!(expansion.outputs[1..], [Output::External(wanted[1]), Output::External(Key(5))]);
    assert_eq!(asked.len(), asked.iter().collect::<BTreeSet<_>>().len(), "asked once");
    assert!(!asked.contains(&Key(5)), "the scheduler looks up itself what the graph does not define");
}

#[test]
fn equal_keys_are_one_task() {
    let graph = graph([
        map(1, &[(7, vec![]), (8, vec![7]), (7, vec![])]),
        map(2, &[(8, vec![7]), (9, vec![7, 8, 7])]),
        explicit(3, &[(9, vec![]), (10, vec![9, 8])]),
    ]);
    let expansion = expand_new(&graph, &Wanted::All).unwrap();
    assert_eq!(expansion.tasks(), 7);
    let local: Vec<Output> = [0, 1, 0, 1, 4, 4, 6].map(Output::Local).to_vec();
    assert_eq!(expansion.outputs, local);
    assert_eq!(expansion.inputs.row(4), [0, 1, 0]);
    assert_eq!(expansion.needed.iter().collect::<Vec<_>>(), [0, 1, 4, 6]);
    check_order(&expansion);
}

#[test]
fn a_listed_key_stands_for_the_block_that_has_it() {
    let block = Key::block(LayerToken(1), 1);
    let graph = graph([
        blockwise(1, &[2], vec![]),
        blockwise(2, &[2], vec![same_block(1, &[2])]),
        explicit(3, &[(block.0, vec![])]),
        map(4, &[(50, vec![block.0, Key::block(LayerToken(2), 0).0])]),
    ]);
    let expansion = expand_new(&graph, &Wanted::All).unwrap();
    assert_eq!(expansion.outputs[..4], [0, 4, 2, 3].map(Output::Local));
    assert_eq!(expansion.inputs.row(3), [4]);
    assert_eq!(expansion.inputs.row(5), [4, 2]);
    assert!(!expansion.needed.contains(1));
    // The same where the grid is not in the graph but a list defines one of its blocks.
    let graph =
        crate::common::graph([blockwise(2, &[2], vec![same_block(1, &[2])]), explicit(3, &[(block.0, vec![])])]);
    let expansion = expand_new(&graph, &Wanted::All).unwrap();
    assert_eq!(expansion.externals, [Key::block(LayerToken(1), 0)]);
    assert_eq!(expansion.inputs.row(1), [2]);
}

#[test]
fn layers_outside_of_the_graph_are_external() {
    let graph =
        graph([blockwise(2, &[3], vec![same_block(1, &[3])]), tree(3, 9, &[2], &[(0, 2)]), map(4, &[(1, vec![77])])]);
    let expansion = expand_new(&graph, &Wanted::All).unwrap();
    let external: BTreeSet<Key> = expansion.externals.iter().copied().collect();
    let blocks = |token, indices: std::ops::Range<u32>| indices.map(move |i| Key::block(LayerToken(token), i));
    assert_eq!(external, blocks(1, 0..3).chain(blocks(9, 0..2)).chain([Key(77)]).collect());
}

#[test]
fn cycles_are_named_in_order() {
    let tasks = [(0xa, vec![0xb]), (0xb, vec![0x1, 0xc]), (0xc, vec![0xa]), (0x1, vec![]), (0xd, vec![0xa])];
    let error = expand_new(&graph([explicit(1, &tasks)]), &keys(&[0xd])).unwrap_err();
    let GraphError::Cycle { names, length: 3 } = &error else { panic!("{error:?}") };
    assert_eq!(*names, [0xa, 0xb, 0xc].map(|key| format!("g-{}", Key(key))));
    assert!(error.to_string().ends_with(&format!("g-{} -> g-{}", Key(0xc), Key(0xa))), "{error}");
    // A cycle that nobody needs is nobody's problem.
    assert!(expand_new(&graph([explicit(1, &tasks)]), &keys(&[0x1])).is_ok());

    let long: Vec<(u128, Vec<u128>)> = (1..=30).map(|i| (i, vec![i % 30 + 1])).collect();
    let error = expand_new(&graph([map(1, &long)]), &keys(&[3])).unwrap_err();
    assert!(matches!(&error, GraphError::Cycle { names, length: 30 } if names.len() == 20));
    assert!(error.to_string().ends_with("(10 more)"), "{error}");
    let itself = expand_new(&graph([map(1, &[(1, vec![1])])]), &keys(&[1])).unwrap_err();
    assert!(matches!(itself, GraphError::Cycle { length: 1, .. }));
    let layers =
        refused([blockwise(1, &[2], vec![same_block(2, &[2])]), blockwise(2, &[2], vec![same_block(1, &[2])])]);
    assert!(matches!(layers, GraphError::Cycle { length: 2, .. }));
}

#[test]
fn grids_that_do_not_fit_are_refused() {
    use InputAxis::{All, Fixed, Out, Window};
    let on = |grid: &[u32], axes: &[InputAxis]| {
        refused([blockwise(1, &[4], vec![]), blockwise(2, &[4], vec![reads(1, grid, axes)])])
    };
    assert!(matches!(on(&[5], &[All]), GraphError::InputGrid { .. }));
    assert!(matches!(on(&[4], &[]), GraphError::InputAxes { .. }));
    assert!(matches!(on(&[4], &[Fixed(4)]), GraphError::OutOfRange { index: 4, len: 4, .. }));
    assert!(matches!(on(&[4], &[Out(1)]), GraphError::OutOfRange { .. }));
    let window = Window { axis: 7, before: 0, after: 0 };
    assert!(matches!(on(&[4], &[window]), GraphError::OutOfRange { .. }));
    assert!(matches!(on(&[3], &[Out(0)]), GraphError::BlocksDiffer { input_blocks: 3, output_blocks: 4, .. }));
    let window = Window { axis: 0, before: 1, after: 1 };
    assert!(matches!(on(&[1], &[window]), GraphError::BlocksDiffer { .. }));
    assert!(matches!(on(&[1; 65], &[const { All }; 65]), GraphError::TooManyAxes { axes: 65, .. }));
    let list = refused([map(1, &[(1, vec![])]), blockwise(2, &[1], vec![same_block(1, &[1])])]);
    assert!(matches!(list, GraphError::NotAGrid { .. }));
}

#[test]
fn grids_one_after_another_are_read_as_one() {
    // Blocks (0, 0) and (1, 0) are of layer 1, the others of layer 2, which is not in the graph.
    let both = reads_joined(1, &[(1, 1), (2, 2)], &[2, 3], &[InputAxis::Out(0), InputAxis::All]);
    let graph = graph([blockwise(1, &[2, 1], vec![]), blockwise(3, &[2], vec![both])]);
    let expansion = expand_new(&graph, &Wanted::All).unwrap();
    let block = |token, index| Key::block(LayerToken(token), index);
    assert_eq!(input_keys(&graph, &expansion, 2), [block(1, 0), block(2, 0), block(2, 1)]);
    assert_eq!(input_keys(&graph, &expansion, 3), [block(1, 1), block(2, 2), block(2, 3)]);
    assert_eq!(expansion.externals.len(), 4);
}

#[test]
fn trees_and_shuffles_read_grids_one_after_another() {
    let both = || joined(0, &[(1, 2), (2, 1)]);
    let layers = [tree_of(3, both(), &[3], &[(0, 3)]), shuffle_of(4, both(), &[3], &[1], &[1])];
    let graph = graph(layers.into_iter().chain([blockwise(1, &[2], vec![])]));
    let expansion = expand_new(&graph, &Wanted::All).unwrap();
    let blocks = [(1, 0), (1, 1), (2, 0)].map(|(token, index)| Key::block(LayerToken(token), index));
    assert_eq!(input_keys(&graph, &expansion, 0), blocks);
    // The tree has one task, the shuffle an output and a merge before its splits.
    let splits: Vec<Key> = (3..6).flat_map(|id| input_keys(&graph, &expansion, id)).collect();
    assert_eq!((splits.as_slice(), expansion.externals.as_slice()), (&blocks[..], &blocks[2..]));
}

#[test]
fn parts_that_do_not_make_up_a_grid_are_refused() {
    let on = |axis: usize, parts: &[(u128, u32)], grid: &[u32]| {
        let axes: Vec<InputAxis> = (0..grid.len() as u32).map(InputAxis::Out).collect();
        let layers = [blockwise(1, &[4, 2], vec![]), blockwise(2, &[1, 2], vec![])];
        refused(layers.into_iter().chain([blockwise(3, &[5, 2], vec![reads_joined(axis, parts, grid, &axes)])]))
    };
    let short = on(0, &[(1, 4)], &[5, 2]);
    assert!(matches!(short, GraphError::BadParts { axis: 0, blocks: 5, layers: 1, ends: 1, .. }));
    assert!(short.to_string().contains("do not rise to 5"), "{short}");
    assert!(matches!(on(0, &[], &[5, 2]), GraphError::BadParts { layers: 0, ends: 0, .. }));
    assert!(matches!(on(2, &[(1, 4), (2, 1)], &[5, 2]), GraphError::OutOfRange { index: 2, len: 2, .. }));
    // Each part is compared with the layer that it is of.
    assert!(matches!(on(0, &[(1, 3), (2, 2)], &[5, 2]), GraphError::InputGrid { .. }));
    assert!(matches!(on(1, &[(1, 1), (2, 1)], &[5, 2]), GraphError::InputGrid { .. }));
    let mut falling = reads_joined(0, &[(1, 4), (2, 1)], &[5, 2], &[InputAxis::Out(0), InputAxis::Out(1)]);
    falling.source = BlockSource::Joined(std::sync::Arc::new(JoinedGrids {
        axis: 0,
        layers: vec![LayerToken(1); 3],
        ends: vec![4, 1, 5],
    }));
    let layers = [blockwise(1, &[4, 2], vec![]), blockwise(3, &[5, 2], vec![falling])];
    assert!(matches!(refused(layers), GraphError::BadParts { layers: 3, .. }));
    let tree = [tree_of(3, joined(0, &[(1, 3), (2, 1)]), &[5, 2], &[(0, 2)])];
    assert!(matches!(refused(tree), GraphError::BadParts { blocks: 5, .. }));
    let shuffle = [shuffle_of(3, joined(2, &[(1, 5)]), &[5, 2], &[1], &[1])];
    assert!(matches!(refused(shuffle), GraphError::OutOfRange { index: 2, .. }));
    let layers = [blockwise(3, &[5], vec![reads_joined(0, &[(1, 4), (2, 1)], &[5], &[])])];
    assert!(matches!(refused(layers), GraphError::InputAxes { axes: 0, grid: 1, .. }));
}

#[test]
fn trees_that_do_not_fit_are_refused() {
    let on = |grid: &[u32], axes: &[(u32, u32)]| refused([blockwise(1, &[4, 2], vec![]), tree(2, 1, grid, axes)]);
    assert!(matches!(on(&[4, 2], &[(0, 1)]), GraphError::SplitEvery { split: 1, .. }));
    assert!(matches!(on(&[4, 2], &[(0, 2), (1, 2), (0, 2)]), GraphError::AxisTwice { axis: 0, .. }));
    assert!(matches!(on(&[4, 2], &[(2, 2)]), GraphError::OutOfRange { .. }));
    assert!(matches!(on(&[4, 3], &[(0, 2)]), GraphError::InputGrid { .. }));
    let nodes = [blockwise(1, &[4], vec![]), tree(2, 1, &[4], &[(0, 2)]), tree(3, 2, &[2], &[(0, 2)])];
    assert!(matches!(refused(nodes), GraphError::InputGrid { .. }), "the inner nodes are nobody else's");
}

#[test]
fn a_trees_results_are_read_like_blocks_wherever_the_tree_is() {
    // Results 0 and 1, inner nodes 2 to 5, over four rows of two.
    let layers = || [blockwise(1, &[4, 2], vec![]), tree(2, 1, &[4, 2], &[(0, 2)]), tree(3, 2, &[1, 2], &[(1, 2)])];
    let readers = || {
        let both = reads(2, &[1, 2], &[InputAxis::Fixed(0), InputAxis::All]);
        [blockwise(4, &[1, 2], vec![same_block(2, &[1, 2]), both]), shuffle(5, 2, &[1, 2], &[3], &[1, 2])]
    };
    let whole = graph(layers().into_iter().chain(readers()));
    let results = [0, 1].map(|index| Key::block(LayerToken(2), index));
    let expansion = expand_new(&whole, &Wanted::All).unwrap();
    assert_eq!(whole.layers[1].len(), 6);
    let first = expansion.layers[3].start;
    assert_eq!(input_keys(&whole, &expansion, first + 1), [results[1], results[0], results[1]]);

    // The same readers later, when the tree is only known by its keys.
    let later = graph([layers()[2].clone()].into_iter().chain(readers()));
    let expansion = expand_new(&later, &Wanted::All).unwrap();
    assert_eq!(expansion.externals.iter().copied().collect::<BTreeSet<_>>(), BTreeSet::from(results));
    let wanted: Vec<Key> = naive_inputs(&later).into_keys().collect();
    let everything = expand_new(&later, &Wanted::Keys(wanted.clone())).unwrap();
    check(&later, &wanted, &BTreeSet::new(), &everything);
}

#[test]
fn only_what_the_wanted_outputs_of_a_shuffle_need_is_run() {
    let graph = graph([blockwise(1, &[2, 3], vec![]), shuffle(2, 1, &[2, 3], &[2, 2], &[1, 2, 1])]);
    let all = expand_new(&graph, &Wanted::All).unwrap();
    assert_eq!((all.tasks(), all.needed.count()), (6 + 4 + 3 + 6, 19));
    assert_eq!(all.outputs.len(), 6 + 4, "splits and merges are nobody's results");
    assert_eq!(all.inputs.total(), 6 + 6 * 3 + 4);
    let wanted = [1, 2].map(|index| Key::block(LayerToken(2), index));
    let one_group = expand_new(&graph, &Wanted::Keys(wanted.to_vec())).unwrap();
    check(&graph, &wanted, &BTreeSet::new(), &one_group);
    assert_eq!(one_group.needed.count(), 6 + 6 + 1 + 2);
    // A merge that is there needs no splits.
    let merge = Key::block(LayerToken(2), 4 + 1);
    let mut known = |key| if key == merge { Known::Alive } else { Known::No };
    let merged = expand(&graph, &Wanted::Keys(wanted.to_vec()), &mut known).unwrap();
    assert_eq!((merged.needed.count(), &merged.externals[..]), (2, &[merge][..]));
}

#[test]
fn the_tasks_of_a_shuffle_know_their_part() {
    let mut layer = shuffle(2, 1, &[2, 2], &[5], &[3, 2]);
    let LayerKind::Shuffle(kind) = &mut layer.kind else { unreachable!("built above") };
    kind.wants_position = true;
    let call = |index| layer.call(index).unwrap();
    let at = |numbers: &[u32]| Some(Grid::from_slice(numbers));
    let function = |name: &[u8]| Some(BlobId::of(name));
    let (take, merge, split) = (call(4), call(6), call(5 + 2 + 3));
    assert_eq!((take.function, take.position, take.part, take.slots), (function(b"take"), at(&[1]), None, Slots::Each));
    assert_eq!((merge.function, merge.position, merge.part), (function(b"merge"), at(&[1]), Some(1)));
    assert_eq!(merge.slots, Slots::OneList);
    assert_eq!((split.function, split.position, split.part), (function(b"split"), at(&[1, 1]), None));
    assert!(layer.call(11).is_none());
    let families: Vec<&str> = [0, 5, 7].map(|index| &**layer.prefix_of(index)).to_vec();
    assert_eq!(families, ["f", "f-merge", "f-split"]);
    let token = LayerToken(2);
    let names = [4, 6, 10].map(|index| layer.name(index).to_string());
    assert_eq!(
        names,
        [format!("('f-{token}', 4)"), format!("('f-merge-{token}', 1)"), format!("('f-split-{token}', 1, 1)")]
    );
}

#[test]
fn shuffles_that_do_not_fit_are_refused() {
    let on = |grid: &[u32], outputs: &[u32], groups: &[u32]| {
        refused([blockwise(1, &[4], vec![]), shuffle(2, 1, grid, outputs, groups)])
    };
    assert!(matches!(on(&[4], &[4], &[2, 0, 2]), GraphError::EmptyGroup { group: 1, .. }));
    assert!(matches!(on(&[4], &[4], &[2, 1]), GraphError::Groups { grouped: 3, outputs: 4, .. }));
    assert!(matches!(on(&[4], &[4], &[4, 1]), GraphError::Groups { grouped: 5, .. }));
    assert!(matches!(on(&[4], &[1], &[]), GraphError::Groups { grouped: 0, outputs: 1, .. }));
    assert!(matches!(on(&[5], &[1], &[1]), GraphError::InputGrid { .. }));
    let error = on(&[100_000], &[100_000], &[1; 100_000]);
    assert!(matches!(error, GraphError::TooManyPieces { inputs: 100_000, groups: 100_000, .. }), "{error}");
    assert!(error.to_string().contains("fewer groups"), "{error}");
    assert!(matches!(on(&[2_000_000_000], &[2_000_000_000], &[2_000_000_000]), GraphError::TooManyPieces { .. }));
    assert!(matches!(on(&[1 << 20, 1 << 20], &[1], &[1]), GraphError::TooManyTasks { .. }));
    let list = refused([map(1, &[(1, vec![])]), shuffle(2, 1, &[1], &[1], &[1])]);
    assert!(matches!(list, GraphError::NotAGrid { .. }));
    // No outputs are no groups.
    assert_eq!(validate(&graph([blockwise(1, &[4], vec![]), shuffle(2, 1, &[4], &[0], &[])])), Ok(8));
}

#[test]
fn lying_numbers_are_refused_before_anything_is_allocated() {
    let huge = 2_000_000_000;
    assert!(matches!(refused([blockwise(1, &[huge, 2], vec![])]), GraphError::TooManyTasks { .. }));
    assert!(matches!(refused([blockwise(1, &[u32::MAX; 64], vec![])]), GraphError::TooManyTasks { .. }));
    let two = refused([blockwise(1, &[huge], vec![]), blockwise(2, &[huge], vec![])]);
    assert!(matches!(two, GraphError::TooManyTasks { .. }));
    assert!(matches!(refused([tree(1, 2, &[huge], &[(0, 2)])]), GraphError::TooManyInputs { .. }));
    let two_lists = vec![reads(5, &[huge], &[InputAxis::All]); 2];
    assert!(matches!(refused([blockwise(1, &[1], two_lists)]), GraphError::TooManyInputs { .. }));
    let limits = Limits { tasks: 100, inputs: 250 };
    let within = |grid: u32| {
        let all = reads(1, &[10], &[InputAxis::All]);
        let graph = graph([blockwise(2, &[grid], vec![all])]);
        expand_within(&graph, &Wanted::All, &mut |_| Known::No, &limits).map(|e| e.inputs.total())
    };
    assert_eq!(within(25), Ok(250));
    assert!(matches!(within(26), Err(GraphError::TooManyInputs { limit: 250, .. })));
    assert!(matches!(within(101), Err(GraphError::TooManyTasks { limit: 100, .. })));
}

/// A sound layer of two tasks, changed.
fn changed(mut layer: Layer, change: impl FnOnce(&mut LayerKind)) -> GraphError {
    assert_eq!(validate(&graph([layer.clone()])), Ok(2), "sound before the change");
    change(&mut layer.kind);
    refused([layer])
}

#[test]
fn lists_that_do_not_fit_are_refused() {
    let map = |change: fn(&mut kask_graph::MapLayer)| {
        changed(crate::common::map(1, &[(1, vec![]), (2, vec![1])]), |kind| match kind {
            LayerKind::Map(map) => change(map),
            _ => unreachable!("built above"),
        })
    };
    assert!(matches!(map(|m| m.items = Items::Each(vec![])), GraphError::Length { what: "items", .. }));
    assert!(matches!(map(|m| m.names = vec!["a".into()]), GraphError::Length { what: "names", .. }));
    assert!(matches!(map(|m| m.inputs.ends.truncate(1)), GraphError::Length { what: "lists of inputs", .. }));
    assert!(matches!(map(|m| m.inputs.ends = vec![1, 0]), GraphError::Lists { what: "inputs", list: 1, .. }));
    assert!(matches!(map(|m| m.inputs.ends = vec![0, 2]), GraphError::Lists { what: "inputs", .. }));
    assert!(matches!(map(|m| m.inputs.ends = vec![]), GraphError::Lists { what: "inputs", .. }));
    let packed = |ends| Items::Packed { data: kask_types::payload::Segment(vec![0; 4].into()), ends };
    let items = |ends| {
        changed(crate::common::map(1, &[(1, vec![]), (2, vec![])]), |kind| match kind {
            LayerKind::Map(map) => map.items = packed(ends),
            _ => unreachable!("built above"),
        })
    };
    assert!(matches!(items(vec![3, 5]), GraphError::Lists { what: "items", list: 1, .. }));
    assert!(matches!(items(vec![3, 2]), GraphError::Lists { what: "items", list: 1, .. }));

    let explicit = |change: fn(&mut kask_graph::ExplicitLayer)| {
        changed(crate::common::explicit(1, &[(1, vec![]), (2, vec![1])]), |kind| match kind {
            LayerKind::Explicit(explicit) => change(explicit),
            _ => unreachable!("built above"),
        })
    };
    assert!(matches!(explicit(|e| e.functions.truncate(1)), GraphError::Length { what: "functions", .. }));
    assert!(matches!(explicit(|e| e.items.truncate(1)), GraphError::Length { what: "items", .. }));
    assert!(matches!(explicit(|e| e.names.truncate(1)), GraphError::Length { what: "names", .. }));
    assert!(matches!(explicit(|e| e.families = vec![0, 1]), GraphError::OutOfRange { what: "a family", .. }));
    assert!(matches!(explicit(|e| e.annotations = vec![0]), GraphError::Length { what: "annotations", .. }));
    assert!(matches!(explicit(|e| e.annotations = vec![0, 0]), GraphError::OutOfRange { .. }));
    let twice = explicit(|e| e.keys[1] = e.keys[0]);
    assert!(matches!(&twice, GraphError::DuplicateKey { task, .. } if *task == format!("g-{}", Key(1))), "{twice}");
    let layers = refused([blockwise(1, &[1], vec![]), crate::common::map(1, &[])]);
    assert!(matches!(layers, GraphError::DuplicateLayer { .. }));
}

#[test]
fn calls_say_what_a_task_runs() {
    use InputAxis::{All, Out, Window};
    let mut dot = blockwise(3, &[2, 2], vec![reads(1, &[2, 3], &[Out(0), All]), reads(2, &[1, 2], &[Out(0), Out(1)])]);
    let LayerKind::Blockwise(kind) = &mut dot.kind else { unreachable!("built above") };
    kind.wants_position = true;
    kind.items = Some(Items::Each((0..4u8).map(|i| Payload::from_bytes(vec![i; 3])).collect()));
    let call = dot.call(2).unwrap();
    assert_eq!(call.slots, Slots::Mixed([Slot::List(3), Slot::One].into()));
    assert_eq!(call.position, Some(Grid::from_slice(&[1, 0])));
    assert!(matches!(call.item, Some(Payload::Bytes { head, .. }) if head.0[..] == [2, 2, 2]));
    assert!(dot.call(4).is_none());
    assert_eq!(dot.name(2).to_string(), format!("('f-{}', 1, 0)", LayerToken(3)));
    assert_eq!(dot.key_of(2), Key::block(LayerToken(3), 2));

    let edge =
        blockwise(4, &[3], vec![reads(1, &[3], &[Window { axis: 0, before: 1, after: 0 }]), same_block(1, &[3])]);
    let slots = |index| edge.call(index).unwrap().slots;
    assert_eq!(slots(0), Slots::Mixed([Slot::List(1), Slot::One].into()));
    assert_eq!(slots(2), Slots::Mixed([Slot::List(2), Slot::One].into()));
    assert_eq!(blockwise(5, &[3], vec![same_block(1, &[3])]).call(0).unwrap().slots, Slots::Each);

    let sum = tree(6, 1, &[5], &[(0, 2)]);
    let functions: Vec<_> = (0..6).map(|index| sum.call(index).unwrap().function).collect();
    let (combine, aggregate) = (Some(BlobId::of(b"combine")), Some(BlobId::of(b"aggregate")));
    assert_eq!(functions, [aggregate, combine, combine, combine, combine, combine]);
    assert_eq!(sum.call(0).unwrap().slots, Slots::OneList);
    assert!(sum.call(6).is_none());
    assert_eq!(sum.name(3).to_string(), format!("('f-{}', 3)", LayerToken(6)));
}

#[test]
fn an_axis_of_length_0_has_a_block_to_read() {
    let sizes = |sizes: &[u64]| ChunkSizes::new(sizes.iter().copied()).unwrap();
    let along = |input: &[u64], output: &[u64]| {
        let (input, output) = (sizes(input), sizes(output));
        let interval = Interval { input, output, start: 0, step: 1, before: 1, after: 1 };
        InputAxis::Interval { axis: 0, interval: interval.into() }
    };
    let read = |input: &[u64], output: &[u64]| -> Vec<Vec<u32>> {
        let grid = [input.len() as u32];
        let layer = blockwise(2, &[output.len() as u32], vec![reads(1, &grid, &[along(input, output)])]);
        let LayerKind::Blockwise(kind) = &layer.kind else { unreachable!("built above") };
        let blocks = |index| {
            let mut blocks = Vec::new();
            kind.inputs_of(index, &mut |_, block| blocks.push(block));
            blocks
        };
        assert!((0..layer.len()).all(|index| layer.call(index).unwrap().slots == Slots::OneList));
        expand_new(&graph([layer.clone()]), &Wanted::All).unwrap();
        (0..layer.len()).map(blocks).collect()
    };
    assert_eq!(read(&[0, 0], &[0]), [[0]]);
    assert_eq!(read(&[0], &[0, 0]), [[0], [0]]);
    // What else has no elements needs no blocks.
    assert_eq!(read(&[2, 2], &[0, 4]), [vec![], vec![0, 1]]);
}

#[test]
fn explicit_tasks_have_families_names_and_annotations_of_their_own() {
    let mut layer = explicit(1, &[(1, vec![]), (2, vec![1])]);
    let LayerKind::Explicit(kind) = &mut layer.kind else { unreachable!("built above") };
    kind.prefixes.push("h".into());
    kind.families = vec![1, 0];
    kind.names[1] = Some("mine".into());
    kind.functions[0] = None;
    kind.annotation_sets = vec![Annotations::default(), Annotations { retries: 3, ..Annotations::default() }];
    kind.annotations = vec![0, 1];
    assert_eq!(layer.name(0).to_string(), format!("h-{}", Key(1)));
    assert_eq!(layer.name(1).to_string(), "mine");
    assert_eq!((layer.annotations_of(0).retries, layer.annotations_of(1).retries), (0, 3));
    assert_eq!(layer.call(0).unwrap().function, None);
    assert_eq!(layer.call(1).unwrap().function, Some(BlobId::of(b"f")));
    assert!(layer.call(2).is_none());
    assert_eq!(expand_new(&Graph { layers: vec![layer] }, &Wanted::All).unwrap().sequence(), [0, 1]);
}
