//! Changes by operators that override the catalogue, from the next claim until they expire or are removed.

use super::{Lab, act, bury};
use crate::attempt::Class;
use crate::flow::{
    BreakerRules, FlowChange, FlowEvent, JobRules, LimitRules, OverrideKey, QueueRules, Rate,
    Rules, Setting, Subject,
};
use crate::policy::Verdict;
use crate::records::samples;
use crate::store::{Act, ClaimRequest, Reset, Turns};

fn rules(max_running: Option<i64>) -> Rules {
    let mut rules = Rules::default();
    let queue = QueueRules {
        max_running,
        ..QueueRules::default()
    };
    rules.queues.insert("default".into(), queue);
    let limit = LimitRules {
        concurrency: Some(5),
        rate: None,
        breaker: Some(BreakerRules {
            failures: 1,
            within_ms: 1_000,
            cooldown_ms: 60_000,
        }),
        paused: None,
    };
    rules.limits.insert("smtp".into(), limit);
    let job = JobRules {
        limits: vec!["smtp".into()],
        ..JobRules::default()
    };
    rules.jobs.insert("job".into(), job);
    rules
}

/// A lab with these rules and ten runs.
fn lab(max_running: Option<i64>) -> Lab {
    let mut lab = Lab::new();
    lab.store
        .write(|tx| tx.save_rules(&rules(max_running)))
        .unwrap();
    for _ in 0..10 {
        lab.enqueue(|_| {});
    }
    lab
}

fn set(lab: &mut Lab, name: &str, key: OverrideKey, value: Option<&str>, act: &Act<'_>) -> bool {
    let setting = Setting {
        key,
        value: value.map(str::to_owned),
    };
    let done = lab
        .store
        .write(|tx| tx.change_settings(name, &[setting], act));
    done.unwrap()[0]
}

fn until(now_ms: i64, until_ms: i64) -> Act<'static> {
    Act {
        until_ms: Some(until_ms),
        ..act(now_ms)
    }
}

/// When time alone may open a gate, as reported by a claim that finds no run.
fn opens_ms(lab: &mut Lab) -> Option<i64> {
    let claims = super::flow::claim(lab, &["default".into()], 10);
    assert_eq!(claims.runs.len(), 0);
    claims.passed.opens_ms
}

/// Proves (operators): a change by an operator applies at the next claim and beats later catalogues until it ends;
/// running attempts are not touched.
#[test]
fn a_setting_applies_to_the_next_claim_and_stops_no_running_run() {
    let mut lab = lab(None);
    assert_eq!(lab.claim(4).len(), 4);
    let act = act(lab.now_ms);
    assert!(set(
        &mut lab,
        "smtp",
        OverrideKey::Concurrency,
        Some("2"),
        &act
    ));
    assert_eq!(lab.claim(10).len(), 0);
    assert!(set(
        &mut lab,
        "smtp",
        OverrideKey::Concurrency,
        Some("none"),
        &act
    ));
    assert!(set(
        &mut lab,
        "default",
        OverrideKey::MaxRunning,
        Some("6"),
        &act
    ));
    assert_eq!(lab.claim(10).len(), 2);
    assert!(set(
        &mut lab,
        "default",
        OverrideKey::MaxRunning,
        None,
        &act
    ));
    assert!(!set(
        &mut lab,
        "default",
        OverrideKey::MaxRunning,
        None,
        &act
    ));
    assert_eq!(lab.claim(10).len(), 4);
    lab.check();
}

/// Proves: as `a_setting_applies_to_the_next_claim_and_stops_no_running_run`.
#[test]
fn a_change_overrides_every_later_catalogue_until_removed() {
    let mut lab = lab(None);
    let act = act(lab.now_ms);
    set(
        &mut lab,
        "default",
        OverrideKey::MaxRunning,
        Some("1"),
        &act,
    );
    lab.store
        .write(|tx| tx.save_rules(&rules(Some(3))))
        .unwrap();
    assert_eq!(lab.claim(10).len(), 1);
    set(&mut lab, "default", OverrideKey::MaxRunning, None, &act);
    assert_eq!(lab.claim(10).len(), 2);
}

/// Proves: as `a_setting_applies_to_the_next_claim_and_stops_no_running_run`.
#[test]
fn an_override_expires_and_the_claim_reports_when() {
    let mut lab = lab(None);
    let now_ms = lab.now_ms;
    let act = until(now_ms, now_ms + 5_000);
    set(&mut lab, "smtp", OverrideKey::Concurrency, Some("1"), &act);
    assert_eq!(lab.claim(10).len(), 1);
    assert_eq!(opens_ms(&mut lab), Some(now_ms + 5_000));
    lab.now_ms += 4_999;
    assert_eq!(lab.claim(10).len(), 0);
    lab.now_ms += 1;
    assert_eq!(lab.claim(10).len(), 4);
}

/// Proves: as `a_clock_that_steps_back_lengthens_no_wait`.
#[test]
fn expired_overrides_reapply_after_the_clock_moves_back() {
    let mut lab = lab(None);
    let now_ms = lab.now_ms;
    let act = until(now_ms, now_ms + 5_000);
    set(&mut lab, "smtp", OverrideKey::Concurrency, Some("1"), &act);
    lab.now_ms = now_ms + 5_000;
    assert_eq!(lab.claim(2).len(), 2);
    // A process that starts now has not seen a later time.
    lab.now_ms = now_ms + 4_000;
    assert_eq!(lab.claim(1).len(), 0);
}

#[test]
fn a_paused_queue_starts_nothing_until_it_is_resumed_or_the_pause_expires() {
    let mut lab = lab(None);
    let now_ms = lab.now_ms;
    let pause = until(now_ms, now_ms + 5_000);
    let first = lab.store.write(|tx| tx.pause_queue("default", &pause));
    assert_eq!(first.unwrap(), None);
    let second = lab
        .store
        .write(|tx| tx.pause_queue("default", &act(now_ms)));
    let known = second.unwrap().unwrap();
    assert_eq!((known.by.as_str(), known.until_ms), ("ann", pause.until_ms));
    assert_eq!(opens_ms(&mut lab), pause.until_ms);
    lab.now_ms = now_ms + 5_000;
    assert_eq!(lab.claim(1).len(), 1);
    let act = act(lab.now_ms);
    let resumed = lab
        .store
        .write(|tx| tx.resume_queue("default", false, &act));
    assert!(!resumed.unwrap(), "the pause has expired");
    let again = lab.store.write(|tx| tx.pause_queue("default", &act));
    assert_eq!(again.unwrap(), None);
    assert_eq!(lab.claim(1).len(), 0);
    let resumed = lab
        .store
        .write(|tx| tx.resume_queue("default", false, &act));
    assert!(resumed.unwrap());
    assert_eq!(lab.claim(1).len(), 1);
}

#[test]
fn a_queue_paused_by_the_catalogue_can_be_resumed() {
    let mut lab = lab(None);
    let act = act(lab.now_ms);
    let mut paused = rules(None);
    let queue = paused.queues.get_mut("default").unwrap();
    queue.paused = Some(crate::flow::Paused {
        by: "catalogue".into(),
        reason: None,
        until_ms: None,
    });
    lab.store.write(|tx| tx.save_rules(&paused)).unwrap();
    assert_eq!(lab.claim(1).len(), 0);
    let resume = |lab: &mut Lab| lab.store.write(|tx| tx.resume_queue("default", true, &act));
    assert!(resume(&mut lab).unwrap());
    assert!(!resume(&mut lab).unwrap());
    assert_eq!(lab.claim(1).len(), 1);
    let paused = lab.store.write(|tx| tx.pause_queue("default", &act));
    assert_eq!(paused.unwrap(), None);
    assert_eq!(lab.claim(1).len(), 0);
    assert!(resume(&mut lab).unwrap());
    assert!(set(&mut lab, "default", OverrideKey::Paused, None, &act));
    assert_eq!(lab.claim(1).len(), 0);
}

#[test]
fn a_paused_limit_starts_nothing_and_a_reset_ends_its_breaker_and_its_wait() {
    let mut lab = lab(None);
    let act = act(lab.now_ms);
    let ran = lab.claim(2);
    let opened = lab.store.write(|tx| tx.pause_limit("smtp", &act));
    assert_eq!(opened.unwrap(), None);
    assert_eq!(lab.claim(1).len(), 0);
    let again = lab.store.write(|tx| tx.pause_limit("smtp", &act)).unwrap();
    assert_eq!(again.unwrap().reason.as_deref(), Some("mending"));
    let failed = super::flow::end(&mut lab, &ran[0], Class::Transient, bury());
    let due_ms = lab.now_ms + 30_000;
    let wait = Verdict::Defer {
        due_ms,
        failure: false,
    };
    let limited = super::flow::end(&mut lab, &ran[1], Class::RateLimited, wait);
    let smtp = |change| FlowEvent {
        subject: Subject::Limit("smtp".into()),
        change,
    };
    let until_ms = lab.now_ms + 60_000;
    assert_eq!(failed, [smtp(FlowChange::Opened { until_ms })]);
    assert_eq!(limited, [smtp(FlowChange::Waits { until_ms: due_ms })]);
    let reset = |lab: &mut Lab| {
        lab.store
            .write(|tx| tx.reset(&Subject::Limit("smtp".into()), &act))
            .unwrap()
    };
    let ended = Reset {
        breaker: true,
        waited_until_ms: Some(due_ms),
    };
    assert_eq!(reset(&mut lab), ended);
    assert_eq!(reset(&mut lab), Reset::default());
    assert_eq!(lab.claim(1).len(), 0, "it is still paused");
    let resume = |lab: &mut Lab| lab.store.write(|tx| tx.resume_limit("smtp", &act)).unwrap();
    assert_eq!(resume(&mut lab).unwrap().by, "ann");
    assert_eq!(resume(&mut lab), None);
    assert_eq!(lab.claim(1).len(), 1);
}

#[test]
fn the_breaker_of_a_job_can_be_closed() {
    let mut lab = Lab::new();
    let mut rules = rules(None);
    let job = JobRules {
        limits: Vec::new(),
        concurrency: None,
        breaker: rules.limits["smtp"].breaker,
    };
    rules.jobs.insert("job".into(), job);
    lab.store.write(|tx| tx.save_rules(&rules)).unwrap();
    for _ in 0..3 {
        lab.enqueue(|_| {});
    }
    let act = act(lab.now_ms);
    let claimed = lab.claim_one();
    super::flow::end(&mut lab, &claimed, Class::Transient, bury());
    assert_eq!(lab.claim(1).len(), 0);
    let flow = lab.store.flow(|| None, lab.now_ms).unwrap();
    assert_eq!(flow.breakers.keys().collect::<Vec<_>>(), ["job"]);
    assert!(
        lab.store
            .write(|tx| tx.reset(&Subject::Job("job".into()), &act))
            .unwrap()
            .breaker
    );
    assert!(
        !lab.store
            .write(|tx| tx.reset(&Subject::Job("job".into()), &act))
            .unwrap()
            .breaker
    );
    assert_eq!(lab.claim(1).len(), 1);
}

#[test]
fn a_paused_job_continues_when_its_pause_expires() {
    let mut lab = lab(None);
    let now_ms = lab.now_ms;
    let pause = until(now_ms, now_ms + 5_000);
    let run = |lab: &mut Lab, act: &Act<'_>| lab.store.write(|tx| tx.pause_job("job", act));
    assert!(run(&mut lab, &pause).unwrap());
    assert!(!run(&mut lab, &act(now_ms)).unwrap());
    assert_eq!(opens_ms(&mut lab), pause.until_ms);
    let seen = |lab: &Lab| {
        let paused = lab.store.paused_jobs(lab.now_ms).unwrap().len();
        let row = lab.store.show_run(crate::run::RunId(1), lab.now_ms);
        (paused, row.unwrap().unwrap().row.shown.word())
    };
    assert_eq!(seen(&lab), (1, "blocked"));
    lab.now_ms += 5_000;
    assert_eq!(seen(&lab), (0, "ready"));
    let now_ms = lab.now_ms;
    let pauses = lab.store.write(|tx| tx.pauses_of("job")).unwrap();
    assert!(!pauses.hold_at(now_ms, now_ms));
    assert_eq!(lab.claim(1).len(), 1);
    assert!(
        run(&mut lab, &act(now_ms)).unwrap(),
        "it can be paused again"
    );
    assert_eq!(lab.claim(1).len(), 0);
}

#[test]
fn the_history_keeps_the_newest_changes_with_user_and_reason() {
    let mut lab = lab(None);
    let now_ms = lab.now_ms;
    set(
        &mut lab,
        "smtp",
        OverrideKey::Rate,
        Some("5/s"),
        &until(now_ms, now_ms + 1),
    );
    set(
        &mut lab,
        "smtp",
        OverrideKey::Concurrency,
        None,
        &act(now_ms),
    );
    let act = act(now_ms);
    lab.store.write(|tx| tx.pause_limit("smtp", &act)).unwrap();
    lab.store.write(|tx| tx.resume_limit("smtp", &act)).unwrap();
    lab.store
        .write(|tx| tx.pause_queue("default", &act))
        .unwrap();
    let acts = lab.store.acts("limit", None, 10).unwrap();
    let whats: Vec<&str> = acts.iter().map(|act| act.what.as_str()).collect();
    // A request that changes nothing is not recorded.
    assert_eq!(whats, ["resume", "pause", "rate=5/s"]);
    assert_eq!(acts[2].until_ms, Some(now_ms + 1));
    assert_eq!((acts[0].by.as_str(), acts[0].at_ms), ("ann", now_ms));
    assert_eq!(acts[0].reason.as_deref(), Some("mending"));
    assert_eq!(lab.store.acts("limit", Some("other"), 10).unwrap(), []);
    let many = lab.store.write(|tx| {
        for _ in 0..550 {
            tx.resume_queue("default", false, &act)?;
            tx.pause_queue("default", &act)?;
        }
        Ok(())
    });
    many.unwrap();
    assert_eq!(lab.store.acts("queue", None, 5_000).unwrap().len(), 1_000);
}

/// Proves (flow): rules of a transaction that was rolled back are used by no process.
#[test]
fn rules_of_a_rolled_back_transaction_are_forgotten() {
    let mut lab = lab(None);
    let act = act(lab.now_ms);
    let now_ms = lab.now_ms;
    // This process read the rolled back version, and the next change gets the same number.
    let failed = lab.store.write::<()>(|tx| {
        tx.pause_queue("default", &act)?;
        let queues = ["default".into()];
        let request = ClaimRequest {
            is_short: &|_| true,
            ..samples::claim_request(super::WORKER, &queues, 10)
        };
        let claims = tx.claim(&request, &mut Turns::default(), now_ms)?;
        assert_eq!(claims.runs.len(), 0);
        Err(crate::error::Error::new(crate::error::Kind::Refused, "no"))
    });
    assert!(failed.is_err());
    let mut other = lab.open();
    let setting = Setting {
        key: OverrideKey::MaxRunning,
        value: Some("7".into()),
    };
    other
        .write(|tx| tx.change_settings("default", &[setting], &act))
        .unwrap();
    assert_eq!(lab.claim(10).len(), 5, "as many as the limit allows");
}

#[test]
fn a_view_shows_the_rules_in_force_or_those_of_the_file_before_any_load() {
    let mut lab = Lab::new();
    let in_file = || Some(rules(Some(3)));
    let flow = lab.store.flow(in_file, lab.now_ms).unwrap();
    assert_eq!(flow.queue("default").max_running, Some(3));
    let now_ms = lab.now_ms;
    set(
        &mut lab,
        "smtp",
        OverrideKey::Rate,
        Some("2/s"),
        &until(now_ms, now_ms + 10),
    );
    lab.store.write(|tx| tx.save_rules(&rules(None))).unwrap();
    let flow = lab.store.flow(in_file, now_ms).unwrap();
    assert_eq!(flow.queue("default").max_running, None, "it is loaded");
    let smtp = flow.limit("smtp").unwrap();
    assert_eq!(smtp.rate, Some(Rate::parse("2/s").unwrap()));
    assert_eq!(smtp.overrides.len(), 1);
    let flow = lab.store.flow(in_file, now_ms + 10).unwrap();
    assert_eq!(flow.limit("smtp").unwrap().rate, None);
    assert_eq!(flow.overrides, []);
}
