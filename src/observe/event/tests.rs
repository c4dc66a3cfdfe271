//! The list of events agrees with the events.

use super::*;
use crate::policy::{PeriodResult, SkipReason};
use crate::records::PeriodRow;

fn period(row: PeriodRow) -> LogEvent<'static> {
    let is_repeated = false;
    let period = Box::new(LoggedPeriod { row, is_repeated });
    LogEvent::PeriodSkipped { period }
}

fn row() -> PeriodRow {
    PeriodRow {
        job: "report".into(),
        period: "2026-11-05".into(),
        due_ms: 1_000,
        last_period: "2026-11-07".into(),
        last_due_ms: 3_000,
        count: 3,
        business_date: "2026-11-05".into(),
        result: PeriodResult::Skipped,
        reason: Some(SkipReason::Overlap),
        into: Some("2026-11-08".into()),
        run: Some(RunId(7)),
        version: 1,
        decided_ms: 1_500,
    }
}

/// The fields as `name=value`.
fn words(event: &LogEvent) -> String {
    let words = event.fields().into_iter().map(|(name, value)| match value {
        Value::Number(number) => format!("{name}={number}"),
        Value::Text(text) => format!("{name}={text}"),
        Value::Advice(advice) => format!("{name}={advice:?}"),
    });
    words.collect::<Vec<_>>().join(" ")
}

#[test]
fn events_have_the_fields_that_the_list_names_in_that_order() {
    let descriptions = LogEvent::descriptions();
    let attempt = LoggedAttempt {
        run: RunId(7),
        job: "mail",
        attempt: 2,
        ran_ms: 5,
    };
    let subjects = [Subject::Job("call".into()), Subject::Limit("smtp".into())];
    let until = UtcMs(1_000);
    let begin = period(PeriodRow {
        count: 1,
        reason: None,
        into: None,
        run: None,
        ..row()
    });
    let examples = [
        (
            LogEvent::RunDeferred {
                attempt,
                class: Class::RateLimited,
                due: UtcMs(1_000),
                error: "no".into(),
            },
            "run=7 job=mail attempt=2 ran_ms=5 class=rate_limited due=1970-01-01T00:00:01.000Z error=no",
        ),
        (
            LogEvent::BreakerOpened {
                subject: &subjects[0],
                until,
            },
            "job=call until=1970-01-01T00:00:01.000Z",
        ),
        (
            LogEvent::BreakerOpened {
                subject: &subjects[1],
                until,
            },
            "limit=smtp until=1970-01-01T00:00:01.000Z",
        ),
        (
            LogEvent::CatalogueLoaded {
                size: CatalogueSize::Jobs(3),
            },
            "jobs=3",
        ),
        (
            LogEvent::CatalogueLoaded {
                size: CatalogueSize::Schedules(4),
            },
            "schedules=4",
        ),
        (
            LogEvent::RunBlockedByProcesses {
                run: RunId(7),
                pids: vec![71, 72],
            },
            "run=7 pids=[71, 72]",
        ),
        (
            LogEvent::SchedulesOverruled {
                job: None,
                catalogue: "/etc/jobs.toml".into(),
                by: Some("/tmp/jobs.toml".into()),
            },
            "catalogue=/etc/jobs.toml by=/tmp/jobs.toml",
        ),
        (begin, "job=report period=2026-11-05"),
        (
            period(row()),
            "job=report period=2026-11-05 last_period=2026-11-07 count=3 reason=overlap into=2026-11-08 run=7 late_ms=500",
        ),
    ];
    for (event, expected) in examples {
        assert_eq!(words(&event), expected);
        let described = descriptions.iter().find(|it| it.name == event.name());
        let mut listed = described.expect("it is listed").fields.iter();
        for (name, _) in event.fields() {
            let next = listed.find(|it| it.name == name || !it.is_optional);
            assert_eq!(next.map(|it| it.name), Some(name));
        }
        assert!(listed.all(|it| it.is_optional), "{event:?}");
    }
}

#[test]
fn every_field_has_one_meaning_and_every_event_one_name() {
    let descriptions = LogEvent::descriptions();
    let fields = descriptions.iter().flat_map(|it| &it.fields);
    let mut fields: Vec<&str> = fields.map(|it| it.name).collect();
    fields.sort_unstable();
    fields.dedup();
    let explained: Vec<&str> = FIELD_MEANINGS.iter().map(|(name, _)| *name).collect();
    assert_eq!(explained, fields);
    let mut names: Vec<&str> = descriptions.iter().map(|it| it.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), descriptions.len());
}
