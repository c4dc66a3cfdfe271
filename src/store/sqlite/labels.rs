//! The labels of a run as columns.
//!
//! Rule: column names, placeholders and values are in the same order, which only this file defines.

use rusqlite::{Row, ToSql};

use crate::records::Labels;

/// The columns of labels, for the text of a statement.
macro_rules! label_columns {
    () => {
        "correlation_id, business_key, initiator, traceparent"
    };
}
pub(super) use label_columns;

/// The placeholders for [`label_values`]; SQLite numbers them after the largest number before them.
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
