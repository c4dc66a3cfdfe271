//! What jobctl says about itself while it works.

pub mod log;
pub mod notify;
