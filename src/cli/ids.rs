//! Run ids, states, durations and page sizes as arguments, and what is said of ids and names that are unknown.

use super::Context;
use crate::error::{Error, Kind, Result, nearest};
use crate::run::{RunId, Shown, WorkerId};
use crate::store::{RunDetail, Store};
use crate::units::shown;

/// A page of a list.
#[derive(Debug, clap::Args)]
pub(super) struct Page {
    /// Show at most this many
    #[arg(long, value_name = "N", default_value = "50", value_parser = clap::value_parser!(i64).range(1..=1_000_000))]
    pub(super) limit: i64,
    /// Skip the first N
    #[arg(long, value_name = "N", default_value = "0", value_parser = clap::value_parser!(i64).range(0..))]
    pub(super) offset: i64,
}

impl Page {
    /// Cuts a list that was read with one row more than the limit, and reports how to get the rest.
    pub(super) fn cut<T>(&self, rows: &mut Vec<T>, context: &mut Context) {
        if rows.len() as i64 > self.limit {
            rows.truncate(self.limit as usize);
            let next = self.offset + self.limit;
            context
                .screen
                .say(&format!("there are more: continue with `--offset {next}`"));
        }
    }
}

/// A page of a list that begins with the newest.
#[derive(Debug, clap::Args)]
pub(super) struct Newest {
    /// Show at most this many
    #[arg(long, value_name = "N", default_value = "50", value_parser = clap::value_parser!(i64).range(1..=1_000_000))]
    pub(super) limit: i64,
    /// Continue the list after this run
    #[arg(long, value_name = "RUN", value_parser = run_id)]
    pub(super) before: Option<RunId>,
}

impl Newest {
    /// Cuts a list that was read with one row more than the limit, and reports how to get the rest.
    pub(super) fn cut<T>(
        &self,
        rows: &mut Vec<T>,
        run: impl Fn(&T) -> RunId,
        context: &mut Context,
    ) {
        if rows.len() as i64 > self.limit {
            rows.truncate(self.limit as usize);
            if let Some(last) = rows.last().map(run) {
                context
                    .screen
                    .say(&format!("there are more: continue with `--before {last}`"));
            }
        }
    }
}

/// A run id of the command line.
pub(super) fn run_id(text: &str) -> Result<RunId> {
    id(text, "run").map(RunId)
}

/// A worker id of the command line.
pub(super) fn worker_id(text: &str) -> Result<WorkerId> {
    id(text, "worker").map(WorkerId)
}

fn id(text: &str, what: &str) -> Result<i64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let id = text.parse().ok().filter(|id| digits && *id > 0);
    id.ok_or_else(|| {
        Error::new(
            Kind::Usage,
            format!(
                "bad {what} id `{}`: ids are whole numbers from 1",
                shown(text)
            ),
        )
        .hint(format!("`jobctl {what}s list` shows them"))
    })
}

/// The states that one word of `--state` selects: `waiting` stands for four shown states.
pub(super) fn states(text: &str) -> Result<Vec<Shown>> {
    const WAITING: &[Shown] = &[
        Shown::Ready,
        Shown::Delayed,
        Shown::Retrying,
        Shown::Blocked,
    ];
    if text == "waiting" {
        return Ok(WAITING.to_vec());
    }
    if let Some(shown) = Shown::from_word(text) {
        return Ok(vec![shown]);
    }
    let words = || {
        Shown::ALL
            .iter()
            .map(|shown| shown.word())
            .chain(["waiting"])
    };
    let hint = match nearest(text, words()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("use one of {}", words().collect::<Vec<_>>().join(", ")),
    };
    Err(Error::new(Kind::Usage, format!("unknown state `{}`", shown(text))).hint(hint))
}

/// The error about a run that does not exist.
pub(super) fn unknown_run(run: RunId) -> Error {
    Error::new(Kind::NotFound, format!("unknown run {run}"))
        .hint("`jobctl runs list` shows the newest; ended runs are pruned after a time")
}

/// The details of a run.
///
/// # Errors
/// [`Kind::NotFound`].
pub(super) fn find_run(store: &Store, run: RunId, now_ms: i64) -> Result<RunDetail> {
    store.show_run(run, now_ms)?.ok_or_else(|| unknown_run(run))
}

/// The error about a job that the catalogue does not have.
pub(super) fn unknown_job<'a>(job: &str, known: impl ExactSizeIterator<Item = &'a str>) -> Error {
    let count = known.len();
    let all = match count {
        0 => "the catalogue has no jobs".to_owned(),
        1 => "`jobctl jobs list` shows the only one".to_owned(),
        _ => format!("`jobctl jobs list` shows all {count}"),
    };
    let hint = match nearest(job, known) {
        Some(near) => format!("did you mean `{near}`? {all}"),
        None => all,
    };
    Error::new(Kind::NotFound, format!("unknown job `{}`", shown(job))).hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_job_gets_a_suggestion() {
        let error = unknown_job("billng", ["billing", "dump"].into_iter());
        assert_eq!(
            (error.kind, error.message.as_str()),
            (Kind::NotFound, "unknown job `billng`")
        );
        assert_eq!(
            error.hint,
            Some("did you mean `billing`? `jobctl jobs list` shows all 2".into())
        );
    }

    #[test]
    fn ids_are_whole_numbers_from_1() {
        assert_eq!(run_id("17").unwrap(), RunId(17));
        for text in [
            "0",
            "-1",
            "+1",
            "1.5",
            "",
            "x",
            "99999999999999999999",
            "１",
        ] {
            assert_eq!(run_id(text).unwrap_err().kind, Kind::Usage, "{text}");
        }
    }

    #[test]
    fn stored_and_shown_states_are_accepted() {
        assert_eq!(states("waiting").unwrap().len(), 4);
        assert_eq!(states("dead").unwrap(), [Shown::Dead]);
        assert_eq!(
            states("raedy").unwrap_err().hint,
            Some("did you mean `ready`?".into())
        );
    }
}
