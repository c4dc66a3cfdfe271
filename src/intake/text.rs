//! Checks of the free texts of a request.
//!
//! Rule: names have a fixed set of characters; labels are stored, indexed and shown, so they are short and have no control
//! characters.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::error::{Error, Kind, Result};
use crate::units::shown;

/// Longest label, bytes: enough for two UUIDs and some words.
const LABEL_MAX: usize = 256;

/// Checks a name: `[a-z0-9][a-z0-9._-]{0,63}`.
pub(super) fn check_name(what: &str, name: &str) -> Result<()> {
    let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let starts = name.bytes().next().is_some_and(good);
    if starts && name.len() <= 64 && name.bytes().all(|b| good(b) || b"._-".contains(&b)) {
        return Ok(());
    }
    Err(
        Error::new(Kind::Usage, format!("bad {what} `{}`", shown(name))).hint(
            "use up to 64 lower-case letters, digits, `.`, `_` and `-`, the first a letter or digit",
        ),
    )
}

/// Checks a short text that jobctl does not interpret: not empty, at most 256 bytes, no control characters.
pub(super) fn check_label(what: &str, text: &str) -> Result<()> {
    let refuse = |cause: &str, hint: &str| {
        let message = format!("bad {what} `{}`: {cause}", shown(text));
        Err(Error::new(Kind::Usage, message).hint(hint))
    };
    match text.len() {
        0 => refuse("it is empty", "leave it out or give a text"),
        1..=LABEL_MAX => check_control(what, text),
        length => refuse(
            &format!("{length} bytes, the maximum is {LABEL_MAX}"),
            "give an id instead of the data",
        ),
    }
}

/// Refuses control characters, because the text is shown in lists and logs.
pub(super) fn check_control(what: &str, text: &str) -> Result<()> {
    // ASCII first: the usual case, and eight times as fast.
    let clean =
        text.bytes().all(|b| (b' '..=b'~').contains(&b)) || !text.contains(char::is_control);
    if clean {
        return Ok(());
    }
    let message = format!("bad {what} `{}`: it has control characters", shown(text));
    Err(Error::new(Kind::Usage, message).hint("give a plain text"))
}

/// A valid `TRACEPARENT`; any other text is ignored, as the W3C specification asks.
pub fn trace_context(text: &str) -> Option<&str> {
    let fields: Vec<&str> = text.split('-').collect();
    let hex = |field: &str, length: usize| {
        field.len() == length
            && field
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    let lives = |field: &str| field.bytes().any(|b| b != b'0');
    match fields[..] {
        [version, trace, parent, flags] => (hex(version, 2)
            && version != "ff"
            && hex(trace, 32)
            && hex(parent, 16)
            && hex(flags, 2)
            && lives(trace)
            && lives(parent))
        .then_some(text),
        _ => None,
    }
}

/// Parameters as a JSON object.
pub(super) fn to_json(params: &BTreeMap<String, String>) -> Result<String> {
    let bytes = params
        .iter()
        .map(|(name, value)| name.len() + value.len() + 6)
        .sum::<usize>();
    let mut json = String::with_capacity(bytes + 2);
    json.push('{');
    for (name, value) in params {
        if json.len() > 1 {
            json.push(',');
        }
        push_quoted(&mut json, name)?;
        json.push(':');
        push_quoted(&mut json, value)?;
    }
    json.push('}');
    Ok(json)
}

fn push_quoted(json: &mut String, text: &str) -> Result<()> {
    if text.bytes().all(|b| b >= b' ' && b != b'"' && b != b'\\') {
        json.push('"');
        json.push_str(text);
        json.push('"');
        return Ok(());
    }
    let quoted = serde_json::to_string(text)
        .map_err(|error| Error::new(Kind::Bug, format!("cannot write JSON: {error}")))?;
    write!(json, "{quoted}").map_err(|_| Error::new(Kind::Bug, "cannot write JSON"))
}
