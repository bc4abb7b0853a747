//! Attempts that could go on, in the order in which they should: to run, or to be admitted.
//!
//! Attempts that need resources wait in a line of their own for each distinct need, so that one whose resources are
//! taken never holds up the others. A line that is empty does not exist.

use kask_types::Resources;
use kask_wire::worker::Priority;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Where an attempt stands: its priority, when it came, and its slot in the table.
pub(crate) type Place = (Priority, u64, u32);

#[derive(Debug, Default)]
pub(crate) struct ReadyQueue {
    plain: BTreeSet<Place>,
    demanding: Vec<Line>,
}

#[derive(Debug)]
struct Line {
    needed: Arc<Resources>,
    places: BTreeSet<Place>,
}

impl ReadyQueue {
    pub(crate) fn len(&self) -> usize {
        self.plain.len() + self.demanding.iter().map(|line| line.places.len()).sum::<usize>()
    }

    pub(crate) fn insert(&mut self, place: Place, needed: Option<&Arc<Resources>>) {
        let Some(needed) = needed else {
            self.plain.insert(place);
            return;
        };
        match self.demanding.iter_mut().find(|line| line.needed == *needed) {
            Some(line) => {
                line.places.insert(place);
            }
            None => self.demanding.push(Line { needed: needed.clone(), places: BTreeSet::from([place]) }),
        }
    }

    pub(crate) fn remove(&mut self, place: Place, needed: Option<&Arc<Resources>>) -> bool {
        let Some(needed) = needed else {
            return self.plain.remove(&place);
        };
        let Some(at) = self.demanding.iter().position(|line| line.needed == *needed) else {
            return false;
        };
        let was_there = self.demanding[at].places.remove(&place);
        if self.demanding[at].places.is_empty() {
            self.demanding.remove(at);
        }
        was_there
    }

    /// The most urgent attempt whose needs `free` covers.
    pub(crate) fn first(&self, free: &Resources) -> Option<Place> {
        let demanding = self.demanding.iter().filter(|line| free.covers(&line.needed));
        demanding.filter_map(|line| line.places.first()).chain(self.plain.first()).min().copied()
    }

    /// All of them: those that need no resources in order, then line by line.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Place> {
        self.plain.iter().chain(self.demanding.iter().flat_map(|line| &line.places)).copied()
    }

    pub(crate) fn contains(&self, place: Place, needed: Option<&Arc<Resources>>) -> bool {
        match needed {
            None => self.plain.contains(&place),
            Some(needed) => self.demanding.iter().any(|line| line.needed == *needed && line.places.contains(&place)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(order: u32) -> Place {
        (Priority { order, ..Priority::default() }, u64::from(order), order)
    }

    #[test]
    fn taken_resources_hold_up_nobody_else() {
        let gpu = Arc::new(Resources::new([("GPU", 1.0)]).expect("a valid amount"));
        let mut queue = ReadyQueue::default();
        queue.insert(place(1), Some(&gpu));
        queue.insert(place(2), None);
        assert_eq!(queue.first(&gpu), Some(place(1)));
        assert_eq!(queue.first(&Resources::default()), Some(place(2)));
        assert!(queue.remove(place(1), Some(&gpu)));
        assert!(!queue.remove(place(1), Some(&gpu)));
        assert_eq!(queue.len(), 1);
    }
}
