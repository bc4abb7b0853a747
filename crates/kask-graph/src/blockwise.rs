//! Blockwise layers: what each block reads, and whether what the layer says can be true.
//!
//! Invariant: [`BlockwiseLayer::inputs_of`] may only be asked about a layer that passed the checks of
//! [`crate::expand`]; those make every block that it names exist.

use crate::error::GraphError;
use crate::grid::{self, Along, Run};
use crate::layer::{BlockInput, BlockwiseLayer, InputAxis, Layer, Slot, Slots};

impl BlockwiseLayer {
    /// Calls `visit` with `(i, block)` for each block that task `index` reads: first those of `inputs[0]`, in C
    /// order, then those of `inputs[1]`, and so on. `block` is an index in C order of `inputs[i].grid`.
    ///
    /// ```
    /// # use kask_graph::{BlockInput, BlockSource, BlockwiseLayer, InputAxis};
    /// # use kask_types::{BlobId, LayerToken, Payload};
    /// # use smallvec::smallvec;
    /// // Matrix product: block (i, j) reads row i of the first input.
    /// let row = BlockInput {
    ///     source: BlockSource::Layer(LayerToken(1)),
    ///     grid: smallvec![2, 3],
    ///     axes: smallvec![InputAxis::Out(0), InputAxis::All],
    /// };
    /// let layer = BlockwiseLayer {
    ///     function: BlobId::of(b"dot"),
    ///     template: Payload::empty(),
    ///     grid: smallvec![2, 2],
    ///     inputs: vec![row],
    ///     items: None,
    ///     wants_position: false,
    /// };
    /// let mut read = Vec::new();
    /// layer.inputs_of(2, &mut |input, block| read.push((input, block)));
    /// assert_eq!(read, [(0, 3), (0, 4), (0, 5)]);
    /// ```
    pub fn inputs_of(&self, index: u32, visit: &mut impl FnMut(usize, u32)) {
        let position = grid::position(&self.grid, index);
        for (number, input) in self.inputs.iter().enumerate() {
            grid::each_block(&input.grid, &input.read(&position), &mut |block| visit(number, block));
        }
    }

    /// How the inputs of task `index` fill its holes.
    pub(crate) fn slots(&self, index: u32) -> Slots {
        match self.inputs.as_slice() {
            inputs if !inputs.iter().any(BlockInput::is_list) => Slots::Each,
            [_] => Slots::OneList,
            inputs => {
                let position = grid::position(&self.grid, index);
                let slot = |input: &BlockInput| {
                    if input.is_list() { Slot::List(grid::box_len(&input.read(&position)) as u32) } else { Slot::One }
                };
                Slots::Mixed(inputs.iter().map(slot).collect())
            }
        }
    }

    /// The number of tasks, after checking all that can be checked without other layers.
    pub(crate) fn check(&self, layer: &Layer, limit_tasks: u32, limit_inputs: u32) -> Result<u32, GraphError> {
        let tasks = grid::check(layer, &self.grid, limit_tasks)?;
        let mut most_inputs = 0u64;
        for input in &self.inputs {
            grid::check(layer, &input.grid, limit_tasks)?;
            input.check(layer, &self.grid)?;
            most_inputs = most_inputs.saturating_add(input.most_blocks());
        }
        if tasks > 0 && most_inputs > u64::from(limit_inputs) {
            return Err(GraphError::TooManyInputs { layer: layer.label(), limit: limit_inputs });
        }
        if let Some(items) = &self.items {
            crate::keyed::check_items(layer, items, tasks as usize)?;
        }
        Ok(tasks)
    }
}

impl BlockInput {
    /// Whether the hole is filled with a list, be it of one block.
    fn is_list(&self) -> bool {
        self.axes.iter().any(|axis| match axis {
            InputAxis::All | InputAxis::Window { .. } | InputAxis::Interval { .. } | InputAxis::Listed { .. } => true,
            InputAxis::Out(_) | InputAxis::Fixed(_) => false,
        })
    }

    fn read(&self, position: &[u32]) -> grid::Box<'_> {
        self.axes.iter().zip(&self.grid).map(|(axis, &blocks)| axis.read(blocks, position)).collect()
    }

    /// The most blocks that any one task reads.
    fn most_blocks(&self) -> u64 {
        let most = |(axis, &blocks): (&InputAxis, &u32)| match axis {
            InputAxis::Out(_) | InputAxis::Fixed(_) => 1,
            InputAxis::Window { before, after, .. } => (u64::from(*before) + u64::from(*after) + 1).min(blocks.into()),
            InputAxis::All => u64::from(blocks),
            InputAxis::Interval { interval, .. } => interval.most_blocks(),
            InputAxis::Listed { lists, .. } => lists.longest(),
        };
        self.axes.iter().zip(&self.grid).map(most).fold(1, u64::saturating_mul)
    }

    fn check(&self, layer: &Layer, output: &[u32]) -> Result<(), GraphError> {
        if self.axes.len() != self.grid.len() {
            return Err(GraphError::InputAxes {
                layer: layer.label(),
                input: self.source.label(),
                axes: self.axes.len(),
                grid: self.grid.len(),
            });
        }
        self.source.check(layer, &self.grid)?;
        for (axis, &input_blocks) in self.axes.iter().zip(&self.grid) {
            self.check_axis(layer, output, axis, input_blocks)?;
        }
        Ok(())
    }

    fn check_axis(&self, layer: &Layer, output: &[u32], axis: &InputAxis, input_blocks: u32) -> Result<(), GraphError> {
        let differ = |axis: u32, input_blocks: u32, output_blocks: u32| {
            let (layer, input) = (layer.label(), self.source.label());
            Err(GraphError::BlocksDiffer { layer, input, axis, input_blocks, output_blocks })
        };
        let along = |axis: u32| {
            let blocks = output.get(axis as usize).copied();
            blocks.ok_or_else(|| out_of_range(layer, "an input along output axis", axis, output.len()))
        };
        match axis {
            InputAxis::All => Ok(()),
            InputAxis::Fixed(block) if *block < input_blocks => Ok(()),
            InputAxis::Fixed(block) => Err(out_of_range(layer, "an input block", *block, input_blocks as usize)),
            InputAxis::Out(axis) => match along(*axis)? {
                output_blocks if input_blocks == output_blocks || input_blocks == 1 => Ok(()),
                output_blocks => differ(*axis, input_blocks, output_blocks),
            },
            InputAxis::Window { axis, .. } => match along(*axis)? {
                output_blocks if input_blocks == output_blocks => Ok(()),
                output_blocks => differ(*axis, input_blocks, output_blocks),
            },
            InputAxis::Interval { axis, interval } => {
                let output_blocks = along(*axis)?;
                if interval.input.blocks() != input_blocks || interval.output.blocks() != output_blocks {
                    return differ(*axis, interval.input.blocks(), interval.output.blocks());
                }
                let is_valid = interval.is_valid();
                if is_valid { Ok(()) } else { Err(GraphError::BadInterval { layer: layer.label(), axis: *axis }) }
            }
            InputAxis::Listed { axis, lists } => {
                let output_blocks = along(*axis)?;
                if lists.ends.len() != output_blocks as usize {
                    return differ(*axis, lists.ends.len() as u32, output_blocks);
                }
                let are_lists =
                    lists.ends.is_sorted() && lists.ends.last().is_none_or(|&end| end as usize == lists.blocks.len());
                match lists.blocks.iter().find(|&&block| block >= input_blocks) {
                    Some(&block) => Err(out_of_range(layer, "an input block", block, input_blocks as usize)),
                    None if are_lists => Ok(()),
                    None => Err(GraphError::BadInterval { layer: layer.label(), axis: *axis }),
                }
            }
        }
    }
}

impl InputAxis {
    /// Which of so many blocks the output block at a position reads.
    fn read(&self, blocks: u32, position: &[u32]) -> Along<'_> {
        let at = |axis: &u32| position[*axis as usize];
        let run = |start: u32, len: u32| Along::Run(Run { start, len });
        match self {
            InputAxis::Out(_) if blocks == 1 => run(0, 1),
            InputAxis::Out(axis) => run(at(axis), 1),
            InputAxis::Window { axis, before, after } => {
                let start = at(axis).saturating_sub(*before);
                run(start, at(axis).saturating_add(*after).min(blocks - 1) - start + 1)
            }
            InputAxis::Fixed(block) => run(*block, 1),
            InputAxis::All => run(0, blocks),
            InputAxis::Interval { axis, interval } => Along::Run(interval.run(at(axis))),
            InputAxis::Listed { axis, lists } => Along::Listed(lists.get(at(axis))),
        }
    }
}

pub(crate) fn out_of_range(layer: &Layer, what: &'static str, index: u32, len: usize) -> GraphError {
    GraphError::OutOfRange { layer: layer.label(), what, index: index.into(), len: len as u64 }
}
