//! Map and explicit layers: whether their lists fit each other.

use crate::error::GraphError;
use crate::layer::{ExplicitLayer, KeyLists, Layer, LayerKind, MapLayer};
use kask_types::{Items, Key};

impl Layer {
    /// The keys of its tasks, if they are listed, and not those of a grid.
    pub(crate) fn listed_keys(&self) -> Option<&[Key]> {
        match &self.kind {
            LayerKind::Map(map) => Some(&map.keys),
            LayerKind::Explicit(explicit) => Some(&explicit.keys),
            LayerKind::Blockwise(_) | LayerKind::TreeReduce(_) | LayerKind::Shuffle(_) => None,
        }
    }
}

impl MapLayer {
    /// The number of tasks, after checking the lists.
    pub(crate) fn check(&self, layer: &Layer, limit_inputs: u32) -> Result<usize, GraphError> {
        let tasks = self.keys.len();
        check_items(layer, &self.items, tasks)?;
        if !self.names.is_empty() {
            check_len(layer, "names", self.names.len(), tasks)?;
        }
        check_lists(layer, &self.inputs, tasks, limit_inputs)?;
        Ok(tasks)
    }
}

impl ExplicitLayer {
    /// The number of tasks, after checking the lists.
    pub(crate) fn check(&self, layer: &Layer, limit_inputs: u32) -> Result<usize, GraphError> {
        let tasks = self.keys.len();
        check_len(layer, "functions", self.functions.len(), tasks)?;
        check_len(layer, "items", self.items.len(), tasks)?;
        check_len(layer, "names", self.names.len(), tasks)?;
        check_len(layer, "families", self.families.len(), tasks)?;
        check_indices(layer, "a family", &self.families, self.prefixes.len())?;
        if !self.annotations.is_empty() {
            check_len(layer, "annotations", self.annotations.len(), tasks)?;
            check_indices(layer, "an annotation set", &self.annotations, self.annotation_sets.len())?;
        }
        check_lists(layer, &self.inputs, tasks, limit_inputs)?;
        Ok(tasks)
    }
}

fn check_len(layer: &Layer, what: &'static str, found: usize, expected: usize) -> Result<(), GraphError> {
    if found == expected { Ok(()) } else { Err(GraphError::Length { layer: layer.label(), what, found, expected }) }
}

fn check_indices(layer: &Layer, what: &'static str, indices: &[u32], len: usize) -> Result<(), GraphError> {
    match indices.iter().find(|&&index| index as usize >= len) {
        None => Ok(()),
        Some(&index) => {
            Err(GraphError::OutOfRange { layer: layer.label(), what, index: index.into(), len: len as u64 })
        }
    }
}

fn check_lists(layer: &Layer, lists: &KeyLists, tasks: usize, limit: u32) -> Result<(), GraphError> {
    if lists.keys.len() > limit as usize {
        return Err(GraphError::TooManyInputs { layer: layer.label(), limit });
    }
    let what = "inputs";
    if !lists.ends.is_empty() {
        check_len(layer, "lists of inputs", lists.ends.len(), tasks)?;
    }
    check_ends(layer, what, &lists.ends)?;
    if lists.ends.last().copied().unwrap_or(0) as usize != lists.keys.len() {
        return Err(GraphError::Lists { layer: layer.label(), what, list: lists.ends.len().saturating_sub(1) });
    }
    Ok(())
}

fn check_ends(layer: &Layer, what: &'static str, ends: &[u32]) -> Result<(), GraphError> {
    match ends.windows(2).position(|pair| pair[0] > pair[1]) {
        None => Ok(()),
        Some(before) => Err(GraphError::Lists { layer: layer.label(), what, list: before + 1 }),
    }
}

/// Refuses another number of items than tasks, and items that cannot be taken apart.
pub(crate) fn check_items(layer: &Layer, items: &Items, tasks: usize) -> Result<(), GraphError> {
    let what = "items";
    check_len(layer, what, items.len(), tasks)?;
    match items {
        Items::Each(_) => Ok(()),
        Items::Packed { data, ends } => {
            check_ends(layer, what, ends)?;
            match ends.last() {
                Some(&end) if end as usize > data.0.len() => {
                    Err(GraphError::Lists { layer: layer.label(), what, list: ends.len() - 1 })
                }
                _ => Ok(()),
            }
        }
        Items::Local { holder, len } => match holder.index.checked_add(*len) {
            Some(_) => Ok(()),
            None => Err(GraphError::Lists { layer: layer.label(), what, list: 0 }),
        },
    }
}
