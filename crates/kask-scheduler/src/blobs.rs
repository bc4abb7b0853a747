//! Functions and large constants: sent by clients, sent on to each worker once.
//!
//! A blob is kept while a client pins it or a living layer names it. Invariants: `layers` counts the spans of living
//! layers that name it, `pinned_by` the clients; a worker's `blobs` were sent to it and not dropped since.

use crate::clients::ClientIx;
use crate::scheduler::Scheduler;
use kask_graph::{Layer, LayerKind};
use kask_types::{BlobId, Payload};
use kask_wire::SchedulerToWorker;
use std::collections::{BTreeMap, BTreeSet};

/// One of them.
pub(crate) struct Blob {
    pub(crate) payload: Payload,
    pub(crate) pinned_by: BTreeSet<ClientIx>,
    pub(crate) layers: u32,
}

/// All of them.
pub(crate) type Blobs = BTreeMap<BlobId, Blob>;

/// What the tasks of a layer call, each once.
pub(crate) fn blobs_of(layer: &Layer) -> Vec<BlobId> {
    let mut blobs = match &layer.kind {
        LayerKind::Map(map) => vec![map.function],
        LayerKind::Explicit(explicit) => explicit.functions.iter().copied().flatten().collect(),
        LayerKind::Blockwise(blockwise) => vec![blockwise.function],
        LayerKind::TreeReduce(tree) => vec![tree.combine, tree.aggregate],
        LayerKind::Shuffle(shuffle) => [&shuffle.split, &shuffle.merge, &shuffle.take].map(|of| of.function).to_vec(),
    };
    blobs.sort_unstable();
    blobs.dedup();
    blobs
}

impl Scheduler {
    pub(crate) fn pin_blobs(&mut self, client: ClientIx, blobs: Vec<(BlobId, Payload)>) {
        for (id, payload) in blobs {
            let blob = self.blobs.entry(id);
            let blob = blob.or_insert_with(|| Blob { payload, pinned_by: BTreeSet::new(), layers: 0 });
            blob.pinned_by.insert(client);
            self.clients[client].pins.insert(id);
        }
    }

    pub(crate) fn unpin_blobs(&mut self, client: ClientIx, blobs: Vec<BlobId>) {
        let mut gone = Vec::new();
        for id in blobs {
            if self.clients[client].pins.remove(&id) {
                let blob = self.blobs.get_mut(&id).expect("a pinned blob is kept");
                blob.pinned_by.remove(&client);
                gone.push(id);
            }
        }
        self.drop_unused_blobs(gone);
    }

    /// A layer that named these is gone.
    pub(crate) fn release_layer_blobs(&mut self, blobs: Vec<BlobId>) {
        for id in &blobs {
            self.blobs.get_mut(id).expect("a blob that a layer names is kept").layers -= 1;
        }
        self.drop_unused_blobs(blobs);
    }

    fn drop_unused_blobs(&mut self, mut candidates: Vec<BlobId>) {
        candidates.retain(|id| self.blobs.get(id).is_some_and(|blob| blob.layers == 0 && blob.pinned_by.is_empty()));
        if candidates.is_empty() {
            return;
        }
        for id in &candidates {
            self.blobs.remove(id);
        }
        let all: Vec<_> = self.workers.iter().map(|(ix, _)| ix).collect();
        for ix in all {
            let worker = &mut self.workers[ix];
            let had: Vec<BlobId> = candidates.iter().copied().filter(|id| worker.blobs.remove(id)).collect();
            if !had.is_empty() {
                self.out.tell_worker(self.workers[ix].id, SchedulerToWorker::DropBlobs(had));
            }
        }
    }
}
