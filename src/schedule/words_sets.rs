//! Describes sets of numbers in words: "minutes 0, 10 and 20 to 25".

/// `minute 5`, `minutes 0, 10 and 20 to 25`.
pub(super) fn numbered(unit: &str, bits: u64) -> String {
    let plural = if bits.is_power_of_two() { "" } else { "s" };
    format!("{unit}{plural} {}", list(runs(bits, |n| n.to_string())))
}

/// The members of a set; three or more in a row as `a to b`.
pub(super) fn runs(bits: u64, name: impl Fn(u32) -> String) -> Vec<String> {
    let mut parts = Vec::new();
    let mut n = 0;
    while n < 64 {
        let run = bits.checked_shr(n).unwrap_or(0).trailing_ones();
        if run >= 3 {
            parts.push(format!("{} to {}", name(n), name(n + run - 1)));
        } else {
            parts.extend((n..n + run).map(&name));
        }
        n += run.max(1);
    }
    parts
}

/// `a`, `a and b`, `a, b and c`.
pub(super) fn list(parts: impl IntoIterator<Item = String>) -> String {
    let mut parts: Vec<String> = parts.into_iter().collect();
    let last = parts.pop().unwrap_or_default();
    if parts.is_empty() {
        last
    } else {
        format!("{} and {last}", parts.join(", "))
    }
}
