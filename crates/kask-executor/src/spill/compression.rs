//! Whether a buffer is worth compressing, and how it is.
//!
//! Compressing pays when the time it takes (both ways) is less than the time that the saved bytes would take to be written and
//! read. Both are measured: the first on a sample of the buffer, the second on what was written and read before. When the disk
//! is nearly full, room counts more than time.

use super::record::LARGE_BYTES;
use bytes::Bytes;
use std::hint::black_box;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Compressed data is made of blocks of so many bytes, each decompressed on its own.
pub(super) const BLOCK_BYTES: usize = 1 << 20;
/// Marks a block that did not shrink and is kept as it was.
const STORED: u32 = 1 << 31;
/// Largest and smallest part of a buffer that is tried out.
const SAMPLE_BYTES: std::ops::RangeInclusive<usize> = 8 << 10..=64 << 10;
/// A sample is taken from so many places.
const SAMPLE_PLACES: usize = 4;
/// Disk speed in bytes a second, before any was measured.
const ASSUMED_SPEED: u64 = 1 << 30;
/// By how much compressing has to be faster. It takes the processor away from tasks, which waiting for the disk does not.
const GAIN: f64 = 0.6;
/// What a buffer has to shrink to when room is tight.
const TIGHT_RATIO: f64 = 0.75;
/// After so many buffers that were not worth it, only every `TRY_EVERY`th is tried.
const PATIENCE: u32 = 4;
const TRY_EVERY: u32 = 16;

/// Whether spilled values are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// When it makes spilling faster, or the disk is nearly full.
    #[default]
    Auto,
    /// Never.
    Never,
    /// Every buffer of at least 64 KiB.
    Always,
}

/// How a buffer lies on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Codec {
    Raw,
    Lz4,
}

/// Decides for one buffer after the other.
pub(super) struct Chooser {
    mode: Compression,
    write_speed: AtomicU64,
    read_speed: AtomicU64,
    refused: AtomicU32,
}

impl Chooser {
    pub(super) fn new(mode: Compression) -> Chooser {
        Chooser {
            mode,
            write_speed: AtomicU64::new(ASSUMED_SPEED),
            read_speed: AtomicU64::new(ASSUMED_SPEED),
            refused: AtomicU32::new(0),
        }
    }

    pub(super) fn wrote(&self, bytes: u64, elapsed: Duration) {
        learn(&self.write_speed, bytes, elapsed);
    }

    pub(super) fn read(&self, bytes: u64, elapsed: Duration) {
        learn(&self.read_speed, bytes, elapsed);
    }

    /// `is_tight` is asked only when it matters.
    pub(super) fn choose(&self, data: &[u8], is_tight: bool) -> Codec {
        if data.len() < LARGE_BYTES {
            return Codec::Raw;
        }
        match self.mode {
            Compression::Never => Codec::Raw,
            Compression::Always => Codec::Lz4,
            Compression::Auto => {
                let refused = self.refused.load(Ordering::Relaxed);
                if !is_tight && refused >= PATIENCE && !refused.is_multiple_of(TRY_EVERY) {
                    self.refused.store(refused.wrapping_add(1).max(PATIENCE), Ordering::Relaxed);
                    return Codec::Raw;
                }
                let trial = Trial::of(data);
                let pays = trial
                    .pays(self.write_speed.load(Ordering::Relaxed), self.read_speed.load(Ordering::Relaxed))
                    || (is_tight && trial.ratio <= TIGHT_RATIO);
                self.refused.store(if pays { 0 } else { refused.wrapping_add(1) }, Ordering::Relaxed);
                if pays { Codec::Lz4 } else { Codec::Raw }
            }
        }
    }
}

fn learn(speed: &AtomicU64, bytes: u64, elapsed: Duration) {
    if bytes < LARGE_BYTES as u64 || elapsed.is_zero() {
        return;
    }
    let measured = (bytes as f64 / elapsed.as_secs_f64()) as u64;
    let before = speed.load(Ordering::Relaxed);
    speed.store((before / 4 * 3 + measured / 4).max(1), Ordering::Relaxed);
}

/// What compressing a sample gave.
#[derive(Clone, Copy, Debug)]
struct Trial {
    /// Compressed size over size.
    ratio: f64,
    /// Seconds for each byte, there and back.
    seconds: f64,
}

impl Trial {
    fn of(data: &[u8]) -> Trial {
        let piece = (data.len() / 64).clamp(*SAMPLE_BYTES.start(), *SAMPLE_BYTES.end()) / SAMPLE_PLACES;
        let mut packed = vec![0; lz4_flex::block::get_maximum_output_size(piece)];
        let mut back = vec![0; piece];
        let mut packed_bytes = 0;
        let started = Instant::now();
        for place in 0..SAMPLE_PLACES {
            let start = (data.len() - piece) / (SAMPLE_PLACES - 1) * place;
            let len = lz4_flex::block::compress_into(&data[start..start + piece], &mut packed)
                .expect("the buffer is as long as lz4 can need");
            packed_bytes += len;
            let _ = black_box(lz4_flex::block::decompress_into(&packed[..len], &mut back));
        }
        let sampled = (piece * SAMPLE_PLACES) as f64;
        Trial { ratio: packed_bytes as f64 / sampled, seconds: started.elapsed().as_secs_f64() / sampled }
    }

    fn pays(&self, write_speed: u64, read_speed: u64) -> bool {
        let plain = 1.0 / write_speed as f64 + 1.0 / read_speed as f64;
        self.seconds + self.ratio * plain < GAIN * plain
    }
}

/// Compresses a block. What comes out starts with its own length.
pub(super) fn pack(block: &[u8], packed: &mut Vec<u8>) {
    debug_assert!(block.len() <= BLOCK_BYTES);
    packed.resize(4 + lz4_flex::block::get_maximum_output_size(block.len()), 0);
    let len = lz4_flex::block::compress_into(block, &mut packed[4..]).expect("the buffer is as long as lz4 can need");
    let len = if len < block.len() {
        packed[..4].copy_from_slice(&(len as u32).to_le_bytes());
        len
    } else {
        packed[..4].copy_from_slice(&(block.len() as u32 | STORED).to_le_bytes());
        packed[4..4 + block.len()].copy_from_slice(block);
        block.len()
    };
    packed.truncate(4 + len);
}

/// Decompresses what [`pack`] made of one block after the other; `packed` has been verified.
pub(super) fn unpack(mut packed: &[u8], len: usize) -> Result<Bytes, Unpack> {
    let mut mapping = super::mapping::Mapping::zeroed(len).map_err(Unpack::Memory)?;
    for block in mapping.as_mut_slice()[..len].chunks_mut(BLOCK_BYTES) {
        let (head, rest) = packed.split_first_chunk::<4>().ok_or(Unpack::Damaged)?;
        let head = u32::from_le_bytes(*head);
        let stored = (head & !STORED) as usize;
        let data = rest.get(..stored).ok_or(Unpack::Damaged)?;
        packed = &rest[stored..];
        if head & STORED != 0 {
            if stored != block.len() {
                return Err(Unpack::Damaged);
            }
            block.copy_from_slice(data);
        } else if lz4_flex::block::decompress_into(data, block).ok() != Some(block.len()) {
            return Err(Unpack::Damaged);
        }
    }
    Ok(mapping.into_bytes().slice(..len))
}

/// Why something cannot be decompressed.
#[derive(Debug)]
pub(super) enum Unpack {
    /// There is no memory.
    Memory(std::io::Error),
    /// It is not what `pack` makes.
    Damaged,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(len: usize) -> Vec<u8> {
        let mut state = 88_172_645_463_325_252_u64;
        std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        })
        .take(len)
        .collect()
    }

    #[test]
    fn what_is_packed_comes_back() {
        for data in [noise(BLOCK_BYTES + 17), vec![7; 3 * BLOCK_BYTES], vec![1; 1], vec![]] {
            let mut all = Vec::new();
            let mut block = Vec::new();
            for chunk in data.chunks(BLOCK_BYTES) {
                pack(chunk, &mut block);
                all.extend_from_slice(&block);
            }
            assert_eq!(unpack(&all, data.len()).expect("intact")[..], data[..]);
            if !all.is_empty() {
                assert!(unpack(&all[..all.len() - 1], data.len()).is_err());
            }
        }
    }

    #[test]
    fn what_pays_depends_on_the_data_and_on_the_disk() {
        assert!(Trial::of(&noise(1 << 20)).ratio > 0.99);
        assert!(Trial::of(&vec![0; 1 << 20]).ratio < 0.02);
        // A gigabyte a second, there and back.
        let fair = |ratio| Trial { ratio, seconds: 2e-9 };
        let (slow, fast) = (100_000_000, 5_000_000_000);
        assert!(fair(0.4).pays(slow, slow) && !fair(0.4).pays(fast, fast));
        assert!(!fair(1.0).pays(slow, slow) && !fair(0.7).pays(slow, slow));
    }

    #[test]
    fn when_room_is_tight_time_does_not_count() {
        let chooser = Chooser::new(Compression::Auto);
        chooser.write_speed.store(1 << 50, Ordering::Relaxed);
        chooser.read_speed.store(1 << 50, Ordering::Relaxed);
        let zeros = vec![0; 1 << 20];
        assert_eq!(chooser.choose(&zeros, false), Codec::Raw);
        assert_eq!(chooser.choose(&zeros, true), Codec::Lz4);
        assert_eq!(chooser.choose(&noise(1 << 20), true), Codec::Raw);
    }
}
