//! Random graphs against the naive definition, and hostile ones that must only ever be refused.

use crate::common::*;
use kask_graph::chunks::{ChunkSizes, Interval};
use kask_graph::{
    BlockInput, BlockLists, BlockSource, Graph, Grid, InputAxis, JoinedGrids, Known, Layer, LayerKind, Limits, Wanted,
    expand, expand_within,
};
use kask_types::{Items, Key, LayerToken, Payload};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::sync::Arc;

/// For each task the tasks before it that it reads, and how tasks are put into layers.
fn dag() -> impl Strategy<Value = (Vec<Vec<u128>>, usize)> {
    let tasks = (1usize..60).prop_flat_map(|len| {
        (0..len).map(|task| prop::collection::vec(0..task.max(1) as u128, 0..task.min(6) + 1)).collect::<Vec<_>>()
    });
    (tasks, 1usize..4)
}

/// Task `i` has key `i + 1`; key 1000 and above are nowhere. Layers take turns.
fn dag_graph(tasks: &[Vec<u128>], layers: usize) -> Graph {
    let mut lists: Vec<Vec<(u128, Vec<u128>)>> = vec![Vec::new(); layers];
    for (task, inputs) in tasks.iter().enumerate() {
        let inputs = if task == 0 { vec![1000] } else { inputs.iter().map(|input| input + 1).collect() };
        lists[task * 7 % layers].push((task as u128 + 1, inputs));
    }
    let layer = |(number, list): (usize, &Vec<_>)| match number % 2 {
        0 => map(number as u128, list),
        _ => explicit(number as u128, list),
    };
    graph(lists.iter().enumerate().map(layer))
}

fn subset(keys: Vec<Key>) -> impl Strategy<Value = Vec<Key>> {
    let most = keys.len().min(8);
    prop::sample::subsequence(keys, 0..=most).prop_shuffle()
}

/// Graphs with some of their keys that are wanted, and some that are alive.
fn with_subsets(graphs: impl Strategy<Value = Graph>) -> impl Strategy<Value = (Graph, Vec<Key>, Vec<Key>)> {
    graphs.prop_flat_map(|graph| {
        let keys: Vec<Key> = naive_inputs(&graph).into_keys().collect();
        (Just(graph), subset(keys.clone()), subset(keys))
    })
}

/// An input of a grid of 1 to 3 axes, with the same number of blocks along its axes.
fn input(token: u128, output: Vec<u32>) -> impl Strategy<Value = BlockInput> {
    let axes = output.len() as u32;
    let axis = (0u8..7, 0..axes, 1u32..4, 0u32..3, 0u32..3, any::<u64>()).prop_map(
        move |(kind, axis, blocks, before, after, seed)| {
            let along = output[axis as usize];
            match kind {
                5 if along > 0 => interval(axis, along, u64::from(before), u64::from(after), seed),
                6 => listed(axis, along, blocks, seed),
                0 => (along, InputAxis::Out(axis)),
                1 => (1, InputAxis::Out(axis)),
                2 => (along, InputAxis::Window { axis, before, after }),
                3 => (blocks, InputAxis::Fixed(before.min(blocks - 1))),
                _ => (blocks, InputAxis::All),
            }
        },
    );
    prop::collection::vec(axis, 0..4).prop_map(move |axes| {
        let (grid, axes): (Vec<u32>, Vec<InputAxis>) = axes.into_iter().unzip();
        reads(token, &grid, &axes)
    })
}

/// An interval of an input with cuts of its own.
fn interval(axis: u32, along: u32, before: u64, after: u64, seed: u64) -> (u32, InputAxis) {
    let output = ChunkSizes::new((0..along).map(|i| (seed >> (i % 16)) % 4)).unwrap();
    let step: i64 = [1, 2, -1, -3][(seed >> 20) as usize % 4];
    let needed = output.total().saturating_sub(1) * step.unsigned_abs() + 1;
    let input = ChunkSizes::new((0..).map(|i| (seed >> (i % 24)) % 5).scan(0, |sum, size| {
        (*sum < needed).then(|| {
            *sum += size.max(1);
            size.max(1)
        })
    }))
    .unwrap();
    let start = if step > 0 { 0 } else { needed - 1 };
    let blocks = input.blocks();
    (blocks, InputAxis::Interval { axis, interval: Arc::new(Interval { input, output, start, step, before, after }) })
}

/// One or two blocks for each position, rising.
fn listed(axis: u32, along: u32, blocks: u32, seed: u64) -> (u32, InputAxis) {
    let mut lists = BlockLists::default();
    for position in 0..along {
        let first = (seed >> (position % 32)) as u32 % blocks;
        lists.blocks.push(first);
        if first + 1 < blocks && position % 2 == 1 {
            lists.blocks.push(first + 1);
        }
        lists.ends.push(lists.blocks.len() as u32);
    }
    (blocks, InputAxis::Listed { axis, lists: Arc::new(lists) })
}

/// Sizes of groups that make up so many outputs.
fn groups(outputs: u32) -> impl Strategy<Value = Vec<u32>> {
    prop::collection::vec(any::<bool>(), outputs as usize).prop_map(|cuts| {
        let mut sizes: Vec<u32> = Vec::new();
        for cut in cuts {
            match sizes.last_mut() {
                Some(last) if !cut => *last += 1,
                _ => sizes.push(1),
            }
        }
        sizes
    })
}

/// A shuffle of a grid that is in the graph, or a tree's results, or not there; and a blockwise layer that reads it.
fn shuffles() -> impl Strategy<Value = Graph> {
    let outputs = prop::collection::vec(0u32..4, 0..3);
    let outputs = outputs.prop_flat_map(|outputs| {
        let count = outputs.iter().product();
        (Just(outputs), groups(count))
    });
    (prop::collection::vec(0u32..4, 0..3), outputs, 0u8..3).prop_map(|(grid, (outputs, groups), kind)| {
        let mut layers =
            vec![shuffle(2, 1, &grid, &outputs, &groups), blockwise(3, &outputs, vec![same_block(2, &outputs)])];
        match kind {
            0 => {}
            1 => layers.push(blockwise(1, &grid, vec![])),
            _ => layers.push(tree(1, 9, &grid, &[])),
        }
        graph(layers)
    })
}

/// A blockwise layer with two inputs that are in the graph (the second behind a tree) or not, and a tree over it.
fn grids() -> impl Strategy<Value = Graph> {
    let grid = prop::collection::vec(1u32..5, 1..4);
    let inputs =
        grid.prop_flat_map(|grid| (Just(grid.clone()), input(1, grid.clone()), input(2, grid), any::<[bool; 2]>()));
    let splits = prop::collection::vec((any::<bool>(), 2u32..5), 3);
    (inputs, splits).prop_map(|((grid, first, second, external), splits)| {
        let split: Vec<(u32, u32)> = splits
            .iter()
            .zip(0..grid.len() as u32)
            .filter(|((reduce, _), _)| *reduce)
            .map(|(&(_, split), axis)| (axis, split))
            .rev()
            .collect();
        let mut layers = vec![tree(4, 3, &grid, &split), blockwise(3, &grid, vec![first.clone(), second.clone()])];
        if !external[0] {
            layers.push(blockwise(1, &first.grid, vec![]));
        }
        if !external[1] {
            let before: Vec<u32> = second.grid.iter().map(|_| 1).collect();
            let all: Vec<(u32, u32)> = (0..second.grid.len() as u32).map(|axis| (axis, 2)).collect();
            if second.grid.iter().all(|&blocks| blocks == 1) && !before.is_empty() {
                let below: Vec<u32> = vec![5; before.len()];
                layers.extend([tree(2, 9, &below, &all)]);
            } else {
                layers.push(tree(2, 9, &second.grid, &[]));
            }
        }
        graph(layers)
    })
}

/// A blockwise layer that reads the grids of up to four layers as one, in any way; some are in the graph, one may occur twice.
fn joined_grids() -> impl Strategy<Value = Graph> {
    let grid = prop::collection::vec(1u32..5, 1..4);
    let inputs = grid.prop_flat_map(|grid| (Just(grid.clone()), input(0, grid)));
    let parts = (any::<prop::sample::Index>(), prop::collection::vec(any::<prop::sample::Index>(), 0..3));
    (inputs, parts, any::<[bool; 5]>()).prop_map(|((grid, whole), (axis, cuts), is_there)| {
        if whole.grid.is_empty() {
            return graph([blockwise(9, &grid, vec![same_block(5, &grid)])]);
        }
        let axis = axis.index(whole.grid.len());
        let blocks = whole.grid[axis];
        let mut ends: Vec<u32> = cuts.iter().map(|cut| cut.index(blocks as usize + 1) as u32).collect();
        ends.sort_unstable();
        ends.push(blocks);
        let mut start = 0;
        let lens: Vec<u32> = ends.iter().map(|&end| end - std::mem::replace(&mut start, end)).collect();
        let mut layers = Vec::new();
        let mut parts: Vec<(u128, u32)> = Vec::new();
        for (token, &len) in (1u128..).zip(&lens) {
            // The same layer again, where it has as many blocks as are wanted here.
            if let Some(&again) = parts.iter().find(|(_, other)| *other == len && is_there[4]) {
                parts.push(again);
                continue;
            }
            parts.push((token, len));
            let mut own = whole.grid.to_vec();
            own[axis] = len;
            if is_there[token as usize - 1] {
                layers.push(blockwise(token, &own, vec![]));
            }
        }
        let read = reads_joined(axis, &parts, &whole.grid, &whole.axes);
        layers.push(blockwise(9, &grid, vec![read, same_block(8, &grid)]));
        layers.push(tree_of(10, joined(axis, &parts), &whole.grid, &[(axis as u32, 2)]));
        layers.push(shuffle_of(11, joined(axis, &parts), &whole.grid, &[3], &[1, 2]));
        graph(layers)
    })
}

fn check_random(graph: &Graph, wanted: &[Key], alive: Vec<Key>) {
    let alive: BTreeSet<Key> = alive.into_iter().collect();
    let mut known = |key: Key| if alive.contains(&key) { Known::Alive } else { Known::No };
    let expansion = expand(graph, &Wanted::Keys(wanted.to_vec()), &mut known).expect("a sound graph");
    check(graph, wanted, &alive, &expansion);
    let again = expand(graph, &Wanted::Keys(wanted.to_vec()), &mut known).expect("a sound graph");
    assert_eq!(expansion.order, again.order, "the same every time");
}

proptest! {
    #[test]
    fn random_dags((graph, wanted, alive) in dag().prop_flat_map(|(tasks, layers)| {
        let keys: Vec<Key> = (1..=tasks.len() as u128).chain([2000]).map(Key).collect();
        (Just(dag_graph(&tasks, layers)), subset(keys.clone()), subset(keys))
    })) {
        check_random(&graph, &wanted, alive);
    }

    #[test]
    fn random_grids((graph, wanted, alive) in with_subsets(grids())) {
        check_random(&graph, &wanted, alive);
        let all: Vec<Key> = naive_inputs(&graph).into_keys().collect();
        check_random(&graph, &all, Vec::new());
    }

    #[test]
    fn random_joined_grids((graph, wanted, alive) in with_subsets(joined_grids())) {
        check_random(&graph, &wanted, alive);
        let all: Vec<Key> = naive_inputs(&graph).into_keys().collect();
        check_random(&graph, &all, Vec::new());
    }

    #[test]
    fn random_shuffles((graph, wanted, alive) in with_subsets(shuffles())) {
        check_random(&graph, &wanted, alive);
        let all: Vec<Key> = naive_inputs(&graph).into_keys().collect();
        check_random(&graph, &all, Vec::new());
    }

    #[test]
    fn random_cycles_are_cycles(tasks in prop::collection::vec(prop::collection::vec(1u128..30, 0..4), 1..30)) {
        let tasks: Vec<(u128, Vec<u128>)> = (1..).zip(tasks).collect();
        let inputs = |key: Key| &tasks[key.0 as usize - 1].1;
        match expand_new(&graph([explicit(1, &tasks)]), &Wanted::All) {
            Ok(expansion) => check_order(&expansion),
            Err(kask_graph::GraphError::Cycle { names, length }) => {
                let keys: Vec<Key> = names.iter().map(|name| Key::from_name(name)).collect();
                prop_assert_eq!(keys.len(), length.min(20));
                let next = |at: usize| keys[(at + 1) % keys.len()];
                let steps = if length > 20 { 19 } else { length };
                prop_assert!((0..steps).all(|at| inputs(keys[at]).contains(&next(at).0)));
            }
            Err(other) => prop_assert!(false, "{}", other),
        }
    }
}

fn number() -> impl Strategy<Value = u32> {
    prop_oneof![20 => 0u32..4, 1 => any::<u32>(), 1 => Just(u32::MAX), 1 => Just(1 << 16)]
}

fn numbers(most: usize) -> impl Strategy<Value = Vec<u32>> {
    prop::collection::vec(number(), 0..most)
}

fn hostile_axis() -> impl Strategy<Value = InputAxis> {
    prop_oneof![
        number().prop_map(InputAxis::Out),
        (number(), number(), number()).prop_map(|(axis, before, after)| InputAxis::Window { axis, before, after }),
        number().prop_map(InputAxis::Fixed),
        Just(InputAxis::All),
        (number(), number(), number()).prop_map(|(axis, before, seed)| interval(
            axis,
            3,
            before.into(),
            0,
            seed.into()
        )
        .1),
        (number(), number()).prop_map(|(axis, seed)| listed(axis, 3, 2, seed.into()).1),
    ]
}

fn hostile_items() -> impl Strategy<Value = Items> {
    prop_oneof![
        (0usize..4).prop_map(|len| Items::Each(vec![Payload::empty(); len])),
        numbers(4).prop_map(|ends| Items::Packed { data: kask_types::payload::Segment(vec![0; 3].into()), ends }),
    ]
}

fn hostile_source() -> impl Strategy<Value = BlockSource> {
    let joined = (number(), prop::collection::vec(0u128..4, 0..3), numbers(3));
    (0u128..4, prop::option::of(joined)).prop_map(|(token, joined)| match joined {
        None => LayerToken(token).into(),
        Some((axis, layers, ends)) => {
            let layers = layers.into_iter().map(LayerToken).collect();
            BlockSource::Joined(Arc::new(JoinedGrids { axis, layers, ends }))
        }
    })
}

fn hostile_layer(token: u128) -> BoxedStrategy<Layer> {
    let listed =
        (prop::collection::vec(0u128..8, 0..4), prop::collection::vec(0u128..8, 0..6), numbers(4), hostile_items());
    let listed = (listed, any::<bool>(), numbers(4)).prop_map(move |((keys, inputs, ends, items), is_map, indices)| {
        let tasks: Vec<(u128, Vec<u128>)> = keys.iter().map(|&key| (key, vec![])).collect();
        let mut layer = if is_map { map(token, &tasks) } else { explicit(token, &tasks) };
        let lists = kask_graph::KeyLists { keys: inputs.into_iter().map(Key).collect(), ends };
        match &mut layer.kind {
            LayerKind::Map(map) => (map.items, map.inputs) = (items, lists),
            LayerKind::Explicit(explicit) => {
                explicit.inputs = lists;
                explicit.annotations = indices.clone();
                explicit.families = if indices.is_empty() { explicit.families.clone() } else { indices };
            }
            _ => unreachable!("built above"),
        }
        layer
    });
    let input = (hostile_source(), numbers(4), prop::collection::vec(hostile_axis(), 0..4));
    let input = input.prop_map(|(source, grid, axes)| BlockInput { source, ..reads(0, &grid, &axes) });
    let blocks = (numbers(4), prop::collection::vec(input, 0..3), prop::option::of(hostile_items()), any::<bool>());
    let blocks = blocks.prop_map(move |(grid, inputs, items, wants_position)| {
        let mut layer = blockwise(token, &grid, inputs);
        let LayerKind::Blockwise(kind) = &mut layer.kind else { unreachable!("built above") };
        (kind.items, kind.wants_position) = (items, wants_position);
        layer
    });
    let splits = prop::collection::vec((number(), number()), 0..3);
    let nodes = (hostile_source(), numbers(4), splits);
    let nodes = nodes.prop_map(move |(input, grid, splits)| tree_of(token, input, &grid, &splits));
    let stages = (hostile_source(), numbers(4), numbers(3), numbers(4), any::<bool>());
    let stages = stages.prop_map(move |(input, grid, outputs, groups, sums)| {
        let mut layer = shuffle_of(token, input, &grid, &outputs, &groups);
        let LayerKind::Shuffle(kind) = &mut layer.kind else { unreachable!("built above") };
        if !sums {
            kind.group_ends = groups;
        }
        layer
    });
    prop_oneof![listed, blocks, nodes, stages].boxed()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16_384))]
    #[test]
    fn hostile_graphs_never_panic(
        layers in (0u128..4).prop_flat_map(|first| (hostile_layer(first), hostile_layer(1), hostile_layer(2))),
        one_only in any::<bool>(),
    ) {
        let layers = if one_only { vec![layers.0] } else { vec![layers.0, layers.1, layers.2] };
        let graph = Graph { layers };
        // Asked before the checks too: a refusal may describe the layer.
        let lens: Vec<u32> = graph.layers.iter().map(Layer::len).collect();
        if let Ok(tasks) = kask_graph::validate(&graph) {
            prop_assert_eq!(tasks, lens.iter().sum::<u32>());
        }
        let limits = Limits { tasks: 20_000, inputs: 50_000 };
        if let Ok(expansion) = expand_within(&graph, &Wanted::All, &mut |_| Known::No, &limits) {
            check_order(&expansion);
            for id in expansion.needed.iter() {
                let (layer, index) = expansion.place(id);
                prop_assert!(graph.layers[layer].call(index).is_some());
                let _ = graph.layers[layer].name(index).to_string();
            }
        }
    }
}

#[test]
fn the_naive_definition_is_what_the_documentation_shows() {
    let graph = graph([tree(2, 1, &[5], &[(0, 2)])]);
    let block = |token, index| Key::block(LayerToken(token), index);
    let naive = naive_inputs(&graph);
    assert_eq!(naive[&block(2, 3)], [block(1, 4)]);
    assert_eq!(naive[&block(2, 0)], [block(2, 4), block(2, 5)]);
    assert_eq!(naive.len(), 6);
    assert_eq!(Grid::from_slice(&positions(&[2, 3])[4]).as_slice(), [1, 1]);
}
