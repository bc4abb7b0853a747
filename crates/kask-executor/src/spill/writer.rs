//! Writes one large file from start to end without filling the page cache.
//!
//! Where the file system allows it, pages go straight from memory to the disk. Memory that starts at a page is not even copied;
//! other memory is, a mebibyte at a time. Elsewhere the kernel is asked to write back and forget what was written, window
//! by window. The first pages of the file (its header, known only at the end) are kept and written last; a file that fits into the
//! buffer is written at once.

use super::mapping::{Mapping, PAGE, write_back};
use super::record::{Shape, Sink};
use rustix::fs::OFlags;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

/// Size of the buffer that unaligned memory is copied to: small enough to stay in the processor's cache, large enough for a
/// value of a mebibyte with its header.
pub(super) const BOUNCE_BYTES: usize = 5 << 18;
/// Memory that will be copied is best given so much at a time.
const COPY_BYTES: usize = 1 << 18;
/// Aligned memory is written so much at a time.
const WRITE_BYTES: usize = 8 << 20;
/// Without direct writes, so much may wait in the page cache twice.
const WINDOW_BYTES: u64 = 8 << 20;

/// A file that is being written.
pub(super) struct Writer<'a> {
    target: Target<'a>,
    /// The first bytes of the file, written last. Empty when the whole file will fit into `bounce`.
    front: Vec<u8>,
    front_len: usize,
    /// Where the next byte goes.
    position: u64,
    bounce: Mapping,
    /// Bytes of `bounce` in use; they end at `position`.
    filled: usize,
}

/// Where the bytes go.
struct Target<'a> {
    file: &'a File,
    is_direct: bool,
    /// Up to where the kernel has been asked to write back.
    written_back: u64,
    io_time: Duration,
}

/// What became of a file.
pub(super) struct Written {
    /// Its length.
    pub(super) len: u64,
    /// Time that the operating system took.
    pub(super) io_time: Duration,
    /// The buffer, for the next file.
    pub(super) bounce: Mapping,
}

impl<'a> Writer<'a> {
    /// The header is given to [`Writer::finish`]; room for it is left. `bounce` has [`BOUNCE_BYTES`].
    pub(super) fn new(file: &'a File, is_direct: bool, shape: &Shape, bounce: Mapping) -> Writer<'a> {
        let target = Target { file, is_direct, written_back: 0, io_time: Duration::ZERO };
        let header_len = shape.header_len;
        let position = header_len as u64;
        if shape.most_bytes <= BOUNCE_BYTES as u64 {
            return Writer { target, front: Vec::new(), front_len: 0, position, bounce, filled: header_len };
        }
        let front_len = header_len.next_multiple_of(PAGE);
        let mut front = Vec::with_capacity(front_len);
        front.resize(header_len, 0);
        Writer { target, front, front_len, position, bounce, filled: 0 }
    }

    /// Writes what is left and then the header.
    pub(super) fn finish(mut self, header: &[u8]) -> io::Result<Written> {
        let len = self.position.next_multiple_of(PAGE as u64);
        let rest = self.filled.next_multiple_of(PAGE);
        self.bounce.as_mut_slice()[self.filled..rest].fill(0);
        self.position += (rest - self.filled) as u64;
        self.filled = rest;
        if self.front_len == 0 {
            self.bounce.as_mut_slice()[..header.len()].copy_from_slice(header);
        }
        self.flush()?;
        self.write_front(header)?;
        if !self.target.is_direct {
            write_back(self.target.file, 0, len, true)?;
        }
        Ok(Written { len, io_time: self.target.io_time, bounce: self.bounce })
    }

    fn write_front(&mut self, header: &[u8]) -> io::Result<()> {
        if self.front_len == 0 {
            return Ok(());
        }
        let mut front = std::mem::take(&mut self.front);
        front[..header.len()].copy_from_slice(header);
        front.resize(self.front_len, 0);
        for (index, chunk) in front.chunks(BOUNCE_BYTES).enumerate() {
            self.bounce.as_mut_slice()[..chunk.len()].copy_from_slice(chunk);
            self.target.write(&self.bounce.as_slice()[..chunk.len()], (index * BOUNCE_BYTES) as u64)?;
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        let filled = std::mem::take(&mut self.filled);
        self.target.write(&self.bounce.as_slice()[..filled], self.position - filled as u64)
    }

    /// How much of `data` can go to the file without being copied.
    fn straight(&self, data: &[u8]) -> usize {
        let is_aligned = self.position.is_multiple_of(PAGE as u64)
            && (!self.target.is_direct || data.as_ptr().addr().is_multiple_of(PAGE));
        if self.filled > 0 || !is_aligned {
            return 0;
        }
        (data.len() / PAGE * PAGE).min(WRITE_BYTES)
    }
}

impl Target<'_> {
    fn write(&mut self, mut data: &[u8], mut offset: u64) -> io::Result<()> {
        let started = Instant::now();
        while !data.is_empty() {
            match self.file.write_at(data, offset) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => {
                    data = &data[written..];
                    offset += written as u64;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // The file system has other ideas of alignment, or stopped at an odd byte.
                Err(error) if error.kind() == ErrorKind::InvalidInput && self.is_direct => self.go_buffered(offset)?,
                Err(error) => return Err(error),
            }
        }
        if !self.is_direct && offset >= self.written_back + WINDOW_BYTES {
            write_back(self.file, self.written_back, offset - self.written_back, false)?;
            if let Some(before) = self.written_back.checked_sub(WINDOW_BYTES) {
                write_back(self.file, before, WINDOW_BYTES, true)?;
            }
            self.written_back = offset;
        }
        self.io_time += started.elapsed();
        Ok(())
    }

    /// Goes on through the page cache.
    fn go_buffered(&mut self, offset: u64) -> io::Result<()> {
        let flags = rustix::fs::fcntl_getfl(self.file)?;
        rustix::fs::fcntl_setfl(self.file, flags.difference(OFlags::DIRECT))?;
        self.is_direct = false;
        self.written_back = offset;
        Ok(())
    }
}

impl Sink for Writer<'_> {
    fn position(&self) -> u64 {
        self.position
    }

    fn chunk_bytes(&self, data: &[u8]) -> usize {
        if data.as_ptr().addr().is_multiple_of(PAGE) { WRITE_BYTES } else { COPY_BYTES }
    }

    fn push(&mut self, mut data: &[u8]) -> io::Result<()> {
        let to_front = data.len().min((self.front_len as u64).saturating_sub(self.position) as usize);
        self.front.extend_from_slice(&data[..to_front]);
        self.position += to_front as u64;
        data = &data[to_front..];
        while !data.is_empty() {
            let straight = self.straight(data);
            if straight > 0 {
                self.target.write(&data[..straight], self.position)?;
                self.position += straight as u64;
                data = &data[straight..];
                continue;
            }
            let copied = data.len().min(BOUNCE_BYTES - self.filled);
            self.bounce.as_mut_slice()[self.filled..self.filled + copied].copy_from_slice(&data[..copied]);
            self.filled += copied;
            self.position += copied as u64;
            data = &data[copied..];
            if self.filled == BOUNCE_BYTES {
                self.flush()?;
            }
        }
        Ok(())
    }
}
