//! Checks that every transition of a run changes exactly one row; anything else is a defect.

use crate::error::{Error, Kind, Result};

/// Refuses a transition that did not change the one row that it names.
pub(super) fn exactly_one(changed: usize, what: &str) -> Result<()> {
    if changed == 1 {
        Ok(())
    } else {
        Err(no_such_move(what))
    }
}

/// The error for a transition that changed no row, or several.
pub(super) fn no_such_move(what: &str) -> Error {
    Error::new(Kind::Bug, format!("the store refused to {what}"))
}
