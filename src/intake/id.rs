//! Request ids: those of callers, and those that jobctl makes if it is unknown whether a run was stored.
//!
//! Rule: a made id contains the id and the idempotency key of the run, so it needs no row.

use std::fmt;

use super::text;
use crate::error::Result;
use crate::run::RunId;

/// Checks a request id: short, not empty, no control characters.
pub fn check_request_id(id: &str) -> Result<()> {
    text::check_label("request id", id)
}

/// The id of an enqueue without one: `<run id>.<32 hex digits of the idempotency key>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MadeId {
    /// Id of the run, if it was stored.
    pub run: RunId,
    /// Idempotency key of the run.
    pub key: [u8; 16],
}

impl MadeId {
    /// Parses an id of this form; `None` for any other text.
    pub fn parse(id: &str) -> Option<Self> {
        let (run, key) = id.split_once('.')?;
        let number = !run.is_empty() && run.bytes().all(|b| b.is_ascii_digit());
        let hex = key.len() == 32
            && key
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if !number || !hex {
            return None;
        }
        let key = u128::from_str_radix(key, 16).ok()?.to_be_bytes();
        Some(Self {
            run: RunId(run.parse().ok()?),
            key,
        })
    }
}

impl fmt::Display for MadeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:032x}", self.run, u128::from_be_bytes(self.key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_made_id_reads_back_and_no_other_text_is_one() {
        let id = MadeId {
            run: RunId(812),
            key: [0xab; 16],
        };
        assert_eq!(MadeId::parse(&id.to_string()), Some(id));
        let zero = MadeId {
            run: RunId(0),
            key: [0; 16],
        };
        assert_eq!(MadeId::parse(&zero.to_string()), Some(zero));
        let key = "ab".repeat(16);
        for other in [
            String::new(),
            "order-7".to_owned(),
            key.clone(),
            format!(".{key}"),
            format!("+1.{key}"),
            format!("1.{}", &key[1..]),
            format!("1.{}", key.to_uppercase()),
            format!("99999999999999999999.{key}"),
        ] {
            assert_eq!(MadeId::parse(&other), None, "{other}");
        }
    }
}
