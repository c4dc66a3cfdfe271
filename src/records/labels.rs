//! Labels: texts from the caller of a run that jobctl stores, shows and passes to the command, but never uses for a decision.
//!
//! Rule: labels are passed around as one value. Only code that reads or writes them names single labels: options, keys of lines,
//! columns.

/// The labels of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Labels {
    /// Id that links the run to the caller's logs and traces.
    pub correlation_id: Option<String>,
    /// The caller's id of the subject.
    pub business_key: Option<String>,
    /// Who requested the run.
    pub initiator: Option<String>,
    /// W3C trace context of the caller, which [`crate::intake::trace_context`] has checked. A command gets a child of it.
    pub traceparent: Option<String>,
}

impl Labels {
    /// The labels that are free texts, by their names in documents.
    pub fn texts(&self) -> [(&'static str, Option<&str>); 3] {
        [
            ("correlation_id", self.correlation_id.as_deref()),
            ("business_key", self.business_key.as_deref()),
            ("initiator", self.initiator.as_deref()),
        ]
    }
}
