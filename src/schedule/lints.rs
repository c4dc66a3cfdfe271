//! What people get wrong in schedules: accepted, but worth a word in `check`.
//!
//! Rule: a lint never changes what a rule does; what is certainly wrong is an error of `Rule::new` instead.

use super::civil::{CivilS, UtcMs, date_of};
use super::clock_change::Gap;
use super::error::Field;
use super::on::DayRule;
use super::rule::{Rule, Source, is_within};
use super::walk::Walk;

/// How far ahead clock changes and holidays are checked: about 13 months.
const LOOK_AHEAD_MS: i64 = 400 * 86_400_000;
/// When holidays are about to end: a quarter before.
const HOLIDAYS_SOON_DAYS: i64 = 92;

/// The kinds of advice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LintKind {
    /// `* 0 * * *` runs 60 times.
    EveryMinuteOfHour,
    /// `*/n` in a day field starts again each month or week.
    SteppedDays,
    /// A step is larger than its field.
    LongStep,
    /// Both day fields are restricted: they are OR-ed.
    BothDayFields,
    /// The cron line and `on` both restrict days.
    DaysTwice,
    /// A fixed time lies inside a gap of its zone.
    InsideGap,
    /// The rule has no period any more, or never had one.
    NeverFires,
    /// The calendar knows no holidays for the next period, or soon will not.
    HolidaysEnd,
    /// The rule asks for business days and names no calendar.
    NoCalendar,
    /// The rule names a calendar and does not ask it.
    CalendarUnused,
}

/// One piece of advice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lint {
    /// What it is about.
    pub kind: LintKind,
    /// The key to point at.
    pub field: Field,
    /// What will happen.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

fn lint(kind: LintKind, field: Field, message: impl Into<String>, hint: impl Into<String>) -> Lint {
    Lint {
        kind,
        field,
        message: message.into(),
        hint: Some(hint.into()),
    }
}

impl Rule {
    /// The advice about this rule, seen from `now`.
    pub fn lints(&self, now: UtcMs) -> Vec<Lint> {
        let mut lints = self.line_lints();
        lints.extend(self.gap_lint(now));
        lints.extend(self.calendar_lints(now));
        if matches!(self.next_instant(now), Ok(None)) {
            lints.push(self.never_lint(now));
        }
        lints
    }

    fn field(&self) -> Field {
        match (&self.source, &self.line) {
            (Source::Every { .. }, _) => Field::Every,
            (_, Some(_)) => Field::Cron,
            _ => Field::At,
        }
    }

    fn line_lints(&self) -> Vec<Lint> {
        let Some(line) = &self.line else {
            return Vec::new();
        };
        let add = |kind, message: String, hint: &str| lint(kind, Field::Cron, message, hint);
        let mut lints = Vec::new();
        let hours = line.hours.bits.count_ones();
        if line.minutes.bits.count_ones() == 60 && hours < 24 {
            let times = 60 * hours;
            lints.push(add(
                LintKind::EveryMinuteOfHour,
                format!(
                    "`{}` runs {times} times a day, at every minute of its hours",
                    line.text
                ),
                "write a minute, for instance `0`",
            ));
        }
        if line.days.days_stepped || line.days.weekdays_stepped {
            let field = if line.days.days_stepped {
                "day of month"
            } else {
                "day of week"
            };
            lints.push(add(
                LintKind::SteppedDays,
                format!(
                    "`*/n` as {field} does not run every n days: it starts again with each {}, and both day fields must match",
                    if line.days.days_stepped { "month" } else { "week" },
                ),
                "write the days, or use `every`",
            ));
        }
        let long = [&line.seconds, &line.minutes, &line.hours];
        if long
            .into_iter()
            .any(|numbers| numbers.star_step && numbers.long_step)
        {
            lints.push(add(
                LintKind::LongStep,
                format!(
                    "a step of `{}` is longer than its field: only the first value matches",
                    line.text
                ),
                "use `every`, or write the value",
            ));
        }
        if line.days.both() {
            lints.push(add(
                LintKind::BothDayFields,
                "day of month and day of week are both set: it runs when either matches".to_owned(),
                "write `*` for one of them, or use `on`",
            ));
        }
        if !line.days.is_all() && matches!(self.days.on, Some(DayRule::OfUnit(_))) {
            lints.push(add(
                LintKind::DaysTwice,
                "the cron line and `on` both choose days: it runs only when both match".to_owned(),
                "write `*` for the day fields and the month of `cron`",
            ));
        }
        lints
    }

    /// A nominal time inside a gap of the next months.
    fn gap_lint(&self, now: UtcMs) -> Option<Lint> {
        let Source::Fixed(times) = &self.source else {
            return None;
        };
        let zone = self.walked_zone();
        let now_s = now.div_euclid(1000);
        let until_s = now.saturating_add(LOOK_AHEAD_MS).div_euclid(1000);
        let (index, civil) = (0..zone.spans().len())
            .skip(zone.index_at(now_s) + 1)
            .take_while(|index| zone.spans()[*index].start_s < until_s)
            .filter_map(|index| zone.gap_before(index).map(|gap| (index, gap)))
            .find_map(|(index, (from, to))| {
                let (civil, _) = Walk::new(times, &self.days).first_in(from, to)?;
                self.spans_moment(civil, zone.spans()[index].start_s)
                    .then_some((index, civil))
            })?;
        let at = super::civil::civil_text(civil).replace('T', " at ");
        let runs = if self.gap == Gap::Skip {
            "it is skipped".to_owned()
        } else {
            let end = zone.civil_at(zone.spans()[index].start_s * 1000);
            format!(
                "it runs at {}",
                super::civil::civil_text(end).replace('T', " ")
            )
        };
        Some(lint(
            LintKind::InsideGap,
            self.field(),
            format!("{at} does not exist in {}: {runs}", zone.name()),
            "choose a time outside the clock change, or `clock = \"utc\"`",
        ))
    }

    /// Whether a nominal time that is due at this instant is between `start` and `end`.
    fn spans_moment(&self, civil: CivilS, instant_s: i64) -> bool {
        is_within(self, date_of(civil))
            && self.start.is_none_or(|start| start.floor_s() <= instant_s)
            && self.end.is_none_or(|end| instant_s <= end.ceiling_s())
    }

    fn calendar_lints(&self, now: UtcMs) -> Option<Lint> {
        if !self.uses_calendar() {
            return self.has_calendar.then(|| {
                lint(
                    LintKind::CalendarUnused,
                    Field::On,
                    format!(
                        "calendar {} has no effect: no day rule asks it",
                        self.calendar().name()
                    ),
                    "add `on = \"every business day\"`",
                )
            });
        }
        if !self.has_calendar {
            return Some(lint(
                LintKind::NoCalendar,
                Field::On,
                "business days without a calendar: weekends are Saturday and Sunday, no holidays",
                "add `calendar = \"NAME\"` and a section [calendar.NAME]",
            ));
        }
        let known_until = self.calendar().known_until()?;
        let next = self.next(now).ok()??;
        let today = super::civil::date_of(self.zone.civil_at(now));
        let soon = (known_until - today).num_days() < HOLIDAYS_SOON_DAYS;
        (next.business_date > known_until || soon).then(|| {
            let name = self.calendar().name();
            lint(
                LintKind::HolidaysEnd,
                Field::Holidays,
                format!("calendar {name} knows no holidays after {known_until}"),
                "add the holidays of the next year",
            )
        })
    }

    fn never_lint(&self, now: UtcMs) -> Lint {
        let ended = self
            .end
            .as_ref()
            .is_some_and(|end| end.ceiling_s() < now.div_euclid(1000));
        if ended {
            lint(
                LintKind::NeverFires,
                Field::End,
                "this rule has ended",
                "remove the job or move `end`",
            )
        } else {
            let hint = "check its days, `on`, `gap`, `start` and `end`";
            lint(
                LintKind::NeverFires,
                self.field(),
                "this rule never fires",
                hint,
            )
        }
    }
}
