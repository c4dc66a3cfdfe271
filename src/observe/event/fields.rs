//! The parts from which fields of events are made: single values, values that may be missing, fields that occur together.
//!
//! Rule: nothing is formatted before [`Part::add`] is called; an event whose level is not shown costs no allocation.

use std::borrow::Cow;

use crate::advice::Advice;
use crate::attempt::Class;
use crate::flow::Subject;
use crate::records::{Cause, PeriodRow};
use crate::run::{Reason, RunId, WorkerId};
use crate::units::format_utc;

/// Text, borrowed where its owner outlives the event.
pub type Text<'a> = Cow<'a, str>;

/// A field as it is written: its name and its value.
pub type Field<'a> = (&'static str, Value<'a>);

/// The value of a field; a number is a number in JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value<'a> {
    /// A count, an id, milliseconds.
    Number(i64),
    /// Any other value; escaped when it is written.
    Text(Text<'a>),
    /// What to do, in the words of the interface that started this process.
    Advice(&'a Advice),
}

/// The name of a field, for the list of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FieldName {
    /// As it is written.
    pub name: &'static str,
    /// Whether some lines of the event have no such field.
    pub is_optional: bool,
}

/// An instant, milliseconds; written as text in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UtcMs(pub i64);

/// The size of a loaded catalogue, in the unit that matters to the process that loaded it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CatalogueSize {
    /// Loaded by a worker: number of jobs.
    Jobs(usize),
    /// Loaded by a scheduler: number of schedules.
    Schedules(usize),
}

/// The fields about an ended attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoggedAttempt<'a> {
    /// Its run.
    pub run: RunId,
    /// The job of the run.
    pub job: &'a str,
    /// The number of the attempt.
    pub attempt: i64,
    /// How long it ran, milliseconds.
    pub ran_ms: i64,
}

/// The fields about consecutive decided periods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedPeriod {
    /// Their row.
    pub row: PeriodRow,
    /// Whether an equal outcome of this schedule was logged shortly before.
    pub is_repeated: bool,
}

/// A part of an event: zero, one or several fields.
pub(super) trait Part {
    /// The names of all fields that the part may have; `name` is that of the part.
    fn names(name: &'static str) -> Vec<FieldName>;

    /// Adds the fields.
    fn add<'s>(&'s self, name: &'static str, to: &mut Vec<Field<'s>>);
}

/// A part that is one field.
trait Single {
    fn value(&self) -> Value<'_>;
}

impl<T: Single> Part for T {
    fn names(name: &'static str) -> Vec<FieldName> {
        vec![always(name)]
    }

    fn add<'s>(&'s self, name: &'static str, to: &mut Vec<Field<'s>>) {
        to.push((name, self.value()));
    }
}

impl<T: Single> Part for Option<T> {
    fn names(name: &'static str) -> Vec<FieldName> {
        vec![sometimes(name)]
    }

    fn add<'s>(&'s self, name: &'static str, to: &mut Vec<Field<'s>>) {
        to.extend(self.as_ref().map(|it| (name, it.value())));
    }
}

impl Single for Advice {
    fn value(&self) -> Value<'_> {
        Value::Advice(self)
    }
}

impl Part for LoggedAttempt<'_> {
    fn names(_: &'static str) -> Vec<FieldName> {
        ["run", "job", "attempt", "ran_ms"].map(always).to_vec()
    }

    fn add<'s>(&'s self, _: &'static str, to: &mut Vec<Field<'s>>) {
        to.extend([
            ("run", self.run.value()),
            ("job", self.job.value()),
            ("attempt", self.attempt.value()),
            ("ran_ms", self.ran_ms.value()),
        ]);
    }
}

impl Part for Box<LoggedPeriod> {
    fn names(_: &'static str) -> Vec<FieldName> {
        let optional = ["last_period", "count", "reason", "into", "run", "late_ms"];
        let mut names = ["job", "period"].map(always).to_vec();
        names.extend(optional.map(sometimes));
        names
    }

    fn add<'s>(&'s self, _: &'static str, to: &mut Vec<Field<'s>>) {
        let row = &self.row;
        to.push(("job", text(&row.job)));
        to.push(("period", text(&row.period)));
        if row.count > 1 {
            to.push(("last_period", text(&row.last_period)));
            to.push(("count", row.count.value()));
        }
        to.extend(row.reason.map(|reason| ("reason", text(reason.word()))));
        to.extend(row.into.as_ref().map(|into| ("into", text(into))));
        if let Some(run) = row.run {
            to.push(("run", number(run.0)));
            to.push(("late_ms", number(row.decided_ms - row.due_ms)));
        }
    }
}

/// The name of the field is the kind of the subject.
impl Part for &Subject {
    fn names(_: &'static str) -> Vec<FieldName> {
        ["job", "limit"].map(sometimes).to_vec()
    }

    fn add<'s>(&'s self, _: &'static str, to: &mut Vec<Field<'s>>) {
        to.push((self.kind(), text(self.name())));
    }
}

impl Part for CatalogueSize {
    fn names(_: &'static str) -> Vec<FieldName> {
        ["jobs", "schedules"].map(sometimes).to_vec()
    }

    fn add<'s>(&'s self, _: &'static str, to: &mut Vec<Field<'s>>) {
        let (name, count) = match self {
            Self::Jobs(jobs) => ("jobs", jobs),
            Self::Schedules(schedules) => ("schedules", schedules),
        };
        to.push((name, number(*count)));
    }
}

fn always(name: &'static str) -> FieldName {
    FieldName {
        name,
        is_optional: false,
    }
}

fn sometimes(name: &'static str) -> FieldName {
    FieldName {
        name,
        is_optional: true,
    }
}

fn number(value: impl TryInto<i64>) -> Value<'static> {
    Value::Number(value.try_into().unwrap_or(i64::MAX))
}

fn text(value: &str) -> Value<'_> {
    Value::Text(value.into())
}

/// Implements [`Single`] for a type: an expression makes the value from `self`, which is copied or borrowed.
macro_rules! single {
    ($($type:ty: |$it:ident| $value:expr;)+) => {
        $(impl Single for $type {
            fn value(&self) -> Value<'_> {
                let $it = self;
                $value
            }
        })+
    };
}

single!(
    i64: |it| number(*it);
    u32: |it| number(*it);
    u64: |it| number(*it);
    usize: |it| number(*it);
    RunId: |it| number(it.0);
    WorkerId: |it| number(it.0);
    Text<'_>: |it| text(it);
    &str: |it| text(it);
    Class: |it| text(it.word());
    Reason: |it| text(it.word());
    Cause: |it| text(it.word());
    UtcMs: |it| Value::Text(format_utc(it.0).into());
    Vec<i32>: |it| Value::Text(format!("{it:?}").into());
);
