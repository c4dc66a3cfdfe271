//! Parses a crontab line: five fields, six with seconds first, or a macro.
//!
//! Rule: five fields mean what crontab means by them, not what the `cron` crate does (there, 1 is Sunday).

use super::days::LineDays;
use super::error::{Field, RuleError};
use super::field::{self, HOUR, MINUTE, Numbers, Piece, SECOND};
use crate::error::nearest;

/// A crontab line as sets of numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) seconds: Numbers,
    pub(super) minutes: Numbers,
    pub(super) hours: Numbers,
    pub(super) days: LineDays,
    /// One blank between fields, upper case, macros written out.
    pub(super) text: String,
}

const MACROS: [(&str, &str); 7] = [
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
];

impl Line {
    /// Parses a line and makes sure that it matches at least one time before the end of the calendar.
    ///
    /// # Errors
    /// Points at the field or item that is wrong.
    pub(super) fn parse(text: &str) -> Result<Self, RuleError> {
        let trimmed = text.trim();
        if trimmed.starts_with('@') {
            return Self::parse(macro_line(text, trimmed)?);
        }
        let fields = split_fields(text);
        if let Some(first) = fields.first()
            && let Some((name, _)) = first.text.split_once('=')
        {
            let error = first.error(format!("`{name}=` does not belong into a cron line"));
            return Err(error.hint("set `timezone`, or the job's environment"));
        }
        let (seconds, rest) = match fields.len() {
            5 => (None, &fields[..]),
            6 if !fields[5].text.starts_with(['/', '.', '~']) => (Some(fields[0]), &fields[1..]),
            count => return Err(wrong_count(text, count, &fields)),
        };
        let plain = |piece, kind| field::parse(piece, kind, |_| Ok(false));
        let seconds = match seconds {
            Some(piece) => plain(piece, SECOND)?,
            None => Numbers {
                bits: 1,
                ..Numbers::default()
            },
        };
        let line = Self {
            seconds,
            minutes: plain(rest[0], MINUTE)?,
            hours: plain(rest[1], HOUR)?,
            days: LineDays::parse(rest[2], rest[3], rest[4])?,
            text: fields
                .iter()
                .map(|field| field.text.to_ascii_uppercase())
                .collect::<Vec<_>>()
                .join(" "),
        };
        if line.days.first_from(super::civil::date_of(0)).is_none() {
            let start = rest[2].offset;
            let end = rest[4].span().end;
            return Err(
                RuleError::new(Field::Cron, "this line never matches: no such day exists")
                    .at(start..end)
                    .hint("check day of month, month and day of week"),
            );
        }
        Ok(line)
    }

    /// Whether the line follows every pass of the wall clock: its minute or hour field starts with `*`.
    pub(super) fn is_reading(&self) -> bool {
        self.minutes.starred || self.hours.starred
    }

    /// The line for the `cron` crate: the times of day alone, every day.
    pub(super) fn times_for_cron(&self) -> String {
        format!(
            "{} {} {} * * *",
            runs(self.seconds.bits, 60),
            runs(self.minutes.bits, 60),
            runs(self.hours.bits, 24)
        )
    }
}

/// The numbers of a set as `0-4,30`, or `*` if all below `len` are in it.
fn runs(bits: u64, len: u32) -> String {
    if bits.count_ones() == len {
        return "*".to_owned();
    }
    let mut parts = Vec::new();
    let mut n = 0;
    while n < len {
        let run = (bits >> n).trailing_ones();
        match run {
            0 => {}
            1 => parts.push(n.to_string()),
            _ => parts.push(format!("{n}-{}", n + run - 1)),
        }
        n += run + 1;
    }
    parts.join(",")
}

fn split_fields(text: &str) -> Vec<Piece<'_>> {
    let mut fields = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        if rest.is_empty() {
            return fields;
        }
        let len = rest.find(char::is_whitespace).unwrap_or(rest.len());
        fields.push(Piece {
            text: &rest[..len],
            offset: text.len() - rest.len(),
        });
        rest = &rest[len..];
    }
}

fn macro_line(text: &str, name: &str) -> Result<&'static str, RuleError> {
    let known = MACROS
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(name));
    if let Some((_, line)) = known {
        return Ok(line);
    }
    let offset = text.len() - text.trim_start().len();
    let piece = Piece { text: name, offset };
    let lower = name.to_ascii_lowercase();
    if lower == "@reboot" {
        return Err(piece
            .error("`@reboot` is not a time")
            .hint("start it from a systemd unit: ExecStart=jobctl enqueue JOB"));
    }
    if lower.starts_with("@every") {
        let hint = "write `every = \"5m\"` instead of `cron`";
        return Err(piece.error("`@every` is not a cron line").hint(hint));
    }
    let names = MACROS.iter().map(|(known, _)| *known);
    let hint = match nearest(name, names) {
        Some(close) => format!("did you mean `{close}`?"),
        None => "known are @hourly, @daily, @midnight, @weekly, @monthly, @yearly and @annually"
            .to_owned(),
    };
    Err(piece.error(format!("unknown macro `{name}`")).hint(hint))
}

fn wrong_count(text: &str, count: usize, fields: &[Piece<'_>]) -> RuleError {
    let command = fields
        .iter()
        .skip(5)
        .find(|field| field.text.contains(['/', '.', '=']) && !field.text.starts_with('*'));
    if let Some(command) = command {
        return RuleError::new(Field::Cron, "a cron line here has no command")
            .at(command.offset..text.trim_end().len())
            .hint("put it into the job's `command`");
    }
    let error = match fields.get(6) {
        Some(seventh) => seventh.error(format!(
            "a cron line has 5 or 6 fields, this one has {count}"
        )),
        None => RuleError::new(
            Field::Cron,
            format!("a cron line has 5 fields, this one has {count}"),
        ),
    };
    error.hint("the fields are: [second] minute hour day-of-month month day-of-week")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> (String, std::ops::Range<usize>, String) {
        let error = Line::parse(text).unwrap_err();
        (error.message, error.span, error.hint.unwrap_or_default())
    }

    const FORMS: &str =
        "a field is `*`, numbers from 0 to 59, ranges `a-b`, steps `a-b/n`, joined by commas";

    #[test]
    fn a_missing_number_is_reported_with_its_field() {
        for (text, message) in [
            (
                "1- 0 * * *",
                "a number is missing in `1-` of the minute field",
            ),
            (
                "0 0 * * #2",
                "a number is missing in `#2` of the day of week field",
            ),
        ] {
            assert_eq!(error(text).0, message);
        }
    }

    #[test]
    fn errors_point_at_their_bytes() {
        let cases = [
            ("0 22-2 * * *", 2..6, "write `22-23,0-2`"),
            ("0 0 * * FRI-SUN", 8..15, "write `5-6,0`"),
            ("0 0 * * 7-1", 8..11, "write `0-1`"),
            ("0 0 ? * *", 4..5, "write `*`"),
            ("1- 0 * * *", 0..2, FORMS),
            ("0,-5 0 * * *", 2..4, FORMS),
            ("*/ 0 * * *", 0..2, FORMS),
            ("/5 0 * * *", 0..2, FORMS),
            ("61 0 * * *", 0..2, "the minute field goes from 0 to 59"),
            ("0 0 * * 8", 8..9, "the day of week field goes from 0 to 7"),
            ("0 0 * JANUARY *", 6..13, "names have three letters: `JAN`"),
            (
                "0 0 31 2 *",
                4..10,
                "check day of month, month and day of week",
            ),
            ("*/0 * * * *", 2..3, "a step is at least 1"),
            (
                "0 0 * * L",
                8..9,
                "write `SAT`, or `5L` for the last Friday of the month",
            ),
            (
                "0 5 * * * /usr/bin/x -y",
                10..23,
                "put it into the job's `command`",
            ),
            (
                " @reboot",
                1..8,
                "start it from a systemd unit: ExecStart=jobctl enqueue JOB",
            ),
            ("@dayly", 0..6, "did you mean `@daily`?"),
            (
                "0 0 * *",
                0..0,
                "the fields are: [second] minute hour day-of-month month day-of-week",
            ),
            (
                "H 0 * * *",
                0..1,
                "write a number, and use `splay` to spread starts",
            ),
            ("1,,2 0 * * *", 0..4, "remove the superfluous comma"),
        ];
        for (text, span, hint) in cases {
            let (message, found, found_hint) = error(text);
            assert_eq!(
                (found, found_hint.as_str()),
                (span, hint),
                "{text}: {message}"
            );
        }
    }

    #[test]
    fn no_text_panics() {
        let wrong = [
            "",
            " ",
            "é é é é é",
            "L-31 0 * * *",
            "0 0 L-31 * *",
            "0 0 99W * *",
            "0 0 * * é#2",
            "0 0 * * 5#6",
            "0 0 * * #",
            "- - - - -",
            "/ / / / /",
            "*/ * * * *",
            "0-/2 * * * *",
            "99999999999 0 * * *",
            "@",
            "@é",
            "0 0 W * *",
            "0 0 * * LL",
            "0 0 1 1 * 2026 x",
            "TZ=UTC 0 0 * * *",
            "0 0 30 2 *",
            "*** * * * *",
        ];
        for text in wrong {
            assert!(Line::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn cron_gets_the_times_only() {
        let line = Line::parse("*/20 1-4,7 * * 5").unwrap();
        assert_eq!(line.times_for_cron(), "0 0,20,40 1-4,7 * * *");
        assert!(line.is_reading());
        assert_eq!(Line::parse("@Daily").unwrap().text, "0 0 * * *");
        assert!(!Line::parse("* 0 0-23 * * *").unwrap().is_reading());
    }
}
