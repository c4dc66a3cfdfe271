//! The options that label a run for its caller.

use crate::records::Labels;

/// The labels of the requested run.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct LabelArgs {
    /// Id that links the run to the caller's logs and traces
    #[arg(long, value_name = "TEXT")]
    correlation_id: Option<String>,
    /// Who requested the run [default: the user's name]
    #[arg(long, value_name = "TEXT")]
    initiator: Option<String>,
    /// The caller's id of the subject, for instance an order number
    #[arg(long, value_name = "TEXT")]
    business_key: Option<String>,
}

impl LabelArgs {
    /// Ids of the options.
    pub(super) const IDS: [&str; 3] = ["correlation_id", "initiator", "business_key"];

    /// The field of an option, by the name of the option.
    pub(super) fn slot(&mut self, option: &str) -> Option<&mut Option<String>> {
        match option {
            "correlation-id" => Some(&mut self.correlation_id),
            "initiator" => Some(&mut self.initiator),
            "business-key" => Some(&mut self.business_key),
            _ => None,
        }
    }

    /// The labels; without the option, `initiator` is called for the initiator.
    pub(super) fn labels(&self, initiator: impl FnOnce() -> String) -> Labels {
        Labels {
            correlation_id: self.correlation_id.clone(),
            business_key: self.business_key.clone(),
            initiator: Some(self.initiator.clone().unwrap_or_else(initiator)),
            traceparent: None,
        }
    }
}
