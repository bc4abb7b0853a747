//! Blobs that a client keeps pinned at the scheduler, so that a function that is used again is not sent again.
//!
//! What is pinned is kept by the scheduler and by every worker, used or not: a closure over a large array, or a large keyword
//! argument of a `map`, too. So the pins of a client hold few bytes, and where they are objects of this process, whose size is
//! not known, there are few of them. A blob that is let go of lives on as long as a layer names it.

use kask_types::{BlobId, Payload};
use rustc_hash::FxHashMap;

/// How many blobs are kept pinned.
const MOST: usize = 1024;
/// How many objects of this process.
const MOST_LOCAL: usize = 8;
/// How many bytes.
const MOST_BYTES: u64 = 64 << 20;

/// See the module.
#[derive(Default)]
pub(crate) struct Pins {
    used: u64,
    bytes: u64,
    local: usize,
    blobs: FxHashMap<BlobId, Pin>,
}

struct Pin {
    used: u64,
    nbytes: u64,
    is_local: bool,
}

impl Pins {
    /// Pins what a submission names. Gives the blobs that have to be sent before it, and those to let go of after it.
    pub(crate) fn pin(&mut self, blobs: Vec<(BlobId, Payload)>) -> (Vec<(BlobId, Payload)>, Vec<BlobId>) {
        let mut new = Vec::new();
        for (id, payload) in blobs {
            self.used += 1;
            if let Some(pin) = self.blobs.get_mut(&id) {
                pin.used = self.used;
                continue;
            }
            let pin = Pin { used: self.used, nbytes: payload.nbytes(), is_local: matches!(payload, Payload::Local(_)) };
            self.bytes += pin.nbytes;
            self.local += usize::from(pin.is_local);
            self.blobs.insert(id, pin);
            new.push((id, payload));
        }
        let dropped = if new.is_empty() { Vec::new() } else { self.evict() };
        (new, dropped)
    }

    /// Lets go of a blob; says whether it was pinned.
    pub(crate) fn unpin(&mut self, id: BlobId) -> bool {
        let Some(pin) = self.blobs.remove(&id) else { return false };
        self.bytes -= pin.nbytes;
        self.local -= usize::from(pin.is_local);
        true
    }

    /// Lets go of those whose last use is longest ago, where there are too many or too large ones.
    fn evict(&mut self) -> Vec<BlobId> {
        let is_crowded = self.blobs.len() > MOST;
        if !is_crowded && self.local <= MOST_LOCAL && self.bytes <= MOST_BYTES {
            return Vec::new();
        }
        // By half, so that not every further blob has the pins sorted.
        let most = if is_crowded { MOST / 2 } else { MOST };
        let mut by_age: Vec<(u64, BlobId)> = self.blobs.iter().map(|(id, pin)| (pin.used, *id)).collect();
        by_age.sort_unstable();
        let mut dropped = Vec::new();
        for (_, id) in by_age {
            if self.blobs.len() <= most && self.local <= MOST_LOCAL && self.bytes <= MOST_BYTES {
                break;
            }
            self.unpin(id);
            dropped.push(id);
        }
        dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blob(number: u128, nbytes: usize) -> (BlobId, Payload) {
        (BlobId(number), Payload::from_bytes(vec![0; nbytes]))
    }

    #[test]
    fn what_was_sent_is_not_sent_again() {
        let mut pins = Pins::default();
        assert_eq!(pins.pin(vec![blob(1, 10), blob(2, 10)]).0.len(), 2);
        let (new, dropped) = pins.pin(vec![blob(2, 10), blob(3, 10)]);
        assert_eq!((new[0].0, new.len(), dropped.len()), (BlobId(3), 1, 0));
    }

    #[test]
    fn the_oldest_go_when_there_are_too_many_or_too_large_ones() {
        let mut pins = Pins::default();
        for number in 0..MOST as u128 {
            assert!(pins.pin(vec![blob(number, 1)]).1.is_empty());
        }
        pins.pin(vec![blob(0, 1)]);
        let dropped = pins.pin(vec![blob(5000, 1)]).1;
        assert_eq!((dropped[0], dropped.len()), (BlobId(1), MOST / 2 + 1));
        for number in 9000..9004 {
            pins.pin(vec![blob(number, (MOST_BYTES / 2) as usize)]);
            assert!(pins.bytes <= MOST_BYTES && pins.blobs.contains_key(&BlobId(number)));
        }
        assert_eq!(pins.blobs.len(), 2);
        let (new, dropped) = pins.pin(vec![blob(1, MOST_BYTES as usize + 1)]);
        assert_eq!((new.len(), dropped.len()), (1, 3), "the large one itself is kept no longer than its layer");
        assert_eq!((pins.blobs.len(), pins.bytes, pins.local), (0, 0, 0));
    }
}
