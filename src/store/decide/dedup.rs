//! Decides which runs of a batch duplicate another run with the same dedup key within its window.
//!
//! Rule: a run holds its key until the window is over and the run has started; a dead or cancelled run holds no key.

use sha2::{Digest, Sha256};

use crate::error::Result;
use crate::records::{Enqueued, NewRun};
use crate::run::{RunId, State};

/// A dedup key that has a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DedupKey<'a> {
    /// The keys are stored in the order of their hashes. Equal hashes do not imply equal keys.
    pub hash: i64,
    /// Its job.
    pub job: &'a str,
    /// The key, unique per job.
    pub key: &'a str,
    /// How long it is held from its enqueue on, milliseconds.
    pub window_ms: i64,
    /// Place of its run in the batch.
    pub index: usize,
}

impl<'a> DedupKey<'a> {
    /// The key of the run at this place in its batch; `None` if it has no key with a window.
    pub fn of(run: &'a NewRun, index: usize) -> Option<Self> {
        let dedup = run.dedup.as_ref()?;
        Some(Self {
            window_ms: dedup.window_ms?,
            hash: dedup_hash(&run.job, &dedup.key),
            job: &run.job,
            key: &dedup.key,
            index,
        })
    }

    fn is(&self, other: &DedupKey<'_>) -> bool {
        (self.hash, self.job, self.key) == (other.hash, other.job, other.key)
    }

    /// The keys of a batch that have a window and do not coalesce, in hash order, so that a large batch walks the stored keys once.
    /// Runs that coalesce are looked up one by one, because each changes the result of the next lookup.
    pub fn in_hash_order(new: &'a [NewRun]) -> Vec<Self> {
        let mut keys: Vec<Self> = new
            .iter()
            .enumerate()
            .filter(|(_, run)| run.dedup.as_ref().is_some_and(|it| it.coalesce.is_none()))
            .filter_map(|(index, run)| Self::of(run, index))
            .collect();
        keys.sort_unstable_by_key(|key| (key.hash, key.job, key.key, key.index));
        keys
    }

    /// Until when it is held if its run is stored now, milliseconds.
    pub fn until_ms(&self, now_ms: i64) -> i64 {
        now_ms.saturating_add(self.window_ms)
    }
}

/// First 64 bits of the SHA-256 of the job and the key.
pub fn dedup_hash(job: &str, key: &str) -> i64 {
    let mut hasher = Sha256::new();
    hasher.update((job.len() as u64).to_le_bytes());
    hasher.update(job);
    hasher.update(key);
    let digest = hasher.finalize();
    i64::from_le_bytes(digest[..8].try_into().unwrap_or_default())
}

/// The run that is stored with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyHolder {
    /// Its id.
    pub run: RunId,
    /// The end of the window, milliseconds.
    pub until_ms: i64,
    /// Its state; `None` if it had ended and was pruned.
    pub state: Option<State>,
    /// Number of starts; `None` if it was pruned.
    pub attempts: Option<i64>,
    /// Its earliest start, milliseconds.
    pub due_ms: Option<i64>,
}

impl KeyHolder {
    /// The answer to an enqueue with the key, if this run holds it.
    pub fn duplicate(&self, now_ms: i64) -> Option<Enqueued> {
        let state = self.state.unwrap_or(State::Succeeded);
        let started = state.is_final() || self.attempts.unwrap_or(1) > 0;
        let is_over = self.until_ms <= now_ms && started;
        let is_free = is_over || matches!(state, State::Dead | State::Cancelled);
        (!is_free).then_some(Enqueued {
            run: self.run,
            duplicate: true,
            replaced: false,
            state,
            due_ms: self.due_ms.unwrap_or(now_ms),
        })
    }
}

/// Whether a run of a batch is new, judged by its key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum DedupOutcome {
    /// It is new, or its key has no window.
    #[default]
    New,
    /// It duplicates a stored run.
    Existing(Enqueued),
    /// It duplicates an earlier run of the batch, at this place.
    InBatch(usize),
}

/// The outcome for each run of a batch of `runs` runs with these keys, which are in hash order. `duplicate_of` is called once for each
/// key.
///
/// # Errors
/// Those of `duplicate_of`.
pub fn dedup_outcomes(
    keys: &[DedupKey<'_>],
    runs: usize,
    mut duplicate_of: impl FnMut(&DedupKey<'_>) -> Result<Option<Enqueued>>,
) -> Result<Vec<DedupOutcome>> {
    let mut outcomes = vec![DedupOutcome::New; if keys.is_empty() { 0 } else { runs }];
    let mut before: Option<&DedupKey<'_>> = None;
    for key in keys {
        match before {
            // Equal keys are adjacent, in the order of the batch.
            Some(twin) if twin.is(key) => outcomes[key.index] = DedupOutcome::InBatch(twin.index),
            _ => {
                before = Some(key);
                if let Some(existing) = duplicate_of(key)? {
                    outcomes[key.index] = DedupOutcome::Existing(existing);
                }
            }
        }
    }
    Ok(outcomes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::Coalesce;
    use crate::records::NewDedup;
    use crate::records::samples::new_run;

    const NOW_MS: i64 = 1_000;

    fn with_key(key: &str, window_ms: Option<i64>, coalesce: Option<Coalesce>) -> NewRun {
        let dedup = NewDedup {
            key: key.to_owned(),
            window_ms,
            coalesce,
        };
        NewRun {
            dedup: Some(dedup),
            ..new_run("job")
        }
    }

    #[test]
    fn each_key_of_a_batch_is_looked_up_once_and_later_runs_duplicate_the_first() {
        let window = |key| with_key(key, Some(60), None);
        let batch = [
            window("b"),
            new_run("job"),
            window("a"),
            with_key("a", Some(60), Some(Coalesce::Replace)),
            window("b"),
            window("a"),
        ];
        let keys = DedupKey::in_hash_order(&batch);
        assert_eq!(keys.len(), 4, "runs that coalesce are looked up later");
        assert!(keys.is_sorted_by_key(|key| key.hash));
        let stored = Enqueued {
            run: RunId(7),
            duplicate: true,
            replaced: false,
            state: State::Waiting,
            due_ms: 5,
        };
        let mut asked = Vec::new();
        let found = dedup_outcomes(&keys, batch.len(), |key| {
            asked.push(key.index);
            Ok((key.key == "b").then(|| stored.clone()))
        });
        asked.sort_unstable();
        assert_eq!(asked, [0, 2]);
        let want = [
            DedupOutcome::Existing(stored),
            DedupOutcome::New,
            DedupOutcome::New,
            DedupOutcome::New,
            DedupOutcome::InBatch(0),
            DedupOutcome::InBatch(2),
        ];
        assert_eq!(found.unwrap(), want);
    }

    #[test]
    fn a_key_is_held_until_its_window_is_over_and_its_run_has_started() {
        let holder = KeyHolder {
            run: RunId(3),
            until_ms: NOW_MS + 1,
            state: Some(State::Waiting),
            attempts: Some(0),
            due_ms: Some(40),
        };
        let over = KeyHolder {
            until_ms: NOW_MS,
            ..holder
        };
        let started = KeyHolder {
            attempts: Some(1),
            ..over
        };
        let in_state = |state| KeyHolder {
            state,
            attempts: None,
            ..holder
        };
        for (holder, holds) in [
            (holder, true),
            (over, true),
            (started, false),
            (in_state(Some(State::Succeeded)), true),
            (in_state(Some(State::Dead)), false),
            (in_state(Some(State::Cancelled)), false),
            (in_state(None), true),
        ] {
            assert_eq!(holder.duplicate(NOW_MS).is_some(), holds, "{holder:?}");
        }
        let pruned = KeyHolder {
            due_ms: None,
            ..in_state(None)
        };
        let answer = pruned.duplicate(NOW_MS).unwrap();
        assert_eq!((answer.state, answer.due_ms), (State::Succeeded, NOW_MS));
        assert!(answer.duplicate && !answer.replaced);
    }

    #[test]
    fn dedup_hashes_depend_on_where_the_job_ends_and_the_key_begins() {
        assert_ne!(dedup_hash("ab", "c"), dedup_hash("a", "bc"));
        let run = with_key("key", Some(i64::MAX), None);
        let key = DedupKey::of(&run, 4).unwrap();
        assert_eq!(key.hash, dedup_hash("job", "key"));
        assert_eq!(key.until_ms(NOW_MS), i64::MAX);
        assert_eq!(DedupKey::of(&with_key("key", None, None), 0), None);
    }
}
