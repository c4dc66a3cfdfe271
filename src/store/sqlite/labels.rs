//! The labels of a run as columns.
//!
//! Rule: names, places and values are in one order, which only this file knows.

use rusqlite::{Row, ToSql};

use crate::records::Labels;

/// The columns of labels, for the text of a statement.
macro_rules! label_columns {
    () => {
        "correlation_id, business_key, initiator, traceparent"
    };
}
pub(super) use label_columns;

/// The places of [`label_values`]; they are numbered on from the greatest number before them.
macro_rules! label_places {
    () => {
        "?, ?, ?, ?"
    };
}
pub(super) use label_places;

/// The labels of a row with [`label_columns`].
pub(super) fn labels_of(row: &Row<'_>) -> rusqlite::Result<Labels> {
    Ok(Labels {
        correlation_id: row.get("correlation_id")?,
        business_key: row.get("business_key")?,
        initiator: row.get("initiator")?,
        traceparent: row.get("traceparent")?,
    })
}

/// The values for [`label_places`].
pub(super) fn label_values(labels: &Labels) -> [&dyn ToSql; 4] {
    [
        &labels.correlation_id,
        &labels.business_key,
        &labels.initiator,
        &labels.traceparent,
    ]
}
