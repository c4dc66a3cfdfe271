//! Rates, by GCRA: the whole state is one number for each limit, the theoretical arrival time.
//!
//! Source: ITU-T I.371, the virtual scheduling algorithm. A burst of one is evenly spaced. A worker claims only every few
//! milliseconds, so a claim of a faster rate may make up for the starts that were due within the last [`TOLERANCE_US`]. Otherwise a rate
//! of `500/s` would allow one start per claim.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind, Result};
use crate::units::shown;

/// Most runs per period: more would be spaced by less than a microsecond.
const RUNS_MAX: i64 = 1_000_000;

/// The longest period, a day.
const PERIOD_MAX_MS: i64 = 86_400_000;

/// A late claim makes up for the starts of at most this time, microseconds. A busy worker claims at least that often.
const TOLERANCE_US: i64 = 50_000;

/// A maximum rate of starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    /// This many ...
    pub runs: i64,
    /// ... in this time, milliseconds.
    pub per_ms: i64,
    /// This many runs may start together after a pause; 1 means evenly spaced.
    pub burst: i64,
}

impl Rate {
    /// Reads `60/min`: a number of runs per `s`, `min`, `h` or `d`; evenly spaced.
    ///
    /// # Errors
    /// [`Kind::Usage`], with a hint, if the text is no rate.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = |why: &str| {
            Error::new(Kind::Usage, format!("bad rate `{}`: {why}", shown(text)))
                .hint("write a number per `s`, `min`, `h` or `d`, such as `60/min`")
        };
        let Some((runs, unit)) = text.split_once('/') else {
            return Err(wrong("it has no `/`"));
        };
        let runs: i64 = match runs.trim().parse() {
            Ok(runs) if (1..=RUNS_MAX).contains(&runs) => runs,
            Ok(_) => return Err(wrong("the number is not between 1 and 1000000")),
            Err(_) => return Err(wrong("it does not begin with a number")),
        };
        let per_ms = match unit.trim() {
            "s" => 1_000,
            "min" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(wrong("the unit is unknown")),
        };
        Ok(Self {
            runs,
            per_ms,
            burst: 1,
        })
    }

    /// From one start to the next, microseconds; rounded up, so that rounding never adds a run.
    fn gap_us(self) -> i64 {
        let per_us = self.per_ms.clamp(1, PERIOD_MAX_MS) * 1_000;
        let runs = self.runs.clamp(1, RUNS_MAX);
        per_us / runs + i64::from(per_us % runs != 0)
    }

    /// The most runs that may start together: the burst, or the starts within the tolerance.
    fn at_once(self) -> i64 {
        self.burst
            .clamp(1, RUNS_MAX)
            .max(TOLERANCE_US / self.gap_us())
    }

    /// Limits the arrival time to the latest that this rate can lead to, so that setting the clock back does not make a wait longer.
    pub(super) fn clamp(self, arrival_us: i64, now_us: i64) -> i64 {
        arrival_us.min(now_us.saturating_add(self.at_once() * self.gap_us()))
    }

    /// When the next run may start, microseconds; not after `now_us` means now.
    pub fn opens_us(self, arrival_us: i64, now_us: i64) -> i64 {
        self.clamp(arrival_us, now_us)
            .saturating_sub((self.at_once() - 1) * self.gap_us())
    }

    /// The arrival time after a run that starts now.
    pub fn after_start(self, arrival_us: i64, now_us: i64) -> i64 {
        self.clamp(arrival_us, now_us)
            .max(now_us)
            .saturating_add(self.gap_us())
    }
}

impl Rate {
    /// `60/min`, as [`Rate::parse`] reads it.
    pub fn per_time(self) -> String {
        let unit = match self.per_ms {
            1_000 => "s",
            60_000 => "min",
            3_600_000 => "h",
            _ => "d",
        };
        format!("{}/{unit}", self.runs)
    }
}

impl std::fmt::Display for Rate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.per_time())?;
        if self.burst > 1 {
            write!(f, ", burst {}", self.burst)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rates_are_read_and_written() {
        for text in ["60/min", "1/s", "1000000/d", "7/h"] {
            assert_eq!(Rate::parse(text).unwrap().to_string(), text);
        }
        for text in ["0/s", "-1/s", "60", "60/minute", "/s", "1.5/s", "1000001/s"] {
            assert_eq!(Rate::parse(text).unwrap_err().kind, Kind::Usage, "{text}");
        }
    }

    /// Checks at these times and starts each run that may start; returns the times of the starts.
    fn starts(rate: Rate, asked_us: &[i64]) -> Vec<i64> {
        let mut arrival_us = 0;
        let mut starts = Vec::new();
        for &now_us in asked_us {
            while rate.opens_us(arrival_us, now_us) <= now_us {
                arrival_us = rate.after_start(arrival_us, now_us);
                starts.push(now_us);
            }
        }
        starts
    }

    proptest! {
        /// Proves: as `caps_hold_at_every_instant_while_workers_are_killed`.
        /// Proves: as `a_high_rate_is_reached_although_claims_come_every_six_milliseconds`.
        #[test]
        fn no_time_window_has_more_starts_than_its_share_and_a_burst(
            runs in prop_oneof![1_i64..50, 50_i64..2_000],
            burst in 1_i64..20,
            steps in prop::collection::vec(0_i64..200_000, 1..100),
        ) {
            let rate = Rate { runs, per_ms: 1_000, burst };
            let mut now_us = 10_000_000;
            let asked: Vec<i64> = steps.iter().map(|step| { now_us += step; now_us }).collect();
            let starts = starts(rate, &asked);
            for (first, &from_us) in starts.iter().enumerate() {
                for (last, &to_us) in starts.iter().enumerate().skip(first) {
                    let in_window = (last - first + 1) as i64;
                    let share = (to_us - from_us) * runs / 1_000_000;
                    prop_assert!(in_window <= share + burst.max(runs / 20), "{in_window} in {} us", to_us - from_us);
                }
            }
        }

        #[test]
        fn after_setting_the_clock_back_no_wait_exceeds_one_gap(
            runs in 1_i64..50,
            burst in 1_i64..20,
            back_us in 0_i64..1_000_000_000_000,
        ) {
            let rate = Rate { runs, per_ms: 60_000, burst };
            let mut now_us = 2_000_000_000_000;
            let mut arrival_us = 0;
            for _ in 0..rate.at_once() {
                arrival_us = rate.after_start(arrival_us, now_us);
            }
            now_us -= back_us;
            prop_assert!(rate.opens_us(arrival_us, now_us) - now_us <= rate.gap_us());
        }
    }

    /// Proves (flow): a high rate is reached on average, and no window has more than 50 ms of starts beyond it.
    #[test]
    fn a_high_rate_is_reached_although_claims_come_every_six_milliseconds() {
        for (text, each_us) in [
            ("500/s", 6_000),
            ("166/s", 6_000),
            ("1000/s", 20_000),
            ("40/s", 6_000),
        ] {
            let rate = Rate::parse(text).unwrap();
            let asked: Vec<i64> = (0..10_000_000 / each_us)
                .map(|n| 1_000_000_000 + n * each_us)
                .collect();
            let wanted = rate.runs * 10;
            let got = starts(rate, &asked).len() as i64;
            assert!(
                (wanted * 99 / 100..=wanted + rate.at_once()).contains(&got),
                "{text}: {got}"
            );
        }
    }

    #[test]
    fn a_rate_below_twenty_in_a_second_is_evenly_spaced() {
        let rate = Rate::parse("20/s").unwrap();
        let asked: Vec<i64> = (0..1_000).map(|n| 1_000_000_000 + n * 1_000).collect();
        let starts = starts(rate, &asked);
        assert!(
            starts.windows(2).all(|pair| pair[1] - pair[0] == 50_000),
            "{starts:?}"
        );
    }

    #[test]
    fn extreme_rates_neither_panic_nor_stay_closed() {
        for number in [i64::MIN, -1, 0, i64::MAX] {
            let rate = Rate {
                runs: number,
                per_ms: number,
                burst: number,
            };
            for arrival_us in [i64::MIN, 0, i64::MAX] {
                let now_us = 1_000_000_000_000;
                assert!(rate.opens_us(arrival_us, now_us) <= now_us + 86_400_000_000);
                assert!(rate.after_start(arrival_us, now_us) > now_us);
            }
        }
    }

    #[test]
    fn a_pause_allows_a_burst_and_then_even_spacing() {
        let rate = Rate {
            runs: 60,
            per_ms: 60_000,
            burst: 3,
        };
        let asked: Vec<i64> = (0..50).map(|n| 1_000_000_000 + n * 100_000).collect();
        let starts: Vec<i64> = starts(rate, &asked)
            .iter()
            .map(|start| (start - 1_000_000_000) / 100_000)
            .collect();
        assert_eq!(starts, [0, 0, 0, 10, 20, 30, 40]);
    }
}
