//! User text in messages.

/// User text for a message: shortened, and without control characters or bidirectional overrides.
pub(crate) fn shown(text: &str) -> String {
    const LONGEST: usize = 100;
    let mut safe: String = text.chars().take(LONGEST).map(visible).collect();
    if text.chars().nth(LONGEST).is_some() {
        safe.push('…');
    }
    safe
}

/// The character, or U+FFFD if a terminal would act on it.
pub(crate) fn visible(c: char) -> char {
    let acts = c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2028}' | '\u{2029}' | '\u{2066}'..='\u{2069}' | '\u{61c}' | '\u{feff}');
    if acts { '\u{fffd}' } else { c }
}
