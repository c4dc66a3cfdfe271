//! Pieces of work that the loop gives out, and what comes back.
//!
//! Rule: a piece is bounded and can be done again; what comes back names it, so that what was not done is wanted as before.

use std::sync::Arc;

use crate::catalogue::Catalogue;
use crate::error::{Error, Result};
use crate::policy::ClockGuard;
use crate::process::memory::apart;

use super::agenda::Due;
use super::book::Book;
use super::change::Applied;
use super::open::Opened;

/// A catalogue that was read, and its schedules.
pub struct Loaded {
    pub(super) catalogue: Catalogue,
    pub(super) book: Arc<Book>,
}

impl Loaded {
    /// Makes the schedules of a catalogue ready.
    ///
    /// # Errors
    /// A schedule that cannot be written as JSON, which is a defect.
    pub fn of(catalogue: Catalogue) -> Result<Self> {
        let book = Arc::new(apart(|| Book::of(&catalogue))?);
        Ok(Self { catalogue, book })
    }
}

/// A piece of work.
pub enum Work {
    /// Read the files of the catalogue.
    Read,
    /// Put the rules of queues and limits of a catalogue in force.
    SaveRules(Arc<Loaded>),
    /// Put these schedules of the book in force.
    Apply(Arc<Book>, ClockGuard, Vec<usize>),
    /// See whether these schedules of the book are in force, and what is due of them next.
    Follow(Arc<Book>, Vec<usize>),
    /// Find the jobs that have a schedule in force and none in the book.
    FindRemoved(Arc<Book>),
    /// Take the schedules of these jobs out of force.
    Remove(Arc<Book>, ClockGuard, Vec<String>),
    /// Open what is due of these schedules, and has been due for so long, milliseconds.
    Open(Arc<Book>, ClockGuard, Vec<Due>, i64),
    /// Write down that this process leads.
    Lead,
    /// Write down what is known of the clock.
    SaveClock(ClockGuard),
    /// See what other processes did.
    Look(Seen),
}

/// What the last look saw.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// Changes when another connection commits; `None` before the first look.
    pub data_version: Option<i64>,
    /// Path of our catalogue, and the identity of its files.
    pub path: String,
    /// See [`Seen::path`].
    pub stamp: String,
    /// Look also where nothing was committed.
    pub all: bool,
}

/// What other processes did.
#[derive(Debug, Clone, Default)]
pub struct Findings {
    /// See [`Seen::data_version`].
    pub data_version: i64,
    /// `None` if nothing was committed since the last look.
    pub news: Option<News>,
}

/// What the store says of catalogue and clock.
#[derive(Debug, Clone, Default)]
pub struct News {
    /// Generation of our catalogue.
    pub generation: Option<i64>,
    /// Whether the files of our catalogue that were loaded last are those that we have.
    pub is_ours: bool,
    /// The catalogue whose schedules were put in force last.
    pub in_force: Option<String>,
    /// Which clock an operator accepted.
    pub accepted: Option<String>,
}

/// Why a piece of work was not done.
#[derive(Debug, Clone)]
pub struct Failure {
    /// What failed.
    pub error: Error,
    /// The database is gone or damaged: waiting does not help.
    pub is_final: bool,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self {
            error,
            is_final: false,
        }
    }
}

/// What came of a piece of work.
pub enum Answer {
    /// Of [`Work::Read`].
    Read(std::result::Result<Arc<Loaded>, Error>),
    /// Of [`Work::SaveRules`]: the generation of the catalogue.
    RulesSaved(Arc<Loaded>, std::result::Result<i64, Failure>),
    /// Of [`Work::Apply`] and [`Work::Follow`]: as many as were reached.
    Applied(Vec<usize>, std::result::Result<Vec<Put>, Failure>),
    /// Of [`Work::FindRemoved`].
    Removed(std::result::Result<Vec<String>, Failure>),
    /// Of [`Work::Remove`]: as many as were reached.
    TakenOut(Vec<String>, std::result::Result<Vec<Removed>, Failure>),
    /// Of [`Work::Open`]: as many as were reached.
    Opened(Vec<Due>, std::result::Result<Vec<Looked>, Failure>),
    /// Of [`Work::Lead`].
    Leads(std::result::Result<(), Failure>),
    /// Of [`Work::SaveClock`].
    ClockSaved(ClockGuard, std::result::Result<(), Failure>),
    /// Of [`Work::Look`].
    Found(std::result::Result<Findings, Failure>),
}

impl Answer {
    /// The error, where the store failed.
    pub fn failure(&self) -> Option<Error> {
        let failure = match self {
            Self::Read(result) => return result.as_ref().err().cloned(),
            Self::RulesSaved(_, result) => result.as_ref().err(),
            Self::Applied(_, result) => result.as_ref().err(),
            Self::Removed(result) => result.as_ref().err(),
            Self::TakenOut(_, result) => result.as_ref().err(),
            Self::Opened(_, result) => result.as_ref().err(),
            Self::Leads(result) | Self::ClockSaved(_, result) => result.as_ref().err(),
            Self::Found(result) => result.as_ref().err(),
        };
        failure.map(|failure| failure.error.clone())
    }

    /// The same piece of work, of which nobody knows whether it was done: for simulations.
    #[doc(hidden)]
    #[must_use]
    pub fn into_failure(self, failure: Failure) -> Self {
        match self {
            Self::Read(_) => Self::Read(Err(failure.error)),
            Self::RulesSaved(loaded, _) => Self::RulesSaved(loaded, Err(failure)),
            Self::Applied(indexes, _) => Self::Applied(indexes, Err(failure)),
            Self::Removed(_) => Self::Removed(Err(failure)),
            Self::TakenOut(jobs, _) => Self::TakenOut(jobs, Err(failure)),
            Self::Opened(due, _) => Self::Opened(due, Err(failure)),
            Self::Leads(_) => Self::Leads(Err(failure)),
            Self::ClockSaved(guard, _) => Self::ClockSaved(guard, Err(failure)),
            Self::Found(_) => Self::Found(Err(failure)),
        }
    }
}

/// What came of putting one schedule in force, or of seeing whether it is.
#[derive(Debug)]
pub struct Put(pub(super) Applied);

/// What came of taking one schedule out of force.
#[derive(Debug)]
pub enum Removed {
    /// It is.
    Done,
    /// There is more to account for.
    Unfinished,
    /// It could not be.
    Failed(String),
}

/// What came of opening one schedule.
#[derive(Debug)]
pub struct Looked(pub(super) Opened);
