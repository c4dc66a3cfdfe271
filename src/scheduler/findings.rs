//! What an audit finds; equal findings about neighbouring periods become one.

use crate::run::words;
use crate::schedule::Period;
use crate::units::format_utc;

words!(
    /// What is wrong with a period.
    Trouble {
        /// The rule has it, and no row tells what it came to.
        Missing = "missing",
        /// It is told twice, or has two runs.
        Doubled = "doubled",
        /// A row tells of it, and its rule does not have it.
        Unknown = "unknown",
        /// A row says that it holds more or fewer periods than there are.
        WrongCount = "wrong_count",
        /// Its row names a run that is not its own, or none where there must be one.
        WrongRun = "wrong_run",
        /// Its version of the schedule cannot be read.
        Unreadable = "unreadable",
    }
);

/// Something that an audit found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The job.
    pub job: String,
    /// The period, or the first of several; `None` if a whole version is meant.
    pub period: Option<String>,
    /// What is wrong.
    pub trouble: Trouble,
    /// In words.
    pub detail: String,
}

/// Findings of one job; equal ones in a row become one.
pub(super) struct Findings {
    job: String,
    list: Vec<Finding>,
    last: Option<Repeated>,
}

struct Repeated {
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

    /// A period that follows the one before at once.
    pub(super) fn period(&mut self, period: &Period, trouble: Trouble, cause: String) {
        match &mut self.last {
            Some(last) if last.trouble == trouble && last.cause == cause => {
                last.last.clone_from(&period.key);
                last.count += 1;
            }
            _ => {
                self.end_row();
                self.last = Some(Repeated {
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

    /// What follows is not next to the last finding.
    pub(super) fn end_row(&mut self) {
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
        self.end_row();
        self.list
    }
}
