//! Values from disk.
//!
//! Large values are mapped: the kernel reads them ahead while their checksums are compared, and nothing is copied. Writing to
//! what was mapped changes the reader's pages only.

use super::compression::Unpack;
use super::error::SpillError;
use super::folder::{Content, SpillDir, Spilled};
use super::ledger::Place;
use super::mapping::{Mapping, PAGE};
use super::record::{self, Damage, HEADER, Header, Row};
use super::stats::Counters;
use bytes::Bytes;
use kask_types::Payload;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::time::Instant;

/// Smaller ranges are read, larger ones mapped.
pub(super) const MAP_MIN_BYTES: u64 = 64 << 10;

/// Why a value could not be read.
enum ReadError {
    Damage(Damage),
    Io(io::Error),
}

impl From<Damage> for ReadError {
    fn from(damage: Damage) -> ReadError {
        ReadError::Damage(damage)
    }
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> ReadError {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => ReadError::Damage("the file is too short"),
            _ => ReadError::Io(error),
        }
    }
}

impl From<Unpack> for ReadError {
    fn from(error: Unpack) -> ReadError {
        match error {
            Unpack::Memory(error) => ReadError::Io(error),
            Unpack::Damaged => ReadError::Damage("it cannot be decompressed"),
        }
    }
}

/// A range of a file, in memory.
enum Window {
    Read(Vec<u8>),
    Mapped(Mapping, usize),
}

impl Window {
    /// `range` counts from the start of the file.
    fn of(file: &File, range: Range<u64>) -> io::Result<Window> {
        let len = (range.end - range.start) as usize;
        if range.end - range.start < MAP_MIN_BYTES {
            let mut bytes = vec![0; len];
            file.read_exact_at(&mut bytes, range.start)?;
            return Ok(Window::Read(bytes));
        }
        let skip = range.start as usize % PAGE;
        let mapping = Mapping::of_file(file, range.start - skip as u64, len + skip)?;
        mapping.sequential();
        Ok(Window::Mapped(mapping, skip))
    }

    fn as_slice(&self) -> &[u8] {
        match self {
            Window::Read(bytes) => bytes,
            Window::Mapped(mapping, skip) => &mapping.as_slice()[*skip..],
        }
    }

    fn into_bytes(self) -> Bytes {
        match self {
            Window::Read(bytes) => bytes.into(),
            Window::Mapped(mapping, skip) => {
                mapping.any_order();
                mapping.into_bytes().slice(skip..)
            }
        }
    }
}

impl SpillDir {
    /// Reads a value.
    ///
    /// # Errors
    /// [`SpillError::Damaged`] when it is not what was written, [`SpillError::Gone`] when it was removed.
    pub fn read(&self, spilled: &Spilled) -> Result<Content, SpillError> {
        self.reading(spilled, |file, start, len| {
            let window = Window::of(file, start..start + len)?;
            let record = window.as_slice();
            let header = Header::decode(record, spilled.task())?;
            let rows = record::all_rows(&header, record)?;
            let started = Instant::now();
            for rows in &rows {
                record::verify(rows, record, 0)?;
            }
            self.chooser.read(len, started.elapsed());
            let bytes = window.into_bytes();
            let mut payloads = Vec::with_capacity(rows.len());
            for rows in &rows {
                payloads.push(record::payload(rows, &bytes, 0)?);
            }
            let content = match header.is_parts {
                true => Content::Parts(payloads.into()),
                false => Content::Whole(payloads.pop().ok_or("the value is empty")?),
            };
            Ok((content, len))
        })
    }

    /// Reads one part of a value that is made of parts.
    ///
    /// # Errors
    /// As [`SpillDir::read`], and [`SpillError::NoSuchPart`].
    pub fn read_part(&self, spilled: &Spilled, part: u32) -> Result<Payload, SpillError> {
        let parts = spilled.parts().unwrap_or(0);
        if part >= parts {
            return Err(SpillError::NoSuchPart { task: spilled.task(), part, parts });
        }
        self.reading(spilled, |file, start, len| {
            let (header, rows) = rows_of_part(file, start, len, spilled, part)?;
            let extent = record::extent(&rows)?;
            if extent.end > len || extent.start < header.len() as u64 {
                return Err(ReadError::Damage("a part lies outside of the value"));
            }
            let window = Window::of(file, start + extent.start..start + extent.end)?;
            record::verify(&rows, window.as_slice(), extent.start)?;
            let payload = record::payload(&rows, &window.into_bytes(), extent.start)?;
            Ok((payload, extent.end - extent.start))
        })
    }

    /// Finds the file, has `read` read from it (file, start and length of the record), and counts.
    fn reading<T>(
        &self,
        spilled: &Spilled,
        read: impl Fn(&File, u64, u64) -> Result<(T, u64), ReadError>,
    ) -> Result<T, SpillError> {
        let started = Instant::now();
        let (file, place) = self.open_place(spilled)?;
        let name = place.file_name();
        let (start, len) = match place {
            Place::Alone { len, .. } => (0, len),
            Place::Packed { offset, len, .. } => (offset, len),
        };
        let damaged = |what| SpillError::Damaged { path: self.directory.file_path(&name), task: spilled.task(), what };
        let is_whole = file.metadata().is_ok_and(|metadata| metadata.len() >= place.end());
        let result = match is_whole {
            true => read(&file, start, len),
            false => Err(ReadError::Damage("the file is too short")),
        };
        match result {
            Ok((value, bytes)) => {
                Counters::add(&self.counters.read_bytes, bytes);
                Counters::add_elapsed(&self.counters.read_ns, started);
                Ok(value)
            }
            Err(ReadError::Damage(what)) => {
                Counters::add(&self.counters.damaged, 1);
                Err(damaged(what))
            }
            Err(ReadError::Io(error)) => Err(self.directory.failed(&name, "reading")(error)),
        }
    }

    /// Opens the file that the value is in. It may move to another one at any time.
    fn open_place(&self, spilled: &Spilled) -> Result<(File, Place), SpillError> {
        let mut missed = None;
        loop {
            let kept = self.ledger.lock().get(spilled.id).ok_or(SpillError::Gone { task: spilled.task() })?;
            let name = kept.place.file_name();
            match self.directory.open_file(&name) {
                Ok(file) => return Ok((file, kept.place)),
                Err(error) if error.kind() == io::ErrorKind::NotFound && missed != Some(kept.place) => {
                    missed = Some(kept.place);
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    Counters::add(&self.counters.damaged, 1);
                    let path = self.directory.file_path(&name);
                    return Err(SpillError::Damaged { path, task: spilled.task(), what: "the file is missing" });
                }
                Err(error) => return Err(self.directory.failed(&name, "opening")(error)),
            }
        }
    }
}

fn rows_of_part(
    file: &File,
    start: u64,
    len: u64,
    spilled: &Spilled,
    part: u32,
) -> Result<(Header, Vec<Row>), ReadError> {
    let read = |range: Range<usize>| {
        if range.end as u64 > len {
            return Err(ReadError::Damage("the file is too short"));
        }
        let mut bytes = vec![0; range.len()];
        file.read_exact_at(&mut bytes, start + range.start as u64)?;
        Ok(bytes)
    };
    let header = Header::decode(&read(0..HEADER)?, spilled.task())?;
    if !header.is_parts || part >= header.payloads {
        return Err(ReadError::Damage("it has fewer parts than the list says"));
    }
    let entry = read(header.entry(part))?;
    let rows = header.decode_rows(part, &entry, &read(header.rows(&entry)?)?)?;
    Ok((header, rows))
}
