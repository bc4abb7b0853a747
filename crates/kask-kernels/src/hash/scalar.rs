//! Hashes of single values: the arithmetic of `hash.rs`, whose head describes it.

use arrow_buffer::i256;

const K0: u64 = 0x9e37_79b9_7f4a_7c15;
const K1: u64 = 0xd1b5_4a32_d192_ed03;
const K2: u64 = 0xa24b_aed4_963e_e407;
const K3: u64 = 0x9fb2_1c65_1e98_df25;
const K4: u64 = 0xe703_7ed1_a0b4_28db;
const K5: u64 = 0x8ebc_6af0_9c88_c6e3;

/// What a null hashes to.
pub(crate) const NULL: u64 = 0x5851_f42d_4c95_7f2d;

/// The two halves of the 128-bit product, xored.
#[inline]
pub fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ ((product >> 64) as u64)
}

/// A hash of a sequence, from that of what came before and that of the next value.
#[inline]
pub fn join(state: u64, hash: u64) -> u64 {
    fold(state.rotate_left(23) ^ hash ^ K4, K3)
}

/// The hash of an integer.
#[inline]
pub fn of_word(word: u64) -> u64 {
    fold(fold(word ^ K0, K1) ^ K2, K3)
}

/// The hash of a float: that of the integer if it is one.
#[inline]
pub(crate) fn of_float(value: f64) -> u64 {
    // The cast saturates; 2^63 itself would come back equal, and is no i64.
    let integer = value as i64;
    if integer as f64 == value && integer != i64::MAX {
        return of_word(integer.cast_unsigned());
    }
    let bits = if value.is_nan() { f64::NAN.to_bits() & (u64::MAX >> 1) } else { value.to_bits() };
    of_word(bits ^ K5)
}

/// The hash of a moment or a length of time.
#[inline]
pub(crate) fn of_time(seconds: i64, nanoseconds: u32) -> u64 {
    let whole = of_word(seconds.cast_unsigned());
    if nanoseconds == 0 { whole } else { join(whole, of_word(u64::from(nanoseconds))) }
}

/// The hash of `mantissa * 10^-scale`.
pub(crate) fn of_decimal(mantissa: i256, scale: i8) -> u64 {
    let (mut mantissa, mut scale, ten) = (mantissa, i32::from(scale), i256::from_i128(10));
    if mantissa == i256::ZERO {
        return of_word(0);
    }
    while mantissa.wrapping_rem(ten) == i256::ZERO {
        mantissa = mantissa.wrapping_div(ten);
        scale -= 1;
    }
    let integer = (-19..=0)
        .contains(&scale)
        .then(|| mantissa.to_i128()?.checked_mul(10_i128.pow(scale.unsigned_abs())))
        .flatten()
        .and_then(|value| i64::try_from(value).ok());
    match integer {
        Some(integer) => of_word(integer.cast_unsigned()),
        None => join(of_bytes(&mantissa.to_le_bytes()), of_word(i64::from(scale).cast_unsigned())),
    }
}

#[inline]
fn word_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

#[inline]
fn half_word_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes")))
}

/// The hash of bytes, which is also that of a string in UTF-8.
#[inline]
pub fn of_bytes(bytes: &[u8]) -> u64 {
    let len = bytes.len();
    let (first, second, mut state) = match len {
        0 => (0, 0, 0),
        1..=3 => (u64::from(bytes[0]) << 16 | u64::from(bytes[len / 2]) << 8 | u64::from(bytes[len - 1]), 0, 0),
        4..=7 => (half_word_at(bytes, 0), half_word_at(bytes, len - 4), 0),
        8..=16 => (word_at(bytes, 0), word_at(bytes, len - 8), 0),
        17.. => (word_at(bytes, len - 16), word_at(bytes, len - 8), 0),
    };
    if len > 16 {
        for step in bytes[..len - 1].as_chunks::<16>().0 {
            state = fold(word_at(step, 0) ^ K0, word_at(step, 8) ^ state);
        }
    }
    fold(fold(first ^ K0, second ^ K1 ^ state) ^ len as u64, K2)
}
