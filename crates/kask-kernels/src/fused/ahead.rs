//! Reading ahead: while one tile is computed, the next is brought into the cache.
//!
//! The processor itself reads ahead only while a loop reads; the steps between leave the memory idle.

use super::TILE;
use super::ops::Values;
use super::view::View;

/// Bytes of a line of the cache.
const LINE: usize = 64;

/// What follows the current tile in each array that is read where it lies.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    /// Where it begins, and how many lines are left to fetch.
    places: Vec<(usize, usize)>,
    /// Lines that are fetched of each at a time.
    portion: usize,
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
            self.places.push((next as usize, len.div_ceil(LINE)));
        }
    }

    /// All of it is to be fetched in so many portions.
    pub(super) fn spread(&mut self, portions: usize) {
        let most = self.places.iter().map(|&(_, lines)| lines).max().unwrap_or(0);
        self.portion = most.div_ceil(portions);
    }

    /// Fetches a portion.
    pub(super) fn fetch(&mut self) {
        for (place, lines) in &mut self.places {
            let now = self.portion.min(*lines);
            for line in 0..now {
                prefetch(*place + line * LINE);
            }
            *place += now * LINE;
            *lines -= now;
        }
    }
}

#[inline]
fn prefetch(address: usize) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint: nothing is read, and an address that is not mapped is passed over.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(std::ptr::without_provenance(address));
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}
