//! What a claim takes beyond the free slots.

use super::{Lab, WORKER};
use crate::store::{ClaimRequest, Claims};

fn claim(lab: &mut Lab, free: usize) -> Claims {
    let (now_ms, turns) = (lab.now_ms, &mut lab.turns);
    let claims = lab.store.write(|tx| {
        tx.promote(now_ms)?;
        let request = ClaimRequest {
            worker: WORKER,
            queues: &["default".into()],
            knows: &|_| true,
            max: 4,
            free,
            is_short: &|job| job == "short",
            idle: false,
        };
        tx.claim(&request, turns, now_ms)
    });
    claims.unwrap()
}

#[test]
fn only_short_work_is_claimed_beyond_the_free_slots() {
    let mut lab = Lab::new();
    for job in ["long", "long", "short", "short"] {
        lab.enqueue(|run| job.clone_into(&mut run.job));
        lab.now_ms += 1;
    }
    let first = claim(&mut lab, 1);
    assert_eq!(first.runs.len(), 1);
    // There is more: it is looked for again when a slot is free.
    assert!(first.full);
    let jobs: Vec<String> = claim(&mut lab, 1)
        .runs
        .into_iter()
        .map(|it| it.job)
        .collect();
    assert_eq!(jobs, ["long", "short", "short"]);
}
