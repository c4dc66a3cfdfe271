//! Pauses of jobs; ended pauses are stored as long as periods of a schedule depend on them.

use super::schedules::begin;
use super::{Lab, act};
use crate::policy::Pauses;

fn names(lab: &Lab) -> Vec<String> {
    let pauses = lab.store.pauses(lab.now_ms).unwrap();
    pauses.into_iter().map(|pause| pause.job).collect()
}

#[test]
fn a_job_is_resumed_once_and_only_that_one() {
    let mut lab = Lab::new();
    let act = act(lab.now_ms);
    for job in ["a", "b"] {
        assert!(
            !lab.write(|tx| tx.resume_job(job, &act)),
            "it is not paused"
        );
        assert!(lab.write(|tx| tx.pause_job(job, &act)));
    }
    lab.enqueue(|run| run.job = "a".into());
    assert!(lab.claim(1).is_empty());
    assert_eq!(names(&lab), ["a", "b"]);
    assert!(lab.write(|tx| tx.resume_job("a", &act)));
    assert!(!lab.write(|tx| tx.resume_job("a", &act)));
    assert_eq!(names(&lab), ["b"]);
    assert_eq!(lab.claim(1).len(), 1);
    let acts = lab.store.acts("job", Some("a"), 10).unwrap();
    let whats: Vec<&str> = acts.iter().map(|act| act.what.as_str()).collect();
    assert_eq!(
        whats,
        ["resume", "pause"],
        "a request that changes nothing is not recorded"
    );
}

#[test]
fn an_ended_pause_is_stored_until_the_periods_in_it_are_decided() {
    let mut lab = Lab::new();
    for job in ["a", "b"] {
        begin(&mut lab, job, 0, None);
    }
    for (job, from_ms) in [("a", 100), ("a", 300), ("b", 100), ("unscheduled", 100)] {
        lab.write(|tx| tx.pause_job(job, &act(from_ms)));
        lab.write(|tx| tx.resume_job(job, &act(from_ms + 50)));
    }
    lab.write(|tx| tx.pause_job("a", &act(500)));
    let of = |lab: &mut Lab, job| {
        let mut pauses = lab.write(|tx| tx.pauses_of(job));
        pauses.past.sort_unstable();
        pauses
    };
    let a = |past: &[(i64, i64)]| Pauses {
        current: Some((500, None)),
        past: past.to_vec(),
    };
    assert_eq!(of(&mut lab, "a"), a(&[(100, 150), (300, 350)]));
    assert_eq!(of(&mut lab, "unscheduled"), Pauses::default());
    lab.write(|tx| tx.forget_pauses("a", 349));
    assert_eq!(of(&mut lab, "a"), a(&[(300, 350)]));
    lab.write(|tx| tx.forget_pauses("a", 350));
    assert_eq!(of(&mut lab, "a"), a(&[]), "the current one stays");
    assert_eq!(of(&mut lab, "b").past, [(100, 150)]);
}

#[test]
fn a_pause_of_decided_periods_is_not_remembered() {
    let mut lab = Lab::new();
    begin(&mut lab, "a", 0, None);
    lab.write(|tx| tx.advance("a", 1_000, None));
    lab.write(|tx| tx.pause_job("a", &act(100)));
    lab.write(|tx| tx.resume_job("a", &act(1_000)));
    assert_eq!(lab.write(|tx| tx.pauses_of("a")), Pauses::default());
}
