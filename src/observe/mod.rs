//! What a worker or scheduler reports about itself: its log, and messages to the service manager.

pub mod event;
pub mod log;
pub mod notify;
