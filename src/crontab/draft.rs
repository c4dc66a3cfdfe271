//! The draft: heading, defaults, queues, then the lines of the crontab in their order.
//!
//! Rule: comments keep their places; a comment explains everything that cron did and jobctl does differently.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::Surroundings;
use super::entry::{self, Entry, Settings};
use super::line::{Line, user_and_command};
use super::name::{Names, queue_of};
use super::toml_text::{comment, string};

/// A draft of a catalogue, to be reviewed before it is used.
#[derive(Debug)]
pub struct Draft {
    /// TOML.
    pub text: String,
    /// Jobs in it.
    pub jobs: usize,
    /// Whether each line was read with a user before its command.
    pub system: bool,
    /// The lines that are only comments in the draft.
    pub leftovers: Vec<Leftover>,
}

/// A line that could not be converted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    /// Number of the line, from 1.
    pub line: usize,
    /// Why.
    pub message: String,
}

const SEVERAL_USERS: &str = "
# Each user of the crontab has a queue. A store belongs to one user, so split this draft: each user needs a catalogue with the
# jobs of its queue, a store, a worker and a scheduler of its own. Below are the settings of one worker unit for each user.
";

/// The draft while it is written.
struct Writer<'a> {
    surroundings: &'a Surroundings<'a>,
    names: Names,
    settings: Settings,
    /// The variables of the first entry: the defaults of the draft.
    defaults: Option<Settings>,
    users: BTreeSet<String>,
    body: String,
    jobs: usize,
    leftovers: Vec<Leftover>,
}

/// Writes the draft of these lines.
pub(super) fn write(lines: &[Line], system: bool, surroundings: &Surroundings<'_>) -> Draft {
    let mut writer = Writer {
        surroundings,
        names: Names::default(),
        settings: Settings::default(),
        defaults: None,
        users: BTreeSet::new(),
        body: String::new(),
        jobs: 0,
        leftovers: Vec::new(),
    };
    for (index, line) in lines.iter().enumerate() {
        let number = index + 1;
        match line {
            Line::Empty => writer.blank(),
            Line::Comment(text) => writer.say(text),
            Line::Variable(name, value) => writer.variable(number, name, value),
            Line::Entry { times, rest } => writer.entry(number, times, rest, system),
            Line::Wrong(text, why) => writer.leave_out(number, why, text),
        }
    }
    writer.end(system)
}

impl Writer<'_> {
    /// Adds an empty line, but never two in a row.
    fn blank(&mut self) {
        if !self.body.is_empty() && !self.body.ends_with("\n\n") {
            self.body.push('\n');
        }
    }

    fn say(&mut self, text: &str) {
        let _ = writeln!(self.body, "#{}", comment(text));
    }

    /// Adds a line that could not be converted, as a comment.
    fn leave_out(&mut self, line: usize, why: &str, text: &str) {
        self.say(&format!(" line {line} was left out: {why}"));
        self.say(&format!("   {text}"));
        self.leftovers.push(Leftover {
            line,
            message: why.to_owned(),
        });
    }

    fn variable(&mut self, line: usize, name: &str, value: &str) {
        match name {
            "MAILTO" => self.mail_to(value),
            "CRON_TZ" => match self.surroundings.zones.zone(value) {
                Ok(_) => {
                    self.settings.timezone = Some(value.to_owned());
                    self.settings.wrong_zone = None;
                }
                Err(error) => {
                    self.settings.wrong_zone = Some(error.message.clone());
                    self.leave_out(line, &error.message, &format!("CRON_TZ={value}"));
                }
            },
            "SHELL" if !value.is_empty() => value.clone_into(&mut self.settings.shell),
            "RANDOM_DELAY" => match value.parse() {
                Ok(minutes) => self.settings.delay_minutes = minutes,
                Err(_) => self.leave_out(
                    line,
                    "it is not a number of minutes",
                    &format!("RANDOM_DELAY={value}"),
                ),
            },
            "LOGNAME" | "USER" => self.say(&format!(
                " {name}={value}: set by the worker, from its user"
            )),
            "MAILFROM"
            | "CONTENT_TYPE"
            | "CONTENT_TRANSFER_ENCODING"
            | "START_HOURS_RANGE"
            | "SHELL" => {
                self.say(&format!(" {name}={value}: has no effect here"));
            }
            _ => match crate::catalogue::refused_variable(name) {
                Some(why) => self.leave_out(line, &why, &format!("{name}={value}")),
                None => self.settings.set(name, value),
            },
        }
    }

    fn mail_to(&mut self, address: &str) {
        self.settings.mail_job = None;
        if address.is_empty() {
            return self.say(" MAILTO=\"\": cron mailed nothing");
        }
        let name = self
            .names
            .of(&format!("mail-{}", address.replace(['/', '.'], "-")));
        self.say(&format!(
            " MAILTO={address}: cron mailed all output. To get a mail about each dead run, uncomment these lines"
        ));
        self.say(" and `on_dead` of the jobs below:");
        self.say(&format!(" [job.{name}]"));
        let script = r#"mail -s "jobctl: run $JOBCTL_RUN_PARENT_ID is dead" -- "$1""#;
        let address = string(&address.replace('{', "{{").replace('}', "}}"));
        self.say(&format!(
            r#" command = ["/bin/sh", "-c", '{script}', "mail", {address}]"#
        ));
        self.settings.mail_job = Some(name);
    }

    fn entry(&mut self, line: usize, times: &str, rest: &str, system: bool) {
        let whole = format!("{times} {rest}");
        let (user, command) = if system {
            match user_and_command(rest) {
                Some((user, command)) => (Some(user), command),
                None => {
                    return self.leave_out(line, "no user before the command", &whole);
                }
            }
        } else {
            (None, rest)
        };
        if let Some(why) = &self.settings.wrong_zone {
            let why = format!("its CRON_TZ is wrong: {why}");
            return self.leave_out(line, &why, &whole);
        }
        let defaults = self.defaults.get_or_insert_with(|| self.settings.clone());
        let entry = Entry {
            times,
            command,
            queue: user.map(queue_of),
            settings: &self.settings,
            defaults,
        };
        match entry::job(&entry, &mut self.names, self.surroundings) {
            Ok(text) => {
                if let Some(user) = user {
                    self.users.insert(user.to_owned());
                }
                self.jobs += 1;
                // A comment stays with the job below it; jobs are separated by an empty line.
                let last = self.body.trim_end().rsplit('\n').next().unwrap_or_default();
                if !last.starts_with('#') {
                    self.blank();
                }
                self.body.push_str(&text);
            }
            Err(why) => self.leave_out(line, &why, &whole),
        }
    }

    fn end(self, system: bool) -> Draft {
        let mut text = String::new();
        for line in self.surroundings.heading {
            let _ = writeln!(text, "# {}", comment(line));
        }
        text.push_str("\n[defaults]\n");
        let settings = self.defaults.unwrap_or(self.settings);
        text.push_str(&settings.as_defaults(self.surroundings.timezone));
        if system && !self.users.is_empty() {
            text.push_str(SEVERAL_USERS);
            for user in &self.users {
                let queue = queue_of(user);
                let _ = write!(
                    text,
                    "\n# Jobs of user {user}:\n\
                     #   /etc/systemd/system/jobctl-worker@{queue}.service.d/user.conf\n\
                     #     [Service]\n\
                     #     User={user}\n\
                     #     ConfigurationDirectory=\n\
                     #     ConfigurationDirectory=jobctl-{queue}\n\
                     #     StateDirectory=\n\
                     #     StateDirectory=jobctl-{queue}\n\
                     #   systemctl enable --now jobctl-worker@{queue}.service\n\
                     [queue.{queue}]\n\
                     rank = 50\n"
                );
            }
        }
        let body = self.body.trim_matches('\n');
        if !body.is_empty() {
            let _ = write!(text, "\n{body}\n");
        }
        Draft {
            text,
            jobs: self.jobs,
            system,
            leftovers: self.leftovers,
        }
    }
}
