//! Values to disk.

use super::compression::Codec;
use super::error::SpillError;
use super::folder::{Content, SpillDir, Spilled};
use super::ledger::{FileId, Kept, Place, RecordId, alone_name};
use super::mapping::Mapping;
use super::packs::{PACKED_MAX_BYTES, Purpose};
use super::record::{self, InMemory, Shape, WriteError};
use super::stats::Counters;
use super::writer::{BOUNCE_BYTES, Writer, Written};
use kask_types::TaskId;
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::Instant;

/// Small values are written so many bytes at a time.
const BATCH_BYTES: usize = 1 << 20;
/// Where records start in a pack.
const RECORD_ALIGN: usize = 64;
/// Buffers kept for the next writes.
const SPARE_BUFFERS: usize = 2;

type Outcome = Result<Arc<Spilled>, SpillError>;

/// Small values that are written together.
#[derive(Default)]
struct Batch {
    buffer: Vec<u8>,
    /// Each with its place in the buffer.
    values: Vec<(RecordId, Kept)>,
    /// Which of the caller's values they are.
    indices: Vec<usize>,
}

impl Batch {
    fn add(
        &mut self,
        id: RecordId,
        task: TaskId,
        content: &Content,
        shape: &Shape,
        index: usize,
    ) -> Result<(), SpillError> {
        let start = self.buffer.len();
        self.buffer.resize(start + shape.header_len, 0);
        let mut sink = InMemory { buffer: &mut self.buffer, start };
        // Small segments are not compressed.
        let header = record::write(&mut sink, task, content, shape, &mut |_| Codec::Raw);
        let header = match header {
            Ok(header) => header,
            Err(WriteError::Value(error)) => {
                self.buffer.truncate(start);
                return Err(error);
            }
            Err(WriteError::Io(_)) => unreachable!("writing to memory does not fail"),
        };
        self.buffer[start..start + header.len()].copy_from_slice(&header);
        self.buffer.resize(self.buffer.len().next_multiple_of(RECORD_ALIGN), 0);
        let len = (self.buffer.len() - start) as u64;
        let place = Place::Packed { pack: FileId(0), offset: start as u64, len };
        self.values.push((id, Kept { task, nbytes: shape.raw_bytes, parts: content.parts(), place }));
        self.indices.push(index);
        Ok(())
    }
}

impl SpillDir {
    /// Writes a value.
    ///
    /// # Errors
    /// [`SpillError::DiskFull`] when there is no room for it; then nothing of it is left behind.
    pub fn write(&self, task: TaskId, content: &Content) -> Outcome {
        let mut results = self.write_many(&[(task, content.clone())]);
        results.pop().expect("there is one result for each value")
    }

    /// Writes values; small ones together. The results are in the same order.
    pub fn write_many(&self, values: &[(TaskId, Content)]) -> Vec<Outcome> {
        let started = Instant::now();
        if let Err(error) = self.see_to_the_folder() {
            tracing::debug!(%error, "the spill folder cannot be made again");
        }
        let mut results: Vec<Option<Outcome>> = values.iter().map(|_| None).collect();
        let mut batch = Batch::default();
        for (index, (task, content)) in values.iter().enumerate() {
            match record::shape(*task, content) {
                Err(error) => results[index] = Some(Err(error)),
                Ok(shape) if shape.most_bytes <= PACKED_MAX_BYTES => {
                    if let Err(error) = batch.add(RecordId(self.new_id()), *task, content, &shape, index) {
                        results[index] = Some(Err(error));
                    }
                    if batch.buffer.len() >= BATCH_BYTES {
                        self.write_batch(std::mem::take(&mut batch), &mut results);
                    }
                }
                Ok(shape) => results[index] = Some(self.write_alone(*task, content, &shape)),
            }
        }
        self.write_batch(batch, &mut results);
        Counters::add_elapsed(&self.counters.write_ns, started);
        let results: Vec<Outcome> =
            results.into_iter().map(|result| result.expect("every value was written or refused")).collect();
        let full = results.iter().filter(|result| matches!(result, Err(SpillError::DiskFull { .. }))).count();
        Counters::add(&self.counters.full, full as u64);
        results
    }

    fn write_batch(&self, batch: Batch, results: &mut [Option<Outcome>]) {
        let Batch { buffer, values, indices } = batch;
        if values.is_empty() {
            return;
        }
        let mut together = values.clone();
        if self.packs.lock().append(self.around(), &buffer, &mut together, Purpose::New).is_ok() {
            for (index, (id, kept)) in indices.into_iter().zip(together) {
                Counters::add(&self.counters.raw_bytes, kept.nbytes);
                results[index] = Some(Ok(Spilled::of(id, &kept)));
            }
            return;
        }
        // There may be room for some of them.
        for (index, (id, kept)) in indices.into_iter().zip(values) {
            results[index] = Some(self.write_one_of(&buffer, id, kept));
        }
    }

    fn write_one_of(&self, buffer: &[u8], id: RecordId, mut kept: Kept) -> Outcome {
        let record = match &mut kept.place {
            Place::Alone { .. } => unreachable!("a batch is made of packed values"),
            Place::Packed { offset, len, .. } => {
                let start = std::mem::take(offset) as usize;
                &buffer[start..start + *len as usize]
            }
        };
        let mut alone = vec![(id, kept)];
        self.packs.lock().append(self.around(), record, &mut alone, Purpose::New)?;
        Counters::add(&self.counters.raw_bytes, kept.nbytes);
        Ok(Spilled::of(id, &alone[0].1))
    }

    /// Writes a value to a file of its own.
    fn write_alone(&self, task: TaskId, content: &Content, shape: &Shape) -> Outcome {
        let room = self.usage.reserve(&self.directory, shape.most_bytes)?;
        let id = self.new_id();
        let name = alone_name(FileId(id));
        let failed = |error| self.directory.write_failed(&name, shape.most_bytes, self.usage.used(), error);
        let (file, is_direct) = self.directory.create(&name, true).map_err(failed)?;
        let written = self.write_file(&file, is_direct, task, content, shape).map_err(|error| match error {
            WriteError::Value(error) => error,
            WriteError::Io(error) => failed(error),
        });
        let listed = written.and_then(|written| {
            let place = Place::Alone { file: FileId(id), len: written };
            let kept = Kept { task, nbytes: shape.raw_bytes, parts: content.parts(), place };
            self.ledger.lock().keep(&self.directory, &[(RecordId(id), kept)]).map(|()| (kept, written))
        });
        match listed {
            Ok((kept, len)) => {
                room.keep(len);
                Counters::add(&self.counters.files, 1);
                Counters::add(&self.counters.written_bytes, len);
                Counters::add(&self.counters.raw_bytes, shape.raw_bytes);
                Ok(Spilled::of(RecordId(id), &kept))
            }
            Err(error) => {
                self.directory.remove(&name);
                Err(error)
            }
        }
    }

    /// Gives the file's length.
    fn write_file(
        &self,
        file: &File,
        is_direct: bool,
        task: TaskId,
        content: &Content,
        shape: &Shape,
    ) -> Result<u64, WriteError> {
        let bounce = self.buffer().map_err(WriteError::Io)?;
        let mut writer = Writer::new(file, is_direct, shape, bounce);
        let is_tight = self.usage.is_tight(&self.directory);
        let mut choose = |segment: &[u8]| self.chooser.choose(segment, is_tight);
        let header = record::write(&mut writer, task, content, shape, &mut choose)?;
        let Written { len, io_time, bounce } = writer.finish(&header).map_err(WriteError::Io)?;
        self.chooser.wrote(len, io_time);
        let mut spare = self.spare.lock();
        if spare.len() < SPARE_BUFFERS {
            spare.push(bounce);
        }
        Ok(len)
    }

    fn buffer(&self) -> io::Result<Mapping> {
        match self.spare.lock().pop() {
            Some(buffer) => Ok(buffer),
            None => Mapping::zeroed(BOUNCE_BYTES),
        }
    }
}
