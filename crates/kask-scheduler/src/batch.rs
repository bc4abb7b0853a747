//! What the tasks of one submission share: their layers, their order, and who reads whom.
//!
//! A task's *row* is its rank in the order that `kask-graph` computed, so neighbours in the order are neighbours in
//! memory. Adjacency is compressed both ways, four bytes an edge. A batch lives as long as one of its tasks; a layer of
//! it (functions, arguments, names) only as long as one of that layer's tasks.

use crate::classes::ClassIx;
use crate::rankset::RankSet;
use crate::tasks::Slot;
use kask_graph::{Call, Layer, LayerKind};
use kask_types::{BlobId, Resources};
use smallvec::SmallVec;
use std::sync::Arc;

/// Lists of slots, one after another.
#[derive(Default)]
pub(crate) struct Lists {
    ends: Vec<u32>,
    slots: Vec<Slot>,
}

impl Lists {
    pub(crate) fn with_capacity(rows: usize, edges: usize) -> Lists {
        Lists { ends: Vec::with_capacity(rows), slots: Vec::with_capacity(edges) }
    }

    pub(crate) fn push_row(&mut self, row: impl Iterator<Item = Slot>) {
        self.slots.extend(row);
        self.ends.push(self.slots.len() as u32);
    }

    /// `lists[row]` will get `counts[row]` slots; fill them with [`Filler::put`].
    pub(crate) fn with_counts(counts: Vec<u32>) -> Filler {
        let mut ends = counts;
        let mut total = 0;
        for end in &mut ends {
            // Each end starts as its list's beginning and moves on as the list is filled.
            let count = *end;
            *end = total;
            total += count;
        }
        Filler { lists: Lists { ends, slots: vec![Slot::NONE; total as usize] } }
    }

    pub(crate) fn span(&self, row: u32) -> (u32, u32) {
        let start = if row == 0 { 0 } else { self.ends[row as usize - 1] };
        (start, self.ends[row as usize])
    }

    pub(crate) fn get(&self, at: u32) -> Slot {
        self.slots[at as usize]
    }

    fn memory_bytes(&self) -> usize {
        (self.ends.capacity() + self.slots.capacity()) * 4
    }
}

/// Lists that are being filled in any order.
pub(crate) struct Filler {
    lists: Lists,
}

impl Filler {
    pub(crate) fn put(&mut self, row: u32, slot: Slot) {
        let end = &mut self.lists.ends[row as usize];
        self.lists.slots[*end as usize] = slot;
        *end += 1;
    }

    /// All lists have got as many slots as was said.
    pub(crate) fn done(self) -> Lists {
        self.lists
    }
}

/// How tasks of a layer are run.
#[derive(Clone)]
pub(crate) struct Style {
    pub(crate) class: ClassIx,
    /// Negated user priority.
    pub(crate) user: i32,
    pub(crate) retries: u32,
    pub(crate) resources: Option<Arc<Resources>>,
    /// What the user says that a task needs; 0 when nothing is known.
    pub(crate) memory_bytes: u64,
}

/// A layer of the batch, and which tasks are its.
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) len: u32,
    /// Living tasks.
    pub(crate) alive: u32,
    /// Dropped with the last of its tasks.
    pub(crate) layer: Option<Box<Layer>>,
    /// What its tasks call; each counted once.
    pub(crate) blobs: Vec<BlobId>,
    /// The layer's own style, then those of an explicit layer's annotation sets.
    pub(crate) styles: SmallVec<[Style; 1]>,
}

impl Span {
    /// How task `index` of the layer is run.
    fn style(&self, index: u32) -> &Style {
        if let [only] = &self.styles[..] {
            return only;
        }
        let set = match &self.layer.as_ref().expect("a layer outlives its tasks").kind {
            LayerKind::Explicit(explicit) => explicit.annotations.get(index as usize).copied(),
            LayerKind::Map(_) | LayerKind::Blockwise(_) | LayerKind::TreeReduce(_) | LayerKind::Shuffle(_) => None,
        };
        let of_set = set.and_then(|set| self.styles.get(set as usize + 1));
        of_set.unwrap_or(&self.styles[0])
    }
}

/// Tasks of a batch that are queued with one priority of the user and one class of workers.
pub(crate) struct Ready {
    pub(crate) class: ClassIx,
    pub(crate) user: i32,
    pub(crate) rows: RankSet,
}

/// See the module.
pub(crate) struct Batch {
    /// Counts submissions: earlier graphs run first.
    pub(crate) graph: u32,
    /// By `start`, ascending.
    pub(crate) spans: Vec<Span>,
    /// Row to number within the submission (layer after layer).
    pub(crate) locals: Vec<u32>,
    /// Row to slot; `Slot::NONE` where the key was known before and the older task is used.
    pub(crate) slots: Vec<Slot>,
    pub(crate) inputs: Lists,
    pub(crate) dependents: Lists,
    pub(crate) alive: u32,
    pub(crate) ready: SmallVec<[Ready; 1]>,
}

impl Batch {
    /// Which span a row belongs to, and its index within the layer.
    pub(crate) fn local(&self, row: u32) -> (usize, u32) {
        let local = self.locals[row as usize];
        let span = match &self.spans[..] {
            [_] => 0,
            spans => spans.partition_point(|span| span.start <= local) - 1,
        };
        (span, local - self.spans[span].start)
    }

    /// The row's layer and style.
    pub(crate) fn layer_of(&self, row: u32) -> (&Layer, &Style) {
        let (span, index) = self.local(row);
        let span = &self.spans[span];
        (span.layer.as_ref().expect("a layer outlives its tasks"), span.style(index))
    }

    /// What the row's task calls.
    pub(crate) fn call(&self, row: u32) -> Option<Call> {
        let (span, index) = self.local(row);
        self.spans[span].layer.as_ref().expect("a layer outlives its tasks").call(index)
    }

    /// Into how many parts the row's inputs are taken apart, if it reads one part of each.
    pub(crate) fn parts_read(&self, row: u32) -> u32 {
        match &self.layer_of(row).0.kind {
            LayerKind::Shuffle(shuffle) => shuffle.groups(),
            LayerKind::Map(_) | LayerKind::Explicit(_) | LayerKind::Blockwise(_) | LayerKind::TreeReduce(_) => 1,
        }
    }

    pub(crate) fn style_of(&self, row: u32) -> &Style {
        let (span, index) = self.local(row);
        self.spans[span].style(index)
    }

    /// The queue for tasks of this style.
    pub(crate) fn ready_for(&mut self, class: ClassIx, user: i32) -> (u32, &mut RankSet) {
        let found = self.ready.iter().position(|ready| ready.class == class && ready.user == user);
        let at = found.unwrap_or_else(|| {
            self.ready.push(Ready { class, user, rows: RankSet::new(self.slots.len()) });
            self.ready.len() - 1
        });
        (at as u32, &mut self.ready[at].rows)
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        let ready: usize = self.ready.iter().map(|ready| ready.rows.memory_bytes()).sum();
        size_of::<Batch>()
            + (self.locals.capacity() + self.slots.capacity()) * 4
            + self.inputs.memory_bytes()
            + self.dependents.memory_bytes()
            + ready
            + self.spans.capacity() * size_of::<Span>()
    }
}
