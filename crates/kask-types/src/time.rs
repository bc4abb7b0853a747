//! Time as the cores see it: a number that the shell hands in.

use serde::{Deserialize, Serialize};
use std::ops::{Add, Sub};

/// Nanoseconds since an arbitrary start, the same for one core's whole life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Tick(pub u64);

impl Tick {
    /// `ms` milliseconds after the start.
    pub fn from_ms(ms: u64) -> Tick {
        Tick(ms * 1_000_000)
    }

    /// This much later.
    pub fn after_ms(self, ms: u64) -> Tick {
        Tick(self.0.saturating_add(ms.saturating_mul(1_000_000)))
    }

    /// Nanoseconds since `earlier`, 0 if that is later.
    pub fn since_ns(self, earlier: Tick) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<u64> for Tick {
    type Output = Tick;
    fn add(self, ns: u64) -> Tick {
        Tick(self.0.saturating_add(ns))
    }
}

impl Sub<Tick> for Tick {
    type Output = u64;
    fn sub(self, earlier: Tick) -> u64 {
        self.since_ns(earlier)
    }
}

/// Milliseconds in a text such as `"30s"`, `"100 ms"`, `"2 min"`, `"1.5h"`; a bare number is seconds.
///
/// ```
/// # use kask_types::parse_duration_ms;
/// assert_eq!(parse_duration_ms("30s"), Ok(30_000));
/// assert_eq!(parse_duration_ms("100 ms"), Ok(100));
/// assert!(parse_duration_ms("soon").is_err());
/// ```
pub fn parse_duration_ms(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let split = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let factor = match unit.trim() {
        "ms" => 1.0,
        "" | "s" | "sec" | "second" | "seconds" => 1e3,
        "m" | "min" | "minute" | "minutes" => 60e3,
        "h" | "hr" | "hour" | "hours" => 3600e3,
        "d" | "day" | "days" => 86_400e3,
        _ => return Err(duration_error(text)),
    };
    let number: f64 = number.parse().map_err(|_| duration_error(text))?;
    Ok((number * factor).round() as u64)
}

fn duration_error(text: &str) -> String {
    format!("{text:?} is not a duration; write a number and a unit, such as \"30s\", \"100ms\" or \"2min\"")
}
