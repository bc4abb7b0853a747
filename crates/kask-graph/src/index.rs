//! Which task of a graph has a key.
//!
//! Only 4 bytes a task: the table holds local ids and asks the layers for their keys. Tasks of grids are put in
//! only when some key is not found among the listed ones, since most graphs never ask for them by key.

use crate::error::GraphError;
use crate::layer::LayerKind;
use crate::plan::Plan;
use hashbrown::HashTable;
use kask_types::Key;

/// Finds local ids by key.
pub(crate) struct KeyIndex {
    listed: HashTable<u32>,
    grids: Option<HashTable<u32>>,
}

/// Keys are hashes already, but of the sender's choice: both halves count.
pub(crate) fn key_hash(key: Key) -> u64 {
    let product =
        u128::from(key.0 as u64 ^ 0x9e37_79b9_7f4a_7c15) * u128::from((key.0 >> 64) as u64 ^ 0xbf58_476d_1ce4_e5b9);
    (product >> 64) as u64 ^ product as u64
}

impl KeyIndex {
    /// Reads the keys of all map layers and explicit layers. Of equal keys the first counts; an explicit layer
    /// that has a key twice is refused.
    pub(crate) fn new(plan: &Plan<'_>) -> Result<KeyIndex, GraphError> {
        let listed = plan.layers.iter().map(|layer| layer.listed_keys().map_or(0, <[Key]>::len));
        let mut table = HashTable::with_capacity(listed.sum());
        let mut has_grids = false;
        for (number, layer) in plan.layers.iter().enumerate() {
            let Some(keys) = layer.listed_keys() else {
                has_grids = true;
                continue;
            };
            for (&key, id) in keys.iter().zip(plan.spans[number].start..) {
                let Some(first) = insert(&mut table, plan, key, id) else {
                    continue;
                };
                if plan.place(first).0 == number && matches!(layer.kind, LayerKind::Explicit(_)) {
                    return Err(GraphError::DuplicateKey { task: plan.name_of(id), layer: layer.label() });
                }
            }
        }
        // Without grids the second table is complete as it is.
        let grids = if has_grids { None } else { Some(HashTable::new()) };
        Ok(KeyIndex { listed: table, grids })
    }

    /// The task of a map layer or an explicit layer with this key.
    pub(crate) fn find_listed(&self, plan: &Plan<'_>, key: Key) -> Option<u32> {
        find(&self.listed, plan, key)
    }

    /// The task of any layer with this key.
    pub(crate) fn find(&mut self, plan: &Plan<'_>, key: Key) -> Option<u32> {
        if let Some(id) = self.find_listed(plan, key) {
            return Some(id);
        }
        find(self.grids.get_or_insert_with(|| index_grids(plan)), plan, key)
    }
}

fn find(table: &HashTable<u32>, plan: &Plan<'_>, key: Key) -> Option<u32> {
    if table.is_empty() {
        return None;
    }
    table.find(key_hash(key), |&id| plan.key_of(id) == key).copied()
}

/// Puts `id` in; if the key has a task already, returns that instead.
fn insert(table: &mut HashTable<u32>, plan: &Plan<'_>, key: Key, id: u32) -> Option<u32> {
    let rehash = |&id: &u32| key_hash(plan.key_of(id));
    match table.entry(key_hash(key), |&id| plan.key_of(id) == key, rehash) {
        hashbrown::hash_table::Entry::Occupied(entry) => Some(*entry.get()),
        hashbrown::hash_table::Entry::Vacant(entry) => {
            entry.insert(id);
            None
        }
    }
}

fn index_grids(plan: &Plan<'_>) -> HashTable<u32> {
    let grids = || plan.spans.iter().zip(plan.layers.iter()).filter(|(_, layer)| layer.listed_keys().is_none());
    let mut table = HashTable::with_capacity(grids().map(|(span, _)| span.len as usize).sum());
    for (span, layer) in grids() {
        for index in 0..span.len {
            insert(&mut table, plan, layer.key_of(index), span.start + index);
        }
    }
    table
}
