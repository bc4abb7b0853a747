//! How the outputs of a shuffle are divided into groups: contiguous ranges, each merged by one task.

use crate::error::KernelError;
use std::ops::Range;

/// Contiguous, non-empty groups of outputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grouping {
    ends: Vec<u32>,
}

impl Grouping {
    /// `groups` groups of as equal size as possible, the larger ones first.
    ///
    /// ```
    /// let grouping = kask_kernels::Grouping::even(7, 3)?;
    /// assert_eq!((0..3).map(|g| grouping.outputs_of(g)).collect::<Vec<_>>(), [0..3, 3..5, 5..7]);
    /// # Ok::<(), kask_kernels::KernelError>(())
    /// ```
    pub fn even(outputs: u32, groups: u32) -> Result<Grouping, KernelError> {
        if groups == 0 || groups > outputs {
            return Err(KernelError::Grouping(format!(
                "{outputs} outputs cannot be divided into {groups} groups; give at least one output and at most one group an output"
            )));
        }
        let (size, larger) = (outputs / groups, outputs % groups);
        Ok(Grouping { ends: (1..=groups).map(|g| g * size + g.min(larger)).collect() })
    }

    /// Groups of the given sizes.
    pub fn of_sizes(sizes: &[u32]) -> Result<Grouping, KernelError> {
        let mut ends = Vec::with_capacity(sizes.len());
        let mut end = 0_u32;
        for (group, &size) in sizes.iter().enumerate() {
            if size == 0 {
                return Err(KernelError::Grouping(format!(
                    "group {group} has no outputs; every group needs at least one"
                )));
            }
            end = end
                .checked_add(size)
                .ok_or_else(|| KernelError::Grouping("there are more than 2^32 outputs; use fewer".to_owned()))?;
            ends.push(end);
        }
        if ends.is_empty() {
            return Err(KernelError::Grouping(
                "there are no groups; give the number of outputs of at least one".to_owned(),
            ));
        }
        Ok(Grouping { ends })
    }

    /// How many outputs there are.
    pub fn outputs(&self) -> u32 {
        *self.ends.last().expect("there is at least one group")
    }

    /// How many groups there are.
    pub fn groups(&self) -> usize {
        self.ends.len()
    }

    /// The outputs of a group.
    pub fn outputs_of(&self, group: usize) -> Range<u32> {
        let start = if group == 0 { 0 } else { self.ends[group - 1] };
        start..self.ends[group]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_cover_all_outputs_in_order() {
        for outputs in 1..40 {
            for groups in 1..=outputs {
                let grouping = Grouping::even(outputs, groups).expect("valid");
                let all: Vec<u32> = (0..grouping.groups()).flat_map(|g| grouping.outputs_of(g)).collect();
                assert_eq!(all, (0..outputs).collect::<Vec<_>>());
                let sizes: Vec<u32> = (0..grouping.groups()).map(|g| grouping.outputs_of(g).len() as u32).collect();
                assert!(sizes.is_sorted_by(|a, b| a >= b) && sizes[0] - sizes[sizes.len() - 1] <= 1);
                assert_eq!(Grouping::of_sizes(&sizes).expect("valid"), grouping);
            }
        }
    }

    #[test]
    fn impossible_groups_are_refused() {
        assert!(Grouping::even(0, 0).is_err());
        assert!(Grouping::even(3, 4).is_err());
        assert!(Grouping::of_sizes(&[]).is_err());
        assert!(Grouping::of_sizes(&[2, 0]).is_err());
        assert!(Grouping::of_sizes(&[u32::MAX, 1]).is_err());
    }
}
