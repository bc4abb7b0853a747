//! Shuffles: which task of the layer is what, what each reads, and whether what the layer says can be true.
//!
//! Three families in one layer: *takes* (the results) `0..M`, *merges* `M..M + G`, *splits* `M + G..M + G + N`, for M
//! outputs in G groups and N input blocks. Start with [`ShuffleLayer::stage`]. Every merge reads every split, so the
//! layer has N x G inputs between them; grouping outputs is what keeps that number small.
//!
//! Invariant: [`ShuffleLayer::inputs_of`] may only be asked about a layer that passed the checks of
//! [`crate::expand`].

use crate::call::Call;
use crate::error::GraphError;
use crate::grid;
use crate::layer::{Grid, Layer, ShuffleLayer, ShuffleStage, Slots};
use std::ops::Range;
use std::sync::Arc;

/// What a task of a shuffle is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Makes this output out of its group.
    Take {
        /// C-order index of the output.
        output: u32,
    },
    /// Puts the parts of this group together.
    Merge {
        /// The group.
        group: u32,
    },
    /// Takes this input block apart.
    Split {
        /// C-order index of the block.
        input: u32,
    },
}

/// What a task of a shuffle reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShuffleInput {
    /// This block (C-order index) of the layer's input.
    Block(u32),
    /// This task of the same layer.
    Task(u32),
}

impl ShuffleLayer {
    /// Number of outputs.
    fn output_count(&self) -> u32 {
        grid::blocks(&self.outputs)
    }

    /// Number of groups.
    pub fn groups(&self) -> u32 {
        u32::try_from(self.group_ends.len()).unwrap_or(u32::MAX)
    }

    /// The outputs of a group; none when there is no such group.
    pub fn outputs_of(&self, group: u32) -> Range<u32> {
        let group = group as usize;
        let Some(&end) = self.group_ends.get(group) else { return 0..0 };
        let start = if group == 0 { 0 } else { self.group_ends[group - 1] };
        start..end
    }

    /// The group that an output is in.
    pub fn group_of(&self, output: u32) -> u32 {
        self.group_ends.partition_point(|&end| end <= output) as u32
    }

    /// The number of tasks; sizes beyond `u32::MAX`, which [`crate::expand`] refuses, stay there.
    pub(crate) fn tasks(&self) -> u32 {
        self.output_count().saturating_add(self.groups()).saturating_add(grid::blocks(&self.input_grid))
    }

    /// What task `index` is; `None` when there is no such task.
    ///
    /// ```
    /// # use kask_graph::{ShuffleLayer, ShuffleStage, Stage};
    /// # use kask_types::{BlobId, LayerToken, Payload};
    /// # use smallvec::smallvec;
    /// # let stage = || ShuffleStage { function: BlobId::of(b"f"), template: Payload::empty() };
    /// // Four blocks become five outputs in two groups.
    /// let layer = ShuffleLayer {
    ///     input: LayerToken(1).into(),
    ///     input_grid: smallvec![4],
    ///     outputs: smallvec![5],
    ///     group_ends: vec![3, 5],
    ///     // and what is called
    /// #   split: stage(), merge: stage(), take: stage(), wants_position: false,
    /// #   split_prefix: "x-split".into(), merge_prefix: "x-merge".into(),
    /// };
    /// assert_eq!(layer.stage(4), Some(Stage::Take { output: 4 }));
    /// assert_eq!(layer.stage(5), Some(Stage::Merge { group: 0 }));
    /// assert_eq!(layer.stage(7), Some(Stage::Split { input: 0 }));
    /// assert_eq!(layer.stage(11), None);
    /// assert_eq!((layer.group_of(2), layer.group_of(3), layer.outputs_of(1)), (0, 1, 3..5));
    /// ```
    pub fn stage(&self, index: u32) -> Option<Stage> {
        let (outputs, groups) = (self.output_count(), self.groups());
        let Some(group) = index.checked_sub(outputs) else { return Some(Stage::Take { output: index }) };
        let Some(input) = group.checked_sub(groups) else { return Some(Stage::Merge { group }) };
        (input < grid::blocks(&self.input_grid)).then_some(Stage::Split { input })
    }

    /// Calls `visit` with what task `index` reads, in hole order.
    pub fn inputs_of(&self, index: u32, visit: &mut impl FnMut(ShuffleInput)) {
        let outputs = self.output_count();
        match self.stage(index) {
            Some(Stage::Take { output }) => visit(ShuffleInput::Task(outputs + self.group_of(output))),
            Some(Stage::Merge { .. }) => {
                let first = outputs + self.groups();
                (first..first + grid::blocks(&self.input_grid)).for_each(|split| visit(ShuffleInput::Task(split)));
            }
            Some(Stage::Split { input }) => visit(ShuffleInput::Block(input)),
            None => {}
        }
    }

    /// What task `index` calls.
    pub(crate) fn call(&self, index: u32) -> Option<Call> {
        let call = |stage: &ShuffleStage, position, slots, part| {
            let (function, args) = (Some(stage.function), stage.template.clone());
            Call { function, args, item: None, position, slots, part }
        };
        let at = |number: u32| Some(Grid::from_slice(&[number]));
        Some(match self.stage(index)? {
            Stage::Take { output } => {
                let within = output - self.outputs_of(self.group_of(output)).start;
                call(&self.take, at(within), Slots::Each, None)
            }
            Stage::Merge { group } => call(&self.merge, at(group), Slots::OneList, Some(group)),
            Stage::Split { input } => {
                let position = self.wants_position.then(|| grid::position(&self.input_grid, input));
                call(&self.split, position, Slots::Each, None)
            }
        })
    }

    /// The family of task `index`, where it is not the layer's, and the position that its name prints.
    pub(crate) fn label<'a>(&'a self, prefix: &'a Arc<str>, index: u32) -> (&'a Arc<str>, Grid) {
        match self.stage(index) {
            Some(Stage::Take { output }) => (prefix, grid::position(&self.outputs, output)),
            Some(Stage::Merge { group }) => (&self.merge_prefix, Grid::from_slice(&[group])),
            Some(Stage::Split { input }) => (&self.split_prefix, grid::position(&self.input_grid, input)),
            None => (prefix, Grid::from_slice(&[index])),
        }
    }

    /// The task that is labelled so.
    pub(crate) fn index_of(&self, prefix: &str, position: &[u32]) -> Option<u32> {
        let (outputs, groups) = (self.output_count(), self.groups());
        if prefix == &*self.merge_prefix {
            return Some(outputs + grid::index(&[groups], position)?);
        }
        if prefix == &*self.split_prefix {
            return Some(outputs + groups + grid::index(&self.input_grid, position)?);
        }
        grid::index(&self.outputs, position)
    }

    /// The number of tasks, after checking all that can be checked without other layers.
    pub(crate) fn check(&self, layer: &Layer, limit_tasks: u32, limit_inputs: u32) -> Result<u32, GraphError> {
        let inputs = grid::check(layer, &self.input_grid, limit_tasks)?;
        self.input.check(layer, &self.input_grid)?;
        let outputs = grid::check(layer, &self.outputs, limit_tasks)?;
        let mut start = 0;
        for (group, &end) in self.group_ends.iter().enumerate() {
            if end <= start {
                return Err(GraphError::EmptyGroup { layer: layer.label(), group });
            }
            start = end;
        }
        if start != outputs {
            return Err(GraphError::Groups { layer: layer.label(), grouped: start, outputs });
        }
        // No group is empty, so there are no more groups than outputs.
        let groups = self.groups();
        let read = u64::from(inputs) * (u64::from(groups) + 1) + u64::from(outputs);
        if read > u64::from(limit_inputs) {
            return Err(GraphError::TooManyPieces { layer: layer.label(), inputs, groups, limit: limit_inputs });
        }
        let tasks = u64::from(inputs) + u64::from(groups) + u64::from(outputs);
        u32::try_from(tasks)
            .ok()
            .filter(|&tasks| tasks <= limit_tasks)
            .ok_or_else(|| GraphError::TooManyTasks { layer: layer.label(), limit: limit_tasks })
    }
}
