//! The order holds little: bounds on the peak for the shapes that matter, beside breadth-first order.

use crate::common::*;
use kask_graph::{Expansion, Graph, InputAxis, LayerKind, Output, Stage, Wanted, peak_held};
use kask_types::{Key, LayerToken};

/// Values held at most in our order and in breadth-first order; results are not counted once nobody reads them.
fn peaks(graph: &Graph, wanted: &Wanted) -> (usize, usize, Expansion) {
    let expansion = expand_new(graph, wanted).expect("a sound graph");
    check_order(&expansion);
    let ours = peak_held(&expansion.inputs, &[], &expansion.sequence());
    let naive = peak_held(&expansion.inputs, &[], &breadth_first(&expansion.inputs, &expansion));
    (ours, naive, expansion)
}

fn results(graph: &Graph, layers: &[usize]) -> Wanted {
    Wanted::Keys(layers.iter().map(|&layer| graph.layers[layer].key_of(0)).collect())
}

fn blocks(layer: u128, count: u32) -> Wanted {
    Wanted::Keys((0..count).map(|index| Key::block(LayerToken(layer), index)).collect())
}

fn log2(n: u32) -> usize {
    n.next_power_of_two().trailing_zeros() as usize
}

#[test]
fn a_binary_tree_holds_its_depth() {
    for n in [1, 2, 3, 64, 1000, 4096] {
        let graph = graph([blockwise(1, &[n], vec![]), tree(2, 1, &[n], &[(0, 2)])]);
        let (ours, naive, _) = peaks(&graph, &results(&graph, &[1]));
        assert!(ours <= log2(n) + 2, "{ours} values for {n} leaves");
        assert!(n < 64 || naive >= n as usize, "breadth first holds all leaves");
    }
}

#[test]
fn a_wide_tree_holds_its_fan_in_a_level() {
    let graph = graph([blockwise(1, &[64, 64], vec![]), tree(2, 1, &[64, 64], &[(0, 4), (1, 4)])]);
    let (ours, naive, _) = peaks(&graph, &results(&graph, &[1]));
    assert!(ours <= 15 * 3 + 2, "{ours}");
    assert!(naive >= 4096);
}

#[test]
fn chains_of_blocks_run_one_after_another() {
    let grid = [50, 40];
    let layers = (0..5).map(|step| {
        let inputs = if step == 0 { vec![] } else { vec![same_block(step, &grid), same_block(step, &grid)] };
        blockwise(step + 1, &grid, inputs)
    });
    let graph = graph(layers);
    let last = Wanted::Keys((0..2000).map(|index| Key::block(LayerToken(5), index)).collect());
    let (ours, naive, _) = peaks(&graph, &last);
    assert_eq!(ours, 2);
    assert!(naive > 2000);
}

#[test]
fn overlapping_windows_hold_a_window() {
    let window = |axis| InputAxis::Window { axis, before: 1, after: 1 };
    let line = graph([blockwise(1, &[500], vec![]), blockwise(2, &[500], vec![reads(1, &[500], &[window(0)])])]);
    let (ours, naive, _) = peaks(&line, &blocks(2, 500));
    assert!(ours <= 5, "{ours}");
    assert!(naive >= 500);

    let side = 40;
    let grid = [side, side];
    let around = reads(1, &grid, &[window(0), window(1)]);
    let plane = graph([blockwise(1, &grid, vec![]), blockwise(2, &grid, vec![around])]);
    let (ours, naive, _) = peaks(&plane, &blocks(2, side * side));
    assert!(ours <= 2 * side as usize + 6, "two rows and a bit, not {ours}");
    assert!(naive >= (side * side) as usize);
}

#[test]
fn blocks_that_are_read_twice_are_held_once() {
    // (x - x.mean()).std(): every block of x waits for the mean, and then is replaced, squared and summed.
    let n = 1024;
    let grid = [n];
    let mean = reads(2, &[1], &[InputAxis::Out(0)]);
    let graph = graph([
        blockwise(1, &grid, vec![]),
        tree(2, 1, &grid, &[(0, 4)]),
        blockwise(3, &grid, vec![same_block(1, &grid), mean]),
        blockwise(4, &grid, vec![same_block(3, &grid), same_block(3, &grid)]),
        tree(5, 4, &grid, &[(0, 4)]),
    ]);
    let (ours, naive, expansion) = peaks(&graph, &results(&graph, &[4]));
    assert!(ours <= n as usize + 3 * 5 + 2, "{ours}");
    assert!(naive > n as usize + n as usize / 4, "{naive}");
    // After the mean, each block goes all the way before the next one is touched: a value of layer 3 is squared
    // at once.
    let sequence = expansion.sequence();
    let in_layer = |id: u32, layer: usize| expansion.place(id).0 == layer;
    assert!(sequence.windows(2).all(|pair| !in_layer(pair[0], 2) || in_layer(pair[1], 3)));
}

#[test]
fn two_reductions_of_the_same_blocks_go_in_step() {
    let n = 1024;
    let grid = [n];
    let graph = graph([
        blockwise(1, &grid, vec![]),
        blockwise(2, &grid, vec![same_block(1, &grid)]),
        blockwise(3, &grid, vec![same_block(1, &grid)]),
        tree(4, 2, &grid, &[(0, 2)]),
        tree(5, 3, &grid, &[(0, 2)]),
    ]);
    let (ours, naive, _) = peaks(&graph, &results(&graph, &[3, 4]));
    assert!(ours <= 2 * (log2(n) + 2) + 2, "{ours}");
    assert!(naive >= n as usize);
}

#[test]
fn a_held_block_is_finished_when_little_is_lacking() {
    // sum(f(x, y)) and sum(g(x, z)): x would wait for the second sum, did nobody fetch z for it.
    let n = 512;
    let grid = [n];
    let graph = graph([
        blockwise(1, &grid, vec![]),
        blockwise(2, &grid, vec![]),
        blockwise(3, &grid, vec![]),
        blockwise(4, &grid, vec![same_block(1, &grid), same_block(2, &grid)]),
        blockwise(5, &grid, vec![same_block(1, &grid), same_block(3, &grid)]),
        tree(6, 4, &grid, &[(0, 2)]),
        tree(7, 5, &grid, &[(0, 2)]),
    ]);
    let (ours, naive, _) = peaks(&graph, &results(&graph, &[5, 6]));
    assert!(ours <= 2 * (log2(n) + 2) + 3, "{ours}");
    assert!(naive >= 2 * n as usize);
}

#[test]
fn what_became_ready_is_finished_before_something_else_is_begun() {
    // Wanted: the mean of x, then something that needs as much room, and last the sum of x less its mean.
    let n = 256;
    let grid = [n];
    let mean = reads(2, &[1], &[InputAxis::Out(0)]);
    let graph = graph([
        blockwise(1, &grid, vec![]),
        tree(2, 1, &grid, &[(0, 4)]),
        blockwise(3, &grid, vec![same_block(1, &grid), mean]),
        tree(4, 3, &grid, &[(0, 4)]),
        blockwise(5, &grid, vec![]),
        blockwise(6, &[], vec![reads(5, &grid, &[InputAxis::All])]),
    ]);
    let (ours, naive, _) = peaks(&graph, &results(&graph, &[1, 5, 3]));
    assert!(ours <= n as usize + 20, "{ours}");
    assert!(naive >= 2 * n as usize);
}

#[test]
fn a_shuffle_takes_inputs_apart_as_they_come_and_outputs_group_by_group() {
    let graph = graph([
        blockwise(1, &[100], vec![]),
        shuffle(2, 1, &[100], &[12], &[3, 4, 5]),
        blockwise(3, &[12], vec![same_block(2, &[12])]),
    ]);
    let (ours, _, expansion) = peaks(&graph, &blocks(3, 12));
    // All splits at once are what a shuffle is; beside them an input, or a merge and an output.
    assert!(ours <= 100 + 3, "{ours}");
    let layers: Vec<usize> = expansion.sequence().iter().map(|&id| expansion.place(id).0).collect();
    assert!(layers[..200].chunks(2).all(|pair| pair == [0, 1]), "a block is taken apart before the next is made");
    let stage = |id: u32| {
        let (layer, index) = expansion.place(id);
        match &graph.layers[layer].kind {
            LayerKind::Shuffle(kind) => kind.stage(index),
            _ => None,
        }
    };
    let stages: Vec<Stage> = expansion.sequence().into_iter().filter_map(stage).collect();
    assert!(stages[..100].iter().all(|stage| matches!(stage, Stage::Split { .. })));
    let merges: Vec<usize> = (0..stages.len()).filter(|&at| matches!(stages[at], Stage::Merge { .. })).collect();
    // What a group makes is taken before the next group is merged; but the last merge frees all splits, and so is early.
    assert_eq!(merges, [100, 104, 105]);
}

#[test]
fn the_most_demanding_input_is_made_first() {
    // Task 9 reads a root and the end of a fan of three roots: made the other way round, five would be held.
    let tasks = [(1, vec![]), (2, vec![]), (3, vec![]), (4, vec![]), (5, vec![2, 3, 4]), (9, vec![1, 5])];
    let (ours, _, _) = peaks(&graph([map(1, &tasks)]), &keys(&[9]));
    assert_eq!(ours, 4);
}

#[test]
fn a_million_long_chain_neither_recurses_nor_stalls() {
    let tasks: Vec<(u128, Vec<u128>)> =
        (0..1_000_000u128).map(|i| (i + 1, if i == 0 { vec![] } else { vec![i] })).collect();
    let (ours, _, expansion) = peaks(&graph([map(1, &tasks)]), &keys(&[1_000_000]));
    assert_eq!(ours, 2);
    assert_eq!(expansion.outputs, [Output::Local(999_999)]);
}

#[test]
fn hubs_cost_no_more_than_their_edges() {
    // Many tasks read many hubs: quadratic handling of hubs would take minutes.
    let n = 300u128;
    let mut tasks: Vec<(u128, Vec<u128>)> = (1..=n).map(|hub| (hub, vec![])).collect();
    tasks.extend((1..=n * 10).map(|reader| (n + reader, (1..=n).collect())));
    let wanted: Vec<u128> = (1..=n * 10).map(|reader| n + reader).collect();
    let (ours, _, _) = peaks(&graph([map(1, &tasks)]), &keys(&wanted));
    assert_eq!(ours, n as usize + 1);
}
