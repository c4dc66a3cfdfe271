//! Converts one line of a crontab, with the variables before it, to a job.
//!
//! Rule: the settings of the first line become `[defaults]`; a job has only the settings that differ.

use std::fmt::Write;

use super::Surroundings;
use super::line::split_input;
use super::name::Names;
use super::toml_text::{comment, string, table};
use crate::schedule::{Field, Rule, RuleError, RuleSpec};

const SHELL: &str = "/bin/sh";
/// Shells with `{ ...; }` and here-documents.
const BOURNE: [&str; 7] = ["sh", "ash", "bash", "dash", "ksh", "mksh", "zsh"];

/// The variables of a crontab, as far as they were read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Settings {
    /// Variables of the commands, in the order in which they were first set.
    env: Vec<(String, String)>,
    pub(super) shell: String,
    /// `CRON_TZ`
    pub(super) timezone: Option<String>,
    /// Why `CRON_TZ` cannot be used.
    pub(super) wrong_zone: Option<String>,
    /// `RANDOM_DELAY`
    pub(super) delay_minutes: u32,
    /// Name of the job for MAILTO.
    pub(super) mail_job: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            env: Vec::new(),
            shell: SHELL.to_owned(),
            timezone: None,
            wrong_zone: None,
            delay_minutes: 0,
            mail_job: None,
        }
    }
}

impl Settings {
    /// Sets a variable of the commands.
    pub(super) fn set(&mut self, name: &str, value: &str) {
        match self.env.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => value.clone_into(old),
            None => self.env.push((name.to_owned(), value.to_owned())),
        }
    }

    /// HOME, in which cron starts commands.
    fn home(&self) -> Option<&str> {
        let home = self.env.iter().find(|(name, _)| name == "HOME");
        home.map(|(_, home)| home.as_str())
            .filter(|home| home.starts_with('/'))
    }

    /// The keys of `[defaults]`.
    pub(super) fn as_defaults(&self, machine_zone: &str) -> String {
        let mut text = String::new();
        let (zone, why) = match &self.timezone {
            Some(zone) => (zone.as_str(), "CRON_TZ"),
            None => (machine_zone, "the zone of this machine, which cron used"),
        };
        let _ = writeln!(text, "timezone = {} # {why}", string(zone));
        text += "timeout = \"1d\" # cron has no limit\n";
        text +=
            "retry.attempts = 1 # cron never retries; raise it if the commands can be repeated\n";
        if self.shell != SHELL {
            let _ = writeln!(text, "shell = [{}, \"-c\"]", string(&self.shell));
        }
        if let Some(home) = self.home() {
            let _ = writeln!(text, "cwd = {}", string(home));
        }
        if !self.env.is_empty() {
            let _ = writeln!(text, "env = {}", table(pairs(self.env.iter())));
        }
        text
    }
}

fn pairs<'a>(
    env: impl Iterator<Item = &'a (String, String)>,
) -> impl Iterator<Item = (&'a str, &'a str)> {
    env.map(|(name, value)| (name.as_str(), value.as_str()))
}

/// A line and the settings that apply to it.
pub(super) struct Entry<'a> {
    pub(super) times: &'a str,
    pub(super) command: &'a str,
    pub(super) queue: Option<String>,
    pub(super) settings: &'a Settings,
    pub(super) defaults: &'a Settings,
}

/// The sections of the job; the error is the reason why the line cannot be converted.
pub(super) fn job(
    entry: &Entry<'_>,
    names: &mut Names,
    surroundings: &Surroundings<'_>,
) -> Result<String, String> {
    let planned = plan(entry, surroundings)?;
    let (command, input) = split_input(entry.command);
    if command.trim().is_empty() {
        return Err("no command".to_owned());
    }
    let name = names.of(&command);
    let (settings, defaults) = (entry.settings, entry.defaults);
    let mut text = format!("{}[job.{name}]\n", planned.about);
    let mut add = |key: &str, value: String| {
        let _ = writeln!(text, "{key} = {value}");
    };
    let (command, is_list) = with_input(&command, input.as_deref(), &settings.shell);
    add("command", command);
    if settings.shell != defaults.shell && !is_list {
        add("shell", format!("[{}, \"-c\"]", string(&settings.shell)));
    }
    if let Some(queue) = &entry.queue {
        add("queue", string(queue));
    }
    if settings.home() != defaults.home()
        && let Some(home) = settings.home()
    {
        add("cwd", string(home));
    }
    let changed: Vec<&(String, String)> = settings
        .env
        .iter()
        .filter(|pair| !defaults.env.contains(pair))
        .collect();
    if !changed.is_empty() {
        add("env", table(pairs(changed.into_iter())));
    }
    if let Some(mail_job) = &settings.mail_job {
        add("# on_dead", string(mail_job));
    }
    if let Some(keys) = planned.schedule {
        let _ = write!(text, "[job.{name}.schedule]\n{keys}");
    }
    Ok(text)
}

/// When a job runs.
struct Plan {
    /// Comment lines above the section of the job.
    about: String,
    /// The keys of its schedule.
    schedule: Option<String>,
}

fn plan(entry: &Entry<'_>, surroundings: &Surroundings<'_>) -> Result<Plan, String> {
    let times = entry.times;
    if times.eq_ignore_ascii_case("@reboot") {
        let about = "# @reboot: a schedule cannot start a job at boot. Let a systemd unit enqueue this job:\n\
             #   [Service]\n\
             #   Type=oneshot\n\
             #   ExecStart=jobctl enqueue JOB\n\
             #   [Install]\n\
             #   WantedBy=multi-user.target\n";
        return Ok(Plan {
            about: about.to_owned(),
            schedule: None,
        });
    }
    let cron = if times.eq_ignore_ascii_case("@every_minute") {
        "* * * * *"
    } else {
        times
    };
    let settings = entry.settings;
    let zone = settings
        .timezone
        .as_deref()
        .unwrap_or(surroundings.timezone);
    let delay_ms = i64::from(settings.delay_minutes) * 60_000;
    let mut spec = RuleSpec {
        cron: Some(cron.to_owned()),
        timezone: Some(zone.to_owned()),
        splay_ms: Some(delay_ms),
        ..RuleSpec::default()
    };
    let said = |error: RuleError| match error.hint {
        Some(hint) => format!("{} ({hint})", error.message),
        None => error.message,
    };
    let mut splay = (delay_ms > 0).then(|| format!("splay = \"{}m\"\n", settings.delay_minutes));
    let rule = match Rule::new(&spec, surroundings.zones) {
        Err(error) if error.field == Field::Splay => {
            splay = Some(format!(
                "# RANDOM_DELAY={}: too long for this rule, `splay` must stay below half of its shortest spacing\n",
                settings.delay_minutes
            ));
            spec.splay_ms = None;
            Rule::new(&spec, surroundings.zones)
        }
        other => other,
    };
    let rule = rule.map_err(said)?;
    let mut keys = format!("cron = {}\n", string(cron));
    if settings.timezone != entry.defaults.timezone {
        let _ = writeln!(keys, "timezone = {}", string(zone));
    }
    keys += splay.as_deref().unwrap_or_default();
    Ok(Plan {
        about: format!("# {}\n", comment(&rule.words())),
        schedule: Some(keys),
    })
}

/// The value of `command`, including the input, and whether it is a list.
fn with_input(command: &str, input: Option<&str>, shell: &str) -> (String, bool) {
    let Some(input) = input else {
        return (string(command), false);
    };
    // cron adds a newline to the last line, if there is one.
    let end = if input.is_empty() || input.ends_with('\n') {
        ""
    } else {
        "\n"
    };
    let name = shell.rsplit('/').next().unwrap_or(shell);
    if BOURNE.contains(&name) && !command.ends_with('\\') {
        let mut mark = "INPUT".to_owned();
        while input.lines().any(|line| line == mark) {
            mark.push('_');
        }
        let script = format!("{{\n{command}\n}} <<'{mark}'\n{input}{end}{mark}\n");
        return (string(&script), false);
    }
    let braces = |text: &str| string(&text.replace('{', "{{").replace('}', "}}"));
    let script = r#"'printf %s "$2" | "$0" -c "$1"'"#;
    let list = format!(
        "[\"/bin/sh\", \"-c\", {script}, {}, {}, {}]",
        braces(shell),
        braces(command),
        braces(&format!("{input}{end}"))
    );
    (list, true)
}
