//! Under systemd: the unit files, and what a process says to the manager that started it.

mod manager;
mod scheduler;
mod units;
mod worker;

pub(crate) use manager::Manager;
