//! The cached catalogue, the rules in force, and ready runs that no catalogue knows.

use std::os::unix::fs::PermissionsExt;

use super::Lab;
use crate::catalogue::Catalogue;
use crate::store::{QueueRow, Settings, UnknownLane};

const PATH: &str = "/etc/jobs.toml";
const ELSEWHERE: &str = "/home/jobs.toml";

/// A catalogue with this job and one queue beside the built-in ones.
fn catalogue(path: &str, stamp: &str, job: &str) -> Catalogue {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("jobs.toml");
    let text = format!(
        "[queue.urgent]\nrank = 1\nmax_running = 2\n[job.{job}]\ncommand = [\"true\"]\nqueue = \"urgent\"\n"
    );
    std::fs::write(&file, text).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let mut catalogue = Catalogue::load(&file).unwrap();
    catalogue.path = path.into();
    stamp.clone_into(&mut catalogue.stamp);
    catalogue
}

fn apply(lab: &mut Lab, catalogue: &Catalogue) -> i64 {
    let now_ms = lab.now_ms;
    lab.write(|tx| tx.apply_catalogue(catalogue, now_ms))
}

fn is_in_force(lab: &mut Lab, catalogue: &Catalogue) -> bool {
    lab.write(|tx| tx.is_in_force(catalogue))
}

fn is_cached(lab: &Lab, catalogue: &Catalogue) -> bool {
    let path = catalogue.path.to_str().unwrap();
    let cached = lab.store.cached_settings(path, &catalogue.stamp).unwrap();
    assert!(cached.is_none() || cached == Some(Settings::of(catalogue)));
    cached.is_some()
}

#[test]
fn the_same_files_keep_their_generation_and_changed_ones_get_a_new_one() {
    let mut lab = Lab::new();
    assert_eq!(lab.store.catalogue_generation(PATH).unwrap(), None);
    let (first, second) = (catalogue(PATH, "1", "a"), catalogue(PATH, "2", "b"));
    assert!(!is_in_force(&mut lab, &first));
    let generation = apply(&mut lab, &first);
    assert_eq!(apply(&mut lab, &first), generation);
    assert!(is_in_force(&mut lab, &first) && !is_in_force(&mut lab, &second));
    let newer = apply(&mut lab, &second);
    assert!(newer > generation);
    assert_eq!(lab.store.catalogue_generation(PATH).unwrap(), Some(newer));
    assert_eq!(lab.store.catalogue_generation(ELSEWHERE).unwrap(), None);
    assert!(is_in_force(&mut lab, &second) && !is_in_force(&mut lab, &first));
    let rules = lab.write(|tx| tx.catalogue_rules());
    assert_eq!(rules, second.flow_rules());
}

#[test]
fn a_cached_job_is_that_of_the_catalogue_with_this_stamp() {
    let mut lab = Lab::new();
    let (first, second) = (catalogue(PATH, "1", "a"), catalogue(PATH, "2", "b"));
    apply(&mut lab, &first);
    let intake = |lab: &Lab, path, stamp, job| {
        let cached = lab.store.cached_intake(path, stamp, job).unwrap();
        cached.map(|(settings, intake)| {
            assert_eq!(settings, Settings::of(&first));
            intake
        })
    };
    let expected = first.jobs["a"].intake.clone();
    assert_eq!(intake(&lab, PATH, "1", "a"), Some(expected));
    assert_eq!(intake(&lab, PATH, "1", "b"), None);
    assert_eq!(intake(&lab, PATH, "2", "a"), None);
    assert_eq!(intake(&lab, ELSEWHERE, "1", "a"), None);
    assert!(is_cached(&lab, &first) && !is_cached(&lab, &second));
    apply(&mut lab, &second);
    assert_eq!(intake(&lab, PATH, "2", "a"), None, "the job was removed");
    assert!(!is_cached(&lab, &first) && is_cached(&lab, &second));
}

#[test]
fn rules_of_files_that_are_too_young_are_in_force_but_not_cached() {
    let mut lab = Lab::new();
    let now_ms = lab.now_ms;
    let young = catalogue(PATH, "1", "a");
    lab.write(|tx| tx.apply_without_caching(&young, now_ms));
    assert!(is_in_force(&mut lab, &young) && !is_cached(&lab, &young));
    let generation = lab.store.catalogue_generation(PATH).unwrap();
    assert!(generation.is_some());
    lab.write(|tx| tx.apply_without_caching(&young, now_ms));
    assert_eq!(lab.store.catalogue_generation(PATH).unwrap(), generation);
    assert!(apply(&mut lab, &young) > generation.unwrap());
    assert!(is_cached(&lab, &young));
}

#[test]
fn a_catalogue_that_is_only_cached_changes_no_rule_in_force() {
    let mut lab = Lab::new();
    let now_ms = lab.now_ms;
    let (ours, newer) = (catalogue(PATH, "1", "a"), catalogue(PATH, "2", "b"));
    let elsewhere = catalogue(ELSEWHERE, "1", "c");
    let generation = apply(&mut lab, &ours);
    let mut cache = |catalogue: &Catalogue, settled| {
        lab.write(|tx| tx.cache_catalogue(catalogue, settled, now_ms));
        assert!(lab.write(|tx| tx.is_in_force(&ours)));
        let cached = is_cached(&lab, catalogue);
        let generation = lab.store.catalogue_generation(PATH).unwrap().unwrap();
        (cached, generation)
    };
    assert_eq!(cache(&elsewhere, false), (false, generation));
    assert_eq!(cache(&elsewhere, true), (true, generation));
    assert_eq!(cache(&ours, true), (true, generation), "it is known");
    // Workers that use the rules in force must notice the newer version.
    let (cached, unsettled) = cache(&newer, false);
    assert!(!cached && unsettled > generation);
    let (cached, settled) = cache(&newer, true);
    assert!(cached && settled > unsettled);
    let intake = lab.store.cached_intake(PATH, "2", "b").unwrap();
    assert_eq!(intake, None, "the rules in force are of another version");
    assert!(
        lab.store
            .cached_intake(ELSEWHERE, "1", "c")
            .unwrap()
            .is_some()
    );
}

#[test]
fn jobs_are_known_by_every_loaded_catalogue_and_by_their_pauses() {
    let mut lab = Lab::new();
    assert_eq!(lab.store.known_jobs().unwrap(), [""; 0]);
    apply(&mut lab, &catalogue(PATH, "1", "b"));
    apply(&mut lab, &catalogue(ELSEWHERE, "1", "c"));
    let act = super::act(lab.now_ms);
    for job in ["a", "b"] {
        lab.write(|tx| tx.pause_job(job, &act));
    }
    assert_eq!(lab.store.known_jobs().unwrap(), ["a", "b", "c"]);
    apply(&mut lab, &catalogue(PATH, "2", "d"));
    assert_eq!(lab.store.known_jobs().unwrap(), ["a", "b", "c", "d"]);
    lab.write(|tx| tx.resume_job("b", &act));
    assert_eq!(lab.store.known_jobs().unwrap(), ["a", "c", "d"]);
}

#[test]
fn queues_of_the_catalogue_are_listed_by_rank_and_others_while_they_hold_runs() {
    let mut lab = Lab::new();
    apply(&mut lab, &catalogue(PATH, "1", "a"));
    lab.enqueue(|run| run.queue = "old".into());
    let queues = |lab: &Lab| -> Vec<(String, Option<i64>, i64)> {
        let rows = lab.store.queues(lab.now_ms).unwrap();
        let row = |it: QueueRow| (it.queue.clone(), it.rank, it.waiting());
        rows.into_iter().map(row).collect()
    };
    let ours = |lab: &Lab| {
        let rows = queues(lab);
        assert!(rows.is_sorted_by_key(|row| row.1.unwrap_or(i64::MAX)));
        [rows[0].clone(), rows[rows.len() - 1].clone()]
    };
    let (urgent, old) = (
        ("urgent".to_owned(), Some(1), 0),
        ("old".to_owned(), None, 1),
    );
    assert_eq!(ours(&lab), [urgent.clone(), old]);
    let now_ms = lab.now_ms;
    let run = crate::run::RunId(1);
    lab.write(|tx| tx.cancel(run, "ann", now_ms));
    assert!(queues(&lab).iter().all(|row| row.0 != "old"));
    assert_eq!(ours(&lab)[0], urgent);
}

#[test]
fn ready_runs_of_unknown_jobs_and_queues_are_named_once_a_catalogue_is_loaded() {
    let mut lab = Lab::new();
    for (queue, job) in [("urgent", "a"), ("urgent", "b"), ("old", "a")] {
        for _ in 0..2 {
            lab.enqueue(|run| (run.queue, run.job) = (queue.into(), job.into()));
        }
    }
    lab.enqueue(|run| {
        run.job = "later".into();
        run.due_ms += 1_000;
    });
    assert!(lab.store.unknown_lanes().unwrap().is_empty());
    apply(&mut lab, &catalogue(PATH, "1", "a"));
    let lane = |queue: &str, job: &str, is_job| UnknownLane {
        queue: queue.into(),
        job: job.into(),
        is_job,
    };
    let expected = [lane("old", "a", false), lane("urgent", "b", true)];
    let found = lab.store.unknown_lanes().unwrap();
    assert_eq!(Vec::from_iter(found), expected);
}
