//! `[job.NAME.schedule]`: the rule, and what happens to periods that are late or overlap.
//!
//! Rule: `crate::schedule` decides what a rule means; here its errors get a line and a caret, and all are reported at once.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::reader::{Entry, Table};
use super::settings::{Context, DefaultZone};
use super::source::Place;
use super::value::Value;
use super::{CatchUp, Intake, Overlap, Schedule, intake, keys};
use crate::error::nearest;
use crate::schedule::{Calendar, Field, Rule, RuleError, RuleSpec};
use crate::units::shown;

const LATE_GRACE_MS: i64 = 60_000;
const CATCH_UP_MAX: i64 = 24;
/// Largest `catch_up_max`.
const CATCH_UP_MOST: i64 = 100_000;

/// The expected form of `start` and `end`.
const DATE: &str = "a date such as `2026-01-31`";

/// The context that all schedules of a catalogue share.
pub(super) struct Calendars<'c> {
    pub(super) calendars: &'c BTreeMap<String, Arc<Calendar>>,
    /// `[defaults] timezone`
    pub(super) timezone: DefaultZone,
}

/// Reads the schedule of a job; `None` if it has none or its rule is invalid.
pub(super) fn read(
    job: &str,
    table: &Table<'_>,
    intake: &Intake,
    shared: &Calendars<'_>,
    context: &Context,
) -> Option<Schedule> {
    let entry = table.entry("schedule")?;
    let table = entry.value.table()?;
    table.check_keys(keys::SCHEDULE, "a schedule");
    let get = |key| table.get(key);
    let catch_up = get("catch_up").map(|v| (v.word(CatchUp::ALL, CatchUp::word), v.place));
    let within = get("catch_up_within");
    let most = get("catch_up_max");
    if let Some((Some(CatchUp::None), place)) = catch_up {
        for value in [&within, &most].into_iter().flatten() {
            let message = format!(
                "`{}` has no effect with `catch_up = \"none\"`",
                value.name()
            );
            place.warning(message, "remove one of the two");
        }
    }
    let late_grace_ms = get("late_grace").and_then(|v| v.duration());
    let overlap = get("overlap").and_then(|v| v.word(Overlap::ALL, Overlap::word));
    let params = params(job, &entry, &table, intake, context);
    let rule = rule(&entry, &table, shared, context)?;
    Some(Schedule {
        splay_ms: rule.splay_ms(),
        rule: Arc::new(rule),
        late_grace_ms: late_grace_ms.unwrap_or(LATE_GRACE_MS),
        catch_up: catch_up
            .and_then(|(catch_up, _)| catch_up)
            .unwrap_or(CatchUp::Latest),
        catch_up_within_ms: within.and_then(|v| v.positive_duration()),
        catch_up_max: most
            .and_then(|v| v.integer(1, CATCH_UP_MOST))
            .unwrap_or(CATCH_UP_MAX),
        overlap: overlap.unwrap_or(Overlap::Queue),
        params,
    })
}

/// `params`: all that the job requires, and only parameters of the job.
fn params(
    job: &str,
    entry: &Entry<'_>,
    table: &Table<'_>,
    intake: &Intake,
    context: &Context,
) -> BTreeMap<String, String> {
    let mut params = BTreeMap::new();
    let given = table.get("params").and_then(|v| v.table());
    for param in given.iter().flat_map(Table::entries) {
        if !intake.params.contains_key(param.key) {
            let hint = match nearest(param.key, intake.params.keys().map(String::as_str)) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("add it to `params` of job `{job}`"),
            };
            let message = format!("unknown parameter `{}` of job `{job}`", shown(param.key));
            param.place.error(message, hint);
            continue;
        }
        let Some(text) = param.value.text() else {
            // Invalid, but not missing.
            params.insert(param.key.to_owned(), String::new());
            continue;
        };
        if let Err(error) = intake::check_value(param.key, text) {
            param.value.wrong(&error);
        } else if text.starts_with('-') && intake.argument_params.iter().any(|p| p == param.key) {
            let message = format!("the argument of `{}` would be read as an option", param.key);
            let hint = format!(
                "give a value without the leading `-`, or write `\"--\"` before `{{{}}}` in the job's `command`",
                param.key
            );
            param.value.place.error(message, hint);
        }
        params.insert(param.key.to_owned(), text.to_owned());
    }
    for (name, param) in &intake.params {
        if param.required && !params.contains_key(name) {
            let place = given.as_ref().map_or(entry.place, |_| {
                table
                    .entry("params")
                    .map_or(entry.place, |params| params.place)
            });
            let message =
                format!("the schedule has no parameter `{name}`, which job `{job}` requires");
            context.missing(
                place,
                message,
                format!("add `params.{name} = \"...\"` to the schedule"),
            );
        }
    }
    params
}

/// The keys of a rule in the file.
struct Written<'a> {
    place: Place<'a>,
    table: Table<'a>,
    /// The elements of `at` that are still in the specification.
    at: Vec<Value<'a>>,
    /// Whether there was an error: then there is no rule, and no warnings about it.
    refused: bool,
}

fn rule(
    entry: &Entry<'_>,
    table: &Table<'_>,
    shared: &Calendars<'_>,
    context: &Context,
) -> Option<Rule> {
    let mut written = Written {
        place: entry.place,
        table: table.clone(),
        at: Vec::new(),
        refused: false,
    };
    let mut spec = written.spec(shared, context)?;
    loop {
        match Rule::new(&spec, &context.zones) {
            Ok(rule) if !written.refused => {
                written.lint(&rule, context);
                return Some(rule);
            }
            Ok(_) => return None,
            Err(error) => {
                written.refused = true;
                written.complain(&error, &spec, context);
                if !written.without(&error, &mut spec) {
                    return None;
                }
            }
        }
    }
}

impl<'a> Written<'a> {
    /// The specification; `None` if `cron`, `every` or `at` cannot be read.
    fn spec(&mut self, shared: &Calendars<'_>, context: &Context) -> Option<RuleSpec> {
        let table = self.table.clone();
        let text = |key: &str| {
            let value = table.get(key)?;
            value.filled_text().map(str::to_owned)
        };
        let cron = text("cron");
        let every_ms = table.get("every").and_then(|v| v.duration());
        let at = table.get("at").and_then(|v| self.times(&v));
        let given = |key: &str| table.get(key).is_some();
        let unread = (given("cron") && cron.is_none())
            || (given("every") && every_ms.is_none())
            || (given("at") && at.is_none());
        let named = table.get("calendar");
        let calendar = named
            .as_ref()
            .and_then(|value| calendar(value, shared, context));
        self.refused |= named.is_some() && calendar.is_none();
        let own = text("timezone").or_else(|| given("timezone").then(|| "UTC".to_owned()));
        let moment = |key: &str| table.get(key)?.moment(DATE);
        let spec = RuleSpec {
            cron,
            every_ms,
            at,
            on: text("on"),
            adjust: text("adjust"),
            calendar,
            timezone: own.or_else(|| shared.timezone.name()),
            clock: text("clock"),
            gap: text("gap"),
            fold: text("fold"),
            start: moment("start"),
            end: moment("end"),
            splay_ms: table.get("splay").and_then(|v| v.duration()),
        };
        (!unread).then_some(spec)
    }

    /// `at`: a list of times of day, as strings or TOML times.
    fn times(&mut self, value: &Value<'a>) -> Option<Vec<String>> {
        if let Some(text) = value.as_text() {
            let hint = format!("write `[\"{}\"]`", shown(text));
            value.place.error("`at` must be a list of times", hint);
            return None;
        }
        let items = value.list()?;
        let count = items.len();
        let (texts, items): (Vec<String>, Vec<Value<'a>>) = items
            .into_iter()
            .filter_map(|item| Some((item.moment("a time such as `\"06:00\"`")?, item)))
            .unzip();
        self.at = items;
        (texts.len() == count).then_some(texts)
    }

    /// The value of a field, for its place.
    fn value(&self, field: Field) -> Option<Value<'a>> {
        match field {
            // Warnings about a calendar are shown where the schedule names it.
            Field::Weekend | Field::Holidays | Field::HolidaysFile | Field::Workdays => {
                self.table.get("calendar")
            }
            _ => self.table.get(field.key()),
        }
    }

    fn complain(&self, error: &RuleError, spec: &RuleSpec, context: &Context) {
        let hint = error.hint.as_deref().unwrap_or_default();
        if let Some(item) = error.index.and_then(|index| self.at.get(index)) {
            let text = error.index.and_then(|index| spec.at.as_ref()?.get(index));
            let text = text.map_or("", String::as_str);
            return item
                .piece(text, error.span.clone())
                .error(&error.message, hint);
        }
        let Some(value) = self.value(error.field) else {
            return context.missing(self.place, &error.message, hint);
        };
        let text = match error.field {
            Field::Start | Field::End => value.moment(DATE),
            _ => value.as_text().map(str::to_owned),
        };
        value
            .piece(&text.unwrap_or_default(), error.span.clone())
            .error(&error.message, hint);
    }

    /// Removes the reported part, so that the next error is found; `false` if nothing is left to check.
    fn without(&mut self, error: &RuleError, spec: &mut RuleSpec) -> bool {
        match error.field {
            Field::On | Field::Adjust => {
                (spec.on, spec.adjust) = (None, None);
            }
            Field::Clock => spec.clock = None,
            Field::Gap => spec.gap = None,
            Field::Fold => spec.fold = None,
            Field::Start => spec.start = None,
            Field::End => spec.end = None,
            Field::Splay => spec.splay_ms = None,
            Field::Timezone if spec.timezone.as_deref() != Some("UTC") => {
                spec.timezone = Some("UTC".to_owned());
            }
            Field::At if error.index.is_some() => {
                let index = error.index.unwrap_or_default();
                let (Some(times), true) = (&mut spec.at, index < self.at.len()) else {
                    return false;
                };
                times.remove(index);
                self.at.remove(index);
                return !times.is_empty();
            }
            // Of two kinds of rule, the first is checked alone.
            Field::At if spec.cron.is_some() || spec.every_ms.is_some() => spec.at = None,
            Field::Every if spec.cron.is_some() => spec.every_ms = None,
            _ => return false,
        }
        true
    }

    fn lint(&self, rule: &Rule, context: &Context) {
        let Some(now_ms) = context.now_ms else {
            return;
        };
        for lint in rule.lints(now_ms) {
            let place = self
                .value(lint.field)
                .or_else(|| self.table.get("calendar"))
                .map_or(self.place, |value| value.place);
            place.warning(lint.message, lint.hint.unwrap_or_default());
        }
    }
}

fn calendar(value: &Value<'_>, shared: &Calendars<'_>, context: &Context) -> Option<Arc<Calendar>> {
    let name = value.filled_text()?;
    if let Some(calendar) = shared.calendars.get(name) {
        return Some(Arc::clone(calendar));
    }
    let hint = match context.nearest(
        "calendar",
        name,
        shared.calendars.keys().map(String::as_str),
    ) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("add a section `[calendar.{}]`", shown(name)),
    };
    context.missing(
        value.place,
        format!("unknown calendar `{}`", shown(name)),
        hint,
    );
    None
}
