//! One line of a crontab, as Vixie cron and cronie read it.
//!
//! Rule: exactly the interpretation of cron: no variable is expanded, and no quote in a command is changed.

/// A parsed line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Line {
    /// A blank line.
    Empty,
    /// Text after `#`.
    Comment(String),
    /// `NAME = value`, without the quotes.
    Variable(String, String),
    /// Times, and the rest of the line: a command, or a user and a command.
    Entry {
        /// `0 6 * * *` with single blanks, or `@daily`.
        times: String,
        /// The rest of the line.
        rest: String,
    },
    /// An invalid line: its text, and the cause.
    Wrong(String, &'static str),
}

const BLANKS: [char; 2] = [' ', '\t'];
const QUOTES: [char; 2] = ['"', '\''];

impl Line {
    /// Parses a line without its newline.
    pub(super) fn of(text: &str) -> Self {
        let text = text.strip_suffix('\r').unwrap_or(text);
        let text = text.trim_start_matches(BLANKS);
        if text.trim_end().is_empty() {
            return Self::Empty;
        }
        if let Some(comment) = text.strip_prefix('#') {
            return Self::Comment(comment.trim_end().to_owned());
        }
        if text.contains(['\0', '\u{fffd}']) {
            return Self::Wrong(text.to_owned(), "it is not UTF-8 text");
        }
        if let Some((name, value)) = variable(text) {
            return Self::Variable(name, value);
        }
        // In SUSE and cronie, a `-` before the minute suppresses the log of the start.
        entry(text.strip_prefix('-').unwrap_or(text))
            .unwrap_or_else(|why| Self::Wrong(text.trim_end().to_owned(), why))
    }
}

/// `NAME = value`; name and value may be quoted, blanks around `=` do not count.
fn variable(text: &str) -> Option<(String, String)> {
    let (name, after) = if let Some(quote) = text.chars().next().filter(|c| QUOTES.contains(c)) {
        text[1..].split_once(quote)?
    } else {
        text.split_at(text.find(|c: char| c == '=' || BLANKS.contains(&c))?)
    };
    let value = after.trim_start_matches(BLANKS).strip_prefix('=')?;
    let is_name = |c: char| c.is_alphanumeric() || "_-.".contains(c);
    if name.is_empty() || !name.chars().all(is_name) {
        return None;
    }
    let value = value.trim_matches(BLANKS).trim_end();
    let inner = QUOTES.into_iter().find_map(|quote| {
        let inner = value.strip_prefix(quote)?.strip_suffix(quote)?;
        (value.len() >= 2).then_some(inner)
    });
    Some((name.to_owned(), inner.unwrap_or(value).to_owned()))
}

fn entry(text: &str) -> Result<Line, &'static str> {
    let count = if text.starts_with('@') { 1 } else { 5 };
    let mut times: Vec<&str> = Vec::with_capacity(count);
    let mut rest = text;
    for _ in 0..count {
        let Some(end) = rest.find(BLANKS) else {
            return Err(match (count, times.is_empty()) {
                (1, _) => "no command after the macro",
                (_, true) => "neither a variable nor a line with five fields and a command",
                _ => "fewer than five fields and a command",
            });
        };
        let (field, after) = rest.split_at(end);
        times.push(field);
        rest = after.trim_start_matches(BLANKS);
    }
    if rest.trim_end().is_empty() {
        return Err("no command");
    }
    Ok(Line::Entry {
        times: times.join(" "),
        rest: rest.to_owned(),
    })
}

/// The user and the command of a line of a system crontab.
pub(super) fn user_and_command(rest: &str) -> Option<(&str, &str)> {
    let (user, command) = rest.split_once(BLANKS)?;
    let command = command.trim_start_matches(BLANKS);
    let begins = user.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let name = |c: char| c.is_ascii_alphanumeric() || "_-$".contains(c);
    (begins && user.chars().all(name) && !command.is_empty()).then_some((user, command))
}

/// Users that are also names of commands, so that they prove nothing as the first word.
const ALSO_COMMANDS: [&str; 8] = [
    "backup", "games", "list", "mail", "man", "news", "sync", "www",
];

/// Whether every line has a user before its command.
///
/// True if every first word could be a user name and one is `root`, which is not a command, or if all are users of this machine.
pub(super) fn is_system(lines: &[Line], users: &[String]) -> bool {
    let rests = || {
        lines.iter().filter_map(|line| match line {
            Line::Entry { rest, .. } => Some(rest.as_str()),
            _ => None,
        })
    };
    let names: Option<Vec<&str>> = rests()
        .map(|rest| user_and_command(rest).map(|(user, _)| user))
        .collect();
    let Some(names) = names.filter(|names| !names.is_empty()) else {
        return false;
    };
    let is_user = |name: &&&str| users.iter().any(|user| user == **name);
    names.contains(&"root")
        || (names.iter().filter(is_user).count() == names.len()
            && names.iter().any(|name| !ALSO_COMMANDS.contains(name)))
}

/// A command and its input: the first unescaped `%` ends the command, each further one is a newline of the input.
pub(super) fn split_input(rest: &str) -> (String, Option<String>) {
    let mut parts = (String::new(), None::<String>);
    let mut chars = rest.trim_end().chars().peekable();
    while let Some(c) = chars.next() {
        let c = match c {
            '\\' if chars.peek() == Some(&'%') => {
                chars.next();
                '%'
            }
            '%' if parts.1.is_none() => {
                parts.1 = Some(String::new());
                continue;
            }
            '%' => '\n',
            c => c,
        };
        parts.1.as_mut().unwrap_or(&mut parts.0).push(c);
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_cron_reads_them() {
        let entry = |times: &str, rest: &str| Line::Entry {
            times: times.to_owned(),
            rest: rest.to_owned(),
        };
        let wrong = |text: &'static str, why| (text, Line::Wrong(text.trim_end().to_owned(), why));
        let variable = |name: &str, value: &str| Line::Variable(name.to_owned(), value.to_owned());
        for (text, line) in [
            ("", Line::Empty),
            (" \t\r", Line::Empty),
            ("  # a b ", Line::Comment(" a b".to_owned())),
            ("A=b", variable("A", "b")),
            ("A = \"b c\" ", variable("A", "b c")),
            ("'A' = 'b'", variable("A", "b")),
            ("A=", variable("A", "")),
            ("A=\"", variable("A", "\"")),
            ("PATH=/bin:$PATH", variable("PATH", "/bin:$PATH")),
            ("0 6 * * * run a=b", entry("0 6 * * *", "run a=b")),
            ("\t0  6\t* * 1-5   run  x ", entry("0 6 * * 1-5", "run  x ")),
            ("-*/5 * * * * x", entry("*/5 * * * *", "x")),
            ("@daily root x", entry("@daily", "root x")),
            wrong("0 6 * * *", "fewer than five fields and a command"),
            wrong("0 6 * * * ", "no command"),
            wrong("@daily", "no command after the macro"),
            wrong(
                "hello",
                "neither a variable nor a line with five fields and a command",
            ),
        ] {
            assert_eq!(Line::of(text), line, "{text:?}");
        }
    }

    #[test]
    fn percent_signs_separate_command_and_input() {
        for (rest, command, input) in [
            ("date +\\%F", "date +%F", None),
            ("mail x%hello%world", "mail x", Some("hello\nworld")),
            ("cat%", "cat", Some("")),
            ("a\\%b%c\\%d", "a%b", Some("c%d")),
            ("a\\\\b", "a\\\\b", None),
        ] {
            let expected = (command.to_owned(), input.map(str::to_owned));
            assert_eq!(split_input(rest), expected, "{rest}");
        }
    }

    #[test]
    fn a_system_crontab_is_known_by_its_users() {
        let is = |text: &str, users: &[&str]| {
            let lines: Vec<Line> = text.lines().map(Line::of).collect();
            let users: Vec<String> = users.iter().map(ToString::to_string).collect();
            is_system(&lines, &users)
        };
        assert!(is(
            "17 * * * * root cd / && x\n0 1 * * * deploy /opt/x",
            &[]
        ));
        assert!(is("0 1 * * * deploy /opt/x", &["deploy"]));
        assert!(!is("0 1 * * * deploy /opt/x", &["mail"]));
        assert!(!is("0 1 * * * mail -s x y", &["mail"]));
        assert!(!is("0 1 * * * /opt/x a\n0 1 * * * root x", &["root"]));
        assert!(!is("0 1 * * * root", &["root"]));
        assert!(!is("A=b", &["root"]));
    }
}
