//! Which runs of a batch duplicate another one by their dedup key and its window.
//!
//! Rule: a key is held until its window is over and its run has started; not by a run that is dead or cancelled.

use sha2::{Digest, Sha256};

use crate::error::Result;
use crate::records::{Enqueued, NewRun};
use crate::run::{RunId, State};

/// A dedup key that has a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DedupKey<'a> {
    /// Decides the order in which keys are stored; the job and the key are compared too.
    pub hash: i64,
    /// Its job.
    pub job: &'a str,
    /// The key, unique per job.
    pub key: &'a str,
    /// How long from now it is held, milliseconds.
    pub window_ms: i64,
    /// Place of its run in the batch.
    pub index: usize,
}

impl<'a> DedupKey<'a> {
    /// The key of a run that has a window, and this place in its batch.
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

    /// The keys of the runs in a batch that only have a window, in hash order, so that a large batch walks the stored keys once.
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

/// First 64 bits of SHA-256.
pub fn dedup_hash(job: &str, key: &str) -> i64 {
    let mut hasher = Sha256::new();
    hasher.update((job.len() as u64).to_le_bytes());
    hasher.update(job);
    hasher.update(key);
    let digest = hasher.finalize();
    i64::from_le_bytes(digest[..8].try_into().unwrap_or_default())
}

/// The stored run of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyHolder {
    /// Its id.
    pub run: RunId,
    /// The end of the window, milliseconds.
    pub until_ms: i64,
    /// Its state; `None` if the run was pruned, so it had ended.
    pub state: Option<State>,
    /// Starts that are stored.
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

/// What becomes of a run of a batch by its key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Fate {
    /// It is new, or its key has no window.
    #[default]
    New,
    /// It duplicates a stored run.
    Existing(Enqueued),
    /// It duplicates the run at this place in the batch.
    Twin(usize),
}

/// The fates of so many runs with these keys, which are in hash order. `duplicate_of` is asked once for each key.
///
/// # Errors
/// Those of `duplicate_of`.
pub fn fates(
    keys: &[DedupKey<'_>],
    runs: usize,
    mut duplicate_of: impl FnMut(&DedupKey<'_>) -> Result<Option<Enqueued>>,
) -> Result<Vec<Fate>> {
    let mut fates = vec![Fate::New; if keys.is_empty() { 0 } else { runs }];
    let mut before: Option<&DedupKey<'_>> = None;
    for key in keys {
        match before {
            // Equal keys are adjacent, in the order of the batch.
            Some(twin) if twin.is(key) => fates[key.index] = Fate::Twin(twin.index),
            _ => {
                before = Some(key);
                if let Some(existing) = duplicate_of(key)? {
                    fates[key.index] = Fate::Existing(existing);
                }
            }
        }
    }
    Ok(fates)
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
    fn the_first_run_of_a_batch_with_a_key_is_looked_up_and_the_others_are_its_twins() {
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
        assert_eq!(keys.len(), 4, "who coalesces is looked up later");
        assert!(keys.is_sorted_by_key(|key| key.hash));
        let stored = Enqueued {
            run: RunId(7),
            duplicate: true,
            replaced: false,
            state: State::Waiting,
            due_ms: 5,
        };
        let mut asked = Vec::new();
        let found = fates(&keys, batch.len(), |key| {
            asked.push(key.index);
            Ok((key.key == "b").then(|| stored.clone()))
        });
        asked.sort_unstable();
        assert_eq!(asked, [0, 2]);
        let want = [
            Fate::Existing(stored),
            Fate::New,
            Fate::New,
            Fate::New,
            Fate::Twin(0),
            Fate::Twin(2),
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
    fn a_hash_tells_where_the_job_ends_and_the_key_begins() {
        assert_ne!(dedup_hash("ab", "c"), dedup_hash("a", "bc"));
        let run = with_key("key", Some(i64::MAX), None);
        let key = DedupKey::of(&run, 4).unwrap();
        assert_eq!(key.hash, dedup_hash("job", "key"));
        assert_eq!(key.until_ms(NOW_MS), i64::MAX);
        assert_eq!(DedupKey::of(&with_key("key", None, None), 0), None);
    }
}
