//! Workers die at any moment; nothing acknowledged is lost and nothing runs twice without saying so.

mod blame;
mod chaos;
mod contention;
mod eight;
#[cfg(feature = "fail-points")]
mod points;
mod races;
mod recovery;
mod suspect;
