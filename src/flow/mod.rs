//! Flow control: which ready runs may start now, and why the others may not.
//!
//! Rule: everything here is a pure function of the rules, the running runs and the stored state. The claim uses it inside its
//! transaction, so that no limit is ever exceeded.

mod breaker;
pub mod explain;
mod gates;
mod overrides;
mod rate;
mod room;
mod rules;
mod space;
mod subject;
mod throttle;
mod view;

pub use breaker::{Breaker, EndedClaim};
pub use gates::{ClosedGate, ClosedReason, Gates, LaneGates, Node, Running, limits_of};
pub use overrides::{OFF, ON, Overridden, Override, OverrideKey, Setting};
pub use rate::Rate;
pub use room::{Full, waiting_words};
pub use rules::{
    BreakerRules, COUNT_MAX, JobRules, LimitRules, Paused, QueueRules, Quota, Rules, TenantRules,
    Tenants, WAITING_MAX, WEIGHT_MAX,
};
pub use space::{FREE_FLOOR, Guard, Space, SpaceShortage};
pub use subject::Subject;
pub use throttle::{FlowChange, FlowEvent, LimitOutcome, Throttle};
pub use view::{BreakerState, BreakerView, FlowView, LimitView};
