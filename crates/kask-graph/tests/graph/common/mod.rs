//! Builders and naive definitions that the tests compare with. Start with [`naive_inputs`].

use kask_graph::chunks::Interval;
use kask_graph::{
    BlockInput, BlockSource, BlockwiseLayer, Csr, Expansion, ExplicitLayer, Graph, GraphError, Grid, InputAxis,
    JoinedGrids, KeyLists, Known, Layer, LayerKind, MapLayer, Read, ShuffleLayer, ShuffleStage, TreeReduceLayer, View,
    Wanted, expand,
};
use kask_types::{Annotations, BlobId, Items, Key, LayerToken, Payload, TaskName};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub fn layer(token: u128, kind: LayerKind) -> Layer {
    Layer { token: LayerToken(token), prefix: "f".into(), annotations: Annotations::default(), kind }
}

pub fn blockwise(token: u128, grid: &[u32], inputs: Vec<BlockInput>) -> Layer {
    let kind = BlockwiseLayer {
        function: BlobId::of(b"f"),
        template: Payload::empty(),
        grid: Grid::from_slice(grid),
        inputs,
        items: None,
        wants_position: false,
    };
    layer(token, LayerKind::Blockwise(kind))
}

pub fn tree(token: u128, input: u128, grid: &[u32], split_every: &[(u32, u32)]) -> Layer {
    tree_of(token, LayerToken(input).into(), grid, split_every)
}

pub fn tree_of(token: u128, input: BlockSource, grid: &[u32], split_every: &[(u32, u32)]) -> Layer {
    let kind = TreeReduceLayer {
        combine: BlobId::of(b"combine"),
        aggregate: BlobId::of(b"aggregate"),
        template: Payload::empty(),
        input,
        input_grid: Grid::from_slice(grid),
        split_every: split_every.to_vec(),
    };
    layer(token, LayerKind::TreeReduce(kind))
}

/// A shuffle with so many outputs in each group.
pub fn shuffle(token: u128, input: u128, grid: &[u32], outputs: &[u32], groups: &[u32]) -> Layer {
    shuffle_of(token, LayerToken(input).into(), grid, outputs, groups)
}

pub fn shuffle_of(token: u128, input: BlockSource, grid: &[u32], outputs: &[u32], groups: &[u32]) -> Layer {
    let stage = |name: &str| ShuffleStage { function: BlobId::of(name.as_bytes()), template: Payload::empty() };
    let sums = groups.iter().scan(0u32, |sum, &size| {
        *sum = sum.wrapping_add(size);
        Some(*sum)
    });
    let kind = ShuffleLayer {
        split: stage("split"),
        merge: stage("merge"),
        take: stage("take"),
        split_prefix: "f-split".into(),
        merge_prefix: "f-merge".into(),
        input,
        input_grid: Grid::from_slice(grid),
        outputs: Grid::from_slice(outputs),
        group_ends: sums.collect(),
        wants_position: false,
    };
    layer(token, LayerKind::Shuffle(kind))
}

pub fn reads(token: u128, grid: &[u32], axes: &[InputAxis]) -> BlockInput {
    BlockInput {
        source: BlockSource::Layer(LayerToken(token)),
        grid: Grid::from_slice(grid),
        axes: axes.to_vec().into(),
    }
}

/// An input whose blocks are those of several layers, each with so many along an axis.
pub fn reads_joined(axis: usize, parts: &[(u128, u32)], grid: &[u32], axes: &[InputAxis]) -> BlockInput {
    BlockInput { source: joined(axis, parts), ..reads(0, grid, axes) }
}

/// Grids of several layers, each with so many blocks along an axis.
pub fn joined(axis: usize, parts: &[(u128, u32)]) -> BlockSource {
    let ends = parts.iter().scan(0u32, |end, &(_, blocks)| {
        *end += blocks;
        Some(*end)
    });
    let layers = parts.iter().map(|&(token, _)| LayerToken(token)).collect();
    BlockSource::Joined(Arc::new(JoinedGrids { axis: axis as u32, layers, ends: ends.collect() }))
}

pub fn same_block(token: u128, grid: &[u32]) -> BlockInput {
    let axes: Vec<InputAxis> = (0..grid.len() as u32).map(InputAxis::Out).collect();
    reads(token, grid, &axes)
}

pub fn lists(inputs: &[Vec<u128>]) -> KeyLists {
    let mut lists = KeyLists::default();
    for keys in inputs {
        lists.keys.extend(keys.iter().map(|&key| Key(key)));
        lists.ends.push(lists.keys.len() as u32);
    }
    lists
}

pub fn map(token: u128, tasks: &[(u128, Vec<u128>)]) -> Layer {
    let (keys, inputs): (Vec<u128>, Vec<Vec<u128>>) = tasks.iter().cloned().unzip();
    let kind = MapLayer {
        function: BlobId::of(b"f"),
        items: Items::Each(vec![Payload::empty(); keys.len()]),
        keys: keys.into_iter().map(Key).collect(),
        names: Vec::new(),
        inputs: lists(&inputs),
    };
    layer(token, LayerKind::Map(kind))
}

pub fn explicit(token: u128, tasks: &[(u128, Vec<u128>)]) -> Layer {
    let (keys, inputs): (Vec<u128>, Vec<Vec<u128>>) = tasks.iter().cloned().unzip();
    let kind = ExplicitLayer {
        functions: vec![Some(BlobId::of(b"f")); keys.len()],
        items: vec![Payload::empty(); keys.len()],
        names: vec![None; keys.len()],
        families: vec![0; keys.len()],
        prefixes: vec!["g".into()],
        keys: keys.into_iter().map(Key).collect(),
        inputs: lists(&inputs),
        ..ExplicitLayer::default()
    };
    layer(token, LayerKind::Explicit(kind))
}

pub fn graph(layers: impl IntoIterator<Item = Layer>) -> Graph {
    Graph { layers: layers.into_iter().collect() }
}

pub fn keys(keys: &[u128]) -> Wanted {
    Wanted::Keys(keys.iter().map(|&key| Key(key)).collect())
}

pub fn expand_new(graph: &Graph, wanted: &Wanted) -> Result<Expansion, GraphError> {
    expand(graph, wanted, &mut |_| Known::No)
}

/// The keys that a task reads, in hole order, whatever they are.
pub fn input_keys(graph: &Graph, expansion: &Expansion, id: u32) -> Vec<Key> {
    let key = |input: &u32| match input.checked_sub(expansion.tasks()) {
        Some(external) => expansion.externals[external as usize],
        None => {
            let (layer, index) = expansion.place(*input);
            graph.layers[layer].key_of(index)
        }
    };
    expansion.inputs.row(id).iter().map(key).collect()
}

/// All positions of a grid in C order.
pub fn positions(grid: &[u32]) -> Vec<Vec<u32>> {
    grid.iter().fold(vec![vec![]], |positions, &blocks| {
        positions.iter().flat_map(|p| (0..blocks).map(move |b| [p.as_slice(), &[b]].concat())).collect()
    })
}

/// What every task of a graph reads, by key, as the layers' documentation says it.
pub fn naive_inputs(graph: &Graph) -> BTreeMap<Key, Vec<Key>> {
    let mut all = BTreeMap::new();
    for layer in &graph.layers {
        match &layer.kind {
            LayerKind::Map(map) => naive_listed(&map.keys, &map.inputs, &mut all),
            LayerKind::Explicit(explicit) => naive_listed(&explicit.keys, &explicit.inputs, &mut all),
            LayerKind::Blockwise(blockwise) => naive_blocks(layer.token, blockwise, &mut all),
            LayerKind::TreeReduce(tree) => naive_tree(layer.token, tree, &mut all),
            LayerKind::Shuffle(shuffle) => naive_shuffle(layer.token, shuffle, &mut all),
        }
    }
    all
}

fn naive_listed(keys: &[Key], inputs: &KeyLists, all: &mut BTreeMap<Key, Vec<Key>>) {
    for (index, &key) in keys.iter().enumerate() {
        all.entry(key).or_insert_with(|| inputs.get(index).to_vec());
    }
}

fn naive_blocks(token: LayerToken, layer: &BlockwiseLayer, all: &mut BTreeMap<Key, Vec<Key>>) {
    for (index, out) in positions(&layer.grid).iter().enumerate() {
        let mut read = Vec::new();
        for input in &layer.inputs {
            for (block, at) in positions(&input.grid).into_iter().enumerate() {
                let is_read = input.axes.iter().enumerate().all(|(i, axis)| match axis {
                    InputAxis::Out(axis) => at[i] == out[*axis as usize] || input.grid[i] == 1,
                    InputAxis::Window { axis, before, after } => {
                        let (at, out) = (i64::from(at[i]), i64::from(out[*axis as usize]));
                        (out - i64::from(*before)..=out + i64::from(*after)).contains(&at)
                    }
                    InputAxis::Fixed(fixed) => at[i] == *fixed,
                    InputAxis::All => true,
                    InputAxis::Interval { axis, interval } => is_under(interval, out[*axis as usize], at[i]),
                    InputAxis::Listed { axis, lists } => lists.get(out[*axis as usize]).contains(&at[i]),
                });
                if is_read {
                    read.push(naive_key(&input.source, &input.grid, block, &at));
                }
            }
        }
        all.insert(Key::block(token, index as u32), read);
    }
}

/// The key of a block of a grid that is read.
fn naive_key(source: &BlockSource, grid: &[u32], block: usize, at: &[u32]) -> Key {
    let joined = match source {
        BlockSource::Layer(layer) => return Key::block(*layer, block as u32),
        BlockSource::Joined(joined) => joined,
    };
    let axis = joined.axis as usize;
    let part = joined.ends.iter().position(|&end| at[axis] < end).expect("the parts make up the grid");
    let start = if part == 0 { 0 } else { joined.ends[part - 1] };
    let (mut grid, mut at) = (grid.to_vec(), at.to_vec());
    (grid[axis], at[axis]) = (joined.ends[part] - start, at[axis] - start);
    let index = positions(&grid).iter().position(|other| *other == at).expect("it is in the part");
    Key::block(joined.layers[part], index as u32)
}

/// Whether an input block lies between the first and the last element that an output block needs.
fn is_under(interval: &Interval, out: u32, at: u32) -> bool {
    let first = i128::from(interval.output.start(out));
    let elements = first..first + i128::from(interval.output.size(out));
    let needed = elements.map(|i| i128::from(interval.start) + i128::from(interval.step) * i);
    let around = |i: i128| i - i128::from(interval.before)..=i + i128::from(interval.after);
    let there = |i: &i128| (0..i128::from(interval.input.total())).contains(i);
    let needed: Vec<i128> = needed.flat_map(around).filter(there).collect();
    let (Some(low), Some(high)) = (needed.iter().min(), needed.iter().max()) else {
        return interval.input.total() == 0 && at == 0;
    };
    let block_of = |element: i128| interval.input.block_at(element as u64);
    (block_of(*low)..=block_of(*high)).contains(&at)
}

fn naive_tree(token: LayerToken, layer: &TreeReduceLayer, all: &mut BTreeMap<Key, Vec<Key>>) {
    let split =
        |axis: usize| layer.split_every.iter().find(|(a, _)| *a as usize == axis).map_or(1, |&(_, split)| split);
    let mut below: Vec<(Vec<u32>, Key)> = positions(&layer.input_grid)
        .into_iter()
        .enumerate()
        .map(|(block, at)| (at.clone(), naive_key(&layer.input, &layer.input_grid, block, &at)))
        .collect();
    let axes = 0..layer.input_grid.len();
    let results = axes.map(|axis| if split(axis) > 1 { 1 } else { layer.input_grid[axis] }).product();
    let mut inner: u32 = results;
    loop {
        let up = |at: &[u32]| at.iter().enumerate().map(|(axis, &p)| p / split(axis)).collect::<Vec<u32>>();
        let is_result = |at: &[u32]| layer.split_every.iter().all(|&(axis, _)| at[axis as usize] == 0);
        let parents: BTreeSet<Vec<u32>> = below.iter().map(|(at, _)| up(at)).collect();
        let is_last = parents.iter().all(|at| is_result(at));
        let first = if is_last { 0 } else { inner };
        let mut level = Vec::new();
        for (node, parent) in (first..).zip(parents) {
            let read = below.iter().filter(|(at, _)| up(at) == parent).map(|(_, key)| *key).collect();
            let key = Key::block(token, node);
            all.insert(key, read);
            level.push((parent, key));
        }
        if is_last {
            assert_eq!(level.len() as u32, results);
            return;
        }
        inner += level.len() as u32;
        below = level;
    }
}

fn naive_shuffle(token: LayerToken, layer: &ShuffleLayer, all: &mut BTreeMap<Key, Vec<Key>>) {
    let (takes, groups) = (positions(&layer.outputs).len() as u32, layer.group_ends.len() as u32);
    let inputs = positions(&layer.input_grid).len() as u32;
    let key = |index: u32| Key::block(token, index);
    let splits: Vec<Key> = (0..inputs).map(|input| key(takes + groups + input)).collect();
    for ((block, at), &split) in positions(&layer.input_grid).iter().enumerate().zip(&splits) {
        all.insert(split, vec![naive_key(&layer.input, &layer.input_grid, block, at)]);
    }
    for group in 0..groups {
        all.insert(key(takes + group), splits.clone());
    }
    for take in 0..takes {
        let group = layer.group_ends.iter().filter(|&&end| end <= take).count() as u32;
        all.insert(key(take), vec![key(takes + group)]);
    }
}

/// Checks everything that an expansion promises, against the naive definition. `alive` is what was known.
pub fn check(graph: &Graph, wanted: &[Key], alive: &BTreeSet<Key>, expansion: &Expansion) {
    let naive = naive_inputs(graph);
    let mut needed: BTreeSet<Key> = BTreeSet::new();
    let mut externals: BTreeSet<Key> = BTreeSet::new();
    let is_here = |key: &Key| naive.contains_key(key) && !alive.contains(key);
    let mut pending: Vec<Key> = wanted.iter().copied().filter(is_here).collect();
    while let Some(key) = pending.pop() {
        if needed.insert(key) {
            pending.extend(naive[&key].iter().filter(|key| is_here(key)));
            externals.extend(naive[&key].iter().filter(|key| !is_here(key)));
        }
    }
    let key_of = |id: u32| {
        let (layer, index) = expansion.place(id);
        graph.layers[layer].key_of(index)
    };
    let found: Vec<Key> = expansion.needed.iter().map(key_of).collect();
    assert_eq!(found.len(), needed.len(), "each needed key is one task");
    assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), needed);
    assert_eq!(expansion.externals.len(), externals.len(), "each external is there once");
    assert_eq!(expansion.externals.iter().copied().collect::<BTreeSet<_>>(), externals);
    for id in 0..expansion.tasks() {
        if expansion.needed.contains(id) {
            assert_eq!(input_keys(graph, expansion, id), naive[&key_of(id)], "inputs of task {id}");
        } else {
            assert!(expansion.inputs.row(id).is_empty());
            assert_eq!(expansion.order[id as usize], u32::MAX);
        }
    }
    check_order(expansion);
    if alive.is_empty() {
        check_view(graph, wanted, &naive, needed.len() + externals.len());
    }
    assert_eq!(expansion.outputs.len(), wanted.len());
    for (output, &key) in expansion.outputs.iter().zip(wanted) {
        match *output {
            kask_graph::Output::Local(id) => assert_eq!((key_of(id), expansion.needed.contains(id)), (key, true)),
            kask_graph::Output::External(external) => assert_eq!((external, is_here(&key)), (key, false)),
        }
    }
}

/// Checks that a graph looks as it runs: `tasks` for what is wanted, with those from elsewhere that they read.
fn check_view(graph: &Graph, wanted: &[Key], naive: &BTreeMap<Key, Vec<Key>>, tasks: usize) {
    let mut view = View::new(graph.clone()).unwrap();
    let wanted: Vec<Read> = wanted.iter().map(|&key| Read::Key(key)).collect();
    let here: Vec<Read> = wanted.iter().copied().filter(|&read| naive.contains_key(&view.key_of(read))).collect();
    let shown = view.needed(&here, usize::MAX).unwrap();
    assert_eq!(shown.len(), tasks, "each task is shown once");
    let mut before = BTreeSet::new();
    for read in shown {
        let key = view.key_of(read);
        let is_task = matches!(read, Read::Task(_));
        assert_eq!(is_task, naive.contains_key(&key), "what the graph makes is a task");
        if let Read::Task(id) = read {
            let inputs: Vec<Key> = view.inputs_of(id).into_iter().map(|input| view.key_of(input)).collect();
            assert_eq!(inputs, naive[&key], "inputs of task {id}");
            assert!(inputs.iter().all(|input| before.contains(input)), "inputs of task {id} come before it");
            check_name(&view, graph, id);
        }
        assert!(before.insert(key));
    }
    let more = view.needed(&wanted, usize::MAX).unwrap().len();
    assert!(more == 0 || view.needed(&wanted, more - 1).is_none(), "a limit is a limit");
}

/// Checks that a task of a grid is found by what its name prints.
fn check_name(view: &View, graph: &Graph, id: u32) {
    let (layer, index) = view.place(id);
    if let TaskName::Block { prefix, layer: token, index: position } = graph.layers[layer].name(index) {
        assert_eq!(view.layer_of(token), Some(layer));
        assert_eq!(graph.layers[layer].index_of(&prefix, &position), Some(index));
    }
}

/// Checks that ranks are dense and that inputs come before their readers.
pub fn check_order(expansion: &Expansion) {
    let mut ranks: Vec<u32> = expansion.needed.iter().map(|id| expansion.order[id as usize]).collect();
    ranks.sort_unstable();
    assert!(ranks.iter().copied().eq(0..expansion.needed.count() as u32), "ranks are dense");
    for id in expansion.needed.iter() {
        for &input in expansion.inputs.row(id).iter().filter(|&&input| input < expansion.tasks()) {
            assert!(expansion.order[input as usize] < expansion.order[id as usize], "{input} runs before {id}");
        }
    }
}

/// Level by level: the order that holds the most.
pub fn breadth_first(inputs: &Csr, expansion: &Expansion) -> Vec<u32> {
    let mut depth = vec![0u32; expansion.tasks() as usize];
    for id in expansion.sequence() {
        let local = inputs.row(id).iter().filter(|&&input| input < expansion.tasks());
        depth[id as usize] = local.map(|&input| depth[input as usize] + 1).max().unwrap_or(0);
    }
    let mut sequence: Vec<u32> = expansion.needed.iter().collect();
    sequence.sort_by_key(|&id| depth[id as usize]);
    sequence
}
