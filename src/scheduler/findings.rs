//! The findings of an audit; equal findings about consecutive periods are combined.

use crate::run::words;
use crate::schedule::Period;
use crate::units::format_utc;

words!(
    /// The kind of an error in the history of a schedule.
    Trouble {
        /// The rule has it, and no row covers it.
        Missing = "missing",
        /// Two rows cover it, or it has two runs.
        Doubled = "doubled",
        /// A row covers it, and the rule of the row does not have it.
        Unknown = "unknown",
        /// A row counts more or fewer periods than the rule has.
        WrongCount = "wrong_count",
        /// Its row names the run of something else, or no run although it must have one.
        WrongRun = "wrong_run",
        /// Its version of the schedule cannot be read.
        Unreadable = "unreadable",
    }
);

/// An error that an audit found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The job.
    pub job: String,
    /// The period, or the first of several; `None` if a whole version is meant.
    pub period: Option<String>,
    /// The kind of error.
    pub trouble: Trouble,
    /// Details for people, not for programs.
    pub detail: String,
}

/// Findings of one job; equal findings of consecutive periods are combined.
pub(super) struct Findings {
    job: String,
    list: Vec<Finding>,
    last: Option<Series>,
}

struct Series {
    trouble: Trouble,
    cause: String,
    first: String,
    first_ms: i64,
    last: String,
    count: i64,
}

impl Findings {
    pub(super) fn new(job: &str) -> Self {
        Self {
            job: job.to_owned(),
            list: Vec::new(),
            last: None,
        }
    }

    pub(super) fn add(&mut self, period: Option<&str>, trouble: Trouble, detail: String) {
        self.list.push(Finding {
            job: self.job.clone(),
            period: period.map(str::to_owned),
            trouble,
            detail,
        });
    }

    /// Adds a finding about one period, which may extend the current series.
    pub(super) fn add_period(&mut self, period: &Period, trouble: Trouble, cause: String) {
        match &mut self.last {
            Some(last) if last.trouble == trouble && last.cause == cause => {
                last.last.clone_from(&period.key);
                last.count += 1;
            }
            _ => {
                self.end_series();
                self.last = Some(Series {
                    trouble,
                    cause,
                    first: period.key.clone(),
                    first_ms: period.instant_ms,
                    last: period.key.clone(),
                    count: 1,
                });
            }
        }
    }

    /// Ends the current series: the next finding does not follow it directly.
    pub(super) fn end_series(&mut self) {
        let Some(last) = self.last.take() else {
            return;
        };
        let detail = match last.count {
            1 => format!("{}, due {}", last.cause, format_utc(last.first_ms)),
            n => format!(
                "{}, {n} periods up to `{}`, the first due {}",
                last.cause,
                last.last,
                format_utc(last.first_ms)
            ),
        };
        self.add(Some(&last.first), last.trouble, detail);
    }

    pub(super) fn into_list(mut self) -> Vec<Finding> {
        self.end_series();
        self.list
    }
}
