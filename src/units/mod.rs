//! Durations, sizes and times: text to integers and back; and what messages are made of.
//!
//! Rule: pure. Errors are of kind `Usage`; the catalogue wraps them with a place.

mod duration;
mod shown;
mod size;
#[cfg(test)]
mod tests;
mod time;

pub use duration::{DURATION_MAX_MS, format_duration, parse_duration};
pub(crate) use shown::{shown, visible};
pub use size::{SIZE_MAX, format_size, parse_size};
pub use time::{format_utc, parse_time};

/// Byte length of the longest prefix whose characters all match.
fn end_of(text: &str, matches: impl Fn(char) -> bool) -> usize {
    text.find(|c| !matches(c)).unwrap_or(text.len())
}

/// A number of things: `1 period`, `2 periods`.
pub fn counted(n: i64, thing: &str) -> String {
    let plural = if n == 1 { "" } else { "s" };
    format!("{n} {thing}{plural}")
}

/// Bytes as lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    let text = String::with_capacity(bytes.len() * 2);
    bytes.iter().fold(text, |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
