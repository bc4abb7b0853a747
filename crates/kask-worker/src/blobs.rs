//! Which functions and constants are here, and who still calls them.
//!
//! The scheduler says that no task *still to come* calls a blob; the ones that are here may. So a blob goes when it was
//! given up *and* its last caller has ended.

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use kask_types::BlobId;
use rustc_hash::FxBuildHasher;

#[derive(Debug, Default)]
pub(crate) struct Blobs {
    known: HashMap<BlobId, Blob, FxBuildHasher>,
}

#[derive(Debug, Default)]
struct Blob {
    callers: u32,
    given_up: bool,
}

impl Blobs {
    pub(crate) fn keep(&mut self, id: BlobId) {
        self.known.entry(id).or_default().given_up = false;
    }

    /// Counts one more caller; `false` when the blob is not here.
    #[must_use]
    pub(crate) fn call(&mut self, id: BlobId) -> bool {
        match self.known.get_mut(&id) {
            Some(blob) => {
                blob.callers += 1;
                true
            }
            None => false,
        }
    }

    /// A caller ended. Returns whether the blob can go now.
    #[must_use]
    pub(crate) fn hang_up(&mut self, id: BlobId) -> bool {
        let Entry::Occupied(mut blob) = self.known.entry(id) else {
            unreachable!("a blob outlives its callers");
        };
        blob.get_mut().callers -= 1;
        let goes = blob.get().callers == 0 && blob.get().given_up;
        if goes {
            blob.remove();
        }
        goes
    }

    /// No task still to come calls it. Returns whether it can go now.
    #[must_use]
    pub(crate) fn give_up(&mut self, id: BlobId) -> bool {
        let Entry::Occupied(mut blob) = self.known.entry(id) else {
            return false;
        };
        blob.get_mut().given_up = true;
        let goes = blob.get().callers == 0;
        if goes {
            blob.remove();
        }
        goes
    }

    pub(crate) fn callers(&self, id: BlobId) -> u32 {
        self.known.get(&id).map_or(0, |blob| blob.callers)
    }

    /// Number of blobs that are here.
    pub(crate) fn len(&self) -> usize {
        self.known.len()
    }

    pub(crate) fn total_callers(&self) -> u64 {
        self.known.values().map(|blob| u64::from(blob.callers)).sum()
    }
}
