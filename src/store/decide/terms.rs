//! The guarantee and the number of attempts of a claimed run, and whether the counts in its row are valid.

use crate::records::Claimed;
use crate::run::Guarantee;

/// Bound of valid numbers of attempts and failures.
const COUNT_MAX: i64 = 1_000_000_000_000;

/// A message about invalid counts of a claimed run; `None` if they are valid.
pub fn invalid_counts(claimed: &Claimed) -> Option<String> {
    let counts = [claimed.attempt - 1, claimed.failures, claimed.crashes];
    if counts.iter().all(|count| (0..COUNT_MAX).contains(count)) {
        return None;
    }
    let [attempts, failures, crashes] = counts;
    Some(format!(
        "{attempts} attempts, {failures} failures, {crashes} crashes"
    ))
}

/// Gives a claimed run the stricter of its stored terms and those of the worker's catalogue. Returns whether they differ from the
/// stored ones, and so have to be stored with the claim for recovery.
pub fn apply_terms(claimed: &mut Claimed, guarantee: Guarantee, attempts: i64) -> bool {
    let once = [claimed.guarantee, guarantee].contains(&Guarantee::AtMostOnce);
    // A run that already has that many failures still gets this attempt.
    let attempts = if once { 1 } else { attempts };
    let attempts = attempts
        .max(claimed.failures.saturating_add(1))
        .min(claimed.max_attempts);
    let is_stricter =
        (once && claimed.guarantee != Guarantee::AtMostOnce) || attempts < claimed.max_attempts;
    if !is_stricter {
        return false;
    }
    if once {
        claimed.guarantee = Guarantee::AtMostOnce;
    }
    if once && claimed.started_before {
        // The slot refuses to start it again; its earlier attempts had other terms.
        return false;
    }
    claimed.max_attempts = attempts;
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::samples::claimed;
    use crate::run::{Fence, RunId};

    use Guarantee::{AtLeastOnce, AtMostOnce};

    fn with(guarantee: Guarantee, failures: i64, max_attempts: i64) -> Claimed {
        Claimed {
            failures,
            max_attempts,
            guarantee,
            ..claimed(RunId(1), Fence(1))
        }
    }

    #[test]
    fn stricter_terms_of_the_catalogue_replace_the_stored_ones() {
        for (stored, of_catalogue, is_stored, want) in [
            (
                (AtLeastOnce, 0, 5),
                (AtLeastOnce, 5),
                false,
                (AtLeastOnce, 5),
            ),
            (
                (AtLeastOnce, 0, 5),
                (AtLeastOnce, 9),
                false,
                (AtLeastOnce, 5),
            ),
            (
                (AtLeastOnce, 0, 5),
                (AtLeastOnce, 2),
                true,
                (AtLeastOnce, 2),
            ),
            // The fourth attempt has begun and still counts.
            (
                (AtLeastOnce, 3, 5),
                (AtLeastOnce, 2),
                true,
                (AtLeastOnce, 4),
            ),
            (
                (AtLeastOnce, i64::MAX, 5),
                (AtLeastOnce, 2),
                false,
                (AtLeastOnce, 5),
            ),
            ((AtLeastOnce, 0, 5), (AtMostOnce, 5), true, (AtMostOnce, 1)),
            ((AtMostOnce, 0, 1), (AtLeastOnce, 5), false, (AtMostOnce, 1)),
        ] {
            let (guarantee, failures, max_attempts) = stored;
            let mut claimed = with(guarantee, failures, max_attempts);
            let (guarantee, attempts) = of_catalogue;
            assert_eq!(
                apply_terms(&mut claimed, guarantee, attempts),
                is_stored,
                "{stored:?}"
            );
            assert_eq!(
                (claimed.guarantee, claimed.max_attempts),
                want,
                "{stored:?}"
            );
        }
    }

    #[test]
    fn a_started_run_keeps_its_attempts_and_becomes_at_most_once() {
        let mut started = Claimed {
            started_before: true,
            ..with(AtLeastOnce, 1, 5)
        };
        assert!(!apply_terms(&mut started, AtMostOnce, 5));
        assert_eq!((started.guarantee, started.max_attempts), (AtMostOnce, 5));
    }

    #[test]
    fn impossible_counts_make_a_row_invalid() {
        let run = |attempt, failures| Claimed {
            attempt,
            ..with(AtLeastOnce, failures, 5)
        };
        assert_eq!(invalid_counts(&run(1, COUNT_MAX - 1)), None);
        for (attempt, failures) in [(0, 0), (1, -1), (1, COUNT_MAX), (COUNT_MAX + 1, 0)] {
            let why = invalid_counts(&run(attempt, failures)).unwrap();
            let words = format!("{} attempts, {failures} failures, 0 crashes", attempt - 1);
            assert_eq!(why, words);
        }
    }
}
