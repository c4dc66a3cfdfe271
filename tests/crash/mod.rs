//! Workers die at any moment; nothing acknowledged is lost and nothing runs twice without saying so.

mod chaos;
mod contention;
#[cfg(feature = "fail-points")]
mod points;
mod races;
mod recovery;
