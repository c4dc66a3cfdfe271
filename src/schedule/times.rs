//! A cache of parsed times of day, so that thousands of jobs at 06:00 share one.
//!
//! Rule: it only caches a pure function; unused entries are dropped.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

type Known = HashMap<String, Weak<cron::Schedule>>;

static KNOWN: LazyLock<Mutex<Known>> = LazyLock::new(Mutex::default);

/// What walks over these times; `text` is a line of the `cron` crate.
pub(super) fn walker(text: &str) -> Result<Arc<cron::Schedule>, cron::error::Error> {
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(schedule) = known.get(text).and_then(Weak::upgrade) {
        return Ok(schedule);
    }
    let schedule = Arc::new(text.parse::<cron::Schedule>()?);
    if known.len() == known.capacity() {
        known.retain(|_, schedule| schedule.strong_count() > 0);
    }
    known.insert(text.to_owned(), Arc::downgrade(&schedule));
    Ok(schedule)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_times_are_one_and_unused_ones_are_forgotten() {
        let first = walker("0 7 6 * * *").unwrap();
        assert!(Arc::ptr_eq(&first, &walker("0 7 6 * * *").unwrap()));
        assert!(!Arc::ptr_eq(&first, &walker("0 8 6 * * *").unwrap()));
        for minute in 0..60 {
            for hour in 0..24 {
                drop(walker(&format!("0 {minute} {hour} * * *")).unwrap());
            }
        }
        let known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(known.len() <= known.capacity() && known.contains_key("0 7 6 * * *"));
        assert!(known.capacity() < 1440);
    }
}
