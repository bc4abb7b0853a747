//! The threads that bring a worker's values to disk and back, and its spill folder.
//!
//! Whoever needs the disk (the worker core's actor, the network thread) leaves word here and goes on. *Writers* encode values and
//! write them in lots; they also remove files, which comes first because it makes room. *Readers* read for the core and for
//! runners, *servers* for peers and clients, who may be slow to take what they asked for. Each kind starts when it is first needed
//! and ends with the worker. The folder is opened when the first value is written, or when values of an earlier process are adopted.
//!
//! The queues wait on the standard library's locks, as the runners' do, because children may be forked at any time.

use crate::host::WorkerHost;
use crate::memory_settings::{MemoryOptions, SpillCompression};
use crate::runtime::Value;
use crate::spill::{Compression, Content, SpillDir, SpillError, SpillOptions, SpillStats, Spilled};
use crate::store::ToSpill;
use kask_net::reactor::drive;
use kask_net::reaper::remove_after_death;
use kask_types::{Failure, Incarnation, Payload, TaskId};
use kask_worker::{Event, SpillProblem};
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use tracing::{debug, warn};

/// Threads of each kind: one computes checksums while the other waits for the disk.
const THREADS: usize = 2;
/// A lot of values to write is closed when it has so many bytes or values.
const LOT_BYTES: u64 = 8 << 20;
const LOT_COUNT: usize = 256;

/// What a reader does.
pub(crate) type Reading = Box<dyn FnOnce(&Arc<WorkerHost>) + Send>;

/// A worker's way to its disk.
pub(crate) struct Disk {
    name: Arc<str>,
    options: MemoryOptions,
    state: Mutex<State>,
    /// There is something to write or remove.
    to_write: Condvar,
    /// There is something to read for this worker.
    to_read: Condvar,
    /// There is something to read for others.
    to_serve: Condvar,
    folder: Mutex<Folder>,
    /// The problem that people were last told of: each is said once, however often it comes.
    said: Mutex<Option<SpillProblem>>,
}

#[derive(Default)]
struct State {
    writes: VecDeque<ToSpill>,
    removals: Vec<Arc<Spilled>>,
    reads: VecDeque<Reading>,
    reads_for_others: VecDeque<Reading>,
    has_writers: bool,
    has_readers: bool,
    has_servers: bool,
    stopping: bool,
}

/// The folder, once it is open.
#[derive(Default)]
struct Folder {
    open: Option<Arc<SpillDir>>,
    /// Whose values they are; of no use to another scheduler's worker.
    scheduler: Option<Incarnation>,
    /// Why the last attempt to open it failed.
    trouble: Option<SpillError>,
}

#[derive(Clone, Copy)]
enum Kind {
    Writer,
    Reader(For),
}

/// Who waits for something to be read.
#[derive(Clone, Copy, Debug)]
pub(crate) enum For {
    /// This worker.
    Itself,
    /// A peer or client.
    Others,
}

impl Disk {
    pub(crate) fn new(name: Arc<str>, options: MemoryOptions) -> Disk {
        Disk {
            name,
            options,
            state: Mutex::default(),
            to_write: Condvar::new(),
            to_read: Condvar::new(),
            to_serve: Condvar::new(),
            folder: Mutex::default(),
            said: Mutex::default(),
        }
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        // Nothing here panics half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens the folder with what an earlier process of this place left there for the same scheduler.
    pub(crate) fn adopt(&self, scheduler: Incarnation) -> Vec<Arc<Spilled>> {
        let mut folder = self.folder.lock().unwrap_or_else(PoisonError::into_inner);
        folder.scheduler = Some(scheduler);
        let Some(path) = self.options.spill_directory.as_deref().filter(|path| SpillDir::has_values(path)) else {
            return Vec::new();
        };
        match SpillDir::adopt(path, &self.name, scheduler, spill_options(&self.options)) {
            Ok((open, adopted)) => {
                folder.open = Some(Arc::new(open));
                adopted
            }
            Err(error) => {
                warn!(%error, "values that were spilled before cannot be used");
                Vec::new()
            }
        }
    }

    /// Opens the folder if need be.
    pub(crate) fn folder(&self) -> Option<Arc<SpillDir>> {
        let mut folder = self.folder.lock().unwrap_or_else(PoisonError::into_inner);
        if folder.open.is_none()
            && let Some(path) = &self.options.spill_directory
        {
            let scheduler = folder.scheduler.unwrap_or(Incarnation(0));
            match SpillDir::open(path, &self.name, scheduler, spill_options(&self.options)) {
                Ok(open) => {
                    if let Some(scratch) = &self.options.goes_with_process {
                        remove_after_death(scratch);
                    }
                    folder.open = Some(Arc::new(open));
                    folder.trouble = None;
                }
                Err(error) => folder.trouble = Some(error),
            }
        }
        folder.open.clone()
    }

    /// Why there is no folder, in words, and as the core is told.
    fn no_folder(&self) -> (Arc<str>, SpillProblem) {
        let folder = self.folder.lock().unwrap_or_else(PoisonError::into_inner);
        match &folder.trouble {
            Some(error) => (error.to_string().into(), problem(error)),
            None => ("the worker has no spill folder".into(), SpillProblem::Io),
        }
    }

    /// The disk does not take values: people are told, and the core, which says so to those whose tasks fail for it.
    fn does_not_take(&self, host: &WorkerHost, reason: Arc<str>, problem: SpillProblem) {
        let before = self.said.lock().unwrap_or_else(PoisonError::into_inner).replace(problem);
        if before == Some(problem) {
            debug!(%reason, worker = %self.name, "values still cannot be moved to disk");
        } else {
            warn!(%reason, worker = %self.name, "values cannot be moved to disk");
        }
        host.post(Event::DiskTrouble(reason));
    }

    pub(crate) fn stats(&self) -> SpillStats {
        let folder = self.folder.lock().unwrap_or_else(PoisonError::into_inner);
        folder.open.as_ref().map(|open| open.stats()).unwrap_or_default()
    }

    /// Values are to be written.
    pub(crate) fn write(&self, host: &Arc<WorkerHost>, values: Vec<ToSpill>) {
        let mut state = self.locked();
        state.writes.extend(values);
        self.start(host, &mut state, Kind::Writer);
        drop(state);
        self.to_write.notify_all();
    }

    /// Files are to be removed.
    pub(crate) fn remove(&self, host: &Arc<WorkerHost>, spilled: Vec<Arc<Spilled>>) {
        if spilled.is_empty() {
            return;
        }
        let mut state = self.locked();
        state.removals.extend(spilled);
        self.start(host, &mut state, Kind::Writer);
        drop(state);
        self.to_write.notify_one();
    }

    /// Something is to be read.
    pub(crate) fn read(&self, host: &Arc<WorkerHost>, whom: For, reading: Reading) {
        let mut state = self.locked();
        match whom {
            For::Itself => {
                state.reads.push_back(reading);
                self.start(host, &mut state, Kind::Reader(whom));
                self.to_read.notify_one();
            }
            For::Others => {
                state.reads_for_others.push_back(reading);
                self.start(host, &mut state, Kind::Reader(whom));
                self.to_serve.notify_one();
            }
        }
    }

    /// Starts threads of a kind, at first use.
    fn start(&self, host: &Arc<WorkerHost>, state: &mut State, kind: Kind) {
        let (has_begun, word) = match kind {
            Kind::Writer => (&mut state.has_writers, "writer"),
            Kind::Reader(For::Itself) => (&mut state.has_readers, "reader"),
            Kind::Reader(For::Others) => (&mut state.has_servers, "server"),
        };
        if state.stopping || std::mem::replace(has_begun, true) {
            return;
        }
        for index in 0..THREADS {
            let host = host.clone();
            let runtime = host.runtime.clone();
            let name = format!("kask-{}-{word}-{index}", self.name);
            match kind {
                // Encoding a value runs the language; reading one must not wait for it.
                Kind::Writer => runtime.spawn(name, Box::new(move || write_until_the_end(&host))),
                Kind::Reader(whom) => {
                    let body = move || read_until_the_end(&host, whom);
                    let reader = std::thread::Builder::new().name(name).spawn(body);
                    if let Err(error) = reader {
                        warn!(%error, "a thread that reads spilled values cannot be started");
                        *has_begun = index > 0;
                    }
                }
            }
        }
    }

    /// Ends the threads. What waits to be written or read is forgotten.
    pub(crate) fn stop(&self) {
        let mut state = self.locked();
        state.stopping = true;
        let forgotten = (std::mem::take(&mut state.reads), std::mem::take(&mut state.reads_for_others));
        state.writes.clear();
        state.removals.clear();
        drop(state);
        self.to_write.notify_all();
        self.to_read.notify_all();
        self.to_serve.notify_all();
        drop(forgotten);
    }

    /// Removes the folder: nothing of this worker is wanted any more.
    pub(crate) fn destroy(&self) {
        self.stop();
        let open = self.folder.lock().unwrap_or_else(PoisonError::into_inner).open.take();
        if let Some(Err(error)) = open.map(|open| open.destroy()) {
            debug!(%error, "the spill folder was not removed");
        }
    }
}

fn spill_options(options: &MemoryOptions) -> SpillOptions {
    let compression = match options.spill_compression {
        SpillCompression::Auto => Compression::Auto,
        SpillCompression::Lz4 => Compression::Always,
        SpillCompression::Off => Compression::Never,
    };
    let max_bytes = match options.spill_max_bytes {
        0 => u64::MAX,
        bytes => bytes,
    };
    SpillOptions { max_bytes, reserve_bytes: options.spill_reserve_bytes, compression }
}

/// What a writer has to do next.
enum Writing {
    Remove(Vec<Arc<Spilled>>),
    Write(Vec<ToSpill>),
}

impl Disk {
    fn next_writing(&self) -> Option<Writing> {
        let mut state = self.locked();
        loop {
            if state.stopping {
                return None;
            }
            if !state.removals.is_empty() {
                return Some(Writing::Remove(std::mem::take(&mut state.removals)));
            }
            if !state.writes.is_empty() {
                return Some(Writing::Write(next_lot(&mut state.writes)));
            }
            state = self.to_write.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn next_reading(&self, whom: For) -> Option<Reading> {
        let mut state = self.locked();
        loop {
            if state.stopping {
                return None;
            }
            let (queue, more) = match whom {
                For::Itself => (&mut state.reads, &self.to_read),
                For::Others => (&mut state.reads_for_others, &self.to_serve),
            };
            if let Some(reading) = queue.pop_front() {
                return Some(reading);
            }
            state = more.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// The first values that wait, as many as are written together. Some are left to the other threads.
fn next_lot(writes: &mut VecDeque<ToSpill>) -> Vec<ToSpill> {
    let most = writes.len().div_ceil(THREADS).min(LOT_COUNT);
    let mut lot = Vec::with_capacity(most);
    let mut nbytes = 0;
    while lot.len() < most
        && nbytes < LOT_BYTES
        && let Some(value) = writes.pop_front()
    {
        nbytes += value.nbytes;
        lot.push(value);
    }
    lot
}

fn read_until_the_end(host: &Arc<WorkerHost>, whom: For) {
    while let Some(reading) = host.disk.next_reading(whom) {
        reading(host);
    }
}

fn write_until_the_end(host: &Arc<WorkerHost>) {
    while let Some(writing) = host.disk.next_writing() {
        match writing {
            Writing::Remove(spilled) => {
                if let Some(folder) = host.disk.folder() {
                    folder.remove_many(spilled.iter().map(|spilled| &**spilled));
                }
            }
            Writing::Write(lot) => {
                let answers = write_lot(host, lot);
                host.post(Event::Spilled(answers));
                drive(host.clone());
            }
        }
    }
}

type Answer = (TaskId, Result<u64, SpillProblem>);

/// Writes values, and has the store know of their copies.
fn write_lot(host: &Arc<WorkerHost>, lot: Vec<ToSpill>) -> Vec<Answer> {
    let Some(folder) = host.disk.folder() else {
        let (reason, problem) = host.disk.no_folder();
        host.disk.does_not_take(host, reason, problem);
        return lot.iter().map(|value| (value.task, Err(problem))).collect();
    };
    let mut answers = Vec::with_capacity(lot.len());
    let mut chosen = Vec::with_capacity(lot.len());
    let mut contents = Vec::with_capacity(lot.len());
    for (value, content) in encoded(host, lot) {
        match content {
            Some(content) => {
                contents.push((value.task, content));
                chosen.push(value);
            }
            None => answers.push((value.task, Err(SpillProblem::Unpicklable))),
        }
    }
    let written = folder.write_many(&contents);
    // The memory copies may go as soon as the answers are read.
    drop(contents);
    for (value, written) in chosen.into_iter().zip(written) {
        let answer = match written {
            Ok(spilled) => {
                if !host.store.spilled(&value, &spilled) {
                    folder.remove(&spilled);
                }
                Ok(spilled.disk_bytes())
            }
            Err(error) => {
                let problem = problem(&error);
                if problem != SpillProblem::Unpicklable {
                    host.disk.does_not_take(host, error.to_string().into(), problem);
                }
                Err(problem)
            }
        };
        answers.push((value.task, answer));
    }
    answers
}

/// The values as they can be written; `None` for those that went meanwhile, or that have no form as bytes.
fn encoded(host: &WorkerHost, lot: Vec<ToSpill>) -> Vec<(ToSpill, Option<Content>)> {
    let mut contents = Vec::with_capacity(lot.len());
    let mut to_encode = Vec::new();
    for value in lot {
        let content = match host.store.value_to_spill(&value) {
            None => None,
            Some(Value::Parts(parts)) => Some(Content::Parts(parts)),
            Some(Value::Object { encoded: Some(payload), .. } | Value::Encoded { payload, .. }) => {
                Some(Content::Whole(payload))
            }
            Some(Value::Object { object: payload @ Payload::Bytes { .. }, encoded: None }) => {
                Some(Content::Whole(payload))
            }
            Some(Value::Object { object: object @ Payload::Local(_), encoded: None }) => {
                to_encode.push((contents.len(), (value.task, object)));
                None
            }
        };
        contents.push((value, content));
    }
    let (indices, objects): (Vec<usize>, Vec<_>) = to_encode.into_iter().unzip();
    if !objects.is_empty() {
        for (index, encoded) in indices.into_iter().zip(host.runtime.encode(objects)) {
            contents[index].1 = encoded.inspect_err(not_encoded).ok().map(Content::Whole);
        }
    }
    contents
}

fn not_encoded(failure: &Failure) {
    debug!(%failure, "a value stays in memory since it cannot be encoded");
}

/// What the core is told of an error.
pub(crate) fn problem(error: &SpillError) -> SpillProblem {
    match error {
        SpillError::DiskFull { .. } => SpillProblem::DiskFull,
        SpillError::Damaged { .. } => SpillProblem::Damaged,
        SpillError::NotEncoded { .. } => SpillProblem::Unpicklable,
        SpillError::Gone { .. }
        | SpillError::NoSuchPart { .. }
        | SpillError::Insecure { .. }
        | SpillError::InUse { .. }
        | SpillError::Io { .. } => SpillProblem::Io,
    }
}
