//! The class of an ending: the first rule that matches decides.
//!
//! Order: an end by the worker or by a signal; what the command reported; the job's exit lists; its patterns; the defaults.

use crate::attempt::{Class, Ending, Report, RetryAfter};
use crate::catalogue::ExitRules;

/// The class of an ending, with its retry time and its error message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// The class.
    pub class: Class,
    /// When to retry, if the command or a pattern says so.
    pub retry_after: Option<RetryAfter>,
    /// The error for operators; `None` for a success.
    pub error: Option<String>,
}

/// Classifies an ending. A command cannot report success with a non-zero exit code, and an exit list cannot make exit 0 a failure.
pub fn classify(report: &Report, rules: &ExitRules) -> Judged {
    let error = Some(describe(report));
    let code = match &report.ending {
        Ending::Exited(code) => *code,
        Ending::CannotStart { .. } => {
            return Judged {
                class: Class::Permanent,
                retry_after: None,
                error,
            };
        }
        _ => {
            return Judged {
                class: Class::Transient,
                retry_after: None,
                error,
            };
        }
    };
    let success = match &rules.success {
        Some(codes) => codes.contains(&code),
        None => code == 0,
    };
    let said = &report.said;
    let said_class = match said.class {
        Some(Class::Success) => None,
        Some(class) => Some(class),
        None if said.retry_after.is_some() && !success => Some(Class::RateLimited),
        None => None,
    };
    if let Some(class) = said_class {
        return Judged {
            class,
            retry_after: said.retry_after,
            error,
        };
    }
    if success {
        return Judged {
            class: Class::Success,
            retry_after: None,
            error: None,
        };
    }
    let lists = [
        (&rules.transient, Class::Transient),
        (&rules.permanent, Class::Permanent),
        (&rules.rate_limited, Class::RateLimited),
    ];
    if let Some((_, class)) = lists.iter().find(|(codes, _)| codes.contains(&code)) {
        return Judged {
            class: *class,
            retry_after: None,
            error,
        };
    }
    if let Some(pattern) = rules
        .patterns
        .iter()
        .find(|pattern| pattern.regex.is_match(&report.output_tail))
    {
        let retry_after = pattern.wait_ms.map(RetryAfter::In);
        return Judged {
            class: pattern.class,
            retry_after,
            error,
        };
    }
    // sysexits.h: 75 is EX_TEMPFAIL; its neighbours are errors of input, user, rights and configuration.
    let class = match code {
        64..=74 | 76..=78 | 126 | 127 => Class::Permanent,
        _ => Class::Transient,
    };
    Judged {
        class,
        retry_after: None,
        error,
    }
}

/// One line for operators: how the command ended, with its message or else the last line of its output.
fn describe(report: &Report) -> String {
    let ending = match &report.ending {
        Ending::Exited(code) => format!("exit {code}"),
        Ending::Signalled(signal) => format!("ended by signal {signal}"),
        Ending::TimedOut { .. } => {
            format!(
                "timed out after {}",
                crate::units::format_duration(report.ran_ms)
            )
        }
        Ending::Cancelled { .. } => "cancelled".to_owned(),
        Ending::Released { .. } => "the worker stopped".to_owned(),
        Ending::CannotStart { error } => return format!("cannot start: {error}"),
    };
    let words = match &report.said.message {
        Some(message) => Some(message.clone()),
        None => last_line(&report.output_tail),
    };
    match words {
        Some(words) => format!("{ending}: {words}"),
        None => ending,
    }
}

/// The last non-blank line, at most 200 characters.
fn last_line(tail: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(tail);
    let line = text
        .lines()
        .rev()
        .map(str::trim)
        .find(|line| !line.is_empty())?;
    Some(line.chars().take(200).collect())
}

#[cfg(test)]
mod tests {
    use regex::bytes::Regex;

    use super::*;
    use crate::catalogue::Pattern;

    fn report(ending: Ending) -> Report {
        Report::not_started(ending, 0)
    }

    #[test]
    fn defaults_follow_sysexits() {
        let class = |code| classify(&report(Ending::Exited(code)), &ExitRules::default()).class;
        assert_eq!(class(0), Class::Success);
        for code in [64, 65, 74, 76, 77, 78, 126, 127] {
            assert_eq!(class(code), Class::Permanent, "{code}");
        }
        for code in [1, 2, 63, 75, 79, 125, 128, 255] {
            assert_eq!(class(code), Class::Transient, "{code}");
        }
    }

    #[test]
    fn the_report_of_a_command_overrides_lists_and_patterns() {
        let rules = ExitRules {
            permanent: vec![3],
            ..ExitRules::default()
        };
        let mut it = report(Ending::Exited(3));
        assert_eq!(classify(&it, &rules).class, Class::Permanent);
        it.said.retry_after = Some(RetryAfter::In(5000));
        assert_eq!(classify(&it, &rules).class, Class::RateLimited);
        it.said.class = Some(Class::Transient);
        let judged = classify(&it, &rules);
        assert_eq!(
            (judged.class, judged.retry_after),
            (Class::Transient, it.said.retry_after)
        );
    }

    #[test]
    fn a_command_cannot_report_success_with_a_nonzero_exit() {
        let mut it = report(Ending::Exited(1));
        it.said.class = Some(Class::Success);
        assert_eq!(classify(&it, &ExitRules::default()).class, Class::Transient);
    }

    #[test]
    fn patterns_classify_only_failures() {
        let rules = ExitRules {
            patterns: vec![Pattern {
                regex: Regex::new("429|Too Many").unwrap(),
                class: Class::RateLimited,
                wait_ms: Some(60_000),
            }],
            ..ExitRules::default()
        };
        let mut it = report(Ending::Exited(1));
        it.output_tail = b"HTTP/1.1 429 Too Many Requests\n".to_vec();
        let judged = classify(&it, &rules);
        assert_eq!(judged.class, Class::RateLimited);
        assert_eq!(judged.retry_after, Some(RetryAfter::In(60_000)));
        assert_eq!(
            judged.error.as_deref(),
            Some("exit 1: HTTP/1.1 429 Too Many Requests")
        );
        it.ending = Ending::Exited(0);
        assert_eq!(classify(&it, &rules).class, Class::Success);
    }

    #[test]
    fn an_own_success_list_replaces_zero() {
        let rules = ExitRules {
            success: Some(vec![0, 24]),
            ..ExitRules::default()
        };
        assert_eq!(
            classify(&report(Ending::Exited(24)), &rules).class,
            Class::Success
        );
    }
}
