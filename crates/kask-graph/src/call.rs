//! What one task of a layer is: its key, its printed name, its annotations, and the call that a worker makes.
//!
//! Asked once per task when it is dispatched, so the cost never depends on the size of the layer. An `index` is
//! the task's place in its layer; the layer has passed [`crate::expand`].

use crate::grid;
use crate::layer::{Grid, Layer, LayerKind, Slots};
use kask_types::{Annotations, BlobId, Key, Payload, TaskName};
use std::sync::Arc;

/// What a worker calls to run a task.
#[derive(Clone, Debug)]
pub struct Call {
    /// The function; without one, `args` is the result.
    pub function: Option<BlobId>,
    /// The argument template.
    pub args: Payload,
    /// More arguments for this block: fills the hole after those of `slots`.
    pub item: Option<Payload>,
    /// Position in the layer's grid, where the layer asks for it.
    pub position: Option<Grid>,
    /// How the task's inputs fill the holes.
    pub slots: Slots,
    /// Which part of each input the task reads; all of it if absent.
    pub part: Option<u32>,
}

impl Layer {
    /// `prefix-<token>`, for people.
    pub(crate) fn label(&self) -> String {
        format!("{}-{}", self.prefix, self.token)
    }

    /// How many tasks the layer has (at most `u32::MAX`; [`crate::expand`] refuses more).
    pub fn len(&self) -> u32 {
        match &self.kind {
            LayerKind::Map(map) => u32::try_from(map.keys.len()).unwrap_or(u32::MAX),
            LayerKind::Explicit(explicit) => u32::try_from(explicit.keys.len()).unwrap_or(u32::MAX),
            LayerKind::Blockwise(blockwise) => grid::blocks(&blockwise.grid),
            LayerKind::TreeReduce(tree) => tree.sizes().0,
            LayerKind::Shuffle(shuffle) => shuffle.tasks(),
        }
    }

    /// Whether the layer has no tasks.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The key of task `index`.
    ///
    /// # Panics
    /// When a map layer or an explicit layer has no task `index`.
    pub fn key_of(&self, index: u32) -> Key {
        match &self.kind {
            LayerKind::Map(map) => map.keys[index as usize],
            LayerKind::Explicit(explicit) => explicit.keys[index as usize],
            LayerKind::Blockwise(_) | LayerKind::TreeReduce(_) | LayerKind::Shuffle(_) => Key::block(self.token, index),
        }
    }

    /// How the key of task `index` is printed.
    ///
    /// # Panics
    /// When a map layer or an explicit layer has no task `index`.
    pub fn name(&self, index: u32) -> TaskName {
        let custom = match &self.kind {
            LayerKind::Map(map) => map.names.get(index as usize),
            LayerKind::Explicit(explicit) => explicit.names.get(index as usize).and_then(Option::as_ref),
            LayerKind::Blockwise(blockwise) => {
                return self.block_name(&self.prefix, grid::position(&blockwise.grid, index));
            }
            LayerKind::TreeReduce(_) => return self.block_name(&self.prefix, Grid::from_slice(&[index])),
            LayerKind::Shuffle(shuffle) => {
                let (prefix, position) = shuffle.label(&self.prefix, index);
                return self.block_name(prefix, position);
            }
        };
        match custom {
            Some(name) => TaskName::Custom(name.clone()),
            None => TaskName::Hashed { prefix: self.prefix_of(index).clone(), key: self.key_of(index) },
        }
    }

    /// The task of a grid whose name prints this family and position: the inverse of [`Layer::name`].
    ///
    /// ```
    /// # use kask_graph::{Layer, LayerKind, TreeReduceLayer};
    /// # use kask_types::{Annotations, BlobId, LayerToken, Payload};
    /// # use smallvec::smallvec;
    /// # let tree = TreeReduceLayer {
    /// #     combine: BlobId::of(b"sum"), aggregate: BlobId::of(b"sum"), template: Payload::empty(),
    /// #     input: LayerToken(1).into(), input_grid: smallvec![5], split_every: vec![(0, 2)],
    /// # };
    /// # let (token, annotations) = (LayerToken(2), Annotations::default());
    /// # let layer = Layer { token, prefix: "sum".into(), annotations, kind: LayerKind::TreeReduce(tree) };
    /// // A tree over five blocks.
    /// assert_eq!((layer.index_of("sum", &[3]), layer.index_of("sum", &[6])), (Some(3), None));
    /// ```
    pub fn index_of(&self, prefix: &str, position: &[u32]) -> Option<u32> {
        match &self.kind {
            LayerKind::Map(_) | LayerKind::Explicit(_) => None,
            LayerKind::Shuffle(shuffle) => shuffle.index_of(prefix, position),
            LayerKind::Blockwise(blockwise) => grid::index(&blockwise.grid, position),
            LayerKind::TreeReduce(_) => grid::index(&[self.len()], position),
        }
    }

    fn block_name(&self, prefix: &Arc<str>, index: Grid) -> TaskName {
        TaskName::Block { prefix: prefix.clone(), layer: self.token, index }
    }

    /// The family of task `index`: durations are learned by it.
    pub fn prefix_of(&self, index: u32) -> &Arc<str> {
        match &self.kind {
            LayerKind::Explicit(explicit) => {
                let family = explicit.families.get(index as usize);
                family.and_then(|&family| explicit.prefixes.get(family as usize)).unwrap_or(&self.prefix)
            }
            LayerKind::Shuffle(shuffle) => shuffle.label(&self.prefix, index).0,
            LayerKind::Map(_) | LayerKind::Blockwise(_) | LayerKind::TreeReduce(_) => &self.prefix,
        }
    }

    /// How task `index` is to be run.
    pub fn annotations_of(&self, index: u32) -> &Annotations {
        match &self.kind {
            LayerKind::Explicit(explicit) => {
                let set = explicit.annotations.get(index as usize);
                set.and_then(|&set| explicit.annotation_sets.get(set as usize)).unwrap_or(&self.annotations)
            }
            LayerKind::Map(_) | LayerKind::Blockwise(_) | LayerKind::TreeReduce(_) | LayerKind::Shuffle(_) => {
                &self.annotations
            }
        }
    }

    /// What runs task `index`; `None` when there is no such task.
    ///
    /// # Panics
    /// When a blockwise layer that [`crate::expand`] would refuse reads along an axis that it has not.
    ///
    /// ```
    /// # use kask_graph::{KeyLists, Layer, LayerKind, MapLayer, Slots};
    /// # use kask_types::{Annotations, BlobId, Items, Key, LayerToken, Payload};
    /// let layer = Layer {
    ///     token: LayerToken(1),
    ///     prefix: "inc".into(),
    ///     annotations: Annotations::default(),
    ///     kind: LayerKind::Map(MapLayer {
    ///         function: BlobId::of(b"inc"),
    ///         items: Items::Each(vec![Payload::empty(); 2]),
    ///         keys: vec![Key(7), Key(8)],
    ///         names: Vec::new(),
    ///         inputs: KeyLists::default(),
    ///     }),
    /// };
    /// assert_eq!(layer.call(1).unwrap().slots, Slots::Each);
    /// assert!(layer.call(2).is_none());
    /// assert_eq!(layer.name(1).to_string(), format!("inc-{}", Key(8)));
    /// ```
    pub fn call(&self, index: u32) -> Option<Call> {
        let plain = |function, args, slots| Call { function, args, item: None, position: None, slots, part: None };
        match &self.kind {
            LayerKind::Map(map) => Some(plain(Some(map.function), map.items.get(index as usize)?, Slots::Each)),
            LayerKind::Explicit(explicit) => {
                let function = *explicit.functions.get(index as usize)?;
                Some(plain(function, explicit.items.get(index as usize)?.clone(), Slots::Each))
            }
            LayerKind::Blockwise(blockwise) => {
                if index >= grid::blocks(&blockwise.grid) {
                    return None;
                }
                let item = match &blockwise.items {
                    Some(items) => Some(items.get(index as usize)?),
                    None => None,
                };
                let position = blockwise.wants_position.then(|| grid::position(&blockwise.grid, index));
                let (function, args) = (Some(blockwise.function), blockwise.template.clone());
                Some(Call { function, args, item, position, slots: blockwise.slots(index), part: None })
            }
            LayerKind::TreeReduce(tree) => {
                let (nodes, results) = tree.sizes();
                let function = if index < results { tree.aggregate } else { tree.combine };
                (index < nodes).then(|| plain(Some(function), tree.template.clone(), Slots::OneList))
            }
            LayerKind::Shuffle(shuffle) => shuffle.call(index),
        }
    }
}
