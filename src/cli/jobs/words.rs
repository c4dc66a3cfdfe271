//! A job's rules in words.
//!
//! Rule: pure and complete: every setting that has an effect is mentioned.

use crate::attempt::Class;
use crate::catalogue::{
    BackoffKind, CatchUp, Coalesce, Command, Dedup, ExitRules, Jitter, Job, Overlap, Pattern,
    Resource, Rlimit, Schedule, Sequence, SequenceOnDead, Template,
};
use crate::units::{format_duration, format_size};

/// The command as one would type it, with its placeholders.
pub(super) fn command(command: &Command) -> String {
    match command {
        Command::Argv(templates) => {
            let words: Vec<String> = templates.iter().map(Template::to_string).collect();
            arguments(&words)
        }
        Command::Shell { script, .. } => script.trim_matches('\n').to_owned(),
    }
}

/// Arguments, quoted for a shell where they need it.
pub(super) fn arguments(words: &[String]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| quote(word)).collect();
    quoted.join(" ")
}

fn quote(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "_@%+=:,./-{}".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// The rule, and what happens to periods that are late or overlap.
pub(super) fn schedule(schedule: &Schedule) -> String {
    let mut lines = vec![schedule.rule.words()];
    let calendar = schedule.rule.calendar().name();
    if !calendar.is_empty() {
        lines.push(format!("calendar {calendar}"));
    }
    let grace = format_duration(schedule.late_grace_ms);
    let within = match schedule.catch_up_within_ms {
        Some(ms) => format!("not older than {}", format_duration(ms)),
        None => "not older than one spacing".to_owned(),
    };
    lines.push(match schedule.catch_up {
        CatchUp::None => format!("skipped if it is missed by over {grace}"),
        CatchUp::Latest => {
            format!("caught up if it is missed by over {grace}: the latest, {within}")
        }
        CatchUp::All => format!(
            "caught up if it is missed by over {grace}: up to {}, {within}",
            schedule.catch_up_max
        ),
    });
    lines.push(match schedule.overlap {
        Overlap::Queue => "if the previous one still runs, one more waits".to_owned(),
        Overlap::Skip => "skipped while the previous one waits or runs".to_owned(),
        Overlap::Allow => "starts even if others still run".to_owned(),
        Overlap::Replace => "cancels the previous one if it still waits or runs".to_owned(),
    });
    if schedule.splay_ms > 0 {
        let splay = format_duration(schedule.splay_ms);
        lines.push(format!(
            "delayed by up to {splay}, always the same for a period"
        ));
    }
    for (name, value) in &schedule.params {
        lines.push(format!("{name} = {value}"));
    }
    lines.join("\n")
}

/// `3 attempts, 10s doubling up to 1h, full jitter; ...`
pub(super) fn retry(job: &Job) -> String {
    let intake = &job.intake;
    let attempts = match intake.attempts {
        1 => "1 attempt".to_owned(),
        n => format!("{n} attempts, {}", backoff(job)),
    };
    let deaths = match intake.max_crashes {
        1 => "1 death of its worker".to_owned(),
        n => format!("{n} deaths of its workers"),
    };
    let limited = format_duration(job.rate_limited_for_ms);
    format!("{attempts}\npoison after {deaths}\nrate limited for at most {limited}")
}

fn backoff(job: &Job) -> String {
    let backoff = &job.backoff;
    let max = format_duration(backoff.max_ms);
    let wait = match &backoff.kind {
        BackoffKind::Fixed(ms) => format!(
            "{} between them",
            format_duration((*ms).min(backoff.max_ms))
        ),
        BackoffKind::Exponential { base_ms, factor } => {
            let base = format_duration(*base_ms);
            match factor {
                1.0 => format!("{base} between them"),
                2.0 => format!("{base} doubling up to {max}"),
                3.0 => format!("{base} tripling up to {max}"),
                factor => format!("{base} growing {factor}-fold up to {max}"),
            }
        }
        BackoffKind::List(waits) => {
            let waits: Vec<String> = waits
                .iter()
                .map(|&ms| format_duration(ms.min(backoff.max_ms)))
                .collect();
            format!("waits {}", waits.join(", "))
        }
    };
    match backoff.jitter {
        Jitter::None => format!("{wait}, no jitter"),
        jitter => format!("{wait}, {jitter} jitter"),
    }
}

/// `30s, then SIGTERM, and SIGKILL 5s later`
pub(super) fn timeout(job: &Job) -> String {
    let limit = job
        .timeout_ms
        .map_or_else(|| "none".to_owned(), format_duration);
    let grace = format_duration(job.grace_ms);
    match job.timeout_ms {
        Some(_) => format!("{limit}, then SIGTERM, and SIGKILL {grace} later"),
        None => format!("none; when it is stopped, SIGKILL comes {grace} after SIGTERM"),
    }
}

/// `one run for each `{to}` within 1h`
pub(super) fn dedup(dedup: &Dedup) -> String {
    let window = dedup
        .window_ms
        .map(|ms| format!("within {}", format_duration(ms)));
    let during = dedup.coalesce.map(|coalesce| match coalesce {
        Coalesce::DropWaiting => "while it waits",
        Coalesce::DropActive => "while it waits or runs",
        Coalesce::Replace => "while it waits, with the newest parameters",
        Coalesce::Rerun => {
            "while it waits, with the newest parameters, and one more behind it while it runs"
        }
    });
    let rules: Vec<&str> = window.as_deref().into_iter().chain(during).collect();
    format!("one run for each `{}` {}", dedup.key, rules.join(", "))
}

/// `those with equal `{customer}` one after another`
pub(super) fn sequence(sequence: &Sequence) -> String {
    let dead = match sequence.on_dead {
        SequenceOnDead::Block => "a dead run blocks those behind it",
        SequenceOnDead::Continue => "a dead run does not block those behind it",
    };
    format!(
        "those with equal `{}` one after another; {dead}",
        sequence.key
    )
}

/// The job's own exit codes and patterns, a line each; then the defaults.
pub(super) fn exit(rules: &ExitRules) -> String {
    let codes = |codes: &[i32]| {
        codes
            .iter()
            .map(i32::to_string)
            .collect::<Vec<_>>()
            .join(", ")
    };
    let success = rules.success.as_deref().unwrap_or(&[0]);
    let mut lines = vec![format!("{}: {}", Class::Success, codes(success))];
    let lists = [
        (Class::Transient, &rules.transient),
        (Class::Permanent, &rules.permanent),
        (Class::RateLimited, &rules.rate_limited),
    ];
    let given = lists.iter().filter(|(_, list)| !list.is_empty());
    lines.extend(given.map(|(class, list)| format!("{class}: {}", codes(list))));
    lines.extend(rules.patterns.iter().map(pattern));
    lines.push("else permanent: 64-74, 76-78, 126, 127; transient: all others".to_owned());
    lines.join("\n")
}

fn pattern(pattern: &Pattern) -> String {
    let wait = pattern
        .wait_ms
        .map_or_else(String::new, |ms| format!(", waits {}", format_duration(ms)));
    format!(
        "{}: output matches `{}`{wait}",
        pattern.class, pattern.regex
    )
}

/// `as: 2G`
pub(super) fn rlimit(rlimit: &Rlimit) -> String {
    let limit = match (rlimit.limit, rlimit.resource) {
        (None, _) => "unlimited".to_owned(),
        (Some(n), Resource::Nofile | Resource::Nproc) => n.to_string(),
        (Some(n), Resource::Cpu) => format_duration((n as i64).saturating_mul(1000)),
        (Some(n), _) => format_size(n),
    };
    format!("{}: {limit}", rlimit.resource)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_quoted_where_a_shell_would_read_them() {
        let words = ["/bin/sh", "-c", "echo \"$1\" it's", "", "--to={to}"].map(str::to_owned);
        assert_eq!(
            arguments(&words),
            r#"/bin/sh -c 'echo "$1" it'\''s' '' --to={to}"#
        );
    }

    #[test]
    fn limits_are_in_their_units() {
        let said = |resource, limit| rlimit(&Rlimit { resource, limit });
        assert_eq!(said(Resource::As, Some(2 << 30)), "as: 2G");
        assert_eq!(said(Resource::Cpu, Some(60)), "cpu: 1m");
        assert_eq!(said(Resource::Nofile, Some(1024)), "nofile: 1024");
        assert_eq!(said(Resource::Core, None), "core: unlimited");
    }
}
