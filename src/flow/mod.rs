//! Flow control: which ready runs may start now, and why the others may not.
//!
//! Rule: everything here is a pure function of rules, what runs, and what is stored of the past; the claim asks it inside its
//! transaction, so that no limit is ever exceeded.

mod breaker;
pub mod explain;
mod gates;
mod overrides;
mod rate;
mod rules;
mod throttle;

pub use breaker::Breaker;
pub use gates::{Closed, Gates, LaneGates, Node, Running, Subject, Why};
pub use overrides::{Overridden, Override, OverrideKey};
pub use rate::Rate;
pub use rules::{
    BreakerRules, JobRules, LimitRules, Paused, QueueRules, Quota, Rules, TenantRules, Tenants,
    WEIGHT_MAX,
};
pub use throttle::Throttle;
