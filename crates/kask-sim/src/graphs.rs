//! Random graphs of every layer kind.

use crate::call::{Behaviour, Call};
use crate::expand::positions;
use crate::rng::Rng;
use crate::swarm::Rates;
use kask_graph::chunks::{ChunkSizes, Interval};
use kask_graph::{
    BlockInput, BlockLists, BlockSource, BlockwiseLayer, ExplicitLayer, Graph, InputAxis, JoinedGrids, KeyLists, Layer,
    LayerKind, MapLayer, ShuffleLayer, ShuffleStage, TreeReduceLayer, Wanted,
};
use kask_types::{Annotations, BlobId, Items, Key, LayerToken, Payload, Resources, WorkerRestriction};
use std::sync::Arc;

/// A graph to submit.
#[derive(Clone, Debug)]
pub struct Drawn {
    /// The layers.
    pub graph: Graph,
    /// What the client says it wants.
    pub outputs: Wanted,
    /// Which keys that means.
    pub wanted: Vec<Key>,
    /// What it reads from outside.
    pub outside: Vec<Key>,
}

/// The functions that all graphs call.
pub fn functions() -> Vec<(BlobId, Payload)> {
    (0..4u8).map(|n| (BlobId::of(&[b'f', n]), Payload::from_bytes(vec![b'f', n]))).collect()
}

/// Draws graphs.
pub struct Artist<'a> {
    /// Where from.
    pub rng: &'a mut Rng,
    /// How often tasks misbehave.
    pub rates: &'a Rates,
    /// Number of worker slots, for restrictions.
    pub slots: u32,
}

impl Artist<'_> {
    /// Any graph; it may read `outside`.
    pub fn draw(&mut self, outside: &[Key]) -> Drawn {
        match self.rng.below(7) {
            0 | 1 => self.dag(outside),
            2 => self.map(outside),
            3 => self.chain(),
            4 | 5 => self.grid(),
            6 => self.shuffle(),
            _ => unreachable!("below(7) is below 7"),
        }
    }

    /// A small graph in which nothing misbehaves.
    pub fn probe(rng: &mut Rng) -> Drawn {
        Artist { rng, rates: &Rates::default(), slots: 0 }.dag(&[])
    }

    fn function(&mut self) -> BlobId {
        BlobId::of(&[b'f', self.rng.below(4) as u8])
    }

    fn call(&mut self) -> Payload {
        let rates = self.rates;
        let count = self.rng.between(1, 3) as u8;
        let behaviour = if self.rng.chance(rates.raises) {
            Behaviour::Raises
        } else if self.rng.chance(rates.raises_first) {
            Behaviour::RaisesFirst(count)
        } else if self.rng.chance(rates.kills) {
            Behaviour::Kills
        } else if self.rng.chance(rates.kills_first) {
            Behaviour::KillsFirst(count.min(2))
        } else if self.rng.chance(rates.reschedules) {
            Behaviour::Reschedules(count)
        } else if self.rng.chance(rates.secedes) {
            Behaviour::Secedes
        } else {
            Behaviour::Plain
        };
        Payload::from_bytes(Call { salt: self.rng.bits(), behaviour }.encode())
    }

    fn plain_call(&mut self) -> Payload {
        Payload::from_bytes(Call { salt: self.rng.bits(), behaviour: Behaviour::Plain }.encode())
    }

    fn annotations(&mut self) -> Annotations {
        let retries = if self.rates.raises_first > 0 { self.rng.below(4) as u32 } else { 0 };
        let priority = if self.rng.chance(300) { self.rng.below(5) as i32 - 2 } else { 0 };
        let workers = (self.slots > 0 && self.rng.chance(self.rates.restricted)).then(|| WorkerRestriction {
            workers: vec![Arc::from(format!("host{}", self.rng.below(u64::from(self.slots))))],
            allow_other_workers: self.rng.chance(500),
        });
        let resources = if workers.is_none() && self.slots > 0 && self.rng.chance(self.rates.resources) {
            Resources::new([("GPU", 1.0)]).expect("a valid amount")
        } else {
            Resources::default()
        };
        Annotations { retries, priority, workers, resources, ..Annotations::default() }
    }

    fn prefix(&mut self) -> Arc<str> {
        Arc::from(["inc", "add", "load", "sum", "x"][self.rng.below(5) as usize])
    }

    /// One layer of explicit tasks from lists of inputs, each an index of an earlier task or a key from outside.
    fn explicit(&mut self, inputs: Vec<Vec<Key>>, keys: Vec<Key>) -> Layer {
        let mut lists = KeyLists::default();
        let mut layer = ExplicitLayer { keys, ..ExplicitLayer::default() };
        layer.annotation_sets = (0..self.rng.between(1, 3)).map(|_| self.annotations()).collect();
        layer.prefixes = vec![self.prefix(), Arc::from("other")];
        for (index, reads) in inputs.into_iter().enumerate() {
            let is_value = reads.is_empty() && self.rng.chance(100);
            layer.functions.push(if is_value { None } else { Some(self.function()) });
            layer.items.push(if is_value { self.plain_call() } else { self.call() });
            let named = self.rng.chance(100);
            layer.names.push(named.then(|| Arc::from(format!("named-{}-{index}", layer.keys[index]))));
            layer.families.push(self.rng.below(2) as u32);
            layer.annotations.push(self.rng.below(layer.annotation_sets.len() as u64) as u32);
            lists.keys.extend(reads);
            lists.ends.push(lists.keys.len() as u32);
        }
        layer.inputs = lists;
        let (token, prefix) = (LayerToken(self.rng.wide()), self.prefix());
        Layer { token, prefix, annotations: Annotations::default(), kind: LayerKind::Explicit(layer) }
    }

    fn keys(&mut self, count: u64) -> Vec<Key> {
        (0..count).map(|_| Key(self.rng.wide())).collect()
    }

    fn dag(&mut self, outside: &[Key]) -> Drawn {
        let count = self.rng.between(1, 25);
        let keys = self.keys(count);
        let mut read_outside = Vec::new();
        let mut inputs = Vec::new();
        for index in 0..keys.len() {
            let mut reads = Vec::new();
            for _ in 0..self.rng.below(4) {
                if !outside.is_empty() && self.rng.chance(100) {
                    let read = *self.rng.pick(outside).expect("there are some");
                    reads.push(read);
                    read_outside.push(read);
                } else {
                    reads.extend(self.rng.pick(&keys[..index]));
                }
            }
            inputs.push(reads);
        }
        let layer = self.explicit(inputs, keys.clone());
        let (outputs, wanted) = if self.rng.chance(300) {
            (Wanted::All, keys)
        } else {
            let mut some: Vec<Key> = keys.iter().copied().filter(|_| self.rng.chance(300)).collect();
            some.push(keys[keys.len() - 1]);
            some.dedup();
            (Wanted::Keys(some.clone()), some)
        };
        Drawn { graph: Graph { layers: vec![layer] }, outputs, wanted, outside: read_outside }
    }

    fn chain(&mut self) -> Drawn {
        let count = self.rng.between(2, 30);
        let keys = self.keys(count);
        let inputs = (0..keys.len()).map(|i| i.checked_sub(1).map(|before| keys[before]).into_iter().collect());
        let layer = self.explicit(inputs.collect(), keys.clone());
        let wanted = vec![keys[keys.len() - 1]];
        let outputs = Wanted::Keys(wanted.clone());
        Drawn { graph: Graph { layers: vec![layer] }, outputs, wanted, outside: Vec::new() }
    }

    fn map(&mut self, outside: &[Key]) -> Drawn {
        let count = self.rng.between(1, 40);
        let keys = self.keys(count);
        let calls: Vec<Payload> = keys.iter().map(|_| self.call()).collect();
        let mut inputs = KeyLists::default();
        let shared = if self.rng.chance(300) { self.rng.pick(outside).copied() } else { None };
        if let Some(shared) = shared {
            for _ in &keys {
                inputs.keys.push(shared);
                inputs.ends.push(inputs.keys.len() as u32);
            }
        }
        let items = if self.rng.chance(500) { packed(&calls) } else { Items::Each(calls) };
        let names = Vec::new();
        let map = MapLayer { function: self.function(), items, keys: keys.clone(), names, inputs };
        let (token, prefix) = (LayerToken(self.rng.wide()), self.prefix());
        let layer = Layer { token, prefix, annotations: self.annotations(), kind: LayerKind::Map(map) };
        let graph = Graph { layers: vec![layer] };
        Drawn { graph, outputs: Wanted::All, wanted: keys, outside: shared.into_iter().collect() }
    }

    fn blockwise(&mut self, grid: &[u32], inputs: Vec<BlockInput>) -> Layer {
        let blocks = positions(grid).len();
        let items = self.rng.chance(500).then(|| {
            let calls: Vec<Payload> = (0..blocks).map(|_| self.call()).collect();
            packed(&calls)
        });
        let blockwise = BlockwiseLayer {
            function: self.function(),
            template: self.plain_call(),
            grid: grid.iter().copied().collect(),
            inputs,
            items,
            wants_position: self.rng.chance(500),
        };
        let (token, prefix) = (LayerToken(self.rng.wide()), self.prefix());
        Layer { token, prefix, annotations: self.annotations(), kind: LayerKind::Blockwise(blockwise) }
    }

    /// As many output as input blocks, cut elsewhere.
    fn interval(&mut self, axis: u32, blocks: u32) -> InputAxis {
        let (input, output): (Vec<u64>, Vec<u64>) = (0..blocks).map(|_| (3, self.rng.below(4))).unzip();
        let step = if self.rng.chance(500) { 1 } else { -1 };
        let sizes = |sizes: Vec<u64>| ChunkSizes::new(sizes).expect("a few small chunks");
        let (input, output) = (sizes(input), sizes(output));
        let start = if step > 0 { 0 } else { input.total() - 1 };
        let interval = Interval { input, output, start, step, before: self.rng.below(4), after: self.rng.below(4) };
        InputAxis::Interval { axis, interval: Arc::new(interval) }
    }

    /// Up to three blocks for each position, in any order.
    fn listed(&mut self, axis: u32, blocks: u32) -> InputAxis {
        let mut lists = BlockLists::default();
        for _ in 0..blocks {
            for _ in 0..self.rng.below(4) {
                lists.blocks.push(self.rng.below(blocks.into()) as u32);
            }
            lists.ends.push(lists.blocks.len() as u32);
        }
        InputAxis::Listed { axis, lists: Arc::new(lists) }
    }

    /// What makes a grid of blocks: a layer, or two whose grids lie one after another along the first axis.
    fn source(&mut self, grid: &[u32]) -> (Vec<Layer>, BlockSource) {
        if grid[0] < 2 || self.rng.chance(600) {
            let layer = self.blockwise(grid, Vec::new());
            let source = BlockSource::Layer(layer.token);
            return (vec![layer], source);
        }
        let first = self.rng.between(1, u64::from(grid[0]) - 1) as u32;
        let parts = [first, grid[0] - first].map(|blocks| {
            let own: Vec<u32> = [&[blocks], &grid[1..]].concat();
            self.blockwise(&own, Vec::new())
        });
        let layers = parts.iter().map(|layer| layer.token).collect();
        let joined = JoinedGrids { axis: 0, layers, ends: vec![first, grid[0]] };
        (parts.into(), BlockSource::Joined(Arc::new(joined)))
    }

    /// A source of blocks, sometimes a second and a contraction with it, and a tree over all of it.
    fn grid(&mut self) -> Drawn {
        let axes = self.rng.between(1, 2) as usize;
        let grid: Vec<u32> = (0..axes).map(|_| self.rng.between(1, 6) as u32).collect();
        let (mut layers, source) = self.source(&grid);
        let reads = (0..axes as u32).map(|axis| match self.rng.below(6) {
            0 => InputAxis::Window { axis, before: self.rng.below(3) as u32, after: self.rng.below(3) as u32 },
            1 => InputAxis::Fixed(self.rng.below(u64::from(grid[axis as usize])) as u32),
            2 if axis == 0 => InputAxis::All,
            3 => self.interval(axis, grid[axis as usize]),
            4 => self.listed(axis, grid[axis as usize]),
            _ => InputAxis::Out(axis),
        });
        let input = BlockInput { source: source.clone(), grid: grid.iter().copied().collect(), axes: reads.collect() };
        let same =
            BlockInput { source, grid: input.grid.clone(), axes: (0..axes as u32).map(InputAxis::Out).collect() };
        let inputs = if self.rng.chance(500) { vec![input] } else { vec![same, input] };
        let middle = self.blockwise(&grid, inputs);
        let axis = self.rng.below(axes as u64) as u32;
        let mut split_every = vec![(axis, self.rng.between(2, 3) as u32)];
        if axes == 2 && self.rng.chance(500) {
            split_every.push((1 - axis, 2));
        }
        let tree = TreeReduceLayer {
            combine: self.function(),
            aggregate: self.function(),
            template: self.plain_call(),
            input: middle.token.into(),
            input_grid: grid.iter().copied().collect(),
            split_every,
        };
        let results = 0..results_of(&tree);
        let (token, prefix) = (LayerToken(self.rng.wide()), self.prefix());
        let mut wanted: Vec<Key> = results.map(|index| Key::block(token, index)).collect();
        if self.rng.chance(200) {
            wanted.push(Key::block(middle.token, 0));
        }
        let tree = Layer { token, prefix, annotations: self.annotations(), kind: LayerKind::TreeReduce(tree) };
        layers.extend([middle, tree]);
        if self.rng.chance(300) {
            layers.reverse();
        }
        Drawn { graph: Graph { layers }, outputs: Wanted::Keys(wanted.clone()), wanted, outside: Vec::new() }
    }

    fn stage(&mut self) -> ShuffleStage {
        ShuffleStage { function: self.function(), template: self.plain_call() }
    }

    /// A source of blocks, a shuffle of them, and a tree over what the shuffle makes. Some outputs may be wanted by nobody.
    fn shuffle(&mut self) -> Drawn {
        let grid: Vec<u32> = (0..self.rng.between(1, 2)).map(|_| self.rng.between(1, 4) as u32).collect();
        let (mut layers, source) = self.source(&grid);
        let outputs = self.rng.between(1, 8) as u32;
        let mut group_ends: Vec<u32> = (1..outputs).filter(|_| self.rng.chance(400)).collect();
        group_ends.push(outputs);
        let prefix = self.prefix();
        let shuffle = ShuffleLayer {
            split: self.stage(),
            merge: self.stage(),
            take: self.stage(),
            split_prefix: format!("{prefix}-split").into(),
            merge_prefix: format!("{prefix}-merge").into(),
            input: source,
            input_grid: grid.iter().copied().collect(),
            outputs: [outputs].into_iter().collect(),
            group_ends,
            wants_position: self.rng.chance(500),
        };
        let token = LayerToken(self.rng.wide());
        let mut wanted: Vec<Key> =
            (0..outputs).filter(|_| self.rng.chance(600)).map(|index| Key::block(token, index)).collect();
        let shuffle = Layer { token, prefix, annotations: self.annotations(), kind: LayerKind::Shuffle(shuffle) };
        layers.push(shuffle);
        if wanted.is_empty() || self.rng.chance(500) {
            let tree = TreeReduceLayer {
                combine: self.function(),
                aggregate: self.function(),
                template: self.plain_call(),
                input: token.into(),
                input_grid: [outputs].into_iter().collect(),
                split_every: vec![(0, self.rng.between(2, 3) as u32)],
            };
            let (token, prefix) = (LayerToken(self.rng.wide()), self.prefix());
            wanted.push(Key::block(token, 0));
            layers.push(Layer { token, prefix, annotations: self.annotations(), kind: LayerKind::TreeReduce(tree) });
        }
        Drawn { graph: Graph { layers }, outputs: Wanted::Keys(wanted.clone()), wanted, outside: Vec::new() }
    }
}

/// How many results a tree has.
fn results_of(tree: &TreeReduceLayer) -> u32 {
    let combined = |axis: usize| tree.split_every.iter().any(|&(of, _)| of as usize == axis);
    tree.input_grid.iter().enumerate().map(|(axis, &blocks)| if combined(axis) { 1 } else { blocks }).product()
}

fn packed(items: &[Payload]) -> Items {
    let (mut data, mut ends) = (Vec::new(), Vec::new());
    for item in items {
        data.extend_from_slice(crate::call::bytes_of(item));
        ends.push(data.len() as u32);
    }
    Items::Packed { data: kask_types::payload::Segment(data.into()), ends }
}
