//! Names of jobs, derived from their commands.
//!
//! Rule: a name is `[a-z0-9][a-z0-9_-]*`, at most 64 long, and unique in the draft.

use std::collections::BTreeSet;

/// Words that precede the word of interest in a command.
const WRAPPERS: [&str; 30] = [
    "!",
    "(",
    "[",
    "[[",
    "bash",
    "chronic",
    "command",
    "cronic",
    "env",
    "exec",
    "flock",
    "if",
    "ionice",
    "nice",
    "nohup",
    "perl",
    "php",
    "python",
    "python3",
    "ruby",
    "runuser",
    "setsid",
    "sh",
    "sudo",
    "systemd-cat",
    "test",
    "then",
    "time",
    "timeout",
    "{",
];

/// The names in use.
#[derive(Debug, Default)]
pub(super) struct Names(BTreeSet<String>);

impl Names {
    /// A new name for the job with this command.
    pub(super) fn of(&mut self, command: &str) -> String {
        let base = stem(command);
        let mut name = base.clone();
        let mut number = 2;
        while !self.0.insert(name.clone()) {
            name = format!("{base}-{number}");
            number += 1;
        }
        name
    }
}

fn stem(command: &str) -> String {
    let mut words = command.split_whitespace();
    let mut found = None;
    while let Some(word) = words.next() {
        let word = word.trim_matches(['"', '\'', '(', ')', ';', '{', '}']);
        if matches!(word, "cd" | "." | "source") {
            words.next();
            continue;
        }
        let program = word.rsplit('/').next().unwrap_or(word);
        let is_text = word.bytes().any(|b| b.is_ascii_alphabetic());
        let assigns = word.contains('=') && !word.starts_with('/');
        if !is_text || assigns || word.starts_with('-') || WRAPPERS.contains(&program) {
            continue;
        }
        // A duration of `timeout`, a lock file of `flock`, a variable.
        let is_argument = word.starts_with(|c: char| c.is_ascii_digit())
            || (word.starts_with('$') && !word.contains('/'))
            || word
                .rsplit_once('.')
                .is_some_and(|(_, end)| matches!(end, "lock" | "lck"));
        if !is_argument {
            found = Some(word);
            break;
        }
    }
    let name = sanitised(found.unwrap_or("job"));
    if name.is_empty() {
        "job".to_owned()
    } else {
        name
    }
}

/// The last part of a path, without the ending of a script.
fn sanitised(word: &str) -> String {
    let last = word
        .trim_end_matches('/')
        .rsplit('/')
        .next()
        .unwrap_or(word);
    let last = match last.rsplit_once('.') {
        Some((stem, "sh" | "py" | "pl" | "rb" | "php" | "js" | "bash")) if !stem.is_empty() => stem,
        _ => last,
    };
    let safe = |c: char| match c.to_ascii_lowercase() {
        c @ ('a'..='z' | '0'..='9' | '_') => c,
        _ => '-',
    };
    let name: String = last.chars().map(safe).collect();
    let name = name.trim_matches(['-', '_']);
    // Leaves room for a number.
    name.chars().take(56).collect()
}

/// The queue of a user's jobs.
pub(super) fn queue_of(user: &str) -> String {
    let name = sanitised(user);
    match name.as_str() {
        "" | "default" | "high" | "low" => format!("user-{name}"),
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_from_the_program_of_the_command() {
        for (command, name) in [
            ("/usr/local/bin/Backup.sh --full", "backup"),
            ("cd /srv/app && ./manage.py clearsessions", "manage"),
            ("nice -n 19 ionice -c3 /opt/x/report_2 2>&1", "report_2"),
            ("A=b FOO=bar php /var/www/cron.php", "cron"),
            (
                "[ -x /usr/sbin/anacron ] || run-parts /etc/cron.daily",
                "anacron",
            ),
            ("flock -n /tmp/x.lock timeout 30s sync-all", "sync-all"),
            ("* * *", "job"),
            ("ёлка", "job"),
            ("$HOME/bin/x", "x"),
            ("$RUN", "job"),
        ] {
            assert_eq!(stem(command), name, "{command}");
        }
        let mut names = Names::default();
        assert_eq!(
            ["a", "a", "a-2", "a"].map(|c| names.of(c)),
            ["a", "a-2", "a-2-2", "a-3"]
        );
        assert_eq!(queue_of("www-data"), "www-data");
        assert_eq!(queue_of("default"), "user-default");
        assert_eq!(queue_of("PC$"), "pc");
    }
}
