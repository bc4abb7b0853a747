//! `Chunks` and `Interval`: how arrays are cut into blocks, for the array collection. The arithmetic is that of
//! `kask_graph::chunks`; nothing here but what a user asks to see costs as much as there are chunks.

use kask_graph::BlockLists;
use kask_graph::block_position;
use kask_graph::chunks::{self, AxisSpec, ChunkSizes, ChunksError, RechunkTerms, RechunkWay, RechunkWays, SizeRun};
use pyo3::exceptions::{PyIndexError, PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyList, PySlice, PyString, PyTuple, PyType};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::num::NonZero;
use std::sync::Arc;

/// The runs of each axis: size and count.
type Runs = Vec<Vec<(u64, u32)>>;

/// What an interval is made of: input, output, start, step, before, after.
type IntervalParts = (Chunks, Chunks, u64, i64, u64, u64);

/// How an array is cut: chunk sizes for each axis. Immutable.
#[pyclass(module = "kask._kask", frozen, eq, hash, from_py_object)]
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Chunks(Vec<ChunkSizes>);

/// Which elements of an input the blocks of an output need, along one axis. Immutable.
#[pyclass(module = "kask._kask", frozen, eq, from_py_object)]
#[derive(Clone, PartialEq, Eq)]
pub struct Interval(pub Arc<chunks::Interval>);

/// Blocks for each position along an axis. Immutable.
#[pyclass(module = "kask._kask", frozen, eq, from_py_object, name = "BlockLists")]
#[derive(Clone, PartialEq, Eq)]
pub struct Lists(pub Arc<BlockLists>);

#[pymethods]
impl Lists {
    #[new]
    fn new(blocks: Vec<u32>, ends: Vec<u32>) -> Lists {
        Lists(Arc::new(BlockLists { blocks, ends }))
    }

    fn __hash__(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (&self.0.blocks, &self.0.ends).hash(&mut hasher);
        hasher.finish()
    }

    fn __repr__(&self) -> String {
        format!("{:?}", self.0)
    }
}

fn refuse(error: ChunksError) -> PyErr {
    PyValueError::new_err(error.to_string())
}

/// One axis's sizes: a sequence of numbers, or chunks of one axis.
fn sizes_of(sizes: &Bound<'_, PyAny>) -> PyResult<ChunkSizes> {
    if let Ok(chunks) = sizes.cast::<Chunks>() {
        return chunks.get().only().cloned();
    }
    let sizes: Vec<u64> = sizes.extract()?;
    ChunkSizes::new(sizes).map_err(refuse)
}

/// What is asked for along one axis: None (whole), "auto", a size, or sizes.
fn spec_of(spec: &Bound<'_, PyAny>) -> PyResult<AxisSpec> {
    if spec.is_none() {
        return Ok(AxisSpec::Whole);
    }
    if spec.cast::<PyString>().is_ok_and(|word| word == "auto") {
        return Ok(AxisSpec::Auto);
    }
    match spec.extract::<u64>() {
        Ok(size) => Ok(AxisSpec::Size(size)),
        Err(_) => sizes_of(spec).map(AxisSpec::Sizes),
    }
}

impl Chunks {
    fn only(&self) -> PyResult<&ChunkSizes> {
        match &self.0[..] {
            [sizes] => Ok(sizes),
            many => Err(PyTypeError::new_err(format!("chunks of one axis are wanted here, these have {}", many.len()))),
        }
    }

    fn at(&self, axis: isize) -> PyResult<&ChunkSizes> {
        let place = if axis < 0 { axis + self.0.len().cast_signed() } else { axis };
        let found = usize::try_from(place).ok().and_then(|place| self.0.get(place));
        found.ok_or_else(|| PyIndexError::new_err(format!("axis {axis} of {}", self.0.len())))
    }

    fn along<T>(&self, position: &[u32], each: impl Fn(&ChunkSizes, u32) -> T) -> PyResult<Vec<T>> {
        let is_there = |(sizes, &at): (&ChunkSizes, &u32)| at < sizes.blocks();
        if position.len() != self.0.len() || !self.0.iter().zip(position).all(is_there) {
            let grid: Vec<u32> = self.0.iter().map(ChunkSizes::blocks).collect();
            return Err(PyIndexError::new_err(format!("there is no block {position:?} in a grid of {grid:?} blocks")));
        }
        Ok(self.0.iter().zip(position).map(|(sizes, &at)| each(sizes, at)).collect())
    }

    fn tuple_of<'py, T>(&self, py: Python<'py>, each: impl Fn(&ChunkSizes) -> T) -> PyResult<Bound<'py, PyTuple>>
    where
        T: IntoPyObject<'py>,
    {
        PyTuple::new(py, self.0.iter().map(each).collect::<Vec<T>>())
    }

    fn with_each(
        &self,
        numbers: &[u64],
        each: impl Fn(&ChunkSizes, u64) -> Result<ChunkSizes, ChunksError>,
    ) -> PyResult<Chunks> {
        if numbers.len() != self.0.len() {
            let message = format!("{} numbers for {} axes", numbers.len(), self.0.len());
            return Err(PyValueError::new_err(message));
        }
        let axes = self.0.iter().zip(numbers).map(|(sizes, &number)| each(sizes, number));
        axes.collect::<Result<_, _>>().map(Chunks).map_err(refuse)
    }

    fn runs_of_axes(&self) -> Runs {
        self.0.iter().map(|sizes| sizes.runs().map(|run| (run.size, run.count)).collect()).collect()
    }

    /// All sizes, axis by axis.
    pub fn lists(&self) -> Vec<Vec<u64>> {
        self.0.iter().map(|sizes| sizes.iter().collect()).collect()
    }
}

#[pymethods]
impl Chunks {
    #[new]
    fn new(sizes: &Bound<'_, PyAny>) -> PyResult<Chunks> {
        sizes.try_iter()?.map(|axis| sizes_of(&axis?)).collect::<PyResult<_>>().map(Chunks)
    }

    /// Chunks for an array of this shape: for each axis None (one chunk), "auto", a size, or sizes.
    #[staticmethod]
    #[pyo3(signature = (shape, specs, item_bytes, limit_bytes, previous = None))]
    fn normalize(
        shape: Vec<u64>,
        specs: &Bound<'_, PyAny>,
        item_bytes: u64,
        limit_bytes: u64,
        previous: Option<&Bound<'_, Chunks>>,
    ) -> PyResult<Chunks> {
        let specs = specs.try_iter()?.map(|spec| spec_of(&spec?)).collect::<PyResult<Vec<_>>>()?;
        let previous = previous.map(|chunks| chunks.get().0.as_slice());
        chunks::normalize(&shape, &specs, item_bytes, limit_bytes, previous).map(Chunks).map_err(refuse)
    }

    /// One chunk along each axis.
    #[staticmethod]
    fn whole(shape: Vec<u64>) -> Chunks {
        Chunks(shape.into_iter().map(ChunkSizes::single).collect())
    }

    /// The coarsest chunks of one axis that have a cut wherever one of these has.
    #[staticmethod]
    fn unify(all: &Bound<'_, PyAny>) -> PyResult<Chunks> {
        let all = all.try_iter()?.map(|axis| sizes_of(&axis?)).collect::<PyResult<Vec<_>>>()?;
        chunks::unify(&all).map(|sizes| Chunks(vec![sizes])).map_err(refuse)
    }

    /// Chunks of one axis from runs of equal ones: a size, and how many chunks have it.
    #[staticmethod]
    fn of_runs(runs: Vec<(u64, u32)>) -> PyResult<Chunks> {
        restore_chunks(vec![runs])
    }

    /// The axes of all of these, one after another.
    #[staticmethod]
    fn join(all: &Bound<'_, PyAny>) -> PyResult<Chunks> {
        let mut axes = Vec::new();
        for chunks in all.try_iter()? {
            axes.extend(chunks?.cast::<Chunks>()?.get().0.iter().cloned());
        }
        Ok(Chunks(axes))
    }

    /// Chunks of one axis: these, one after another.
    #[staticmethod]
    fn concat(all: &Bound<'_, PyAny>) -> PyResult<Chunks> {
        let all = all.try_iter()?.map(|axis| sizes_of(&axis?)).collect::<PyResult<Vec<_>>>()?;
        ChunkSizes::concat(&all).map(|sizes| Chunks(vec![sizes])).map_err(refuse)
    }

    /// How many axes there are.
    #[getter]
    fn ndim(&self) -> usize {
        self.0.len()
    }

    /// Elements along each axis.
    #[getter]
    fn shape<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        self.tuple_of(py, ChunkSizes::total)
    }

    /// Blocks along each axis.
    #[getter]
    fn grid<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        self.tuple_of(py, ChunkSizes::blocks)
    }

    /// The largest chunk along each axis.
    #[getter]
    fn largest<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        self.tuple_of(py, ChunkSizes::largest)
    }

    /// Blocks in all.
    #[getter]
    fn nblocks(&self) -> u64 {
        self.0.iter().fold(1, |product, sizes| product.saturating_mul(sizes.blocks().into()))
    }

    /// Whether each axis has one chunk.
    #[getter]
    fn is_single(&self) -> bool {
        self.0.iter().all(ChunkSizes::is_single)
    }

    /// For each axis its runs of equal chunks: their size, and how many there are.
    #[getter]
    fn runs(&self) -> Runs {
        self.runs_of_axes()
    }

    /// Chunks of one axis.
    fn axis(&self, axis: isize) -> PyResult<Chunks> {
        self.at(axis).map(|sizes| Chunks(vec![sizes.clone()]))
    }

    /// Chunks of some axes, in this order.
    fn axes(&self, axes: Vec<isize>) -> PyResult<Chunks> {
        axes.into_iter().map(|axis| self.at(axis).cloned()).collect::<PyResult<_>>().map(Chunks)
    }

    /// The same but for one axis.
    fn replace(&self, axis: isize, sizes: &Bound<'_, PyAny>) -> PyResult<Chunks> {
        self.at(axis)?;
        let mut axes = self.0.clone();
        let place = if axis < 0 { axis + axes.len().cast_signed() } else { axis };
        axes[place.cast_unsigned()] = sizes_of(sizes)?;
        Ok(Chunks(axes))
    }

    /// All sizes: a tuple for each axis. The one method that costs as much as there are chunks.
    fn tuples<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let axes = self.0.iter().map(|sizes| PyTuple::new(py, sizes.iter().collect::<Vec<u64>>()));
        PyTuple::new(py, axes.collect::<PyResult<Vec<_>>>()?)
    }

    /// Elements along each axis of a block.
    fn block_shape<'py>(&self, py: Python<'py>, position: Vec<u32>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.along(&position, ChunkSizes::size)?)
    }

    /// Elements before a block along each axis.
    fn block_start<'py>(&self, py: Python<'py>, position: Vec<u32>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.along(&position, ChunkSizes::start)?)
    }

    /// Puts blocks (all of them, in C order) into their places in `out`, which has this shape.
    fn assemble(&self, out: &Bound<'_, PyAny>, blocks: &Bound<'_, PyList>) -> PyResult<()> {
        let wanted = self.nblocks();
        if wanted != blocks.len() as u64 {
            return Err(PyValueError::new_err(format!("{} blocks were given, {wanted} are wanted", blocks.len())));
        }
        self.place(out, blocks, 0)
    }

    /// The same for some blocks, in C order those from number `first` on.
    fn place(&self, out: &Bound<'_, PyAny>, blocks: &Bound<'_, PyList>, first: u32) -> PyResult<()> {
        let (end, there) = (u64::from(first) + blocks.len() as u64, self.nblocks());
        if there < end {
            return Err(PyValueError::new_err(format!("blocks {first} to {end} were given, there are {there}")));
        }
        let py = out.py();
        let grid: Vec<u32> = self.0.iter().map(ChunkSizes::blocks).collect();
        let mut places = Vec::with_capacity(blocks.len());
        for (index, block) in (first..).zip(blocks.iter()) {
            let position = block_position(&grid, index);
            let place = self.0.iter().zip(&position).map(|(sizes, &at)| {
                let start = sizes.start(at) as isize;
                PySlice::new(py, start, start + sizes.size(at) as isize, 1)
            });
            places.push((PyTuple::new(py, place.collect::<Vec<_>>())?.unbind(), block.unbind()));
        }
        place_all(out, &places)
    }

    /// What is left when of each axis `len` elements are taken, from `start` on every `step`-th.
    fn slice(&self, taken: Vec<(u64, i64, u64)>) -> PyResult<Chunks> {
        if taken.len() != self.0.len() {
            let message = format!("{} slices for {} axes", taken.len(), self.0.len());
            return Err(PyValueError::new_err(message));
        }
        let slice = |(sizes, (start, step, len)): (&ChunkSizes, (u64, i64, u64))| {
            let last = i128::from(start) + i128::from(step) * (i128::from(len) - 1);
            let there = 0..i128::from(sizes.total());
            if len > 0 && (step == 0 || !there.contains(&start.into()) || !there.contains(&last)) {
                let total = sizes.total();
                return Err(PyIndexError::new_err(format!("a slice reaches beyond the {total} elements of its axis")));
            }
            Ok(sizes.slice(start, step, len))
        };
        self.0.iter().zip(taken).map(slice).collect::<PyResult<_>>().map(Chunks)
    }

    /// Chunks of one axis: the blocks of all of these axes in C order.
    fn flat(&self) -> PyResult<Chunks> {
        chunks::flat(&self.0).map(|sizes| Chunks(vec![sizes])).map_err(refuse)
    }

    /// Each chunk so many times as long: a factor for each axis.
    fn scaled(&self, factors: Vec<u64>) -> PyResult<Chunks> {
        self.with_each(&factors, ChunkSizes::scaled)
    }

    /// How many groups of so many neighbours end in each chunk: a size for each axis.
    fn coarsened(&self, groups: Vec<u64>) -> PyResult<Chunks> {
        if groups.contains(&0) {
            return Err(PyValueError::new_err("a group has one element at least"));
        }
        self.with_each(&groups, |sizes, group| Ok(sizes.coarsened(group)))
    }

    /// The only axis with the first chunk and the last one longer by so many elements.
    fn grown(&self, before: u64, after: u64) -> PyResult<Chunks> {
        self.only()?.grown(before, after).map(|sizes| Chunks(vec![sizes])).map_err(refuse)
    }

    /// The only axis with each chunk longer by the sizes that others have at its place.
    #[pyo3(signature = (*others))]
    fn plus(&self, others: Vec<Chunks>) -> PyResult<Chunks> {
        let others = others.iter().map(Chunks::only).collect::<PyResult<Vec<_>>>()?;
        self.only()?.plus(&others).map(|sizes| Chunks(vec![sizes])).map_err(refuse)
    }

    /// The only axis with each chunk shorter by the sizes that others have at its place.
    #[pyo3(signature = (*others))]
    fn minus(&self, others: Vec<Chunks>) -> PyResult<Chunks> {
        let others = others.iter().map(Chunks::only).collect::<PyResult<Vec<_>>>()?;
        self.only()?.minus(&others).map(|sizes| Chunks(vec![sizes])).map_err(refuse)
    }

    /// The chunks of the only axis that have these numbers.
    fn picked(&self, blocks: Vec<u32>) -> PyResult<Chunks> {
        let sizes = self.only()?;
        if let Some(block) = blocks.iter().find(|&&block| block >= sizes.blocks()) {
            return Err(PyIndexError::new_err(format!("block {block} of {}", sizes.blocks())));
        }
        sizes.picked(blocks).map(|sizes| Chunks(vec![sizes])).map_err(refuse)
    }

    /// The first piece of so many places along the only axis that two chunks have elements in, element `i` at `start + step * i`.
    fn first_shared(&self, unit: u64, start: u64, step: u64) -> PyResult<Option<u64>> {
        if unit == 0 {
            return Err(PyValueError::new_err("a piece has one place at least"));
        }
        Ok(self.only()?.first_shared(unit, start, step))
    }

    /// For each chunk of the only axis the next number (or 0, where all are), if one of `len` elements is in it, from `start` on every
    /// `step`-th.
    fn touched(&self, start: u64, step: u64, len: u64, is_one: bool) -> PyResult<Lists> {
        if step == 0 {
            return Err(PyValueError::new_err("a step is 1 at least"));
        }
        let mut lists = BlockLists::default();
        for is_touched in self.only()?.touched(start, step, len) {
            if is_touched {
                lists.blocks.push(if is_one { 0 } else { lists.blocks.len() as u32 });
            }
            lists.ends.push(lists.blocks.len() as u32);
        }
        Ok(Lists(Arc::new(lists)))
    }

    /// Where each chunk of the only axis ends, as 64-bit integers in the machine's byte order.
    fn ends<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let mut end = 0u64;
        let ends = self.only()?.iter().flat_map(|size| {
            end += size;
            end.to_ne_bytes()
        });
        Ok(PyBytes::new(py, &ends.collect::<Vec<u8>>()))
    }

    /// The shapes of so many blocks from one on, in C order.
    fn block_shapes<'py>(&self, py: Python<'py>, first: u32, count: u32) -> PyResult<Vec<Bound<'py, PyTuple>>> {
        let all = self.nblocks();
        if u64::from(first) + u64::from(count) > all {
            return Err(PyIndexError::new_err(format!("{count} blocks from {first} on, of {all}")));
        }
        let grid: Vec<u32> = self.0.iter().map(ChunkSizes::blocks).collect();
        let shape = |block| PyTuple::new(py, self.along(&block_position(&grid, block), ChunkSizes::size)?);
        (first..first + count).map(shape).collect()
    }

    /// The steps to other chunks of the same array: the chunks, and the groups of a shuffle or 0. `ways` are "all", "direct" or "shuffle".
    #[expect(clippy::too_many_arguments, reason = "the fields of one struct, from its only caller")]
    fn plan_rechunk(
        &self,
        new: &Bound<'_, Chunks>,
        item_bytes: u64,
        task_bytes: u64,
        worker_bytes: u64,
        workers: u32,
        block_bytes: u64,
        ways: &str,
        threshold: Option<f64>,
    ) -> PyResult<Vec<(Chunks, u32)>> {
        let ways = match ways {
            "all" => RechunkWays::All,
            "direct" => RechunkWays::Direct,
            "shuffle" => RechunkWays::Shuffle,
            other => {
                return Err(PyValueError::new_err(format!("ways are 'all', 'direct' or 'shuffle', not {other:?}")));
            }
        };
        let terms = RechunkTerms { item_bytes, task_bytes, worker_bytes, workers, block_bytes, ways, threshold };
        let steps = chunks::plan_rechunk(&self.0, &new.get().0, &terms).map_err(refuse)?;
        let told = steps.into_iter().map(|step| match step.way {
            RechunkWay::Direct => (Chunks(step.chunks), 0),
            RechunkWay::Shuffle { groups } => (Chunks(step.chunks), groups),
        });
        Ok(told.collect())
    }

    /// How to get to another shape, in blocks of at most so many elements if possible: chunks before, merged, split, after.
    fn plan_reshape(&self, shape: Vec<u64>, most_elements: u64) -> PyResult<(Chunks, Chunks, Chunks, Chunks)> {
        let plan = chunks::plan_reshape(&self.0, &shape, most_elements).map_err(refuse)?;
        Ok((Chunks(plan.before), Chunks(plan.merged), Chunks(plan.split), Chunks(plan.after)))
    }

    fn __repr__(&self) -> String {
        format!("Chunks({:?})", self.0)
    }

    fn __kask_tokenize__(&self) -> (&'static str, Runs) {
        ("chunks", self.runs_of_axes())
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, (Runs,))> {
        Ok((py.import("kask._kask")?.getattr("_restore_chunks")?, (self.runs_of_axes(),)))
    }
}

/// What pickling chunks leaves.
#[pyfunction(name = "_restore_chunks")]
pub fn restore_chunks(runs: Runs) -> PyResult<Chunks> {
    let axis =
        |runs: Vec<(u64, u32)>| ChunkSizes::from_runs(runs.into_iter().map(|(size, count)| SizeRun { size, count }));
    runs.into_iter().map(axis).collect::<Result<_, _>>().map(Chunks).map_err(refuse)
}

#[pymethods]
impl Interval {
    #[new]
    #[pyo3(signature = (input, output, start = 0, step = 1, before = 0, after = 0))]
    fn new(
        input: &Bound<'_, PyAny>,
        output: &Bound<'_, PyAny>,
        start: u64,
        step: i64,
        before: u64,
        after: u64,
    ) -> PyResult<Interval> {
        let (input, output) = (sizes_of(input)?, sizes_of(output)?);
        Ok(Interval(Arc::new(chunks::Interval { input, output, start, step, before, after })))
    }

    /// What an output block takes from each input block that it reads: (start, step, len) there, and where in the output.
    fn pieces<'py>(&self, py: Python<'py>, block: u32) -> PyResult<Bound<'py, PyList>> {
        self.check(block)?;
        let pieces = self.0.pieces(block);
        PyList::new(py, pieces.iter().map(|piece| (piece.start, piece.step, piece.len, piece.at)).collect::<Vec<_>>())
    }

    /// Elements that an output block is made of, those before and after it included.
    fn length(&self, block: u32) -> PyResult<u64> {
        self.check(block)?;
        Ok(self.0.len(block))
    }

    /// How many of these are there before the block's own.
    fn margin(&self, block: u32) -> PyResult<u64> {
        self.check(block)?;
        Ok(self.0.margin(block))
    }

    /// How many elements more each output block has before its own and after them, as chunks of one axis.
    fn margins(&self) -> (Chunks, Chunks) {
        let (fronts, backs) = self.0.margins();
        (Chunks(vec![fronts]), Chunks(vec![backs]))
    }

    fn __repr__(&self) -> String {
        format!("{:?}", self.0)
    }

    fn __hash__(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (&self.0.input, &self.0.output, self.0.start, self.0.step, self.0.before, self.0.after).hash(&mut hasher);
        hasher.finish()
    }

    fn __kask_tokenize__(&self) -> (&'static str, IntervalParts) {
        ("interval", self.parts())
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> (Bound<'py, PyAny>, IntervalParts) {
        (py.get_type::<Interval>().into_any(), self.parts())
    }
}

impl Interval {
    fn check(&self, block: u32) -> PyResult<()> {
        let blocks = self.0.output.blocks();
        if block < blocks { Ok(()) } else { Err(PyIndexError::new_err(format!("block {block} of {blocks}"))) }
    }

    fn parts(&self) -> IntervalParts {
        let chunks = |sizes: &ChunkSizes| Chunks(vec![sizes.clone()]);
        let it = &self.0;
        (chunks(&it.input), chunks(&it.output), it.start, it.step, it.before, it.after)
    }
}

/// How many merges of a shuffle make so many outputs.
#[pyfunction]
pub fn merge_groups(outputs: u64) -> u32 {
    kask_graph::merge_groups(u32::try_from(outputs).unwrap_or(u32::MAX))
}

/// How many outputs a shuffle of so many bytes needs so that no merge takes more than the limit.
#[pyfunction]
pub fn fitting_outputs(total_bytes: u64, limit_bytes: u64) -> u64 {
    kask_graph::fitting_outputs(total_bytes, limit_bytes)
}

/// What one task may take of the memory of a worker with this limit.
#[pyfunction]
pub fn usable_bytes(limit_bytes: u64) -> u64 {
    kask_graph::usable_bytes(limit_bytes)
}

/// The printed keys of all blocks of a layer, in C order.
#[pyfunction]
pub fn block_names(name: &str, grid: Vec<u32>) -> PyResult<Vec<String>> {
    let blocks = grid.iter().try_fold(1u32, |product, &blocks| product.checked_mul(blocks));
    let blocks = blocks.ok_or_else(|| PyValueError::new_err("an array has at most 2^32 blocks; use larger ones"))?;
    let mut names = Vec::with_capacity(blocks as usize);
    let mut position = vec![0u32; grid.len()];
    for _ in 0..blocks {
        let mut text = format!("('{name}'");
        for at in &position {
            text.push_str(&format!(", {at}"));
        }
        text.push_str(if position.is_empty() { ",)" } else { ")" });
        names.push(text);
        for (at, blocks) in position.iter_mut().zip(&grid).rev() {
            *at += 1;
            if *at < *blocks {
                break;
            }
            *at = 0;
        }
    }
    Ok(names)
}

/// From this size on all cores copy.
const LARGE_BYTES: usize = 16 << 20;

/// Sets the items of `out`. Who copies large ones lets go of the GIL meanwhile. Only NumPy's own arrays take items from several threads: a
/// masked array makes its mask when it first needs one.
fn place_all(out: &Bound<'_, PyAny>, places: &[(Py<PyTuple>, Py<PyAny>)]) -> PyResult<()> {
    let place = |out: &Bound<'_, PyAny>, places: &[(Py<PyTuple>, Py<PyAny>)]| -> PyResult<()> {
        places.iter().try_for_each(|(place, block)| out.set_item(place, block))
    };
    let nbytes: usize = out.getattr(intern!(out.py(), "nbytes")).and_then(|nbytes| nbytes.extract()).unwrap_or(0);
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get).min(places.len());
    static NDARRAY: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    if nbytes < LARGE_BYTES || cores < 2 || !out.get_type().is(NDARRAY.import(out.py(), "numpy", "ndarray")?) {
        return place(out, places);
    }
    let share = places.len().div_ceil(cores);
    let target = out.clone().unbind();
    out.py().detach(|| {
        std::thread::scope(|scope| {
            let copy = |places| Python::attach(|py| place(target.bind(py), places));
            let threads: Vec<_> = places.chunks(share).map(|places| scope.spawn(move || copy(places))).collect();
            let ends = threads.into_iter().map(|thread| thread.join().expect("an exception is a value here"));
            ends.collect::<Vec<_>>().into_iter().collect()
        })
    })
}
