//! From layers to tasks: [`expand`] finds the tasks that are needed for what is wanted, their inputs and order.
//!
//! 1. [`crate::plan`] checks the graph and gives every task a *local id*: dense, layer after layer.
//! 2. A walk from the wanted tasks through their inputs finds what is needed. It stops at tasks that the
//!    scheduler has already and at keys that the graph does not define: those are *externals*.
//! 3. [`crate::order`] finds cycles and the order in which to run.
//!
//! Only needed tasks cost more than a few bytes. Equal keys name equal work: of several definitions of a key in
//! map layers and explicit layers the first counts, and it also stands for a block of a grid with that key.

use crate::adjacency::Csr;
use crate::bits::BitSet;
use crate::error::{GraphError, Limits};
use crate::index::{KeyIndex, key_hash};
use crate::layer::{Graph, LayerKind, Wanted};
use crate::order;
use crate::plan::{self, LayerSpan, Plan, Read};
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use kask_types::Key;

/// What the scheduler knows of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// Nothing.
    No,
    /// It has a task with this key: that one is used, not run again, and is no reason to run what it needs.
    Alive,
}

/// Where a wanted result comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Output {
    /// This task of the graph.
    Local(u32),
    /// A task that the scheduler has, or that nobody knows.
    External(Key),
}

/// The tasks of a graph that are needed, by local id.
#[derive(Clone, Debug)]
pub struct Expansion {
    /// Local ids of each layer, in the order of the graph's layers.
    pub layers: Vec<LayerSpan>,
    /// The inputs of each needed task in hole order, repeats included: a local id, or, from [`Expansion::tasks`]
    /// on, that much more than an index into `externals`. Empty for tasks that are not needed.
    pub inputs: Csr,
    /// Keys, each once, that needed tasks read and that no needed task makes.
    pub externals: Vec<Key>,
    /// The tasks that must run.
    pub needed: BitSet,
    /// Rank of each needed task: dense from 0, lower runs first, inputs before their readers. `u32::MAX` for others.
    pub order: Vec<u32>,
    /// One for each wanted key, in order.
    pub outputs: Vec<Output>,
}

/// What an input of a task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum InputOf {
    /// A needed task of the graph.
    Local(u32),
    /// An index into [`Expansion::externals`].
    External(u32),
}

impl Expansion {
    /// How many tasks the graph has, needed or not.
    pub fn tasks(&self) -> u32 {
        self.order.len() as u32
    }

    /// The layer of a task and the task's place in it.
    ///
    /// # Panics
    /// When there is no such task.
    pub fn place(&self, id: u32) -> (usize, u32) {
        assert!(id < self.tasks(), "task {id} of {}", self.tasks());
        plan::place(&self.layers, id)
    }

    /// A task's inputs, in hole order.
    pub fn inputs_of(&self, id: u32) -> impl Iterator<Item = InputOf> + '_ {
        let tasks = self.tasks();
        self.inputs.row(id).iter().map(move |&input| match input.checked_sub(tasks) {
            None => InputOf::Local(input),
            Some(external) => InputOf::External(external),
        })
    }

    /// The needed tasks in the order of their ranks.
    pub fn sequence(&self) -> Vec<u32> {
        let mut sequence = vec![0; self.needed.count()];
        for id in self.needed.iter() {
            sequence[self.order[id as usize] as usize] = id;
        }
        sequence
    }

    /// Bytes held.
    pub fn nbytes(&self) -> usize {
        self.inputs.nbytes()
            + self.order.capacity() * 4
            + self.externals.capacity() * size_of::<Key>()
            + self.outputs.capacity() * size_of::<Output>()
            + self.order.len() / 8
    }
}

/// Finds the tasks that are needed for what is wanted, what they read, and the order in which to run them.
///
/// `known` is asked at most once about a task of the graph, and never about keys that the graph does not define.
/// A needed key that is nowhere to be found becomes an external: the scheduler, which knows its tasks, refuses it.
/// A layer that reads a grid outside of the graph finds the grid's block `i` under [`Key::block`] of `i`.
///
/// ```
/// # use kask_graph::{expand, Graph, KeyLists, Known, Layer, LayerKind, MapLayer, Output, Wanted};
/// # use kask_types::{Annotations, BlobId, Items, Key, LayerToken, Payload};
/// // Task 0 makes key 7, task 1 reads it to make key 8, task 2 (key 9) is not asked for.
/// let map = MapLayer {
///     function: BlobId::of(b"inc"),
///     items: Items::Each(vec![Payload::empty(); 3]),
///     keys: vec![Key(7), Key(8), Key(9)],
///     names: Vec::new(),
///     inputs: KeyLists { keys: vec![Key(7)], ends: vec![0, 1, 1] },
/// };
/// let layer = Layer {
///     token: LayerToken(1),
///     prefix: "inc".into(),
///     annotations: Annotations::default(),
///     kind: LayerKind::Map(map),
/// };
/// let graph = Graph { layers: vec![layer] };
/// let wanted = Wanted::Keys(vec![Key(8)]);
/// let expansion = expand(&graph, &wanted, &mut |_| Known::No).unwrap();
/// assert_eq!(expansion.outputs, [Output::Local(1)]);
/// assert_eq!(expansion.inputs.row(1), [0]);
/// assert_eq!(expansion.order, [0, 1, u32::MAX]);
///
/// // Had the scheduler task 0 already, it would be read from there.
/// let expansion = expand(&graph, &wanted, &mut |key| if key == Key(7) { Known::Alive } else { Known::No }).unwrap();
/// assert_eq!(expansion.externals, [Key(7)]);
/// assert_eq!(expansion.inputs.row(1), [expansion.tasks()]);
/// ```
pub fn expand(graph: &Graph, wanted: &Wanted, known: &mut dyn FnMut(Key) -> Known) -> Result<Expansion, GraphError> {
    expand_within(graph, wanted, known, &Limits::MAX)
}

/// Like [`expand`], with smaller limits: a short message can describe a huge grid, and tables are made for it.
///
/// ```
/// # use kask_graph::{expand_within, Graph, Known, Limits, Wanted};
/// let limits = Limits { tasks: 10_000_000, inputs: 100_000_000 };
/// assert!(expand_within(&Graph::default(), &Wanted::All, &mut |_| Known::No, &limits).is_ok());
/// ```
pub fn expand_within(
    graph: &Graph,
    wanted: &Wanted,
    known: &mut dyn FnMut(Key) -> Known,
    limits: &Limits,
) -> Result<Expansion, GraphError> {
    let plan = Plan::new(graph, limits)?;
    let mut walk = Walk::new(&plan, known, limits.inputs)?;
    let outputs = walk.outputs(wanted);
    walk.run()?;
    let Walk { inputs, externals, states, .. } = walk;
    let mut needed = BitSet::new(states.len());
    for (id, _) in states.iter().enumerate().filter(|(_, state)| **state == State::Needed) {
        needed.insert(id as u32);
    }
    drop(states);
    let kept: Vec<u32> = outputs
        .iter()
        .filter_map(|output| match output {
            Output::Local(id) => Some(*id),
            Output::External(_) => None,
        })
        .collect();
    let order = order::ranks(&inputs, &needed, &kept).map_err(|cycle| cycle_error(&plan, &cycle))?;
    Ok(Expansion { layers: plan.spans, inputs, externals, needed, order, outputs })
}

fn cycle_error(plan: &Plan<'_>, cycle: &[u32]) -> GraphError {
    let names = cycle.iter().take(20).map(|&id| plan.name_of(id)).collect();
    GraphError::Cycle { names, length: cycle.len() }
}

/// What the walk has found out about a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Not met.
    New,
    /// Must run.
    Needed,
    /// The scheduler has it.
    Alive,
    /// A block whose key a map layer or an explicit layer defines too.
    Alias,
}

struct Walk<'p, 'g, 'k> {
    plan: &'p Plan<'g>,
    index: KeyIndex,
    known: &'k mut dyn FnMut(Key) -> Known,
    states: Vec<State>,
    /// Needed tasks whose inputs are not found yet.
    pending: Vec<u32>,
    inputs: Csr,
    externals: Vec<Key>,
    /// Indices into `externals`.
    external_index: HashTable<u32>,
    most_inputs: u32,
    /// Whether there were more inputs than that.
    is_full: bool,
}

impl<'p, 'g, 'k> Walk<'p, 'g, 'k> {
    fn new(plan: &'p Plan<'g>, known: &'k mut dyn FnMut(Key) -> Known, most_inputs: u32) -> Result<Self, GraphError> {
        let most_inputs = most_inputs.min(Limits::MAX.inputs);
        let index = KeyIndex::new(plan)?;
        let states = filled(plan, State::New)?;
        let inputs = Csr { rows: filled(plan, (0, 0))?, targets: Vec::new() };
        let (pending, externals, external_index) = (Vec::new(), Vec::new(), HashTable::new());
        Ok(Walk { plan, index, known, states, pending, inputs, externals, external_index, most_inputs, is_full: false })
    }

    fn outputs(&mut self, wanted: &Wanted) -> Vec<Output> {
        let plan = self.plan;
        match wanted {
            Wanted::Keys(keys) => keys.iter().map(|&key| self.reach_key(key)).collect(),
            Wanted::All => {
                let mut outputs = Vec::new();
                for (layer, span) in plan.layers.iter().zip(&plan.spans) {
                    let results = match &layer.kind {
                        LayerKind::Map(map) => {
                            outputs.extend(map.keys.iter().map(|&key| self.reach_key(key)));
                            continue;
                        }
                        LayerKind::Explicit(explicit) => {
                            outputs.extend(explicit.keys.iter().map(|&key| self.reach_key(key)));
                            continue;
                        }
                        LayerKind::Blockwise(_) => span.len,
                        LayerKind::TreeReduce(tree) => tree.sizes().1,
                        LayerKind::Shuffle(shuffle) => crate::grid::blocks(&shuffle.outputs),
                    };
                    outputs.extend((0..results).map(|i| self.reach_block(span.start + i)));
                }
                outputs
            }
        }
    }

    /// Finds the inputs of all needed tasks.
    fn run(&mut self) -> Result<(), GraphError> {
        let plan = self.plan;
        while let Some(id) = self.pending.pop() {
            let start = self.inputs.targets.len();
            plan.inputs_of(id, &mut |read| {
                let input = self.reach_read(read);
                self.add_input(input);
            });
            if self.is_full {
                let (layer, _) = plan.place(id);
                return Err(GraphError::TooManyInputs { layer: plan.layers[layer].label(), limit: self.most_inputs });
            }
            self.inputs.close_row(id, start);
        }
        Ok(())
    }

    fn reach_read(&mut self, read: Read) -> Output {
        match read {
            Read::Task(id) => self.reach_block(id),
            Read::Key(key) => self.reach_key(key),
            Read::Block(layer, block) => {
                let key = Key::block(layer, block);
                match self.index.find_listed(self.plan, key) {
                    Some(id) => self.reach(id, key),
                    None => Output::External(key),
                }
            }
        }
    }

    fn add_input(&mut self, input: Output) {
        if self.inputs.targets.len() >= self.most_inputs as usize {
            self.is_full = true;
            return;
        }
        let target = match input {
            Output::Local(id) => id,
            Output::External(key) => self.plan.tasks + self.external(key),
        };
        self.inputs.targets.push(target);
    }

    fn external(&mut self, key: Key) -> u32 {
        let externals = &mut self.externals;
        let same = |&index: &u32| externals[index as usize] == key;
        let rehash = |&index: &u32| key_hash(externals[index as usize]);
        match self.external_index.entry(key_hash(key), same, rehash) {
            Entry::Occupied(entry) => *entry.get(),
            Entry::Vacant(entry) => {
                let index = externals.len() as u32;
                entry.insert(index);
                externals.push(key);
                index
            }
        }
    }

    fn reach_key(&mut self, key: Key) -> Output {
        match self.index.find(self.plan, key) {
            Some(id) => self.reach(id, key),
            None => Output::External(key),
        }
    }

    /// Notes that a task of a grid is read or wanted, and says where its result comes from.
    fn reach_block(&mut self, id: u32) -> Output {
        match self.states[id as usize] {
            State::Needed => Output::Local(id),
            State::Alive => Output::External(self.plan.key_of(id)),
            State::Alias => self.reach_key(self.plan.key_of(id)),
            State::New => {
                let key = self.plan.key_of(id);
                if self.index.find_listed(self.plan, key).is_some() {
                    self.states[id as usize] = State::Alias;
                    return self.reach_key(key);
                }
                self.reach(id, key)
            }
        }
    }

    /// The same for the task that the index gives for `key`.
    fn reach(&mut self, id: u32, key: Key) -> Output {
        match self.states[id as usize] {
            State::Needed => Output::Local(id),
            State::Alive => Output::External(key),
            State::New | State::Alias => match (self.known)(key) {
                Known::Alive => {
                    self.states[id as usize] = State::Alive;
                    Output::External(key)
                }
                Known::No => {
                    self.states[id as usize] = State::Needed;
                    self.pending.push(id);
                    Output::Local(id)
                }
            },
        }
    }
}

/// One value for each task, or an error where a plain allocation would end the process.
fn filled<T: Clone>(plan: &Plan<'_>, value: T) -> Result<Vec<T>, GraphError> {
    let mut values = Vec::new();
    let reserved = values.try_reserve_exact(plan.tasks as usize);
    reserved.map_err(|_| GraphError::OutOfMemory { tasks: plan.tasks })?;
    values.resize(plan.tasks as usize, value);
    Ok(values)
}
