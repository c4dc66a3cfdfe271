//! When a group of orders reads the clock.

use std::time::Duration;

use super::Lab;
use crate::store::{Answer, Order, Turns, Tx};

#[test]
fn the_clock_is_read_under_the_write_lock() {
    let mut lab = Lab::new();
    let other = lab.open();
    let clock = || {
        let writer = other.blocking_writer(Duration::ZERO).unwrap();
        assert!(writer.is_some(), "the write lock is free");
        5_000_000
    };
    let order = Order::other(|_, now_ms| {
        assert_eq!(now_ms, 5_000_000);
        Ok(Answer::Done { more: false })
    });
    let then = &mut |_: &mut Tx<'_>, _, _: &Answer, _| Ok(());
    let answers = lab
        .store
        .perform(vec![order], &mut Turns::default(), &clock, then);
    assert!(answers[0].is_ok(), "{answers:?}");
}
