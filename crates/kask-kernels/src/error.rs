//! What can go wrong in a kernel, said in the user's words.

use arrow_schema::ArrowError;

/// Why a kernel could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// A column that the table does not have.
    #[error("there is no column {name:?}; the table has the columns {columns}")]
    NoSuchColumn {
        /// The name that was given.
        name: String,
        /// The table's columns.
        columns: String,
    },
    /// A column name that several columns have.
    #[error("the table has {count} columns named {name:?}; rename all but one of them")]
    AmbiguousColumn {
        /// The name that was given.
        name: String,
        /// How many columns have it.
        count: usize,
    },
    /// No column to partition by.
    #[error("no columns to shuffle by were given; name at least one")]
    NoKeys,
    /// A type that cannot be a key.
    #[error(
        "column {name:?} has the type {data_type}, which cannot be {purpose}; use a column of numbers, strings, binary data, booleans, dates or times"
    )]
    UnsupportedKey {
        /// The column.
        name: String,
        /// Its type.
        data_type: String,
        /// What it was to be.
        purpose: &'static str,
    },
    /// Explicit outputs that are not integers.
    #[error("column {name:?} has the type {data_type}; a column that says where each row goes must hold integers")]
    NotAnOutputColumn {
        /// The column.
        name: String,
        /// Its type.
        data_type: String,
    },
    /// An explicit output that does not exist.
    #[error("row {row} of column {name:?} is {value}; with {outputs} outputs it must be from 0 to {}", outputs.saturating_sub(1))]
    OutputOutOfRange {
        /// The column.
        name: String,
        /// The row in the table.
        row: usize,
        /// What it holds.
        value: String,
        /// How many outputs there are.
        outputs: u32,
    },
    /// Boundaries that do not fit the number of outputs.
    #[error("{outputs} outputs need {} boundaries between them, {boundaries} were given", outputs.saturating_sub(1))]
    WrongBoundaries {
        /// How many outputs there are.
        outputs: u32,
        /// How many boundaries were given.
        boundaries: usize,
    },
    /// Boundaries of another type than the keys.
    #[error(
        "the boundaries of column {name:?} have the type {boundary_type}, the column has {data_type}; give boundaries of the column's type"
    )]
    BoundaryType {
        /// The column.
        name: String,
        /// The type of the boundaries.
        boundary_type: String,
        /// The type of the column.
        data_type: String,
    },
    /// Boundaries out of order.
    #[error("the boundaries are not sorted: number {second} comes before number {}; sort them in the order that was asked for", second - 1)]
    UnsortedBoundaries {
        /// The later of the two.
        second: usize,
    },
    /// A grouping that does not cover the outputs.
    #[error("{0}")]
    Grouping(String),
    /// As many outputs as rows of the assignment were expected.
    #[error("the table has {rows} rows, but outputs were given for {assigned}")]
    WrongAssignment {
        /// Rows of the table.
        rows: usize,
        /// Length of the assignment.
        assigned: usize,
    },
    /// An output number in an assignment that does not exist.
    #[error("row {row} was assigned to output {output} of {outputs}")]
    NoSuchOutput {
        /// The row in the table.
        row: usize,
        /// Where it was to go.
        output: u32,
        /// How many outputs there are.
        outputs: u32,
    },
    /// More bytes than 32-bit offsets can address.
    #[error(
        "column {name:?} has {bytes} bytes of type {data_type} for one group of outputs, more than its 32-bit offsets can address; use more groups, smaller input partitions, or a type with 64-bit offsets (such as large_string)"
    )]
    OffsetOverflow {
        /// The column.
        name: String,
        /// Its type.
        data_type: String,
        /// How many bytes there were.
        bytes: u64,
    },
    /// Partitions whose columns differ.
    #[error("the partitions do not have the same columns: partition 0 has {first}, partition {index} has {other}")]
    DifferentColumns {
        /// The first partition's columns.
        first: String,
        /// The partition that differs.
        index: usize,
        /// Its columns.
        other: String,
    },
    /// Partitions in which a column has different types.
    #[error(
        "column {name:?} has the type {first} in some partitions and {other} in partition {index}; convert it to one type first"
    )]
    DifferentTypes {
        /// The column.
        name: String,
        /// The type seen before.
        first: String,
        /// The partition that differs.
        index: usize,
        /// Its type there.
        other: String,
    },
    /// Nothing to merge.
    #[error("there is no part to merge; a shuffle needs at least one input partition")]
    NoParts,
    /// Parts of different shuffles, or of different groups.
    #[error(
        "part {index} has {found} outputs, part 0 has {expected}; all parts must be of the same group of one shuffle"
    )]
    DifferentGroups {
        /// The part.
        index: usize,
        /// Its outputs.
        found: usize,
        /// The outputs of the first part.
        expected: usize,
    },
    /// A part that is not what `split` wrote.
    #[error("a part of a shuffle is damaged: {0}")]
    Damaged(String),
    /// Positions outside of an array block.
    #[error("{0}")]
    Block(String),
    /// What Arrow itself refuses.
    #[error("{0}")]
    Arrow(#[from] ArrowError),
}

/// A damaged part.
pub(crate) fn damaged(what: impl Into<String>) -> KernelError {
    KernelError::Damaged(what.into())
}
