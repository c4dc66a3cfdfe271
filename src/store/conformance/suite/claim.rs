//! Terms of claimed runs, claims beyond the free slots, and waits after a step of the clock.

use super::{Lab, WORKER, bury};
use crate::flow::{JobRules, Rules};
use crate::policy::Verdict;
use crate::records::samples;
use crate::run::{Guarantee, WorkerId};
use crate::store::{ClaimRequest, Claims};

fn claim(lab: &mut Lab, free: usize) -> Claims {
    let (now_ms, turns) = (lab.now_ms, &mut lab.turns);
    let claims = lab.store.write(|tx| {
        tx.promote(now_ms)?;
        let queues = ["default".into()];
        let request = ClaimRequest {
            is_short: &|job| job == "short",
            free,
            ..samples::claim_request(WORKER, &queues, 4)
        };
        tx.claim(&request, turns, now_ms)
    });
    claims.unwrap()
}

/// Proves: as `each_attempt_is_checked_against_the_catalogue_of_its_worker`.
#[test]
fn the_stricter_of_stored_and_catalogue_terms_applies() {
    use Guarantee::{AtLeastOnce, AtMostOnce};
    for (stored, failures, terms, expected) in [
        ((AtLeastOnce, 3), 0, None, (AtLeastOnce, 3)),
        (
            (AtLeastOnce, 3),
            0,
            Some((AtLeastOnce, 5)),
            (AtLeastOnce, 3),
        ),
        (
            (AtLeastOnce, 3),
            0,
            Some((AtLeastOnce, 2)),
            (AtLeastOnce, 2),
        ),
        (
            (AtLeastOnce, 9),
            4,
            Some((AtLeastOnce, 2)),
            (AtLeastOnce, 5),
        ),
        ((AtLeastOnce, 3), 0, Some((AtMostOnce, 1)), (AtMostOnce, 1)),
        ((AtMostOnce, 1), 0, Some((AtLeastOnce, 3)), (AtMostOnce, 1)),
    ] {
        let mut lab = Lab::new();
        let run = lab.enqueue(|run| (run.guarantee, run.max_attempts) = stored);
        for _ in 0..failures {
            let failed = lab.claim_one();
            let again = Verdict::Defer {
                due_ms: lab.now_ms,
                failure: true,
            };
            lab.end(&failed, again);
        }
        let (now_ms, turns) = (lab.now_ms, &mut lab.turns);
        let claims = lab.store.write(|tx| {
            tx.promote(now_ms)?;
            let queues = ["default".into()];
            let request = ClaimRequest {
                terms: &|_| terms,
                ..samples::claim_request(WORKER, &queues, 1)
            };
            tx.claim(&request, turns, now_ms)
        });
        let claimed = claims.unwrap().runs.remove(0);
        assert_eq!((claimed.guarantee, claimed.max_attempts), expected);
        // Recovery uses the stored terms.
        let seen = lab.store.show_run(run, now_ms).unwrap().unwrap();
        assert_eq!((seen.guarantee, seen.row.max_attempts), expected);
    }
}

#[test]
fn any_start_since_the_last_retry_counts_as_started_before() {
    for verdict in [
        Verdict::Release,
        Verdict::Defer {
            due_ms: 0,
            failure: false,
        },
    ] {
        let mut lab = Lab::new();
        let run = lab.enqueue(|_| {});
        let first = lab.claim_one();
        assert!(!first.started_before);
        lab.end(&first, verdict);
        let second = lab.claim_one();
        assert!(second.started_before);
        lab.end(&second, bury());
        let now_ms = lab.now_ms;
        lab.write(|tx| tx.retry(run, "ann", now_ms));
        let third = lab.claim_one();
        assert!(!third.started_before && third.attempt == 3);
    }
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
    // More runs are ready: the worker claims again when a slot is free.
    assert!(first.full);
    let jobs: Vec<String> = claim(&mut lab, 1)
        .runs
        .into_iter()
        .map(|it| it.job)
        .collect();
    assert_eq!(jobs, ["long", "short", "short"]);
}

#[test]
fn runs_under_a_limit_are_not_claimed_beyond_the_free_slots() {
    let mut lab = Lab::new();
    let mut rules = Rules::default();
    let limited = JobRules {
        concurrency: Some(9),
        ..JobRules::default()
    };
    rules.jobs.insert("short".into(), limited);
    lab.store.write(|tx| tx.save_rules(&rules)).unwrap();
    for _ in 0..4 {
        lab.enqueue(|run| "short".clone_into(&mut run.job));
    }
    let first = claim(&mut lab, 1);
    assert_eq!((first.runs.len(), first.full), (1, true));
}

/// Fault: as `a_clock_that_is_wrong_for_four_minutes_opens_no_calendar_period_early`.
#[test]
fn no_step_of_the_clock_makes_a_wait_longer_than_it_was_set_for() {
    const WAIT_MS: i64 = 60_000;
    const FAR_MS: i64 = 253_402_300_799_000;
    for to_ms in [0, 1_000_000 - 3_600_000, 1_000_000 + 86_400_000, FAR_MS] {
        let mut lab = Lab::new();
        let now_ms = lab.now_ms;
        let waits = lab.enqueue(|run| {
            run.due_ms = now_ms + WAIT_MS;
            run.wait_set_ms = Some(now_ms);
        });
        let at_a_time = lab.enqueue(|run| run.due_ms = now_ms + WAIT_MS);
        lab.now_ms = to_ms;
        lab.write(|tx| tx.rebase_relative_delays(to_ms).map(drop));
        let claimed: Vec<_> = lab.claim(9).iter().map(|it| it.run).collect();
        // An absolute time does not move with the clock.
        let due = |run| {
            if to_ms > now_ms {
                vec![run]
            } else {
                Vec::new()
            }
        };
        assert_eq!(claimed, [due(waits), due(at_a_time)].concat(), "{to_ms}");
        if to_ms <= now_ms {
            lab.now_ms = to_ms + WAIT_MS;
            let claimed: Vec<_> = lab.claim(9).iter().map(|it| it.run).collect();
            assert_eq!(claimed, [waits], "{to_ms}");
        }
        lab.check();
    }
}

/// Proves (clock): a clock that steps back lengthens no wait, also of a reserved run and of a limit; an override
/// applies again until its end, for every process.
#[test]
fn a_clock_that_steps_back_lengthens_no_wait() {
    const WAIT_MS: i64 = 60_000;
    let mut lab = Lab::new();
    let before = lab.enqueue(|_| {});
    let runs = ["free", "kept", "gated"].map(|how| {
        let now_ms = lab.now_ms;
        let run = lab.enqueue(|run| {
            run.due_ms = now_ms + WAIT_MS;
            run.wait_set_ms = Some(now_ms);
            if how == "gated" {
                run.after = vec![before];
            }
        });
        if how == "kept" {
            let kept = lab.store.write(|tx| tx.reserve_for(run, WorkerId(7)));
            kept.unwrap();
        }
        run
    });
    lab.now_ms -= 500_000;
    let now_ms = lab.now_ms;
    let more = lab.store.write(|tx| tx.rebase_relative_delays(now_ms));
    assert!(!more.unwrap());
    for run in runs {
        let (_, due_ms, _) = lab.store.run_location(run).unwrap().unwrap();
        assert_eq!(due_ms, now_ms + WAIT_MS);
    }
}
