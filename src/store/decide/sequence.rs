//! Places in sequences: each run of a sequence waits for the run in the place before it.
//!
//! Rule: a run that is enqueued or waits again gets the place after the last one.

use std::collections::HashMap;

use crate::error::Result;
use crate::records::NewRun;
use crate::run::RunId;

/// The last run of a sequence and its place; `None` if the sequence is empty.
pub type Tail = Option<(RunId, i64)>;

/// A place at the end of a sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SequencePlace {
    /// Its number, from 1.
    pub number: i64,
    /// The run in the place before it.
    pub before: Option<RunId>,
}

impl SequencePlace {
    /// The place after the last run.
    pub fn behind(tail: Tail) -> Self {
        let (before, number) = tail.unzip();
        Self {
            number: number.unwrap_or(0) + 1,
            before,
        }
    }
}

/// The last runs of the sequences of a batch.
#[derive(Debug, Default)]
pub struct Tails<'n>(HashMap<(&'n str, &'n str), Tail>);

impl<'n> Tails<'n> {
    /// The place of a new run, if it has a sequence. `tail_of` finds the last stored run of a sequence by job and key; it is
    /// not called once a run of the batch has a place in that sequence.
    ///
    /// # Errors
    /// Those of `tail_of`.
    pub fn place(
        &self,
        new: &'n NewRun,
        tail_of: impl FnOnce(&str, &str) -> Result<Tail>,
    ) -> Result<Option<SequencePlace>> {
        let Some(sequence) = &new.sequence else {
            return Ok(None);
        };
        let key = (new.job.as_str(), sequence.key.as_str());
        let tail = match self.0.get(&key) {
            Some(tail) => *tail,
            None => tail_of(key.0, key.1)?,
        };
        Ok(Some(SequencePlace::behind(tail)))
    }

    /// Records a stored run, so that the next run of its sequence gets the place after it.
    pub fn note(&mut self, new: &'n NewRun, run: RunId, place: i64) {
        if let Some(sequence) = &new.sequence {
            self.0.insert((&new.job, &sequence.key), Some((run, place)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::SequenceOnDead;
    use crate::records::NewSequence;
    use crate::records::samples::new_run;

    fn of_sequence(job: &str, key: &str) -> NewRun {
        let sequence = NewSequence {
            key: key.to_owned(),
            on_dead: SequenceOnDead::Block,
        };
        NewRun {
            sequence: Some(sequence),
            ..new_run(job)
        }
    }

    #[test]
    fn runs_of_a_batch_get_places_after_the_stored_runs_of_their_sequence() {
        let stored = |job: &str, key: &str| Ok((job == "a" && key == "x").then_some((RunId(5), 9)));
        let batch = [("a", "x"), ("a", "x"), ("a", "y"), ("b", "x"), ("a", "y")];
        let batch = batch.map(|(job, key)| of_sequence(job, key));
        let mut tails = Tails::default();
        let mut found = Vec::new();
        for (new, run) in batch.iter().zip(100..) {
            let place = tails.place(new, stored).unwrap().unwrap();
            tails.note(new, RunId(run), place.number);
            found.push((place.number, place.before.map(|before| before.0)));
        }
        let want = [
            (10, Some(5)),
            (11, Some(100)),
            (1, None),
            (1, None),
            (2, Some(102)),
        ];
        assert_eq!(found, want);
        let asked = tails.place(&batch[4], |_, _| panic!("it is known"));
        assert_eq!(asked.unwrap().unwrap().number, 3);
        assert_eq!(tails.place(&new_run("a"), stored).unwrap(), None);
    }
}
