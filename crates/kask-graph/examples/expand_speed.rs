//! Times expansion and ordering of large graphs, and the calls made once per task.
//!
//! `cargo run --release -p kask-graph --example expand_speed [TASKS]` (default 1,000,000).

use kask_graph::{
    BlockInput, BlockSource, BlockwiseLayer, Expansion, Graph, Grid, InputAxis, KeyLists, Known, Layer, LayerKind,
    MapLayer, ShuffleLayer, ShuffleStage, TreeReduceLayer, Wanted, expand, peak_held,
};
use kask_types::{Annotations, BlobId, Items, Key, LayerToken, Payload};
use smallvec::smallvec;
use std::hint::black_box;
use std::time::Instant;

fn layer(token: u128, prefix: &str, kind: LayerKind) -> Layer {
    Layer { token: LayerToken(token), prefix: prefix.into(), annotations: Annotations::default(), kind }
}

fn blockwise(token: u128, grid: &Grid, inputs: Vec<BlockInput>) -> Layer {
    let kind = BlockwiseLayer {
        function: BlobId::of(b"f"),
        template: Payload::from_bytes(vec![0; 40]),
        grid: grid.clone(),
        inputs,
        items: None,
        wants_position: true,
    };
    layer(token, "block", LayerKind::Blockwise(kind))
}

fn same_block(token: u128, grid: &Grid) -> BlockInput {
    let axes = (0..grid.len() as u32).map(InputAxis::Out).collect();
    BlockInput { source: BlockSource::Layer(LayerToken(token)), grid: grid.clone(), axes }
}

fn tree(token: u128, input: u128, grid: &Grid, split: u32) -> Layer {
    let kind = TreeReduceLayer {
        combine: BlobId::of(b"c"),
        aggregate: BlobId::of(b"a"),
        template: Payload::from_bytes(vec![0; 40]),
        input: LayerToken(input).into(),
        input_grid: grid.clone(),
        split_every: (0..grid.len() as u32).map(|axis| (axis, split)).collect(),
    };
    layer(token, "sum", LayerKind::TreeReduce(kind))
}

/// `sum(x + 1)` over a square grid, of about so many tasks.
fn blockwise_and_tree(tasks: u32) -> Graph {
    // Two tasks a block, and 1/3 for a tree that takes 2 by 2.
    let side = (f64::from(tasks) / (2.0 + 1.0 / 3.0)).sqrt() as u32;
    let grid: Grid = smallvec![side, side];
    let layers =
        vec![blockwise(1, &grid, vec![]), blockwise(2, &grid, vec![same_block(1, &grid)]), tree(3, 2, &grid, 2)];
    Graph { layers }
}

/// `(x - mean(x)).sum()` and windows over `x` that overlap.
fn shared(tasks: u32) -> Graph {
    let side = (f64::from(tasks) / (3.0 + 2.0 / 3.0)).sqrt() as u32;
    let grid: Grid = smallvec![side, side];
    let mean = BlockInput {
        source: BlockSource::Layer(LayerToken(2)),
        grid: smallvec![1, 1],
        axes: smallvec![InputAxis::Out(0), InputAxis::Out(1)],
    };
    let window = |axis| InputAxis::Window { axis, before: 1, after: 1 };
    let around = BlockInput {
        source: BlockSource::Layer(LayerToken(3)),
        grid: grid.clone(),
        axes: smallvec![window(0), window(1)],
    };
    let layers = vec![
        blockwise(1, &grid, vec![]),
        tree(2, 1, &grid, 2),
        blockwise(3, &grid, vec![same_block(1, &grid), mean]),
        blockwise(4, &grid, vec![around]),
        tree(5, 4, &grid, 2),
    ];
    Graph { layers }
}

/// A binary tree of user tasks, by key.
fn keyed(tasks: u32) -> Graph {
    let keys: Vec<Key> = (0..tasks).map(|i| Key::block(LayerToken(9), i)).collect();
    let mut inputs = KeyLists::default();
    for i in 0..tasks {
        let children = [2 * i + 1, 2 * i + 2];
        inputs.keys.extend(children.iter().filter_map(|&child| keys.get(child as usize)));
        inputs.ends.push(inputs.keys.len() as u32);
    }
    let items = Items::Packed {
        data: kask_types::payload::Segment(vec![0u8; tasks as usize * 8].into()),
        ends: (1..=tasks).map(|i| i * 8).collect(),
    };
    let map = MapLayer { function: BlobId::of(b"f"), items, keys, names: Vec::new(), inputs };
    Graph { layers: vec![layer(9, "add", LayerKind::Map(map))] }
}

/// A shuffle of so many blocks, in so many groups, with a block read before and one made after for each.
fn shuffled(blocks: u32, groups: u32) -> Graph {
    let grid: Grid = smallvec![blocks];
    let stage = || ShuffleStage { function: BlobId::of(b"s"), template: Payload::from_bytes(vec![0; 40]) };
    let shuffle = ShuffleLayer {
        split: stage(),
        merge: stage(),
        take: stage(),
        split_prefix: "shuffle-split".into(),
        merge_prefix: "shuffle-merge".into(),
        input: LayerToken(1).into(),
        input_grid: grid.clone(),
        outputs: grid.clone(),
        group_ends: (1..=u64::from(groups)).map(|g| (g * u64::from(blocks) / u64::from(groups)) as u32).collect(),
        wants_position: true,
    };
    let shuffle = layer(2, "shuffle", LayerKind::Shuffle(shuffle));
    Graph { layers: vec![blockwise(1, &grid, vec![]), shuffle, blockwise(3, &grid, vec![same_block(2, &grid)])] }
}

fn last_key(graph: &Graph) -> Key {
    let layer = graph.layers.last().expect("the graphs here have layers");
    // The root of the tree by key, and the only result of the other trees.
    layer.key_of(0)
}

fn measure(title: &str, graph: &Graph) -> Expansion {
    let last = graph.layers.last().expect("the graphs here have layers");
    let wanted = match last.kind {
        LayerKind::Blockwise(_) => Wanted::Keys((0..last.len()).map(|index| last.key_of(index)).collect()),
        _ => Wanted::Keys(vec![last_key(graph)]),
    };
    let mut best = f64::MAX;
    let mut expansion = None;
    for _ in 0..3 {
        drop(expansion.take());
        let start = Instant::now();
        let result = expand(graph, &wanted, &mut |_| Known::No);
        best = best.min(start.elapsed().as_secs_f64());
        expansion = Some(result.expect("the graphs here are sound"));
    }
    let expansion = expansion.expect("three runs were made");
    let tasks = expansion.tasks();
    println!(
        "{title}: {tasks} tasks, {} inputs: {:.0} ms ({:.0} ns a task), {:.1} bytes a task, {} values held at most",
        expansion.inputs.total(),
        best * 1e3,
        best * 1e9 / f64::from(tasks),
        expansion.nbytes() as f64 / f64::from(tasks),
        peak_held(&expansion.inputs, &[], &expansion.sequence()),
    );
    println!("  peak memory of the process so far: {}", peak_memory());
    expansion
}

/// The most memory this process ever used, where the system tells.
fn peak_memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.map_or("unknown".into(), |amount| amount.trim().into())
}

fn measure_calls(title: &str, graph: &Graph, expansion: &Expansion) {
    let places: Vec<(usize, u32)> = expansion.sequence().into_iter().map(|id| expansion.place(id)).collect();
    let time = |what: &str, work: &dyn Fn(&Layer, u32)| {
        let start = Instant::now();
        places.iter().for_each(|&(layer, index)| work(&graph.layers[layer], index));
        println!("  {title}: {what} {:.0} ns", start.elapsed().as_secs_f64() * 1e9 / places.len() as f64);
    };
    time("call", &|layer, index| {
        black_box(layer.call(index));
    });
    time("name", &|layer, index| {
        black_box(layer.name(index));
    });
    time("key", &|layer, index| {
        black_box(layer.key_of(index));
    });
}

fn main() {
    let tasks = std::env::args().nth(1).map_or(1_000_000, |text| text.parse().expect("TASKS is a number"));
    for (title, graph) in [
        ("blockwise and tree", blockwise_and_tree(tasks)),
        ("mean and windows", shared(tasks)),
        ("tree by key", keyed(tasks)),
        ("shuffle of 10,000 blocks in 100 groups", shuffled(10_000, 100)),
        ("shuffle of 10,000 blocks in 1,000 groups", shuffled(10_000, 1000)),
    ] {
        let expansion = measure(title, &graph);
        measure_calls(title, &graph, &expansion);
    }
    for small in [1, 100] {
        let graph = keyed(small);
        let wanted = Wanted::All;
        let start = Instant::now();
        for _ in 0..1000 {
            black_box(expand(&graph, &wanted, &mut |_| Known::No)).expect("the graphs here are sound");
        }
        println!("{small} tasks by key: {:.2} us", start.elapsed().as_secs_f64() * 1e3);
    }
}
