//! One line of `enqueue --from`: JSON in, a [`Request`] out, borrowing from the line if possible.
//!
//! Rule: unknown keys are errors, and the payload is stored byte for byte as in the line.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::Request;
use crate::error::{Error, Kind, Result};
use crate::records::Labels;

/// Why a line is invalid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineError {
    /// Column in the line, from 1; `None` for the whole line.
    pub column: Option<usize>,
    /// What is wrong.
    pub cause: String,
}

/// The fields of a line.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line<'a> {
    #[serde(borrow)]
    job: Text<'a>,
    #[serde(default)]
    params: Params,
    #[serde(borrow, default)]
    payload: Option<&'a RawValue>,
    #[serde(borrow, default)]
    queue: Option<Text<'a>>,
    #[serde(default)]
    priority: Option<i64>,
    #[serde(borrow, default)]
    delay: Option<Text<'a>>,
    #[serde(borrow, default)]
    at: Option<Text<'a>>,
    #[serde(borrow, default)]
    deadline: Option<Text<'a>>,
    #[serde(borrow, default)]
    dedup_key: Option<Text<'a>>,
    #[serde(borrow, default)]
    dedup_window: Option<Text<'a>>,
    #[serde(borrow, default)]
    tenant: Option<Text<'a>>,
    #[serde(borrow, default)]
    correlation_id: Option<Text<'a>>,
    #[serde(borrow, default)]
    initiator: Option<Text<'a>>,
    #[serde(borrow, default)]
    business_key: Option<Text<'a>>,
}

impl<'a> Line<'a> {
    /// Parses a line; a blank one is `None`.
    pub fn parse(line: &'a [u8]) -> Result<Option<Self>, LineError> {
        let text = std::str::from_utf8(line).map_err(|error| LineError {
            column: Some(error.valid_up_to() + 1),
            cause: "it is not UTF-8".to_owned(),
        })?;
        // The derived deserializer would also accept an array of the fields in their order.
        match text.trim_ascii_start().as_bytes().first() {
            None => return Ok(None),
            Some(b'{') => {}
            Some(_) => {
                return Err(LineError {
                    column: Some(text.len() - text.trim_ascii_start().len() + 1),
                    cause: "a JSON object was expected".to_owned(),
                });
            }
        }
        serde_json::from_str(text)
            .map(Some)
            .map_err(|error| in_words(&error))
    }

    /// The request of this line.
    pub fn request(&mut self) -> Request<'_> {
        fn text<'t>(field: Option<&'t Text<'_>>) -> Option<&'t str> {
            field.map(|text| &*text.0)
        }
        fn label(field: &mut Option<Text<'_>>) -> Option<String> {
            field.take().map(|text| text.0.into_owned())
        }
        Request {
            job: &self.job.0,
            params: std::mem::take(&mut self.params.0),
            payload: self.payload.map(|raw| raw.get().as_bytes().to_vec()),
            queue: text(self.queue.as_ref()),
            priority: self.priority,
            delay: text(self.delay.as_ref()),
            at: text(self.at.as_ref()),
            deadline: text(self.deadline.as_ref()),
            dedup_key: text(self.dedup_key.as_ref()),
            dedup_window: text(self.dedup_window.as_ref()),
            tenant: text(self.tenant.as_ref()),
            labels: Labels {
                correlation_id: label(&mut self.correlation_id),
                initiator: label(&mut self.initiator),
                business_key: label(&mut self.business_key),
                traceparent: None,
            },
            trigger: None,
            parent: None,
            zones: None,
        }
    }
}

/// Checks that these bytes are one JSON value, and returns them unchanged.
pub fn payload_of(bytes: Vec<u8>) -> Result<Vec<u8>> {
    let refuse = |cause: &str| {
        Err(
            Error::new(Kind::Usage, format!("the payload is not JSON: {cause}"))
                .hint("give one JSON value; a plain text needs quotes: '\"text\"'"),
        )
    };
    let Ok(text) = std::str::from_utf8(&bytes) else {
        return refuse("it is not UTF-8");
    };
    if text.trim_ascii().is_empty() {
        return refuse("it is empty");
    }
    match serde_json::from_str::<IgnoredAny>(text) {
        Ok(_) => Ok(bytes),
        Err(error) => refuse(&error.to_string()),
    }
}

/// A string; borrowed unless the JSON text has escapes.
#[derive(Debug, Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// `"params": {...}`: strings, or numbers and booleans as text.
#[derive(Debug, Default)]
struct Params(Vec<(String, String)>);

impl<'de> Deserialize<'de> for Params {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Params;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of parameters")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Params, M::Error> {
                let mut params = Vec::with_capacity(4);
                while let Some(name) = map.next_key::<String>()? {
                    let raw: &RawValue = map.next_value()?;
                    let value = value_of(raw.get()).ok_or_else(|| {
                        let name = crate::units::shown(&name);
                        M::Error::custom(format!(
                            "parameter `{name}` is not a string, number or boolean"
                        ))
                    })?;
                    params.push((name, value));
                }
                Ok(Params(params))
            }
        }

        deserializer.deserialize_map(Object)
    }
}

/// The text of a JSON string, number or boolean.
fn value_of(json: &str) -> Option<String> {
    match json.as_bytes() {
        [b'"', inner @ .., b'"'] if !inner.contains(&b'\\') => {
            Some(json[1..json.len() - 1].to_owned())
        }
        [b'"', ..] => serde_json::from_str(json).ok(),
        [b'{' | b'[' | b'n', ..] | [] => None,
        _ => Some(json.to_owned()),
    }
}

/// The message of the parser without its line number, which is always 1.
fn in_words(error: &serde_json::Error) -> LineError {
    let text = error.to_string();
    let cause = text
        .rsplit_once(" at line ")
        .map_or(text.as_str(), |(cause, _)| cause);
    let cause = if error.is_data() {
        cause.to_owned()
    } else {
        format!("it is not JSON: {cause}")
    };
    LineError {
        column: Some(error.column()).filter(|&column| column > 0),
        cause,
    }
}
