//! `jobctl next`: the next periods of schedules of the catalogue, or of a rule from the command line.
//!
//! Rule: no store is needed, and the periods are computed from the rules, not read from the history. If a store exists, it is
//! only asked whether these schedules are on hold after a jump of the clock.

mod adhoc;

use std::sync::Arc;

use serde_json::json;

use super::calendar::Calendar;
use super::{Context, Table};
use crate::advice::Text;
use crate::catalogue::{Catalogue, Schedule};
use crate::cli::ids::unknown_job;
use crate::document;
use crate::error::{Error, Kind};
use crate::schedule::{MAX_PERIODS, Preview, Rule, Zone, Zones};
use crate::units::{parse_time, shown};
use crate::zone_files;

/// Default number of periods.
const COUNT: usize = 10;

/// Show when a schedule runs next; without JOB and rule, all schedules of the catalogue
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of the job
    job: Option<String>,
    /// Number of periods [default: 10; with `--until`, all]
    #[arg(short = 'n', long = "count", value_name = "N")]
    count: Option<usize>,
    /// Periods later than this [default: now]
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Periods up to this, inclusive
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    #[command(flatten)]
    rule: adhoc::RuleArgs,
}

/// A rule, and the job that it belongs to.
struct Named {
    job: Option<String>,
    rule: Arc<Rule>,
}

/// Shows.
pub(super) fn run(args: &Args, context: &mut Context) -> anyhow::Result<u8> {
    if args.rule.is_given() {
        if let Some(job) = &args.job {
            let message = format!(
                "job `{}` has its rule in the catalogue, but options of another rule are given",
                shown(job)
            );
            return Err(Error::new(Kind::Usage, message)
                .hint("leave out the job, or the options of the rule")
                .into());
        }
        let zones = zone_files::zones();
        let rule = Arc::new(args.rule.rule(&zones)?);
        let zone = args.rule.zone(&zones)?;
        let (from, until) = window(args, Some(&zone), context.now_ms())?;
        return show(
            &[Named { job: None, rule }],
            from,
            until,
            args.count,
            &Calendar::default(),
            context,
        );
    }
    context.act_as_owner()?;
    let catalogue = Catalogue::load(&context.catalogue_path()).map_err(Error::from)?;
    let zone = zone_of(&catalogue)?;
    let (from, until) = window(args, zone.as_deref(), context.now_ms())?;
    let rules = match &args.job {
        Some(job) => vec![named(&catalogue, job)?],
        None => all(&catalogue),
    };
    if rules.is_empty() {
        let path = catalogue.path.display();
        context
            .screen
            .say(&format!("no job in `{path}` has a schedule"));
    }
    let jobs: Vec<&str> = rules
        .iter()
        .filter_map(|named| named.job.as_deref())
        .collect();
    let calendar = Calendar::where_known(&jobs, context);
    show(&rules, from, until, args.count, &calendar, context)
}

fn of(job: &str, schedule: &Schedule) -> Named {
    Named {
        job: Some(job.to_owned()),
        rule: Arc::clone(&schedule.rule),
    }
}

fn named(catalogue: &Catalogue, job: &str) -> Result<Named, Error> {
    let Some(found) = catalogue.jobs.get(job) else {
        let names: Vec<&str> = catalogue.jobs.keys().map(String::as_str).collect();
        return Err(unknown_job(job, names.into_iter()));
    };
    found
        .schedule
        .as_ref()
        .map(|schedule| of(job, schedule))
        .ok_or_else(|| {
            Error::new(Kind::NotFound, format!("job `{job}` has no schedule"))
                .hint(format!("add a section `[job.{job}.schedule]`"))
        })
}

fn all(catalogue: &Catalogue) -> Vec<Named> {
    let scheduled = |(name, job): (&String, &Arc<crate::catalogue::Job>)| {
        Some(of(name, job.schedule.as_ref()?))
    };
    catalogue.jobs.iter().filter_map(scheduled).collect()
}

/// `[defaults] timezone`
fn zone_of(catalogue: &Catalogue) -> Result<Option<Arc<Zone>>, Error> {
    let Some(name) = catalogue.timezone else {
        return Ok(None);
    };
    zone(&catalogue.zones, name.name()).map(Some)
}

fn zone(zones: &Zones, name: &str) -> Result<Arc<Zone>, Error> {
    zones.zone(name).map_err(|wrong| Error {
        hint: wrong.hint.map(Text::from),
        ..Error::new(Kind::Usage, wrong.message)
    })
}

/// From when (exclusive) until when (inclusive).
fn window(args: &Args, zone: Option<&Zone>, now_ms: i64) -> Result<(i64, i64), Error> {
    let time = |text: &Option<String>| {
        text.as_deref()
            .map(|text| parse_time(text, zone))
            .transpose()
    };
    let from = time(&args.from)?.unwrap_or(now_ms);
    Ok((from, time(&args.until)?.unwrap_or(i64::MAX)))
}

fn show(
    rules: &[Named],
    from: i64,
    until: i64,
    count: Option<usize>,
    calendar: &Calendar,
    context: &mut Context,
) -> anyhow::Result<u8> {
    let most = if until == i64::MAX {
        COUNT
    } else {
        MAX_PERIODS
    };
    let count = count.unwrap_or(most).min(MAX_PERIODS);
    let mut found: Vec<(&Named, Preview)> = Vec::new();
    for named in rules {
        let previews = named.rule.preview(from, until, count);
        let previews = previews.map_err(|error| Error::new(Kind::Usage, error.to_string()))?;
        found.extend(previews.into_iter().map(|preview| (named, preview)));
    }
    // A stable sort: equal instants stay in the order of the jobs.
    found.sort_by_key(|(_, preview)| preview.period.instant_ms);
    found.truncate(count);
    let only = match rules {
        [only] => Some(only),
        _ => None,
    };
    if context.screen.json() {
        let item = |(named, preview): &(&Named, Preview)| {
            document::period(named.job.as_deref(), &named.rule, preview)
        };
        let body = json!({
            "job": only.and_then(|named| named.job.as_deref()),
            "rule": only.map(|named| named.rule.words()),
            "items": found.iter().map(item).collect::<Vec<_>>(),
        });
        let body = document::merged(body, calendar.document());
        context.screen.document("next", body);
        return Ok(0);
    }
    for line in calendar.lines(context.now_ms()) {
        context.screen.say(&line);
    }
    if let Some(named) = only {
        context.screen.line(&named.rule.words());
        if found.is_empty() {
            context.screen.say("no period is due in this time");
        }
        let mut table = Table::new(&["LOCAL", "UTC", "PERIOD", "~NOTE"]);
        for (named, preview) in &found {
            let [local, utc] = times(&named.rule, preview);
            table.row([
                &local,
                &utc,
                &preview.period.key,
                &note(&named.rule, preview),
            ]);
        }
        context.screen.table(&table);
    } else {
        let mut table = Table::new(&["JOB", "LOCAL", "UTC", "PERIOD", "~NOTE"]);
        for (named, preview) in &found {
            let [local, utc] = times(&named.rule, preview);
            let job = named.job.as_deref().unwrap_or_default();
            table.row([
                job,
                &local,
                &utc,
                &preview.period.key,
                &note(&named.rule, preview),
            ]);
        }
        context.screen.table(&table);
    }
    Ok(0)
}

/// `Sun 2027-03-28 03:00 +02:00`, and the same in UTC.
fn times(rule: &Rule, preview: &Preview) -> [String; 2] {
    let at_ms = preview.period.instant_ms;
    [rule.zone(), &Zone::utc()].map(|zone| clock(zone, at_ms))
}

fn clock(zone: &Zone, at_ms: i64) -> String {
    let text = zone.local_text(at_ms);
    let civil = chrono::DateTime::from_timestamp(zone.civil_at(at_ms), 0).unwrap_or_default();
    let time = match civil.timestamp() % 60 {
        0 => civil.format("%a %Y-%m-%d %H:%M"),
        _ => civil.format("%a %Y-%m-%d %H:%M:%S"),
    };
    // The offset follows the 19 characters of date and time.
    match text.get(19..) {
        Some(offset) if zone.name() != "UTC" => format!("{time} {offset}"),
        _ => format!("{time}Z"),
    }
}

/// The notes, and the business date where it is not the date that is shown.
fn note(rule: &Rule, preview: &Preview) -> String {
    let period = &preview.period;
    let date = period.business_date.to_string();
    let mut notes = preview.notes.clone();
    if !rule.zone().local_text(period.instant_ms).starts_with(&date) {
        notes.push(format!("for {date}"));
    }
    notes.join("; ")
}
