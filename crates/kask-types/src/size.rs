//! Sizes and amounts of memory as people write them: the one reading of such texts, for the command line and for Python.

use std::fmt;

/// Sizes are less: they fit a signed 64-bit number.
const LIMIT: f64 = 9_223_372_036_854_775_808.0;
/// Fractional numbers of which a memory limit may be made are shares of 1 at most, or so many bytes at least.
const LEAST_BYTES: f64 = 1_048_576.0;

/// Bytes in a text such as `"4GiB"`, `"500 MB"` or `"1024"`.
///
/// # Errors
/// When it is none, or 8 EiB or more. A part of a byte is a share that somebody took for a size.
///
/// ```
/// # use kask_types::parse_size;
/// assert_eq!(parse_size("1.5 kB"), Ok(1500));
/// assert!(parse_size("0.5").is_err());
/// ```
pub fn parse_size(text: &str) -> Result<u64, String> {
    let wrong = || {
        format!("{text:?} is not a size; write a number of bytes, or one with a unit such as \"4GiB\" or \"500 MB\"")
    };
    let (number, unit) = split(text.trim());
    let factor = factor(unit.trim()).ok_or_else(wrong)?;
    if factor == 1.0
        && let Ok(bytes) = number.parse::<u64>()
    {
        // Whole numbers of bytes keep all of their digits.
        return if bytes < 1 << 63 { Ok(bytes) } else { Err(wrong()) };
    }
    let bytes = plain_number(number).ok_or_else(wrong)? * factor;
    if bytes == 0.0 || (1.0..LIMIT).contains(&bytes) { Ok(bytes as u64) } else { Err(wrong()) }
}

/// What somebody says of how much memory there is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Memory {
    /// What seems right.
    Auto,
    /// So many bytes; 0 is no limit.
    Bytes(u64),
    /// A share of what there is, above 0 and up to 1.
    Share(f64),
}

/// What is no memory limit. Says what one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoMemory;

impl fmt::Display for NoMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "expected 'auto', 0 (no limit), whole bytes, a size such as '4GiB', or a share of the memory above 0 and up to 1 \
             such as 0.5 or '50%'",
        )
    }
}

impl Memory {
    /// The meaning of a text: `auto`, a size, a share such as `0.5`, `1.0` (but not `1`, a byte) or `50%`.
    ///
    /// # Errors
    /// When it is none of these.
    ///
    /// ```
    /// # use kask_types::Memory;
    /// assert_eq!(Memory::parse("50%"), Ok(Memory::Share(0.5)));
    /// assert_eq!(Memory::parse("1.5 MB"), Ok(Memory::Bytes(1_500_000)));
    /// assert!(Memory::parse("1.5").is_err());
    /// ```
    pub fn parse(text: &str) -> Result<Memory, NoMemory> {
        let text = text.trim();
        if text.eq_ignore_ascii_case("auto") {
            return Ok(Memory::Auto);
        }
        if let Some(percent) = text.strip_suffix('%') {
            return share(plain_number(percent.trim_end()).ok_or(NoMemory)? / 100.0);
        }
        match plain_number(text).filter(|number| text.contains('.') || number.fract() != 0.0) {
            Some(number) if number > 0.0 && number <= 1.0 => share(number),
            // 1.5e9 is a size, 1.5 neither that nor a share.
            Some(number) if number != 0.0 && (number.fract() != 0.0 || !text.contains(['e', 'E'])) => Err(NoMemory),
            _ => parse_size(text).map(Memory::Bytes).map_err(|_| NoMemory),
        }
    }

    /// The meaning of a number with a fraction, or one that might have one: a share up to 1, or whole bytes.
    ///
    /// # Errors
    /// When it is none of these.
    pub fn of_number(number: f64) -> Result<Memory, NoMemory> {
        let is_bytes = number == 0.0 || ((LEAST_BYTES..LIMIT).contains(&number) && number.fract() == 0.0);
        if is_bytes { Ok(Memory::Bytes(number as u64)) } else { share(number) }
    }
}

fn share(share: f64) -> Result<Memory, NoMemory> {
    if share > 0.0 && share <= 1.0 { Ok(Memory::Share(share)) } else { Err(NoMemory) }
}

/// The number at the beginning of a text, and what follows it.
fn split(text: &str) -> (&str, &str) {
    let is_digit = |c: char| c.is_ascii_digit() || c == '.';
    let mut split = text.find(|c| !is_digit(c)).unwrap_or(text.len());
    // 1e9 and 2.5E+9, but not the e of a unit.
    if let Some(exponent) = text[split..].strip_prefix(['e', 'E']) {
        let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        if digits.starts_with(|c: char| c.is_ascii_digit()) {
            let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
            split = text.len() - digits.len() + end;
        }
    }
    text.split_at(split)
}

fn factor(unit: &str) -> Option<f64> {
    let unit = unit.to_ascii_lowercase();
    let power = |base: f64, of: char| "kmgtp".find(of).map(|at| base.powi(at as i32 + 1));
    let letters: Vec<char> = unit.chars().collect();
    match letters[..] {
        [] | ['b'] => Some(1.0),
        [of] | [of, 'b'] => power(1000.0, of),
        [of, 'i', 'b'] => power(1024.0, of),
        _ => None,
    }
}

/// A number as people write it: no sign, no `inf`.
fn plain_number(text: &str) -> Option<f64> {
    let starts = text.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    text.parse::<f64>().ok().filter(|number| starts && number.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_numbers_with_and_without_units() {
        for (text, bytes) in [
            ("0", 0),
            (" 12 ", 12),
            ("9223372036854775807", i64::MAX as u64),
            ("1e9", 1_000_000_000),
            ("1.5e+9", 1_500_000_000),
            ("2e3 KiB", 2000 * 1024),
            ("500 MB", 500_000_000),
            ("3g", 3_000_000_000),
            ("1PiB", 1 << 50),
            ("2 PB", 2_000_000_000_000_000),
            ("1.5B", 1),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text:?}");
        }
        for text in
            ["", "much", "0.5", "0.5B", "-1", "1e", "1 XB", "4 i", "b", "8EiB", "1e30", "9223372036854775808", "inf"]
        {
            let problem = parse_size(text).expect_err(text);
            assert!(problem.starts_with(&format!("{text:?} is not a size")), "{problem}");
        }
    }

    #[test]
    fn memory_is_a_size_a_share_or_left_open() {
        for (text, memory) in [
            ("Auto", Memory::Auto),
            ("0", Memory::Bytes(0)),
            ("0.0", Memory::Bytes(0)),
            ("1", Memory::Bytes(1)),
            ("1.0", Memory::Share(1.0)),
            (" 25 %", Memory::Share(0.25)),
            ("1e-1", Memory::Share(0.1)),
            ("1.5e9", Memory::Bytes(1_500_000_000)),
            ("4GiB", Memory::Bytes(4 << 30)),
        ] {
            assert_eq!(Memory::parse(text), Ok(memory), "{text:?}");
        }
        for text in ["lots", "", "1.5", "2.0", "150%", "0%", "-50%", "-1GiB", "inf", "nan", "1e400", "1_0.5", "1e30"] {
            assert_eq!(Memory::parse(text), Err(NoMemory), "{text:?}");
        }
        assert_eq!([0.5, 2e9].map(Memory::of_number), [Ok(Memory::Share(0.5)), Ok(Memory::Bytes(2_000_000_000))]);
        for number in [1.5, -0.5, 2e9 + 0.5, f64::INFINITY, f64::NAN, 1e300] {
            assert_eq!(Memory::of_number(number), Err(NoMemory), "{number}");
        }
    }
}
