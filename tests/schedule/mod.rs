//! The tests of the calendar core: case files, properties over all zones, a differential partner, and what samples
//! do not cover.
//!
//! Rule: no test reads a clock, except `speed`, which is ignored unless asked for.

mod cases;
mod changes;
mod croner_diff;
mod crontab;
mod every_zone;
mod fuzz;
mod helpers;
mod import;
mod kinds;
mod lints;
mod refusals;
mod speed;
mod units;
mod words;
mod zone_data;
