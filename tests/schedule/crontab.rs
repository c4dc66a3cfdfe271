//! Drafts from crontabs: they load, and their schedules are those of the lines.

use std::path::PathBuf;

use jobctl::catalogue::Catalogue;
use jobctl::crontab::{Draft, Surroundings, import};
use jobctl::schedule::Rule;
use proptest::prelude::*;

use super::helpers::{ZONES, cron, ms};
use crate::world::World;

fn corpus(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/cases/crontabs")
        .join(name);
    std::fs::read_to_string(path).expect("a crontab")
}

fn draft(text: &str, system: Option<bool>) -> Draft {
    let surroundings = Surroundings {
        heading: &["from `a\u{1b}\nb`".to_owned()],
        timezone: "Europe/Berlin",
        zones: &ZONES,
        system,
        users: &[],
    };
    import(text, &surroundings)
}

fn load(draft: &Draft) -> Catalogue {
    let world = World::with_catalogue(&draft.text);
    Catalogue::load(&world.catalogue())
        .unwrap_or_else(|error| panic!("{}\n{}", draft.text, error.render(false)))
}

/// Job, line and zone of each schedule.
fn assert_schedules(catalogue: &Catalogue, expected: &[(&str, &str, &str)]) {
    let from = ms("2026-02-01T00:00:00Z");
    let preview = |rule: &Rule| {
        let due = rule.preview(from, i64::MAX, 20).expect("periods");
        due.into_iter()
            .map(|preview| preview.period)
            .collect::<Vec<_>>()
    };
    let scheduled: Vec<&str> = catalogue
        .jobs
        .values()
        .filter(|job| job.schedule.is_some())
        .map(|job| job.name.as_str())
        .collect();
    let names: Vec<&str> = expected.iter().map(|(name, ..)| *name).collect();
    assert_eq!(scheduled, names);
    for (name, line, zone) in expected {
        let schedule = catalogue.jobs[*name].schedule.as_ref().expect("a schedule");
        let rule = Rule::new(&cron(line, zone), &ZONES).expect("a rule");
        assert_eq!(preview(&schedule.rule), preview(&rule), "{name}");
        assert_eq!(schedule.rule.normalised(), rule.normalised(), "{name}");
    }
}

#[test]
fn a_crontab_of_a_user_keeps_its_times() {
    let draft = draft(&corpus("user.cron"), None);
    assert_eq!((draft.system, draft.leftovers.len()), (false, 0));
    let catalogue = load(&draft);
    let (berlin, vancouver) = ("Europe/Berlin", "America/Vancouver");
    assert_schedules(
        &catalogue,
        &[
            ("backup", "0 2 * * 1-5", berlin),
            ("date", "@daily", berlin),
            ("echo", "30 4 1,15 * 5", berlin),
            ("echo-2", "5 4 * * sun", berlin),
            ("echo-3", "0 */4 1 * mon", berlin),
            ("echo-4", "23 0-23/2 * * *", berlin),
            ("half-year", "0 6 1 jan,JUL *", "Asia/Almaty"),
            ("later", "0 3 * * *", vancouver),
            ("mail", "0 9 * * 1", berlin),
            ("manage", "*/5 * * * *", berlin),
            ("monthly", "15 14 1 * *", berlin),
            ("often", "*/10 * * * *", vancouver),
            ("van", "15 6 * * *", vancouver),
        ],
    );
    let job = |name: &str| &catalogue.jobs[name];
    assert!(job("start").schedule.is_none());
    assert_eq!(job("van").env["FOO"], "a b");
    assert_eq!(job("backup").env.get("FOO"), None);
    let splay = |name: &str| {
        job(name)
            .schedule
            .as_ref()
            .map(|schedule| schedule.splay_ms)
    };
    // 45 minutes are too long for every ten.
    assert_eq!((splay("later"), splay("often")), (Some(2_700_000), Some(0)));
    for kept in [
        "# Nightly things\n# of ours\n",
        "# the backup\n",
        "# MAILTO=ops@example.com: cron mailed all output.",
        "# on_dead = \"mail-ops-example-com\"\n",
        "#   ExecStart=jobctl enqueue JOB\n",
    ] {
        assert!(draft.text.contains(kept), "{kept}");
    }
    // The lines about mail can be switched on.
    let mut text = draft.text.clone();
    for line in [
        "[job.mail-ops-example-com]",
        "command = [\"/bin/sh\"",
        "on_dead = ",
    ] {
        text = text.replace(&format!("# {line}"), line);
    }
    let catalogue = load(&Draft { text, ..draft });
    let on_dead = |name: &str| catalogue.jobs[name].on_dead.as_deref();
    assert_eq!(on_dead("backup"), Some("mail-ops-example-com"));
    assert_eq!(on_dead("echo"), None);
}

#[test]
fn users_of_a_system_crontab_become_queues() {
    let draft = draft(&corpus("debian.cron"), None);
    assert_eq!((draft.system, draft.leftovers.len()), (true, 0));
    let catalogue = load(&draft);
    let zone = "Europe/Berlin";
    assert_schedules(
        &catalogue,
        &[
            ("anacron", "25 6 * * *", zone),
            ("anacron-2", "47 6 * * 7", zone),
            ("anacron-3", "52 6 1 * *", zone),
            ("debian-sa1", "5-55/10 * * * *", zone),
            ("run-parts", "17 * * * *", zone),
            ("sessionclean", "09,39 * * * *", zone),
        ],
    );
    let queue = |name: &str| catalogue.jobs[name].intake.queue.as_str();
    assert_eq!(
        (queue("anacron"), queue("debian-sa1")),
        ("root", "www-data")
    );
    assert!(catalogue.queues.contains_key("www-data"));
    assert!(draft.text.contains(
        "\n#   /etc/systemd/system/jobctl-worker@www-data.service.d/user.conf\n#     [Service]\n#     User=www-data\n"
    ));
    // Read as the crontab of a user, the users are the programs.
    let draft = self::draft(&corpus("debian.cron"), Some(false));
    assert!(!draft.system && load(&draft).jobs.contains_key("root"));
}

#[test]
fn lines_that_cannot_be_converted_are_reported_one_by_one() {
    let draft = draft(&corpus("hostile.cron"), None);
    let catalogue = load(&draft);
    let left: Vec<usize> = draft.leftovers.iter().map(|left| left.line).collect();
    assert_eq!(
        left,
        [2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 15, 16, 21, 23, 24],
        "{:#?}",
        draft.leftovers
    );
    for line in [
        "# line 2 was left out: the range `22-2` of the hour field runs backwards (write `22-23,0-2`)\n#   0 22-2 * * * wraps\n",
        "# line 12 was left out: its CRON_TZ is wrong: unknown time zone `Mars/Olympus`\n#   0 1 * * * on Mars\n",
        "# line 8 was left out: neither a variable nor a line with five fields and a command\n#   hello\n",
    ] {
        assert!(draft.text.contains(line), "{line}\n{}", draft.text);
    }
    assert_eq!(catalogue.jobs.len(), draft.jobs);
    assert!(catalogue.jobs.contains_key("a") && catalogue.jobs.contains_key("a-2"));
}

#[test]
fn the_input_of_a_line_arrives() {
    let draft = draft(
        "0 1 * * * cat%Hello,%%Bye 100\\%\n0 2 * * * cat%\n0 3 * * * cat%INPUT%\n\
         SHELL=/bin/cat\n0 4 * * * printf x%{a}\n",
        None,
    );
    let world = World::with_catalogue(&draft.text);
    for (job, output) in [
        ("cat", "Hello,\n\nBye 100%\n"),
        ("cat-2", ""),
        ("cat-3", "INPUT\n"),
    ] {
        world.run(&format!("-q run {job}")).is(0, output, "");
    }
    // A shell that has no here-documents is given the input through a pipe.
    let printf = load(&draft).jobs["printf"].clone();
    let words = format!("{:?}", printf.command);
    assert!(
        words.contains("/bin/cat") && words.contains("{a}\\n"),
        "{words}"
    );
}

fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        "[*0-9,/-]{1,4} [*0-9] [*0-9L] [*0-9] [*0-7] [ -~]{1,20}",
        "(@daily|@reboot|@hourly) (root )?[ -~é]{1,20}",
        "(A|HOME|SHELL|MAILTO|CRON_TZ|RANDOM_DELAY|LOGNAME)=[ -~]{0,12}",
        "CRON_TZ=(UTC|Asia/Almaty)",
        "#[ -~\t\u{1}é]{0,10}",
        "\\PC{0,30}",
        "0 6 \\* \\* \\* [\\PC\u{1}\u{7f}%'\"\\\\{}]{1,30}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    /// Proves (periods): every draft made from a crontab can be loaded.
    /// Fault: as `no_command_line_panics`.
    #[test]
    fn every_draft_can_be_loaded(lines in proptest::collection::vec(line(), 0..12), system in any::<Option<bool>>()) {
        let draft = draft(&lines.join("\n"), system);
        let catalogue = load(&draft);
        prop_assert_eq!(catalogue.jobs.len(), draft.jobs);
    }
}
