//! Layers to tasks, the slow and obvious way: what the model believes a graph means.
//!
//! Written from the description of the layers, apart from the expansion that the scheduler uses, so that the two
//! check each other.

use crate::call::{Call, Filled, bytes_of};
use crate::model::{Model, Spec, Work};
use kask_graph::{
    BlockInput, BlockSource, BlockwiseLayer, ExplicitLayer, Graph, InputAxis, Layer, LayerKind, MapLayer, ShuffleLayer,
    ShuffleStage, TreeReduceLayer,
};
use kask_types::{BlobId, Key, LayerToken, TaskName};
use std::sync::Arc;

/// Teaches the model all tasks of a graph.
pub fn learn(model: &mut Model, graph: &Graph) {
    for layer in &graph.layers {
        match &layer.kind {
            LayerKind::Map(map) => learn_map(model, layer, map),
            LayerKind::Explicit(explicit) => learn_explicit(model, layer, explicit),
            LayerKind::Blockwise(blockwise) => learn_blockwise(model, layer, blockwise),
            LayerKind::TreeReduce(tree) => learn_tree(model, layer, tree),
            LayerKind::Shuffle(shuffle) => learn_shuffle(model, layer, shuffle),
        }
    }
}

struct Parts<'a> {
    name: TaskName,
    function: Option<BlobId>,
    args: &'a [u8],
    item: Option<Vec<u8>>,
    position: Option<Vec<u32>>,
    /// Which part of each input is read.
    part: Option<u32>,
    holes: Vec<Filled<Key>>,
    retries: u32,
}

fn add(model: &mut Model, key: Key, parts: Parts) {
    let call = Call::decode(parts.item.as_deref().unwrap_or(parts.args)).expect("the simulator made it");
    let work = Work::Call {
        function: parts.function,
        args: parts.args.to_vec(),
        item: parts.item,
        position: parts.position,
        part: parts.part,
        holes: parts.holes,
        behaviour: call.behaviour,
        retries: parts.retries,
    };
    model.add(key, Spec { name: parts.name.to_string(), work });
}

fn learn_map(model: &mut Model, layer: &Layer, map: &MapLayer) {
    for (index, &key) in map.keys.iter().enumerate() {
        let name = match map.names.get(index) {
            Some(name) => TaskName::Custom(name.clone()),
            None => TaskName::Hashed { prefix: layer.prefix.clone(), key },
        };
        let args = map.items.get(index).expect("one item a key");
        let holes = map.inputs.get(index).iter().copied().map(Filled::One).collect();
        let (function, retries) = (Some(map.function), layer.annotations.retries);
        let parts =
            Parts { name, function, args: bytes_of(&args), item: None, position: None, part: None, holes, retries };
        add(model, key, parts);
    }
}

fn learn_explicit(model: &mut Model, layer: &Layer, explicit: &ExplicitLayer) {
    for (index, &key) in explicit.keys.iter().enumerate() {
        let name = match &explicit.names[index] {
            Some(name) => TaskName::Custom(name.clone()),
            None => {
                let prefix = explicit.prefixes[explicit.families[index] as usize].clone();
                TaskName::Hashed { prefix, key }
            }
        };
        let annotations = match explicit.annotations.get(index) {
            Some(&set) => &explicit.annotation_sets[set as usize],
            None => &layer.annotations,
        };
        let holes = explicit.inputs.get(index).iter().copied().map(Filled::One).collect();
        let args = bytes_of(&explicit.items[index]);
        let (function, retries) = (explicit.functions[index], annotations.retries);
        add(model, key, Parts { name, function, args, item: None, position: None, part: None, holes, retries });
    }
}

fn learn_blockwise(model: &mut Model, layer: &Layer, blockwise: &BlockwiseLayer) {
    for (index, position) in positions(&blockwise.grid).into_iter().enumerate() {
        let key = Key::block(layer.token, index as u32);
        let grid = position.iter().copied().collect();
        let name = TaskName::Block { prefix: layer.prefix.clone(), layer: layer.token, index: grid };
        let holes = blockwise.inputs.iter().map(|input| read(input, &position)).collect();
        let item = blockwise.items.as_ref().map(|items| {
            let item = items.get(index).expect("one item a block");
            bytes_of(&item).to_vec()
        });
        let (function, retries) = (Some(blockwise.function), layer.annotations.retries);
        let position = blockwise.wants_position.then_some(position);
        let args = bytes_of(&blockwise.template);
        add(model, key, Parts { name, function, args, item, position, part: None, holes, retries });
    }
}

/// What one hole of the block at `position` is filled with.
fn read(input: &BlockInput, position: &[u32]) -> Filled<Key> {
    let mut is_list = false;
    let mut blocks_along = |(axis, &blocks): (&InputAxis, &u32)| -> Vec<u32> {
        is_list |= !matches!(axis, InputAxis::Out(_) | InputAxis::Fixed(_));
        match axis {
            InputAxis::Out(_) if blocks == 1 => vec![0],
            InputAxis::Out(out) => vec![position[*out as usize]],
            InputAxis::Fixed(block) => vec![*block],
            InputAxis::All => (0..blocks).collect(),
            InputAxis::Window { axis, before, after } => {
                let at = position[*axis as usize];
                (at.saturating_sub(*before)..=(at + after).min(blocks - 1)).collect()
            }
            InputAxis::Interval { axis, interval } => {
                interval.pieces(position[*axis as usize]).iter().map(|piece| piece.block).collect()
            }
            InputAxis::Listed { axis, lists } => lists.get(position[*axis as usize]).to_vec(),
        }
    };
    let along: Vec<Vec<u32>> = input.axes.iter().zip(&input.grid).map(&mut blocks_along).collect();
    let indices = along.iter().zip(&input.grid).fold(vec![0u32], |rows, (blocks, count)| {
        rows.iter().flat_map(|row| blocks.iter().map(move |block| row * count + block)).collect()
    });
    let all = keys_of(&input.source, &input.grid);
    let keys: Vec<Key> = indices.into_iter().map(|index| all[index as usize]).collect();
    if is_list { Filled::List(keys) } else { Filled::One(keys[0]) }
}

/// The keys of all blocks of an input, in C order.
fn keys_of(source: &BlockSource, grid: &[u32]) -> Vec<Key> {
    let joined = match source {
        BlockSource::Layer(layer) => return blocks_of(*layer, grid),
        BlockSource::Joined(joined) => joined,
    };
    // Each part's blocks come in C order, too: the next one of a part is the one after its last.
    let mut next = vec![0u32; joined.layers.len()];
    let key = |position: Vec<u32>| {
        let part = joined.ends.iter().filter(|&&end| end <= position[joined.axis as usize]).count();
        next[part] += 1;
        Key::block(joined.layers[part], next[part] - 1)
    };
    positions(grid).into_iter().map(key).collect()
}

fn learn_tree(model: &mut Model, layer: &Layer, tree: &TreeReduceLayer) {
    let mut split = vec![1u32; tree.input_grid.len()];
    tree.split_every.iter().for_each(|&(axis, every)| split[axis as usize] = every);
    let results = tree.input_grid.iter().zip(&split).map(|(&blocks, &every)| if every > 1 { 1 } else { blocks });
    let mut next_inner: u32 = results.product();
    let mut below: Vec<u32> = tree.input_grid.to_vec();
    let mut keys_below = keys_of(&tree.input, &below);
    loop {
        let level: Vec<u32> = below.iter().zip(&split).map(|(blocks, every)| blocks.div_ceil(*every)).collect();
        let is_last = level.iter().zip(&split).all(|(&blocks, &every)| every == 1 || blocks == 1);
        let first = if is_last { 0 } else { next_inner };
        let mut keys = Vec::new();
        for (index, at) in (first..).zip(positions(&level)) {
            let reads = positions(&below).into_iter().zip(&keys_below).filter(|(from, _)| {
                from.iter().zip(&split).zip(&at).all(|((block, every), group)| block / every == *group)
            });
            let holes = vec![Filled::List(reads.map(|(_, &key)| key).collect())];
            let key = Key::block(layer.token, index);
            let printed = [index].into_iter().collect();
            let name = TaskName::Block { prefix: layer.prefix.clone(), layer: layer.token, index: printed };
            let function = Some(if is_last { tree.aggregate } else { tree.combine });
            let (args, retries) = (bytes_of(&tree.template), layer.annotations.retries);
            add(model, key, Parts { name, function, args, item: None, position: None, part: None, holes, retries });
            keys.push(key);
        }
        if is_last {
            return;
        }
        next_inner += keys.len() as u32;
        (below, keys_below) = (level, keys);
    }
}

fn learn_shuffle(model: &mut Model, layer: &Layer, shuffle: &ShuffleLayer) {
    let (takes, groups) = (positions(&shuffle.outputs).len() as u32, shuffle.group_ends.len() as u32);
    let mut add_task = |index: u32, stage: &ShuffleStage, family: &Arc<str>, task: ShuffleTask| {
        let name_index = task.printed.iter().copied().collect();
        let name = TaskName::Block { prefix: family.clone(), layer: layer.token, index: name_index };
        let (function, args) = (Some(stage.function), bytes_of(&stage.template));
        let (position, part, holes) = (task.position, task.part, vec![task.hole]);
        let retries = layer.annotations.retries;
        let parts = Parts { name, function, args, item: None, position, part, holes, retries };
        add(model, Key::block(layer.token, index), parts);
    };
    let mut splits = Vec::new();
    for ((index, at), read) in
        (takes + groups..).zip(positions(&shuffle.input_grid)).zip(keys_of(&shuffle.input, &shuffle.input_grid))
    {
        splits.push(Key::block(layer.token, index));
        let position = shuffle.wants_position.then(|| at.clone());
        let task = ShuffleTask { printed: at, position, part: None, hole: Filled::One(read) };
        add_task(index, &shuffle.split, &shuffle.split_prefix, task);
    }
    for group in 0..groups {
        let at = vec![group];
        let hole = Filled::List(splits.clone());
        let task = ShuffleTask { printed: at.clone(), position: Some(at), part: Some(group), hole };
        add_task(takes + group, &shuffle.merge, &shuffle.merge_prefix, task);
    }
    let (mut group, mut within) = (0, 0);
    for (index, printed) in (0..).zip(positions(&shuffle.outputs)) {
        if shuffle.group_ends[group as usize] == index {
            (group, within) = (group + 1, 0);
        }
        let hole = Filled::One(Key::block(layer.token, takes + group));
        let task = ShuffleTask { printed, position: Some(vec![within]), part: None, hole };
        add_task(index, &shuffle.take, &layer.prefix, task);
        within += 1;
    }
}

struct ShuffleTask {
    printed: Vec<u32>,
    position: Option<Vec<u32>>,
    part: Option<u32>,
    hole: Filled<Key>,
}

/// The keys of a grid of blocks.
fn blocks_of(layer: LayerToken, grid: &[u32]) -> Vec<Key> {
    (0..positions(grid).len()).map(|i| Key::block(layer, i as u32)).collect()
}

/// All positions of a grid, in C order.
pub fn positions(grid: &[u32]) -> Vec<Vec<u32>> {
    grid.iter().fold(vec![Vec::new()], |heads, &blocks| {
        let longer = |head: &Vec<u32>, i: u32| head.iter().copied().chain([i]).collect::<Vec<u32>>();
        heads.iter().flat_map(|head| (0..blocks).map(|i| longer(head, i)).collect::<Vec<_>>()).collect()
    })
}
