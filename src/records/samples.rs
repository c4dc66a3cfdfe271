//! Sample runs for tests and benches; each test changes only the fields that matter to it.

use super::{ClaimRequest, Claimed, Labels, NewRun, ServedQueue};
use crate::run::{Fence, Guarantee, RunId, Trigger, WorkerId};

/// A new run of the queue `default`, due at once.
pub fn new_run(job: &str) -> NewRun {
    NewRun {
        job: job.to_owned(),
        queue: "default".to_owned(),
        tenant: String::new(),
        priority: 100,
        due_ms: 0,
        wait_set_ms: None,
        deadline_ms: None,
        max_attempts: 3,
        max_crashes: 3,
        guarantee: Guarantee::AtLeastOnce,
        params: None,
        payload: None,
        idempotency_key: [0; 16],
        dedup: None,
        sequence: None,
        trigger: Trigger::Manual,
        parent: None,
        labels: Labels::default(),
        period: None,
        after: Vec::new(),
    }
}

/// A claimed run that was never started.
pub fn claimed(run: RunId, fence: Fence) -> Claimed {
    Claimed {
        run,
        fence,
        job: "job".to_owned(),
        queue: "default".to_owned(),
        tenant: String::new(),
        attempt: 1,
        started_before: false,
        failures: 0,
        crashes: 0,
        max_attempts: 3,
        max_crashes: 3,
        guarantee: Guarantee::AtLeastOnce,
        deadline_ms: None,
        limited_ms: None,
        params: None,
        payload: None,
        idempotency_key: [0; 16],
        trigger: Trigger::Manual,
        parent: None,
        labels: Labels::default(),
        last_exit_code: None,
        last_error: None,
        period: None,
        previous_success_ms: None,
    }
}

/// A claim of up to `max` runs by a worker with as many free slots, which knows every job and takes the stored terms.
pub fn claim_request(worker: WorkerId, queues: &[ServedQueue], max: usize) -> ClaimRequest<'_> {
    ClaimRequest {
        worker,
        queues,
        knows: &|_| true,
        terms: &|_| None,
        known_after: &|_| None,
        max,
        free: max,
        is_short: &|_| false,
    }
}
