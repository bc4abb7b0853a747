//! Sets of task slots: what a worker holds, what it works on, what a client wants.
//!
//! Slots of one graph lie side by side, so a set is cut into pages of 4,096 slots: a page with few members is a sorted
//! list, one with many a bitmap. A million wanted tasks cost a bit each. Invariant: `len` is the sum over the pages,
//! and a page without members holds no memory.

use crate::tasks::Slot;

const PAGE_BITS: u32 = 12;
const WORDS: usize = 1 << (PAGE_BITS - 6);
/// A list of this many members is as large as a quarter of a bitmap; from here on the bitmap is faster.
const MOST_LISTED: usize = 64;

#[derive(Default)]
enum Page {
    #[default]
    Empty,
    Few(Vec<u16>),
    Many {
        words: Box<[u64; WORDS]>,
        len: u32,
    },
}

/// A set of slots, iterated in ascending order.
#[derive(Default)]
pub(crate) struct SlotSet {
    pages: Vec<Page>,
    len: usize,
}

impl SlotSet {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn contains(&self, slot: Slot) -> bool {
        let (page, at) = split(slot);
        match self.pages.get(page) {
            None | Some(Page::Empty) => false,
            Some(Page::Few(list)) => list.binary_search(&at).is_ok(),
            Some(Page::Many { words, .. }) => words[at as usize / 64] >> (at % 64) & 1 == 1,
        }
    }

    /// Whether `slot` was new.
    pub(crate) fn insert(&mut self, slot: Slot) -> bool {
        let (page, at) = split(slot);
        if page >= self.pages.len() {
            self.pages.resize_with(page + 1, Page::default);
        }
        let new = self.pages[page].insert(at);
        self.len += usize::from(new);
        new
    }

    /// Whether `slot` was there.
    pub(crate) fn remove(&mut self, slot: Slot) -> bool {
        let (page, at) = split(slot);
        let found = self.pages.get_mut(page).is_some_and(|page| page.remove(at));
        self.len -= usize::from(found);
        found
    }

    /// All members, ascending; from the other end, descending.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = Slot> + '_ {
        self.pages.iter().enumerate().flat_map(|(page, members)| {
            let base = (page as u32) << PAGE_BITS;
            members.members().into_iter().map(move |at| Slot(base + u32::from(at)))
        })
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        let pages: usize = self.pages.iter().map(Page::memory_bytes).sum();
        pages + self.pages.capacity() * size_of::<Page>()
    }
}

fn split(slot: Slot) -> (usize, u16) {
    ((slot.0 >> PAGE_BITS) as usize, (slot.0 & ((1 << PAGE_BITS) - 1)) as u16)
}

impl Page {
    fn insert(&mut self, at: u16) -> bool {
        match self {
            Page::Empty => {
                *self = Page::Few(vec![at]);
                true
            }
            Page::Few(list) => {
                let Err(place) = list.binary_search(&at) else {
                    return false;
                };
                if list.len() < MOST_LISTED {
                    list.insert(place, at);
                    return true;
                }
                let mut words = Box::new([0; WORDS]);
                for &member in list.iter().chain(std::iter::once(&at)) {
                    words[member as usize / 64] |= 1 << (member % 64);
                }
                *self = Page::Many { words, len: MOST_LISTED as u32 + 1 };
                true
            }
            Page::Many { words, len } => {
                let word = &mut words[at as usize / 64];
                let new = *word >> (at % 64) & 1 == 0;
                *word |= 1 << (at % 64);
                *len += u32::from(new);
                new
            }
        }
    }

    fn remove(&mut self, at: u16) -> bool {
        match self {
            Page::Empty => false,
            Page::Few(list) => {
                let Ok(place) = list.binary_search(&at) else {
                    return false;
                };
                list.remove(place);
                if list.is_empty() {
                    *self = Page::Empty;
                }
                true
            }
            Page::Many { words, len } => {
                let word = &mut words[at as usize / 64];
                let found = *word >> (at % 64) & 1 == 1;
                *word &= !(1 << (at % 64));
                *len -= u32::from(found);
                if *len == 0 {
                    *self = Page::Empty;
                }
                found
            }
        }
    }

    fn members(&self) -> Vec<u16> {
        match self {
            Page::Empty => Vec::new(),
            Page::Few(list) => list.clone(),
            Page::Many { words, len } => {
                let mut list = Vec::with_capacity(*len as usize);
                for (index, &word) in words.iter().enumerate() {
                    let mut rest = word;
                    while rest != 0 {
                        list.push((index * 64) as u16 + rest.trailing_zeros() as u16);
                        rest &= rest - 1;
                    }
                }
                list
            }
        }
    }

    fn memory_bytes(&self) -> usize {
        match self {
            Page::Empty => 0,
            Page::Few(list) => list.capacity() * 2,
            Page::Many { .. } => WORDS * 8,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn behaves_like_a_set(steps in proptest::collection::vec((0u8..3, 0u32..300, 0u32..3), 0..600)) {
            let (mut set, mut model) = (SlotSet::default(), BTreeSet::new());
            for (kind, at, page) in steps {
                let slot = Slot(page * 5_000 + at);
                if kind > 0 {
                    prop_assert_eq!(set.insert(slot), model.insert(slot));
                } else {
                    prop_assert_eq!(set.remove(slot), model.remove(&slot));
                }
                prop_assert_eq!(set.len(), model.len());
                prop_assert_eq!(set.contains(slot), model.contains(&slot));
            }
            prop_assert!(set.iter().eq(model.iter().copied()));
            prop_assert!(set.iter().rev().eq(model.iter().rev().copied()));
        }
    }
}
