//! How fast next periods are found. Run with `cargo test --release speed -- --ignored --nocapture`.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "measures and prints"
)]

use std::time::Instant;

use jobctl::schedule::{CalendarSpec, Rule, RuleSpec};

use super::helpers::{at, calendar, cron, ms, on, rule};

/// 10,000 rules as people write them, over 12 zones.
fn mixed() -> Vec<Rule> {
    let zones = [
        "UTC",
        "Europe/Berlin",
        "Asia/Almaty",
        "America/New_York",
        "Asia/Kolkata",
        "Australia/Lord_Howe",
        "Europe/London",
        "America/Sao_Paulo",
        "Asia/Tokyo",
        "Africa/Casablanca",
        "Pacific/Chatham",
        "America/Vancouver",
    ];
    let kz = calendar(&CalendarSpec {
        holidays: (1..=9)
            .flat_map(|day| (2026..2031).map(move |year| format!("{year}-01-0{day}")))
            .collect(),
        ..CalendarSpec::default()
    });
    (0..10_000)
        .map(|n| {
            let zone = zones[n % zones.len()];
            let (minute, hour) = (n % 60, n / 60 % 24);
            let spec = match n % 10 {
                0 => cron("*/5 * * * *", zone),
                1 => cron(&format!("{minute} {hour} * * *"), zone),
                2 => cron(&format!("{minute} {hour} * * 1-5"), zone),
                3 => on(at(&["06:00"], zone), "first business day of month", ""),
                4 => on(
                    cron(&format!("{minute} {hour} * * *"), zone),
                    "day 15 of month",
                    "modified-following",
                ),
                5 => RuleSpec {
                    every_ms: Some(300_000),
                    timezone: Some(zone.to_owned()),
                    ..RuleSpec::default()
                },
                6 => cron(&format!("{minute} {hour} 29 2 *"), zone),
                7 => on(
                    at(&["06:00", "18:00"], zone),
                    "last business day of quarter",
                    "",
                ),
                8 => cron(&format!("{minute} {hour} L * *"), zone),
                _ => on(
                    cron(&format!("{minute} {hour} * * *"), zone),
                    "every business day",
                    "",
                ),
            };
            rule(&RuleSpec {
                calendar: Some(kz.clone()),
                ..spec
            })
        })
        .collect()
}

/// Memory of this process.
fn resident_kib() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4
}

#[test]
#[ignore = "measures; run in release"]
fn ten_thousand_next_periods_take_less_than_50_ms() {
    let (begun, before) = (Instant::now(), resident_kib());
    let rules = mixed();
    let (took, grown) = (begun.elapsed(), resident_kib() - before);
    println!("10,000 rules made in {took:?}, {grown} KiB");
    let from = ms("2026-10-24T12:34:56Z");
    let mut best = f64::MAX;
    for _ in 0..10 {
        let begun = Instant::now();
        let found = rules
            .iter()
            .filter(|rule| rule.next(from).unwrap().is_some())
            .count();
        best = best.min(begun.elapsed().as_secs_f64() * 1000.0);
        assert_eq!(found, rules.len());
    }
    println!("10,000 next periods: {best:.2} ms");
    for kind in 0..10 {
        let begun = Instant::now();
        for rule in rules.iter().skip(kind).step_by(10) {
            std::hint::black_box(rule.next(from).unwrap());
        }
        println!(
            "  kind {kind}: {:.2} us each, {}",
            begun.elapsed().as_secs_f64() * 1000.0,
            rules[kind].words()
        );
    }
    let minutely = &rules[0];
    let begun = Instant::now();
    let count = minutely.periods(from, i64::MAX, 100_000).unwrap().len();
    println!("{count} periods of one rule: {:?}", begun.elapsed());
    assert!(best < 50.0);
}
