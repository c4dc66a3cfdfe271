//! Rates, by GCRA: one number per limit, the theoretical arrival time, says all about the past.
//!
//! Source: ITU-T I.371, the virtual scheduling algorithm. A burst of one is evenly spaced.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind, Result};
use crate::units::shown;

/// More than this in one period are no limit, and would be spaced by less than a microsecond.
const RUNS_MAX: i64 = 1_000_000;

/// So many runs in so much time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    /// This many ...
    pub runs: i64,
    /// ... in this time, milliseconds.
    pub per_ms: i64,
    /// This many may start at once after a pause; 1 is evenly spaced.
    pub burst: i64,
}

impl Rate {
    /// Reads `60/min`: a number of runs per `s`, `min`, `h` or `d`; evenly spaced.
    ///
    /// # Errors
    /// [`Kind::Usage`], with a hint, when it is no rate.
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
        let per_us = self.per_ms.saturating_mul(1_000);
        per_us / self.runs + i64::from(per_us % self.runs != 0)
    }

    /// The greatest arrival time that this rate itself can lead to: a clock that was set back makes no wait longer.
    pub(super) fn clamp(self, arrival_us: i64, now_us: i64) -> i64 {
        arrival_us.min(now_us.saturating_add(self.burst.saturating_mul(self.gap_us())))
    }

    /// When the next run may start, microseconds; not after `now_us` means now.
    pub fn opens_us(self, arrival_us: i64, now_us: i64) -> i64 {
        self.clamp(arrival_us, now_us) - (self.burst - 1).saturating_mul(self.gap_us())
    }

    /// The arrival time after a run that starts now.
    pub fn after_start(self, arrival_us: i64, now_us: i64) -> i64 {
        self.clamp(arrival_us, now_us).max(now_us) + self.gap_us()
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

    /// Starts a run whenever one may, asked at these times; when they started.
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
        #[test]
        fn no_window_holds_more_than_its_share_and_a_burst(
            runs in 1_i64..50,
            burst in 1_i64..20,
            steps in prop::collection::vec(0_i64..200_000, 1..200),
        ) {
            let rate = Rate { runs, per_ms: 1_000, burst };
            let mut now_us = 10_000_000;
            let asked: Vec<i64> = steps.iter().map(|step| { now_us += step; now_us }).collect();
            let starts = starts(rate, &asked);
            for (first, &from_us) in starts.iter().enumerate() {
                for (last, &to_us) in starts.iter().enumerate().skip(first) {
                    let in_window = (last - first + 1) as i64;
                    let share = (to_us - from_us) * runs / 1_000_000;
                    prop_assert!(in_window <= share + burst, "{in_window} in {} us", to_us - from_us);
                }
            }
        }

        #[test]
        fn a_clock_that_is_set_back_makes_no_wait_longer_than_a_gap(
            runs in 1_i64..50,
            burst in 1_i64..20,
            back_us in 0_i64..1_000_000_000_000,
        ) {
            let rate = Rate { runs, per_ms: 60_000, burst };
            let mut now_us = 2_000_000_000_000;
            let mut arrival_us = 0;
            for _ in 0..burst {
                arrival_us = rate.after_start(arrival_us, now_us);
            }
            now_us -= back_us;
            prop_assert!(rate.opens_us(arrival_us, now_us) - now_us <= rate.gap_us());
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
