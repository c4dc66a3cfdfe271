//! The wake-up after COMMIT.

use std::time::Duration;

use super::Lab;
use crate::store::conformance::on_disk::suite::act;

/// Proves (service): a commit is visible when its wake-up arrives.
#[test]
fn a_commit_of_another_connection_wakes_a_waiter_and_is_visible_then() {
    let lab = Lab::new();
    let mut other = lab.open();
    let watch = lab.store.watch().unwrap();
    assert!(!watch.wait(Duration::ZERO).unwrap());
    let writer = std::thread::spawn(move || {
        other.write(|tx| tx.pause_job("job", &act(1))).unwrap();
    });
    while !watch.wait(Duration::from_secs(20)).unwrap() {}
    assert_eq!(lab.store.pauses(1).unwrap().len(), 1);
    writer.join().unwrap();
    watch.drain();
    assert!(
        !watch.wait(Duration::ZERO).unwrap(),
        "a read causes no wake-up"
    );
}
