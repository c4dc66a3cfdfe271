//! Sizes: bytes; the units are powers of 1024.

use super::{end_of, shown};
use crate::error::{Error, Kind, Result};

/// Largest size, bytes: SQLite's largest integer.
pub const SIZE_MAX: u64 = i64::MAX as u64;

/// Units of a size, largest first.
const SIZE_UNITS: [(&str, u64); 4] = [
    ("T", 1 << 40),
    ("G", 1 << 30),
    ("M", 1 << 20),
    ("K", 1 << 10),
];

/// Parses a size such as `64K`, `10M`, `1G` or a bare number of bytes. K, M, G and T are powers of 1024.
pub fn parse_size(text: &str) -> Result<u64> {
    let bad = |cause: &str, hint: &str| {
        Err(Error::new(Kind::Usage, format!("bad size `{}`: {cause}", shown(text))).hint(hint))
    };
    let example = "write for instance `64K`, `10M` or `1G`; the units are powers of 1024";
    let (number, unit) = text.split_at(end_of(text, |c| c.is_ascii_digit()));
    if number.is_empty() {
        return bad("a whole number was expected", example);
    }
    let factor = match SIZE_UNITS.iter().find(|(name, _)| *name == unit) {
        Some((_, factor)) => *factor,
        None if unit.is_empty() => 1,
        None => return bad(&format!("unknown unit `{}`", shown(unit)), example),
    };
    match number
        .parse::<u64>()
        .ok()
        .and_then(|n| n.checked_mul(factor))
    {
        Some(bytes) if bytes <= SIZE_MAX => Ok(bytes),
        _ => bad("it is too large", "give a smaller size"),
    }
}

/// Writes bytes with the largest unit that is exact, so that [`parse_size`] reads the same number: `10M`, `1536K`, `1000`.
pub fn format_size(bytes: u64) -> String {
    match SIZE_UNITS
        .iter()
        .find(|(_, factor)| bytes != 0 && bytes.is_multiple_of(*factor))
    {
        Some((unit, factor)) => format!("{}{unit}", bytes / factor),
        None => bytes.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_powers_of_1024() {
        for (text, bytes) in [
            ("64K", 65_536),
            ("10M", 10_485_760),
            ("1G", 1 << 30),
            ("17", 17),
            ("0", 0),
        ] {
            assert_eq!(parse_size(text).map_err(|e| e.message), Ok(bytes), "{text}");
            assert_eq!(format_size(bytes), text);
        }
        for text in [
            "",
            "K",
            "1k",
            "1KB",
            "1.5M",
            "-1",
            "9T9",
            "8388608T",
            "99999999999999999999",
        ] {
            assert_eq!(parse_size(text).expect_err(text).kind, Kind::Usage);
        }
        assert_eq!(format_size(1_572_864), "1536K");
    }
}
