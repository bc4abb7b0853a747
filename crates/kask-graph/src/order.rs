//! In which order to run tasks, so that little is held at any moment.
//!
//! One depth-first walk from the wanted tasks, in the order in which they are wanted. A task's inputs are made
//! one after another, the most demanding first; then the task runs at once. Three rules, none of which recurses:
//!
//! - *Demand.* An input's demand is the number of values that must be held to make it if nothing were shared:
//!   the register count of Sethi and Ullman ("The generation of optimal code for arithmetic expressions",
//!   J. ACM 17, 1970), which for trees makes the walk the best of all depth-first ones. A binary tree over n
//!   leaves so holds about log2 n values.
//! - *Release.* When a value has one reader left and that one could run now, it does: it replaces one value by
//!   another that is nearer to an output. The same goes for a task that becomes ready and frees an input. That is
//!   what keeps two reductions of the same blocks in step. (Dask's `dask.order` has the same aim, and found that
//!   finishing what was begun matters more than any static priority.)
//! - *Completion.* If all that this last reader lacks are private things that no other task reads and that take
//!   few values to make, they are made first. Afterwards no more is held than before.
//!
//! Every input relation is looked at a bounded number of times; the only more than linear step sorts a task's
//! inputs by demand. The result depends on the graph and the wanted list alone.
//!
//! Invariants: a task is pushed to the sequence once, after all its inputs. `missing` counts a task's
//! distinct inputs that are not in the sequence, `readers_left` a task's distinct readers that are not.

use crate::adjacency::Csr;
use crate::bits::BitSet;

/// Not in the sequence.
const UNRANKED: u32 = u32::MAX;
/// Added to the readers of a wanted task: its value is never freed.
const KEPT: u32 = 1 << 31;
/// Private inputs that demand more values than this are not made early.
const COMPLETION_DEMAND: u16 = 8;
/// Tasks with more inputs than this are not completed early, which keeps that rule's cost linear.
const COMPLETION_INPUTS: usize = 16;

/// The rank of each needed task (`u32::MAX` for others), or the tasks of a cycle, each needing the next.
///
/// Numbers in `inputs` from the number of rows on are externals: held elsewhere, always there.
pub(crate) fn ranks(inputs: &Csr, needed: &BitSet, kept: &[u32]) -> Result<Vec<u32>, Vec<u32>> {
    let mut walk = Walk::new(inputs, needed)?;
    for &id in kept {
        // Two wants are no more than one.
        walk.readers_left[id as usize] |= KEPT;
    }
    for &id in kept {
        walk.make(id);
    }
    Ok(walk.rank)
}

/// What a task's making takes, judged by its inputs alone.
#[derive(Clone, Copy, Default)]
struct Demand {
    values: u16,
    /// Whether all it is made of, directly or not, has one reader.
    is_private: bool,
}

struct Walk<'a> {
    inputs: &'a Csr,
    /// Readers of task `id`, ascending: `readers[reader_starts[id]..reader_starts[id + 1]]`.
    reader_starts: Vec<u32>,
    readers: Vec<u32>,
    missing: Vec<u32>,
    readers_left: Vec<u32>,
    demands: Vec<Demand>,
    rank: Vec<u32>,
    next_rank: u32,
    /// The last reader that was seen to read each task: tells repeated inputs apart.
    seen_by: Vec<u32>,
    /// Whose inputs have been asked for.
    begun: BitSet,
    /// What to make, last first.
    goals: Vec<u32>,
    chosen: Vec<u32>,
}

impl<'a> Walk<'a> {
    fn new(inputs: &'a Csr, needed: &BitSet) -> Result<Walk<'a>, Vec<u32>> {
        let tasks = inputs.len();
        let (reader_starts, readers, missing) = reverse(inputs, needed);
        let readers_left: Vec<u32> = reader_starts.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let mut walk = Walk {
            inputs,
            reader_starts,
            readers,
            missing,
            readers_left,
            demands: vec![Demand::default(); tasks],
            rank: vec![UNRANKED; tasks],
            next_rank: 0,
            seen_by: vec![UNRANKED; tasks],
            begun: BitSet::new(tasks),
            goals: Vec::new(),
            chosen: Vec::new(),
        };
        walk.weigh(needed)?;
        Ok(walk)
    }

    /// Finds every task's demand, inputs first; fails with a cycle if there is one.
    fn weigh(&mut self, needed: &BitSet) -> Result<(), Vec<u32>> {
        let mut lacking = self.missing.clone();
        let mut ready: Vec<u32> = needed.iter().filter(|&id| lacking[id as usize] == 0).collect();
        let mut values = Vec::new();
        let mut weighed = 0;
        while let Some(&id) = ready.get(weighed) {
            weighed += 1;
            self.demands[id as usize] = self.demand(id, &mut values);
            for &reader in self.readers_of(id) {
                lacking[reader as usize] -= 1;
                if lacking[reader as usize] == 0 {
                    ready.push(reader);
                }
            }
        }
        match needed.iter().find(|&id| lacking[id as usize] > 0) {
            None => Ok(()),
            Some(start) => Err(cycle(self.inputs, &lacking, start)),
        }
    }

    fn demand(&self, id: u32, values: &mut Vec<u16>) -> Demand {
        values.clear();
        let mut is_private = true;
        for input in self.local_inputs(id) {
            let demand = self.demands[input as usize];
            values.push(demand.values);
            is_private &= demand.is_private && self.readers_of(input).len() == 1;
        }
        // Made in descending order of demand, input `i` needs room beside the `i` results before it.
        values.sort_unstable_by(|a, b| b.cmp(a));
        let held = |count: usize| u16::try_from(count).unwrap_or(u16::MAX);
        let most = values.iter().enumerate().map(|(before, value)| value.saturating_add(held(before))).max();
        Demand { values: most.unwrap_or(0).max(held(values.len() + 1)), is_private }
    }

    fn local_inputs(&self, id: u32) -> impl Iterator<Item = u32> + use<'a> {
        let tasks = self.inputs.len() as u32;
        self.inputs.row(id).iter().copied().filter(move |&input| input < tasks)
    }

    fn readers_of(&self, id: u32) -> &[u32] {
        let id = id as usize;
        &self.readers[self.reader_starts[id] as usize..self.reader_starts[id + 1] as usize]
    }

    fn is_made(&self, id: u32) -> bool {
        self.rank[id as usize] != UNRANKED
    }

    /// Puts `id` and all that it lacks into the sequence.
    fn make(&mut self, id: u32) {
        self.goals.push(id);
        while let Some(&goal) = self.goals.last() {
            if self.is_made(goal) {
                self.goals.pop();
            } else if self.missing[goal as usize] == 0 {
                self.goals.pop();
                self.run(goal);
            } else {
                self.begin(goal);
            }
        }
    }

    /// Makes the missing inputs of a task the next goals, the most demanding first.
    fn begin(&mut self, id: u32) {
        self.begun.insert(id);
        let mut chosen = std::mem::take(&mut self.chosen);
        chosen.clear();
        chosen.extend(self.local_inputs(id).filter(|&input| !self.is_made(input)));
        chosen.reverse();
        // Stable, so that among equals the first input comes last and so is made first.
        chosen.sort_by_key(|&input| self.demands[input as usize].values);
        self.goals.extend_from_slice(&chosen);
        self.chosen = chosen;
    }

    /// Puts a task whose inputs are all made into the sequence, and looks what that makes worth doing next.
    fn run(&mut self, id: u32) {
        self.rank[id as usize] = self.next_rank;
        self.next_rank += 1;
        for input in self.local_inputs(id) {
            if std::mem::replace(&mut self.seen_by[input as usize], id) == id {
                continue;
            }
            self.readers_left[input as usize] -= 1;
            if self.readers_left[input as usize] == 1 {
                self.release(input);
            }
        }
        // What is pushed last is done first: readers of this task, in ascending order.
        let (start, end) = (self.reader_starts[id as usize], self.reader_starts[id as usize + 1]);
        for at in (start..end).rev() {
            let reader = self.readers[at as usize];
            self.missing[reader as usize] -= 1;
            if self.missing[reader as usize] == 0 && self.frees_an_input(reader) {
                self.goals.push(reader);
            }
        }
        if self.readers_left[id as usize] == 1 {
            self.release(id);
        }
    }

    fn frees_an_input(&self, id: u32) -> bool {
        self.local_inputs(id).any(|input| self.readers_left[input as usize] == 1)
    }

    /// Pushes the only reader left of a value, if that can run now or soon.
    fn release(&mut self, value: u32) {
        let last = self.readers_of(value).iter().copied().find(|&reader| !self.is_made(reader));
        if let Some(last) = last
            && (self.missing[last as usize] == 0 || self.is_completed_easily(last))
        {
            self.goals.push(last);
        }
    }

    fn is_completed_easily(&self, id: u32) -> bool {
        let easily = |input: u32| {
            let demand = self.demands[input as usize];
            demand.is_private && demand.values <= COMPLETION_DEMAND && self.readers_left[input as usize] == 1
        };
        !self.begun.contains(id)
            && self.inputs.row(id).len() <= COMPLETION_INPUTS
            && self.local_inputs(id).all(|input| self.is_made(input) || easily(input))
    }
}

/// Who reads each task: where its readers start, the readers, and how many distinct inputs each task has.
pub(crate) fn reverse(inputs: &Csr, needed: &BitSet) -> (Vec<u32>, Vec<u32>, Vec<u32>) {
    let tasks = inputs.len();
    let mut starts = vec![0u32; tasks + 1];
    let mut missing = vec![0u32; tasks];
    let mut seen_by = vec![UNRANKED; tasks];
    let mut each_edge = |visit: &mut dyn FnMut(u32, usize)| {
        seen_by.fill(UNRANKED);
        for id in needed.iter() {
            for &input in inputs.row(id) {
                let input = input as usize;
                if input < tasks && std::mem::replace(&mut seen_by[input], id) != id {
                    visit(id, input);
                }
            }
        }
    };
    each_edge(&mut |id, input| {
        starts[input] += 1;
        missing[id as usize] += 1;
    });
    let mut total = 0;
    for start in &mut starts {
        total += *start;
        *start = total;
    }
    // Each start is at its list's end now and moves down as the list fills.
    let mut readers = vec![0u32; total as usize];
    each_edge(&mut |id, input| {
        starts[input] -= 1;
        readers[starts[input] as usize] = id;
    });
    for pair in 0..tasks {
        let (start, end) = (starts[pair] as usize, starts[pair + 1] as usize);
        readers[start..end].reverse();
    }
    (starts, readers, missing)
}

/// Walks from one stuck task to an input that is stuck, until one comes twice.
fn cycle(inputs: &Csr, lacking: &[u32], start: u32) -> Vec<u32> {
    let mut step_of = vec![UNRANKED; lacking.len()];
    let mut path = Vec::new();
    let mut at = start;
    loop {
        let step = step_of[at as usize];
        if step != UNRANKED {
            return path.split_off(step as usize);
        }
        step_of[at as usize] = path.len() as u32;
        path.push(at);
        let stuck = |input: &&u32| lacking.get(**input as usize).is_some_and(|&lacking| lacking > 0);
        match inputs.row(at).iter().find(stuck) {
            Some(&input) => at = input,
            None => return path,
        }
    }
}
