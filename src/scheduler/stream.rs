//! Rows of one version of a schedule, in order and page by page.

use std::collections::VecDeque;

use crate::error::Result;
use crate::store::PeriodRow;

/// Fetches the next page of rows of one version, in order, after the given row; an empty page ends the stream.
pub(super) type Fetch<'a> = dyn FnMut(Option<&PeriodRow>) -> Result<Vec<PeriodRow>> + 'a;

/// Rows that come in pages.
pub(super) struct Stream<'a> {
    fetch: Box<Fetch<'a>>,
    page: VecDeque<PeriodRow>,
    last: Option<PeriodRow>,
    ended: bool,
}

impl<'a> Stream<'a> {
    pub(super) fn new(
        fetch: impl FnMut(Option<&PeriodRow>) -> Result<Vec<PeriodRow>> + 'a,
    ) -> Self {
        Self {
            fetch: Box::new(fetch),
            page: VecDeque::new(),
            last: None,
            ended: false,
        }
    }

    /// Takes the next row if it begins at or before this instant.
    pub(super) fn up_to(&mut self, at_ms: i64) -> Result<Option<PeriodRow>> {
        if self.page.is_empty() && !self.ended {
            self.page = (self.fetch)(self.last.as_ref())?.into();
            self.ended = self.page.is_empty();
            self.last = self.page.back().cloned().or_else(|| self.last.take());
        }
        match self.page.front() {
            Some(row) if row.due_ms <= at_ms => Ok(self.page.pop_front()),
            _ => Ok(None),
        }
    }
}
