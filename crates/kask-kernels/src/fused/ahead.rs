//! Reading ahead: while one tile is computed, the next is brought into the cache.
//!
//! The processor itself reads ahead only while a loop reads; the steps between leave the memory idle. And it takes only a few requests at a
//! time: when there are more it waits. So every step asks for its share of the next tile, and a loop asks between its elements.

use super::TILE;
use super::ops::Values;
use super::reduce::LANES;
use super::view::View;

/// Bytes of a line of the cache.
pub(super) const LINE: usize = 64;

/// What follows the current tile in each array that is read where it lies.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    places: Vec<Fetch>,
    /// Lines that are fetched at a time.
    portion: usize,
}

/// Lines that follow each other.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fetch {
    address: usize,
    lines: usize,
}

impl Ahead {
    pub(super) fn clear(&mut self) {
        self.places.clear();
    }

    /// Notes what follows `values`, if they lie in the array.
    pub(super) fn follow(&mut self, view: &View<'_>, values: Values<'_>) {
        let all = view.bytes.as_ptr_range();
        let next = values.bytes.as_ptr_range().end;
        if !values.is_one && all.contains(&next) {
            let len = (all.end as usize - next as usize).min(values.bytes.len()).min(TILE * 8);
            self.places.push(Fetch { address: next as usize, lines: len.div_ceil(LINE) });
        }
    }

    /// All of it is to be fetched in so many portions.
    pub(super) fn spread(&mut self, portions: usize) {
        let lines: usize = self.places.iter().map(|place| place.lines).sum();
        // A loop asks for whole lines between its groups.
        self.portion = lines.div_ceil(portions).next_multiple_of(TILE / LANES);
    }

    /// The next portion. Where it ends one array and begins another, the end is fetched here.
    pub(super) fn portion(&mut self) -> Fetch {
        let mut wanted = self.portion;
        while let Some(place) = self.places.last_mut() {
            let part = Fetch { address: place.address, lines: place.lines.min(wanted) };
            place.address += part.lines * LINE;
            place.lines -= part.lines;
            wanted -= part.lines;
            if place.lines == 0 {
                self.places.pop();
            }
            if wanted == 0 {
                return part;
            }
            part.at_once();
        }
        Fetch::default()
    }
}

impl Fetch {
    /// Asks for all lines.
    pub(super) fn at_once(mut self) {
        self.some(self.lines);
    }

    /// How many lines are to be asked for at each of so many times.
    #[inline(always)]
    pub(super) fn each(&self, times: usize) -> usize {
        self.lines.div_ceil(times.max(1))
    }

    /// Asks for the next few lines, and perhaps for some behind the last.
    #[inline(always)]
    pub(super) fn some(&mut self, lines: usize) {
        for _ in 0..lines {
            prefetch(self.address);
            self.address += LINE;
        }
    }
}

#[inline(always)]
fn prefetch(address: usize) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint: nothing is read, and an address that is not mapped is passed over.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T1>(std::ptr::without_provenance(address));
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}
