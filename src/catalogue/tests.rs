//! Whole catalogues: accepted ones, and complaints with their places.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::*;
use crate::error::{Error, Kind};

/// 2026-11-01T12:00:00Z: when advice is asked for.
pub(super) const NOW_MS: i64 = 1_793_534_400_000;

/// A directory with a catalogue that only its owner can write.
struct World(tempfile::TempDir);

impl World {
    fn new(main: impl AsRef<[u8]>) -> Self {
        let world = Self(tempfile::tempdir().expect("a directory"));
        std::fs::set_permissions(world.0.path(), PermissionsExt::from_mode(0o755)).expect("a mode");
        world.write("jobs.toml", main);
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        std::fs::write(&path, content).expect("written");
        for path in [&path, &self.path("jobs.d")]
            .into_iter()
            .filter(|path| path.exists())
        {
            let mode = if path.is_dir() { 0o755 } else { 0o644 };
            std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).expect("a mode");
        }
    }

    /// All complaints as `level line:column message | hint`.
    fn check(&self) -> Vec<String> {
        let complaints = Catalogue::check(&self.path("jobs.toml"), NOW_MS);
        let line = |c: &Complaint| {
            let place = format!(
                "{}:{}",
                c.line.unwrap_or_default(),
                c.column.unwrap_or_default()
            );
            let file = Path::new(&c.file)
                .file_name()
                .unwrap_or_default()
                .to_string_lossy();
            let file = if file == "jobs.toml" {
                String::new()
            } else {
                format!("{file}:")
            };
            format!(
                "{} {file}{place} {} | {}",
                c.level,
                c.message,
                c.hint.clone().unwrap_or_default()
            )
        };
        complaints.iter().map(line).collect()
    }

    fn load(&self) -> Catalogue {
        match Catalogue::load(&self.path("jobs.toml")) {
            Ok(catalogue) => catalogue,
            Err(failed) => panic!("{}", failed.render(false)),
        }
    }
}

/// The complaints about a job `x` with these lines after its `command`.
fn about_job(lines: &str) -> Vec<String> {
    World::new(format!("[job.x]\ncommand = [\"true\"]\n{lines}")).check()
}

fn job(lines: &str) -> Job {
    let world = World::new(format!("[job.x]\n{lines}"));
    Job::clone(&world.load().jobs["x"])
}

#[test]
fn defaults_are_those_of_the_manual() {
    let world = World::new("[job.x]\ncommand = \"true\"\n");
    let catalogue = world.load();
    assert_eq!(catalogue.path, world.path("jobs.toml"));
    assert_eq!(catalogue.timezone, None);
    assert_eq!(catalogue.store.min_free, 1 << 30);
    assert_eq!(
        catalogue.store.retention,
        Retention {
            age_ms: Some(2_592_000_000),
            runs: None
        }
    );
    assert_eq!(
        catalogue.worker,
        WorkerSettings {
            slots: None,
            stop_after_ms: 30_000
        }
    );
    let ranks: Vec<_> = catalogue
        .queues
        .iter()
        .map(|(name, q)| (name.as_str(), q.rank))
        .collect();
    assert_eq!(ranks, [("default", 50), ("high", 10), ("low", 90)]);
    let job = &catalogue.jobs["x"];
    let shell = vec!["/bin/sh".to_owned(), "-c".to_owned()];
    assert_eq!(
        job.command,
        Command::Shell {
            script: "true".to_owned(),
            shell
        }
    );
    assert_eq!(job.timeout_ms, Some(3_600_000));
    assert_eq!(job.grace_ms, 10_000);
    let kind = BackoffKind::Exponential {
        base_ms: 10_000,
        factor: 2.0,
    };
    assert_eq!(
        job.backoff,
        Backoff {
            kind,
            max_ms: 3_600_000,
            jitter: Jitter::Full
        }
    );
    assert_eq!(job.rate_limited_for_ms, 86_400_000);
    assert_eq!((job.output_max, job.leftovers), (10 << 20, Leftovers::Kill));
    assert_eq!(
        (&job.cwd, job.umask, &job.on_dead, &job.description),
        (&None, None, &None, &None)
    );
    let expected = Intake {
        queue: "default".to_owned(),
        priority: 100,
        params: BTreeMap::new(),
        payload_max: 256 << 10,
        dedup: None,
        sequence: None,
        attempts: 3,
        max_crashes: 3,
        deadline_ms: None,
        guarantee: Guarantee::AtLeastOnce,
        argument_params: Vec::new(),
    };
    assert_eq!(job.intake, expected);
}

#[test]
fn an_empty_catalogue_is_valid() {
    assert!(World::new("").load().jobs.is_empty());
    assert!(World::new("# nothing\n").check().is_empty());
}

#[test]
fn a_job_is_its_keys_over_the_defaults() {
    let world = World::new(
        r#"
[defaults]
timezone = "Asia/Almaty"
timeout = "5m"
queue = "low"
on_dead = "page"
env = { A = "1", B = "1" }
pass_env = ["C", "D"]
retry = { attempts = 9, base = "1s" }
exit = { success = [0, 3], permanent = [4, 5] }
rlimits = { nofile = 64, core = 0 }
[job.page]
command = ["true"]
[job.own]
command = ["true"]
timeout = "1s"
queue = "high"
on_dead = "none"
env = { B = "2", C = "2" }
retry = { factor = 3 }
exit = { transient = [3, 4] }
rlimits = { nofile = "unlimited" }
[job.once]
command = ["true"]
guarantee = "at-most-once"
"#,
    );
    let catalogue = world.load();
    assert_eq!(catalogue.timezone, Some(chrono_tz::Asia::Almaty));
    let own = &catalogue.jobs["own"];
    assert_eq!(
        (own.timeout_ms, own.intake.queue.as_str()),
        (Some(1000), "high")
    );
    assert_eq!(own.on_dead, None);
    let env: Vec<_> = own.env.iter().map(|(k, v)| format!("{k}={v}")).collect();
    assert_eq!(env, ["A=1", "B=2", "C=2"]);
    assert_eq!(own.pass_env, ["D"]);
    assert_eq!(own.intake.attempts, 9);
    assert_eq!(
        own.backoff.kind,
        BackoffKind::Exponential {
            base_ms: 1000,
            factor: 3.0
        }
    );
    assert_eq!(own.exit.success, Some(vec![0]));
    assert_eq!(
        (&own.exit.transient, &own.exit.permanent),
        (&vec![3, 4], &vec![5])
    );
    let limits = [(Resource::Core, Some(0)), (Resource::Nofile, None)];
    assert_eq!(
        own.rlimits,
        limits.map(|(resource, limit)| Rlimit { resource, limit })
    );
    let page = &catalogue.jobs["page"];
    assert_eq!((page.timeout_ms, &page.on_dead), (Some(300_000), &None));
    let once = &catalogue.jobs["once"];
    assert_eq!(
        (once.intake.attempts, once.on_dead.as_deref()),
        (1, Some("page"))
    );
}

#[test]
fn every_key_reaches_the_job() {
    let job = job(r#"
description = "sends it"
command = ["send", "--to={to}", "{event}", "{a}{b}", "--", "{to}"]
params = { to = { required = true }, event = {}, a = { default = "-1" }, b = {} }
queue = "high"
priority = 0
timeout = "30s"
grace = "0s"
deadline = "2h"
payload_max = "16M"
dedup = { key = "{to}:{event}", window = "1h" }
retry = { attempts = 5, backoff = ["1s", "3h"], jitter = "none", max_crashes = 1, rate_limited_for = "5m" }
exit = { success = [], transient = [1], permanent = [2], rate_limited = [3], patterns = [{ match = '4\d\d', class = "rate_limited", wait = "60s" }] }
umask = "027"
rlimits = { cpu = "1500ms", as = "2G", nproc = 7, stack = 8192 }
env = { PATH = "/bin", N = 5 }
pass_env = ["AWS_REGION"]
secrets = { DB = { file = "/run/db" }, KEY = { env = "KEY_OF_WORKER" } }
cwd = "/"
output_max = 0
leftovers = "allow"
"#);
    assert_eq!(job.description.as_deref(), Some("sends it"));
    let Command::Argv(argv) = &job.command else {
        panic!("{:?}", job.command)
    };
    let given = BTreeMap::from([
        ("to".to_owned(), "b".to_owned()),
        ("a".to_owned(), "x".to_owned()),
    ]);
    let expanded: Vec<String> = argv
        .iter()
        .map(|template| template.expand(&given))
        .collect();
    assert_eq!(expanded, ["send", "--to=b", "", "x", "--", "b"]);
    assert_eq!(job.intake.argument_params, ["a", "b", "event"]);
    assert_eq!(
        (job.intake.priority, job.intake.deadline_ms),
        (0, Some(7_200_000))
    );
    assert_eq!(
        (job.grace_ms, job.intake.payload_max, job.output_max),
        (0, 16 << 20, 0)
    );
    assert_eq!(
        job.intake.dedup.as_ref().and_then(|d| d.window_ms),
        Some(3_600_000)
    );
    let kind = BackoffKind::List(vec![1000, 10_800_000]);
    assert_eq!(
        job.backoff,
        Backoff {
            kind,
            max_ms: 10_800_000,
            jitter: Jitter::None
        }
    );
    assert_eq!(
        (
            job.intake.attempts,
            job.intake.max_crashes,
            job.rate_limited_for_ms
        ),
        (5, 1, 300_000)
    );
    assert_eq!(job.exit.success, Some(Vec::new()));
    assert_eq!(
        (&job.exit.transient[..], &job.exit.permanent[..]),
        (&[1][..], &[2][..])
    );
    assert_eq!(job.exit.patterns[0].wait_ms, Some(60_000));
    assert!(job.exit.patterns[0].regex.is_match(b"HTTP 429\xff"));
    assert_eq!(job.umask, Some(0o027));
    let limits = [
        (Resource::As, 2 << 30),
        (Resource::Cpu, 2),
        (Resource::Nproc, 7),
        (Resource::Stack, 8192),
    ];
    assert_eq!(
        job.rlimits,
        limits.map(|(resource, n)| Rlimit {
            resource,
            limit: Some(n)
        })
    );
    assert_eq!(job.env["N"], "5");
    assert_eq!(job.secrets["DB"], Secret::File(PathBuf::from("/run/db")));
    assert_eq!(job.secrets["KEY"], Secret::Env("KEY_OF_WORKER".to_owned()));
    assert_eq!(
        (job.cwd, job.leftovers),
        (Some(PathBuf::from("/")), Leftovers::Allow)
    );
}

#[test]
fn relative_paths_start_at_the_main_file() {
    let world = World::new("");
    let jobs =
        "[job.x]\ncommand = [\"./bin/x\"]\ncwd = \"work\"\nsecrets = { K = { file = \"key\" } }\n";
    world.write("jobs.d/x.toml", jobs);
    let catalogue = world.load();
    let job = &catalogue.jobs["x"];
    let Command::Argv(argv) = &job.command else {
        panic!("{:?}", job.command)
    };
    assert_eq!(
        argv[0].expand(&BTreeMap::new()),
        world.path("bin/x").to_string_lossy()
    );
    assert_eq!(job.cwd, Some(world.path("work")));
    assert_eq!(job.secrets["K"], Secret::File(world.path("key")));
}

#[test]
fn wrong_values_are_errors_at_their_place() {
    #[rustfmt::skip]
    let table = [
        ("timeuot = \"1s\"", "error 3:1 unknown key `timeuot` | did you mean `timeout`?"),
        ("slo = {}", "error 3:1 unknown key `slo` | a job has `command`, "),
        ("timeout = 30", "error 3:11 `timeout` has no unit | add a unit: `\"30s\"`, "),
        ("timeout = \"30\"", "error 3:11 `timeout`: bad duration `30`: a number has no unit | add a unit: `30s`"),
        ("timeout = \"1y\"", "error 3:11 `timeout`: bad duration `1y`: unknown unit `y` | a year has no"),
        ("timeout = \"0s\"", "error 3:11 `timeout` is zero | "),
        ("timeout = true", "error 3:11 `timeout` must be a duration such as `\"30s\"`, not a boolean | "),
        ("timeout = 99999999999999999999999", "error 3:11 `timeout` must be a duration"),
        ("priority = 1001", "error 3:12 `priority` must be from 0 to 1000 | "),
        ("priority = 170141183460469231731687303715884105728", "error 3:12 `priority` must be from 0 to 1000 | "),
        ("priority = 1.0", "error 3:12 `priority` must be an integer from 0 to 1000, not a float | "),
        ("payload_max = \"17M\"", "error 3:15 `payload_max` is over the maximum of 16M | "),
        ("output_max = -1", "error 3:14 `output_max` is not a size in bytes | "),
        ("output_max = \"1KB\"", "error 3:14 `output_max`: bad size `1KB`: unknown unit `KB` | write"),
        ("queue = \"hihg\"", "error 3:9 unknown queue `hihg` | did you mean `high`?"),
        ("queue = \"mail\"", "error 3:9 unknown queue `mail` | add a section `[queue.mail]` with its `rank`"),
        ("on_dead = \"y\"", "error 3:11 unknown job `y` in `on_dead` | did you mean `x`?"),
        ("guarantee = \"at-most-onec\"", "error 3:13 unknown value `at-most-onec` of `guarantee` | did you mean `at-most-once`?"),
        ("leftovers = \"shoot\"", "error 3:13 unknown value `shoot` of `leftovers` | write `kill` or `allow`"),
        ("umask = 27", "error 3:9 `umask` is not octal | write it in octal: `\"027\"` or `0o027`"),
        ("umask = \"1000\"", "error 3:9 `umask` must be from `000` to `777` | "),
        ("umask = \"89\"", "error 3:9 `umask` must be from `000` to `777` | "),
        ("umask = \"-22\"", "error 3:9 `umask` must be from `000` to `777` | "),
        ("rlimits = { nofiles = 1 }", "error 3:13 unknown key `nofiles` | did you mean `nofile`?"),
        ("rlimits = { cpu = 0 }", "error 3:19 `cpu` must be from 1 to "),
        ("retry = 3", "error 3:9 `retry` must be a table, not an integer | "),
        ("retry = { attempts = 0 }", "error 3:22 `attempts` must be from 1 to 1000000 | "),
        ("retry = { factor = 0.5 }", "error 3:20 `factor` must be from 1 to 1000 | "),
        ("retry = { factor = nan }", "error 3:20 `factor` must be from 1 to 1000 | "),
        ("retry = { factor = inf }", "error 3:20 `factor` must be from 1 to 1000 | "),
        ("retry = { backoff = [] }", "error 3:21 `backoff` is an empty list | "),
        ("retry = { backoff = [5] }", "error 3:22 `backoff` has no unit | "),
        ("retry = { backoff = \"linear\" }", "error 3:21 unknown value `linear` of `backoff` | write `fixed` or `exponential`"),
        ("retry = { backoff = 5 }", "error 3:21 `backoff` must be `\"fixed\"`, `\"exponential\"` or a list of durations, not an integer | "),
        ("exit = { success = [256] }", "error 3:21 `success` must be from 0 to 255 | "),
        ("exit = { permanent = [0] }", "error 3:23 exit code 0 is success and in `permanent` | if this is intended"),
        ("exit = { transient = [7], permanent = [7] }", "error 3:40 exit code 7 is in `permanent` and in `transient` | "),
        ("exit = { patterns = [{ match = \"(\", class = \"permanent\" }] }", "error 3:32 bad regular expression in `match`: unclosed group | "),
        ("exit = { patterns = [{ match = \"\", class = \"permanent\" }] }", "error 3:32 `match` is empty | "),
        ("exit = { patterns = [{ match = \"a{9999}{9999}\", class = \"permanent\" }] }", "error 3:32 bad regular expression in `match`: compiled regex exceeds size limit"),
        ("exit = { patterns = [{ match = \"a\", class = \"success\" }] }", "error 3:45 a pattern cannot make a success | "),
        ("exit = { patterns = [{ match = \"a\", class = \"permanent\", wait = \"1s\" }] }", "error 3:65 `wait` has no meaning with the class permanent | "),
        ("exit = { patterns = [{ class = \"permanent\" }] }", "error 3:22 a pattern has no `match` | "),
        ("env = { JOBCTL_X = \"1\" }", "error 3:9 variable `JOBCTL_X` cannot be given to a job: jobctl sets"),
        ("env = { LD_PRELOAD = \"1\" }", "error 3:9 variable `LD_PRELOAD` cannot be given to a job: it makes"),
        ("pass_env = [\"BASH_ENV\"]", "error 3:13 variable `BASH_ENV` cannot be given to a job: it makes"),
        ("pass_env = [\"LISTEN_FDS\"]", "error 3:13 variable `LISTEN_FDS` cannot be given to a job: it is reserved"),
        ("pass_env = [\"WATCHDOG_USEC\"]", "error 3:13 variable `WATCHDOG_USEC` cannot be given to a job: it is reserved"),
        ("secrets = { NOTIFY_SOCKET = { env = \"A\" } }", "error 3:13 variable `NOTIFY_SOCKET` cannot be given to a job: it is"),
        ("env = { \"A=B\" = \"1\" }", "error 3:9 bad name `A=B` of a variable | "),
        ("env = { \"\" = \"1\" }", "error 3:9 bad name `` of a variable | "),
        ("env = { A = \"\\u0000\" }", "error 3:13 `A` contains NUL | remove it"),
        ("env = { A = true }", "error 3:13 `A` must be a string, not a boolean | "),
        ("env = { A = \"1\" }\npass_env = [\"A\"]", "error 4:13 variable `A` has two sources | define it in only one"),
        ("secrets = { A = \"hunter2\" }", "error 3:13 secret `A` must be a reference, not the value itself | "),
        ("secrets = { A = {} }", "error 3:13 secret `A` must have either `file` or `env` | "),
        ("secrets = { A = { file = \"a\", env = \"A\" } }", "error 3:13 secret `A` must have either"),
        ("shell = \"/bin/sh\"", "error 3:9 `shell` must be a list: the program and its options | "),
        ("params = { To = {} }", "error 3:12 bad name `To` of a parameter | "),
        ("params = { to = true }", "error 3:17 `to` must be a table, not a boolean | "),
        ("params = { to = { required = true, default = \"a\" } }", "error 3:46 a required parameter needs no default | "),
        ("params = { to = { requird = true } }", "error 3:19 unknown key `requird` | did you mean `required`?"),
        ("dedup = { key = \"{to}\", window = \"1h\" }", "error 3:17 unknown parameter `to` in `key` | add `to` to `params`, or double the braces"),
        ("dedup = { key = \"a\" }", "error 3:9 `dedup` has neither `window` nor `while` | write `{ key = "),
        ("dedup = { while = \"waiting\" }", "error 3:9 `dedup` has no `key` | write `{ key = "),
        ("dedup = { key = \"a\", while = \"wating\" }", "error 3:30 unknown value `wating` of `while` | did you mean `waiting`?"),
        ("dedup = { key = \"a\", while = \"active\", on_duplicate = \"merge\" }", "error 3:55 unknown value `merge` of `on_duplicate` | write `drop`, `replace` or `rerun`"),
        ("dedup = { key = \"a\", while = \"active\", on_duplicate = \"replace\" }", "error 3:55 `on_duplicate` is `replace`, but `while` is `active`: the parameters of a running command cannot change | write `while = \"waiting\"`, or `on_duplicate = \"rerun\"`"),
        ("dedup = { key = \"a\", while = \"waiting\", on_duplicate = \"rerun\" }", "error 3:56 `on_duplicate` is `rerun`, but `while` is `waiting`: with `while = \"waiting\"` a running run is not a duplicate | write `while = \"active\"`, or `on_duplicate = \"replace\"`"),
        ("dedup = { key = \"a\", window = \"1h\", on_duplicate = \"rerun\" }", "error 3:52 `on_duplicate` is `rerun`, but there is no `while` | add `while = \"active\"`"),
        ("sequence = \"{to}\"", "error 3:12 unknown parameter `to` in `sequence` | add `to` to `params`, or double the braces"),
        ("sequence = \"\"", "error 3:12 `sequence` is empty | "),
        ("sequence = \"{\"", "error 3:12 `sequence`: a placeholder is not closed | "),
        ("sequence = 1", "error 3:12 `sequence` must be a key such as `\"{customer}\"`, or a table with `key` and `on_dead`, not an integer | "),
        ("sequence = {}", "error 3:12 `sequence` has no `key` | write `{ key = \"{name}\" }`"),
        ("sequence = { key = \"a\", on_dead = \"stop\" }", "error 3:35 unknown value `stop` of `on_dead` | write `block` or `continue`"),
        ("sequence = { key = \"a\", on_ded = \"block\" }", "error 3:25 unknown key `on_ded` | did you mean `on_dead`?"),
        ("params = { a = {}, b = {} }\nsequence = \"{b}\"\ndedup = { key = \"{a}\", while = \"active\", on_duplicate = \"rerun\" }", "error 4:12 `sequence` has `{b}`, but the key of `dedup` does not: runs of different sequences would replace each other | add `{b}` to the key of `dedup`"),
        ("dedup = { window = \"1h\" }", "error 3:9 `dedup` has no `key` | "),
        ("dedup = { key = \"\", window = \"1h\" }", "error 3:17 `key` is empty | "),
        ("cwd = \"\"", "error 3:7 `cwd` is empty | "),
        ("guarantee = \"at-most-once\"\nretry = { attempts = 2 }", "error 4:22 `guarantee` is at-most-once, but `attempts` is 2 | "),
        ("command = [\"false\"]", "error 3:1 duplicate key | keep one of the two"),
        ("é = 1", "error 3:1 "),
        ("grace = 1979-05-27", "error 3:9 `grace` must be a duration such as `\"30s\"`, not a date or time | "),
    ];
    for (line, complaint) in table {
        let complaints = about_job(line);
        assert_eq!(complaints.len(), 1, "{line}: {complaints:#?}");
        assert!(
            complaints[0].starts_with(complaint),
            "{line}\n{}\n{complaint}",
            complaints[0]
        );
    }
}

#[test]
fn wrong_commands_are_errors_at_their_place() {
    #[rustfmt::skip]
    let table = [
        ("", "error 1:6 job `x` has no command | add `command = "),
        ("command = []", "error 2:11 `command` is empty | "),
        ("command = \" \\n\"", "error 2:11 `command` is empty | "),
        ("command = \"a\"\nshell = []", "error 3:9 `shell` has no program | "),
        ("command = 5", "error 2:11 `command` must be a list of arguments, or a string for the shell, not an integer"),
        ("command = [5]", "error 2:12 `command` must be a string, not an integer | "),
        ("command = [\"\"]", "error 2:12 the program of `command` is empty | "),
        ("command = [\"a\\u0000\"]", "error 2:12 `command` contains NUL | "),
        ("command = \"a\\u0000\"", "error 2:11 `command` contains NUL | "),
        ("command = [\"{p}\"]\nparams = { p = {} }", "error 2:12 the program of `command` has a placeholder | "),
        ("command = [\"a\", \"{q}\"]\nparams = { p = {} }", "error 2:17 unknown parameter `q` in `command` | did you mean `{p}`?"),
        ("command = [\"awk\", \"{print $1}\"]", "error 2:19 `command`: bad placeholder `{print $1}` | write"),
        ("command = [\"a\", \"}\"]", "error 2:17 `command`: a `}` without a `{` | write `}}` for a brace"),
        ("command = \"echo {p}\"\nparams = { p = {} }", "error 2:11 placeholder `{p}` in a shell string | write `\"$JOBCTL_PARAM_P\"`"),
        ("command = [\"/bin/sh\", \"-ec\", \"echo {p}\"]\nparams = { p = {} }", "error 2:30 placeholder `{p}` in a script: its value would be read as code | "),
    ];
    for (line, complaint) in table {
        let complaints = World::new(format!("[job.x]\n{line}")).check();
        let errors: Vec<_> = complaints
            .iter()
            .filter(|c| c.starts_with("error"))
            .collect();
        assert_eq!(errors.len(), 1, "{line}: {complaints:#?}");
        assert!(
            errors[0].starts_with(complaint),
            "{line}\n{}\n{complaint}",
            errors[0]
        );
    }
}

#[test]
fn braces_of_the_shell_are_not_placeholders() {
    for line in [
        "command = 'echo ${p} ${PATH} {a,b} {1..3}'",
        r#"command = "ps | awk '{print $1}'""#,
        "command = 'find . -exec rm {} +'",
        r#"command = ["sh", "-c", 'echo "$1"', "sh", "{p}"]"#,
        r#"command = ["awk", "{{print $1}}", "{p}"]"#,
    ] {
        let world = World::new(format!("[job.x]\n{line}\nparams = {{ p = {{}} }}\n"));
        assert_eq!(world.check(), Vec::<String>::new(), "{line}");
    }
}

#[test]
fn settings_that_are_probably_not_intended_are_warnings() {
    #[rustfmt::skip]
    let table = [
        ("timeout = \"none\"", "warning 3:11 with `timeout = \"none\"` a command that hangs"),
        ("deadline = \"5s\"", "warning 3:12 `deadline` passes before the first retry, which waits up to 10s"),
        ("retry = { backoff = \"fixed\", factor = 2 }", "warning 3:39 `factor` has no effect with this `backoff`"),
        ("retry = { backoff = [\"1s\"], base = \"2s\" }", "warning 3:36 `base` has no effect with this `backoff`"),
        ("retry = { base = \"2s\", max = \"1s\" }", "warning 3:30 `max` is shorter than `base` | no wait will be longer than 1s"),
        ("exit = { success = [3] }", "warning 3:20 exit code 0 is not a success here"),
        ("on_dead = \"x\"", "warning 3:11 job `x` is its own `on_dead`"),
        ("shell = [\"/bin/bash\", \"-c\"]", "warning 3:9 `shell` has no effect on a command that is a list"),
    ];
    for (lines, complaint) in table {
        let complaints = about_job(lines);
        assert_eq!(complaints.len(), 1, "{lines}: {complaints:#?}");
        assert!(
            complaints[0].starts_with(complaint),
            "{lines}: {}",
            complaints[0]
        );
    }
    #[rustfmt::skip]
    let table = [
        ("command = [\"a\", \"{p}\"]\nparams = { p = {}, q = {} }", "warning 2:11 parameter `q` is not used in `command`"),
        ("command = 'a \"$JOBCTL_PARAM_OTU\"'\nparams = { out = {} }", "warning 2:11 `$JOBCTL_PARAM_OTU` is not a parameter of this job | did you mean `$JOBCTL_PARAM_OUT`?"),
        ("command = 'a ${JOBCTL_PARAM_X:-1}'", "warning 2:11 `$JOBCTL_PARAM_X` is not a parameter of this job | add `x` to `params`"),
    ];
    for (job, complaint) in table {
        let complaints = World::new(format!("[job.x]\n{job}")).check();
        assert_eq!(complaints.len(), 1, "{job}: {complaints:#?}");
        assert!(
            complaints[0].starts_with(complaint),
            "{job}: {}",
            complaints[0]
        );
    }
    for lines in [
        "deadline = \"5s\"\nretry = { attempts = 1 }",
        "deadline = \"10s\"",
        "params = { p = {} }",
    ] {
        assert_eq!(about_job(lines), Vec::<String>::new(), "{lines}");
    }
}

#[test]
fn sections_are_checked_too() {
    #[rustfmt::skip]
    let table = [
        ("[jobs.x]", "error 1:2 unknown key `jobs` | did you mean `job`?"),
        ("[limits.smtp]\nconcurrency = 1", "error 1:2 unknown key `limits` | did you mean `limit`?"),
        ("[limit.smtp]", "error 1:8 limit `smtp` has no limit | give it a `concurrency`"),
        ("[limit.smtp]\nconcurrency = 0", "error 2:15 `concurrency` must be from 1 to 1000000 | "),
        ("[limit.smtp]\nconcurrency = -3", "error 2:15 `concurrency` must be from 1 to 1000000 | "),
        ("[limit.smtp]\nrate = \"-1/s\"", "error 2:8 `rate`: bad rate `-1/s`: the number is not between 1 and 1000000 | write a number"),
        ("[limit.smtp]\nrate = \"0/min\"", "error 2:8 `rate`: bad rate `0/min`: the number is not between"),
        ("[limit.smtp]\nrate = \"60\"", "error 2:8 `rate`: bad rate `60`: it has no `/` | "),
        ("[limit.smtp]\nrate = \"60/fortnight\"", "error 2:8 `rate`: bad rate `60/fortnight`: the unit is unknown | "),
        ("[limit.smtp]\nconcurrency = 1\nburst = 5", "error 3:9 `burst` without a `rate` | "),
        ("[limit.smtp]\nbreaker = { failures = 5, within = \"1m\" }", "error 2:11 `breaker` has no `cooldown` | "),
        ("[limit.smtp]\nconcurrency = 1\n[job.a]\ncommand = \"a\"\nlimits = [\"smpt\"]", "error 5:11 unknown limit `smpt` | did you mean `smtp`?"),
        ("[limit.smtp]\nconcurrency = 1\n[job.a]\ncommand = \"a\"\nlimits = [\"smtp\", \"smtp\"]", "error 5:19 limit `smtp` is named twice | "),
        ("[queue.q]\nrank = 1\nmax_running = 2\n[job.a]\ncommand = \"a\"\nqueue = \"q\"\nconcurrency = 3", "warning 4:6 `concurrency = 3` is never reached"),
        ("[queue.high]\nreserve = -1", "error 2:11 `reserve` must be from 0 to 1024 | "),
        ("[queue.high]\nreserve = 3\nmax_running = 2", "error 2:11 `reserve = 3` is more than `max_running = 2` lets it use | lower `reserve`"),
        ("[tenants]\nweight = 3", "error 2:1 unknown key `weight` of `tenants` | the keys are `concurrency` or `max_waiting`"),
        ("[tenants.acme]\nweight = 0", "error 2:10 `weight` must be from 1 to 100 | "),
        ("[tenants.\"A b\"]\nweight = 1", "error 1:10 bad name `A b` of a tenant | "),
        ("job = 5", "error 1:7 `job` must be a table, not an integer | "),
        ("[[job]]", "error 1:1 `job` must be a table, not a list | "),
        ("[job]\nx = 5", "error 2:5 `x` must be a table, not an integer | "),
        ("[job.Dump]\ncommand = \"a\"", "error 1:6 bad name `Dump` of a job | "),
        ("[job.\"../a\"]\ncommand = \"a\"", "error 1:6 bad name `../a` of a job | "),
        ("[job.\"\\u001b[2J\"]\ncommand = \"a\"", "error 1:6 bad name `\u{fffd}[2J` of a job | "),
        ("[queue.mail]", "error 1:8 queue `mail` has no rank | add `rank = 50`"),
        ("[queue.mail]\nrank = \"1\"", "error 2:8 `rank` must be an integer"),
        ("[queue.mail]\nmax_waitin = 5\nrank = 1", "error 2:1 unknown key `max_waitin` | did you mean `max_waiting`?"),
        ("[queue.mail]\nmax_waiting = 0\nrank = 1", "error 2:15 `max_waiting` must be from 1 to 1000000000 | "),
        ("[tenants]\nmax_waiting = -1", "error 2:15 `max_waiting` must be from 1 to 1000000000 | "),
        ("[tenants.acme]\nmax_waiting = \"many\"", "error 2:15 `max_waiting` "),
        ("[store]\nmax_size = \"1023K\"", "error 2:12 `max_size` is below 1M | an empty store already needs some of it: write `1M` or more, such as `20G`"),
        ("[store]\nmax_size = 5", "error 2:12 "),
        ("[store]\npaht = \"x\"", "error 2:1 unknown key `paht` | did you mean `path`?"),
        ("[store]\ngroup = \"www-data\"", "error 2:1 unknown key `group` | a store belongs to one user: other users call `sudo -u OWNER jobctl`"),
        ("[store]\nretention = { age = 30 }", "error 2:21 `age` has no unit | "),
        ("[store]\nretention = { runs = \"many\" }", "error 2:22 `runs` must be a number of runs or `\"none\"`, not a string | "),
        ("[worker]\nslots = 0", "error 2:9 `slots` must be from 1 to 10000 | "),
        ("[defaults]\ntimezone = \"Europe/Berlni\"", "error 2:12 unknown time zone `Europe/Berlni` | did you mean `Europe/Berlin`?"),
        ("[defaults]\ntimezone = \"asia/almaty\"", "error 2:12 unknown time zone `asia/almaty` | did you mean `Asia/Almaty`?"),
        ("[defaults]\ntimezone = \"+05:00\"", "error 2:12 unknown time zone `+05:00` | use an IANA name such as Europe/Berlin or UTC"),
        ("[defaults]\ncommand = \"a\"", "error 2:1 `command` cannot have a default | move it to the jobs"),
        ("[defaults]\ntimout = \"1s\"", "error 2:1 unknown key `timout` | did you mean `timeout`?"),
        ("[defaults]\nguarantee = \"at-most-once\"\nretry.attempts = 2", "error 3:18 `guarantee` is at-most-once, but"),
        ("[defaults]\nqueue = \"q\"\n[job.a]\ncommand = \"a\"\n[job.b]\ncommand = \"b\"", "error 2:9 unknown queue `q` | "),
        ("[job.a]\ncommand = \"a\"\non_dead = \"b\"\n[job.b]\ncommand = \"b\"\nparams.p.required = true", "error 3:11 job `b` cannot be an `on_dead`: it requires parameter `p` | "),
    ];
    for (text, complaint) in table {
        let complaints = World::new(text).check();
        assert_eq!(complaints.len(), 1, "{text}: {complaints:#?}");
        assert!(
            complaints[0].starts_with(complaint),
            "{text}\n{}\n{complaint}",
            complaints[0]
        );
    }
}

#[test]
fn queues_of_the_catalogue_stand_beside_the_built_in_ones() {
    let world = World::new("[queue.mail]\nrank = -5\n[queue.low]\nrank = 99\n[queue.high]\n");
    let ranks: Vec<_> = world
        .load()
        .queues
        .into_iter()
        .map(|(name, q)| (name, q.rank))
        .collect();
    let expected = [("default", 50), ("high", 10), ("low", 99), ("mail", -5)];
    assert_eq!(ranks, expected.map(|(name, rank)| (name.to_owned(), rank)));
}

#[test]
fn a_queue_that_rank_alone_may_starve_is_warned_about_once() {
    const JOBS: &str = "[job.a]\ncommand = \"a\"\nqueue = \"high\"\n[job.b]\ncommand = \"b\"\nqueue = \"low\"\n[job.c]\ncommand = \"c\"\nqueue = \"low\"\n";
    let warning = "`low` may wait for ever: `high` is served before it and may use every slot | \
        give `[queue.low]` a `reserve = 1`, or `[queue.high]` a `max_running`";
    let starves = |more: &str| World::new(format!("{JOBS}{more}")).check();
    let said = starves("");
    assert_eq!(said.len(), 1, "{said:#?}");
    let at_the_job = format!("warning 6:9 queue {warning}");
    assert!(said[0].starts_with(&at_the_job), "{}", said[0]);
    // At the section, where there is one.
    let said = starves("[queue.low]\n");
    let at_the_section = format!("warning 10:8 queue {warning}");
    assert!(said[0].starts_with(&at_the_section), "{}", said[0]);
    // One for each queue behind the first that may use every slot, and none for a queue that no job uses.
    let said = starves("[job.d]\ncommand = \"d\"\n");
    assert_eq!(said.len(), 2, "{said:#?}");
    assert!(
        said.iter()
            .all(|warning| warning.contains(": `high` is served before it")),
        "{said:#?}"
    );
    let high =
        |text: &str| JOBS.replacen("queue = \"high\"", &format!("queue = \"high\"\n{text}"), 1);
    for text in [
        format!("{JOBS}[queue.low]\nreserve = 1\n"),
        format!("{JOBS}[queue.low]\nreserve = 0\n"),
        format!("{JOBS}[queue.low]\npaused = true\n"),
        format!("{JOBS}[queue.high]\nmax_running = 2\n"),
        format!("{JOBS}[queue.high]\npaused = true\n"),
        high("concurrency = 2"),
        high("limits = [\"l\"]") + "[limit.l]\nconcurrency = 2\n",
        JOBS.replace("high", "low"),
    ] {
        assert_eq!(World::new(&text).check(), Vec::<String>::new(), "{text}");
    }
    // A rate does not bound how many slots are in use, and one job without a cap is enough.
    let rate = high("limits = [\"l\"]") + "[limit.l]\nrate = \"1/s\"\n";
    let another = high("concurrency = 2") + "[job.d]\ncommand = \"d\"\nqueue = \"high\"\n";
    for text in [rate, another] {
        assert_eq!(World::new(&text).check().len(), 1, "{text}");
    }
}

#[test]
fn all_complaints_come_at_once_and_a_syntax_error_hides_no_other() {
    let world = World::new(
        "[job.a]\ncommand = [\"a\"]\ntimeuot = \"1s\"\ngrace = \n[job.b\ncommand = \"b\"\n[job.c]\nqueue = \"mail\"\npriority = -1\n",
    );
    world.write("jobs.d/10.toml", "[job.d]\ncommand = \"d\"\numask = 5\n");
    let complaints = world.check();
    let starts = [
        "error 3:1 unknown key `timeuot`",
        "error 4:9 a value is missing",
        "error 5:7 unclosed table, expected `]`",
        "error 9:12 `priority` must be from 0 to 1000",
        "error 10.toml:3:9 `umask` is not octal",
    ];
    assert_eq!(complaints.len(), starts.len(), "{complaints:#?}");
    for (complaint, start) in complaints.iter().zip(starts) {
        assert!(complaint.starts_with(start), "{complaint}\n{start}");
    }
}

#[test]
fn files_of_jobs_d_are_merged_by_name() {
    let world = World::new("[job.a]\ncommand = \"a\"\n");
    world.write(
        "jobs.d/10.toml",
        "[queue.q]\nrank = 1\nmax_running = 1\n[job.b]\ncommand = \"b\"\n",
    );
    world.write(
        "jobs.d/20.toml",
        "[job.c]\nqueue = \"q\"\ncommand = \"c\"\n",
    );
    world.write("jobs.d/.hidden.toml", "broken");
    world.write("jobs.d/30.toml~", "broken");
    assert_eq!(
        world.load().jobs.keys().collect::<Vec<_>>(),
        ["a", "b", "c"]
    );
    world.write(
        "jobs.d/30.toml",
        "[job.a]\ncommand = \"z\"\n[queue.q]\nrank = 2\n[defaults]\ntimeout = \"1s\"\n",
    );
    let complaints = world.check();
    assert_eq!(complaints.len(), 3, "{complaints:#?}");
    let named = |start: &str, name: &str| {
        let found = complaints.iter().find(|c| c.starts_with(start));
        assert!(
            found.is_some_and(|c| c.contains(name)),
            "{start}: {complaints:#?}"
        );
    };
    named(
        "error 30.toml:1:6 job `a` is already defined in /",
        "/jobs.toml:1 |",
    );
    named(
        "error 30.toml:3:8 queue `q` is already defined in /",
        "/jobs.d/10.toml:1 |",
    );
    named(
        "error 30.toml:5:2 `defaults` in a file of `jobs.d`",
        "move it to the main file",
    );
}

#[test]
fn columns_count_characters() {
    #[rustfmt::skip]
    let table = [
        ("\u{feff}x = 1", "1:1"),
        ("[job.x]\r\ncommand = \"a\"\r\numask = 5\r\n", "3:9"),
        ("[job.x]\ncommand = \"a\"\n\t\tumask = 5\n", "3:11"),
        ("[job.x]\ncommand = \"a\"\nexit = { patterns = [{ match = \"déjà\", class = \"prmanent\" }] } # é\n", "3:48"),
        ("[job.x]\ncommand = \"a\"\nenv = { A = \"日本\", LD_X = \"\" }", "3:19"),
    ];
    for (text, place) in table {
        let complaints = World::new(text).check();
        assert!(
            complaints[0].starts_with(&format!("error {place} ")),
            "{text}: {complaints:#?}"
        );
    }
}

#[test]
fn a_complaint_is_rendered_with_its_line_and_a_caret() {
    let world = World::new("[job.x]\ncommand = [\"true\"]\n\ttimeuot = \"1s\" # \u{202e}x\n");
    let complaints = Catalogue::check(&world.path("jobs.toml"), NOW_MS);
    let path = world.path("jobs.toml");
    let expected = format!(
        "error: unknown key `timeuot`\n --> {}:3:2\n 3 | \ttimeuot = \"1s\" # \u{fffd}x\n   | \t^^^^^^^\nhint: did you mean `timeout`?\n",
        path.display()
    );
    assert_eq!(complaints[0].render(false), expected);
    assert!(
        complaints[0]
            .render(true)
            .starts_with("\x1b[1;31merror\x1b[0m: ")
    );
    let json = serde_json::to_value(&complaints[0]).expect("JSON");
    let expected = serde_json::json!({
        "check": "catalogue", "level": "error", "file": path, "line": 3, "column": 2,
        "message": "unknown key `timeuot`", "hint": "did you mean `timeout`?",
    });
    assert_eq!(json, expected);
}

#[test]
fn a_failed_load_is_exit_78_with_the_first_complaint() {
    let world = World::new("[job.x]\ncommand = [\"true\"]\ntimeuot = \"1s\"\n");
    let error = Error::from(Catalogue::load(&world.path("jobs.toml")).expect_err("wrong"));
    assert_eq!(error.kind, Kind::Config);
    let path = world.path("jobs.toml").display().to_string();
    assert_eq!(
        error.message,
        format!("the catalogue cannot be used: {path}:3:1: unknown key `timeuot`")
    );
    assert_eq!(error.hint, Some("did you mean `timeout`?".into()));
    world.write("jobs.toml", "a = 1\nb = 2\n");
    let error = Error::from(Catalogue::load(&world.path("jobs.toml")).expect_err("wrong"));
    assert_eq!(
        error.message,
        format!("the catalogue has 2 errors; the first is {path}:1:1: unknown key `a`")
    );
    assert_eq!(
        error.details.expect("details")["complaints"]
            .as_array()
            .map(Vec::len),
        Some(2)
    );
}

#[test]
fn hostile_files_end_in_few_complaints() {
    let long = format!("a = \"{}\" b", "x".repeat(500_000));
    #[rustfmt::skip]
    let table = [
        ("invalid UTF-8", b"[job.x]\ncommand = \"a\xff\"\n".to_vec()),
        ("only NUL", vec![0; 1000]),
        ("binary", (0..=255).cycle().take(100_000).collect()),
        (
            "deep lists",
            [b"a = ".to_vec(), vec![b'['; 500_000]].concat(),
        ),
        (
            "deep tables",
            b"a = "
                .iter()
                .copied()
                .chain(b"{a=".repeat(100_000))
                .collect(),
        ),
        (
            "deep headers",
            [b"[".to_vec(), b"a.".repeat(300_000)].concat(),
        ),
        ("many errors", b"= x\n".repeat(200_000)),
        ("many duplicates", b"a=1\n".repeat(200_000)),
        ("a long line", long.into_bytes()),
        ("an open string", b"a = \"\"\"\n".repeat(100)),
    ];
    for (name, bytes) in table {
        let world = World::new(bytes);
        let complaints = Catalogue::check(&world.path("jobs.toml"), NOW_MS);
        assert!(
            (1..=100).contains(&complaints.len()),
            "{name}: {}",
            complaints.len()
        );
        for complaint in &complaints {
            let rendered = complaint.render(false);
            assert!(rendered.len() < 3000, "{name}: {} bytes", rendered.len());
            assert!(!rendered.contains(['\0', '\u{1b}']), "{name}");
        }
    }
    let world = World::new(b"[job.x]\ncommand = \"a\xff\"\n");
    assert_eq!(
        world.check(),
        ["error 2:13 the file is not UTF-8 | save it as UTF-8"]
    );
}

#[test]
fn the_store_keeps_the_intake_as_json() {
    let intake = job("command = [\"a\", \"{p}\", \"--q={q}\"]\nparams = { p = { required = true }, q = { default = \"\" } }\ndedup = { key = \"{{x}}{p}:{q}\", window = \"1d\", while = \"active\", on_duplicate = \"rerun\" }\nsequence = { key = \"{p}\", on_dead = \"continue\" }\nguarantee = \"at-most-once\"\ndeadline = \"1h\"\n").intake;
    let json = serde_json::to_string(&intake).expect("JSON");
    assert_eq!(
        serde_json::from_str::<Intake>(&json).expect("the same"),
        intake
    );
}

#[test]
fn unset_keys_are_omitted_from_the_stored_intake() {
    // Schedules in force are compared by a digest of it.
    let intake = job("command = [\"a\"]\ndedup = { key = \"k\", window = \"1s\" }\n").intake;
    let json = serde_json::to_value(&intake).expect("JSON");
    assert_eq!(json.get("sequence"), None);
    let dedup = serde_json::json!({ "key": [{ "Text": "k" }], "window_ms": 1000 });
    assert_eq!(json["dedup"], dedup);
}

#[test]
fn a_sequence_is_a_key_or_a_table() {
    let of = |text: &str| {
        let keys = format!("command = [\"a\"]\nparams = {{ c = {{}} }}\nsequence = {text}\n");
        let sequence = job(&keys).intake.sequence.expect("a sequence");
        (sequence.key.to_string(), sequence.on_dead)
    };
    let key = || "{c}".to_owned();
    assert_eq!(of("\"{c}\""), (key(), SequenceOnDead::Block));
    assert_eq!(of("{ key = \"{c}\" }"), (key(), SequenceOnDead::Block));
    let continues = "{ key = \"{c}\", on_dead = \"continue\" }";
    assert_eq!(of(continues), (key(), SequenceOnDead::Continue));
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

    /// Fault: as `no_command_line_panics`.
    #[test]
    fn no_damaged_catalogue_panics(
        edits in proptest::collection::vec((0..8000_usize, 0..30_usize, "[\\[\\]{}=\"'.#\n a-z0é]{0,6}"), 1..6),
    ) {
        let mut text: Vec<char> = include_str!("../../jobs.toml.example").chars().collect();
        for (at, cut, insert) in edits {
            let at = at.min(text.len());
            let end = (at + cut).min(text.len());
            text.splice(at..end, insert.chars());
        }
        let text: String = text.into_iter().collect();
        let world = World::new(&text);
        for complaint in Catalogue::check(&world.path("jobs.toml"), NOW_MS) {
            let lines = text.lines().count().max(1) + 1;
            proptest::prop_assert!(complaint.line.is_some_and(|line| line <= lines));
            proptest::prop_assert!(!complaint.render(true).is_empty());
        }
    }
}

/// Fault: as `suggestions_are_searched_once_per_unknown_name_and_for_at_most_a_hundred`.
#[test]
fn an_error_behind_a_hundred_warnings_is_an_error() {
    let job = |n| format!("[job.j{n}]\ncommand = [\"a\"]\ntimeout = \"none\"\n");
    let mut text = (0..150).map(job).collect::<Vec<_>>().concat();
    text += "[job.last]\ncommand = [\"a\"]\ntimeuot = \"1m\"\n";
    let world = World::new(&text);
    let complaints = world.check();
    assert_eq!(complaints.len(), 100);
    let errors: Vec<&String> = complaints
        .iter()
        .filter(|it| it.starts_with("error"))
        .collect();
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(errors[0].contains("unknown key `timeuot`"), "{errors:?}");
    assert!(Catalogue::load(&world.path("jobs.toml")).is_err());
}

#[test]
fn one_wrong_default_of_many_jobs_is_one_complaint() {
    let job = |n| format!("[job.j{n}]\ncommand = [\"a\"]\n");
    let mut text = "[defaults]\non_dead = \"j7x\"\n".to_owned();
    text += &(0..500).map(job).collect::<Vec<_>>().concat();
    let complaints = World::new(&text).check();
    assert_eq!(complaints.len(), 1, "{complaints:?}");
    assert!(
        complaints[0].contains("unknown job `j7x` in `on_dead` | did you mean `j7"),
        "{complaints:?}"
    );
}

#[test]
fn a_parameter_that_only_a_key_names_is_used() {
    for key in [
        "dedup = { key = \"{q}\", window = \"1h\" }",
        "sequence = { key = \"{q}\" }",
    ] {
        let job = format!(
            "[job.x]\ncommand = [\"a\", \"{{p}}\"]\nparams = {{ p = {{}}, q = {{ required = true }} }}\n{key}\n"
        );
        assert_eq!(World::new(&job).check(), [""; 0], "{key}");
    }
}
