//! How much memory there is for workers.

/// Bytes in a text such as `4GiB`, `500 MB`, `0`; `auto` is an equal share of the machine's or container's.
pub(crate) fn parse_limit(text: &str, workers: u64) -> Result<u64, String> {
    let text = text.trim();
    if text.eq_ignore_ascii_case("auto") {
        return Ok(available_bytes() / workers.max(1));
    }
    let split = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let factor = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "kb" => 1e3,
        "mb" => 1e6,
        "gb" => 1e9,
        "tb" => 1e12,
        "kib" | "k" => 1024.0,
        "mib" | "m" => 1024.0 * 1024.0,
        "gib" | "g" => 1024.0 * 1024.0 * 1024.0,
        "tib" | "t" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
        _ => return Err(wrong(text)),
    };
    number.parse::<f64>().map(|number| (number * factor) as u64).map_err(|_| wrong(text))
}

fn wrong(text: &str) -> String {
    format!(
        "--memory-limit takes bytes, a text such as 4GiB or 500MB, 0 for no limit, or auto; {text:?} is none of these"
    )
}

/// The least of the machine's memory and the container's limits.
fn available_bytes() -> u64 {
    let machine = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("MemTotal:"))?;
        Some(line.split_ascii_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)
    });
    let limits = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let container = limits.iter().filter_map(|file| std::fs::read_to_string(file).ok()?.trim().parse::<u64>().ok());
    container.chain(machine).min().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_understood_or_refused() {
        assert_eq!(parse_limit("4GiB", 1), Ok(4 << 30));
        assert_eq!(parse_limit("1.5 kB", 1), Ok(1500));
        assert_eq!(parse_limit("0", 3), Ok(0));
        assert!(parse_limit("auto", 1).expect("auto is understood") >= 2 * parse_limit("auto", 2).expect("so is this"));
        assert!(parse_limit("lots", 1).expect_err("not a number").contains("lots"));
    }
}
