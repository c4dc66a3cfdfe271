//! The owner of a cap, a pause or a breaker: a queue, a tenant, a job or a limit that jobs share.

use std::fmt;

/// The owner of a gate.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// A queue.
    Queue(String),
    /// A tenant, over all queues.
    Tenant(String),
    /// A job.
    Job(String),
    /// A limit that jobs share.
    Limit(String),
}

impl Subject {
    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            Self::Queue(name) | Self::Tenant(name) | Self::Job(name) | Self::Limit(name) => name,
        }
    }

    /// The kind of subject, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Queue(_) => "queue",
            Self::Tenant(_) => "tenant",
            Self::Job(_) => "job",
            Self::Limit(_) => "limit",
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind(), self.name())
    }
}
