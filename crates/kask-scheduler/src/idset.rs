//! Small sets of dense numbers, four bytes each: empty, one number, or a list in a pool.
//!
//! Nearly every result has one holder and nearly every task one client that wants it, so the common cases cost no
//! allocation. Invariant: a set that names a list of the pool owns it; lists are sorted and have at least two numbers.

/// A set whose longer lists live in an [`IdPool`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ids(u32);

const EMPTY: u32 = u32::MAX;
const LISTED: u32 = 1 << 31;

impl Ids {
    pub(crate) const fn new() -> Ids {
        Ids(EMPTY)
    }

    pub(crate) fn one(id: u32) -> Ids {
        debug_assert!(id < LISTED, "dense numbers stay below 2^31");
        Ids(id)
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 == EMPTY
    }
}

/// The lists of those sets that have more than one number.
#[derive(Default)]
pub(crate) struct IdPool {
    lists: Vec<Vec<u32>>,
    free: Vec<u32>,
}

impl IdPool {
    /// The numbers, ascending.
    pub(crate) fn slice<'a>(&'a self, ids: &'a Ids) -> &'a [u32] {
        match ids.0 {
            EMPTY => &[],
            listed if listed & LISTED != 0 => &self.lists[(listed & !LISTED) as usize],
            _ => std::slice::from_ref(&ids.0),
        }
    }

    /// Whether `id` was new.
    pub(crate) fn insert(&mut self, ids: &mut Ids, id: u32) -> bool {
        match ids.0 {
            EMPTY => {
                *ids = Ids::one(id);
                true
            }
            listed if listed & LISTED != 0 => {
                let list = &mut self.lists[(listed & !LISTED) as usize];
                match list.binary_search(&id) {
                    Ok(_) => false,
                    Err(at) => {
                        list.insert(at, id);
                        true
                    }
                }
            }
            other if other == id => false,
            other => {
                let list = vec![other.min(id), other.max(id)];
                let index = match self.free.pop() {
                    Some(index) => {
                        self.lists[index as usize] = list;
                        index
                    }
                    None => {
                        self.lists.push(list);
                        self.lists.len() as u32 - 1
                    }
                };
                ids.0 = index | LISTED;
                true
            }
        }
    }

    /// Whether `id` was there.
    pub(crate) fn remove(&mut self, ids: &mut Ids, id: u32) -> bool {
        match ids.0 {
            EMPTY => false,
            listed if listed & LISTED != 0 => {
                let index = listed & !LISTED;
                let list = &mut self.lists[index as usize];
                let Ok(at) = list.binary_search(&id) else {
                    return false;
                };
                list.remove(at);
                if let [last] = list[..] {
                    self.lists[index as usize] = Vec::new();
                    self.free.push(index);
                    ids.0 = last;
                }
                true
            }
            other if other == id => {
                ids.0 = EMPTY;
                true
            }
            _ => false,
        }
    }

    /// Empties the set.
    pub(crate) fn clear(&mut self, ids: &mut Ids) {
        if ids.0 != EMPTY && ids.0 & LISTED != 0 {
            let index = ids.0 & !LISTED;
            self.lists[index as usize] = Vec::new();
            self.free.push(index);
        }
        ids.0 = EMPTY;
    }

    pub(crate) fn contains(&self, ids: Ids, id: u32) -> bool {
        self.slice(&ids).binary_search(&id).is_ok()
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        let lists: usize = self.lists.iter().map(|list| list.capacity() * 4).sum();
        lists + self.lists.capacity() * size_of::<Vec<u32>>() + self.free.capacity() * 4
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn behaves_like_a_set(steps in proptest::collection::vec((any::<bool>(), 0u32..6), 0..60)) {
            let (mut pool, mut ids, mut model) = (IdPool::default(), Ids::new(), BTreeSet::new());
            for (insert, id) in steps {
                if insert {
                    prop_assert_eq!(pool.insert(&mut ids, id), model.insert(id));
                } else {
                    prop_assert_eq!(pool.remove(&mut ids, id), model.remove(&id));
                }
                prop_assert_eq!(pool.slice(&ids), model.iter().copied().collect::<Vec<_>>());
                prop_assert_eq!(ids.is_empty(), model.is_empty());
            }
            pool.clear(&mut ids);
            prop_assert!(ids.is_empty() && pool.free.len() == pool.lists.len());
        }
    }
}
