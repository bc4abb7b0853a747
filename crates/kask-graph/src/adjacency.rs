//! Compressed adjacency: a list of numbers for each task, all in one vector.

/// A list of numbers for each of a fixed number of rows.
///
/// Rows are written once, in any order, and stay empty until then.
///
/// ```
/// # use kask_graph::Csr;
/// let mut lists = Csr::new(3);
/// lists.push_row(1, [7, 8]);
/// assert_eq!(lists.row(1), [7, 8]);
/// assert!(lists.row(0).is_empty());
/// ```
#[derive(Clone, Debug, Default)]
pub struct Csr {
    /// Where each row starts in `targets`, and how long it is.
    pub(crate) rows: Vec<(u32, u32)>,
    pub(crate) targets: Vec<u32>,
}

impl Csr {
    /// So many empty rows.
    pub fn new(rows: usize) -> Csr {
        Csr { rows: vec![(0, 0); rows], targets: Vec::new() }
    }

    /// The numbers of a row.
    pub fn row(&self, row: u32) -> &[u32] {
        let (start, len) = self.rows[row as usize];
        &self.targets[start as usize..start as usize + len as usize]
    }

    /// Writes a row that is empty so far.
    ///
    /// # Panics
    /// When all rows together get `u32::MAX` numbers.
    pub fn push_row(&mut self, row: u32, numbers: impl IntoIterator<Item = u32>) {
        let start = self.targets.len();
        self.targets.extend(numbers);
        self.close_row(row, start);
    }

    /// Makes what was pushed to `targets` since it had `start` numbers the row's content.
    pub(crate) fn close_row(&mut self, row: u32, start: usize) {
        let end = u32::try_from(self.targets.len()).expect("the number of inputs is limited to u32::MAX / 2");
        let start = start as u32;
        self.rows[row as usize] = (start, end - start);
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// How many numbers there are in all rows.
    pub fn total(&self) -> usize {
        self.targets.len()
    }

    /// Bytes held.
    pub fn nbytes(&self) -> usize {
        self.rows.capacity() * 8 + self.targets.capacity() * 4
    }
}
