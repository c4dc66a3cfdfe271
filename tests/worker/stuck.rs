//! A command that survives SIGKILL: its slot becomes free, its run waits for it, and its true ending is stored.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

use jobctl::clock;

use serde_json::Value;

use crate::needs;
use crate::world::World;

const NOBODY: u32 = 65534;

/// Like `until`, for what takes longer than a kill is waited for.
fn until_late(what: &str, condition: impl Fn() -> bool) {
    let begun = clock::monotonic();
    while !condition() {
        assert!(begun.elapsed() < Duration::from_secs(60), "never: {what}");
        clock::pause(Duration::from_millis(20));
    }
}

/// Becomes a process of root, which its worker may not signal, for 16 s.
const JOBS: &str = r#"
[job.timed]
command = "exec $JOBCTL_STORE/../rooted --reuid=0 --clear-groups sh -c 'sleep 16; exit 3'"
timeout = "200ms"
grace = "50ms"
retry.attempts = 1
[job.quick]
command = ["/bin/true"]
"#;

/// A world of a user other than root, with a setuid-root program; `None` if this machine does not allow it.
fn nobodys() -> Option<World> {
    if !(needs::root() && needs::tool("setpriv")) {
        return None;
    }
    let world = World::with_catalogue(JOBS);
    let rooted = world.root().join("rooted");
    fs::copy("/usr/bin/setpriv", &rooted).expect("a copy");
    fs::copy(env!("CARGO_BIN_EXE_jobctl"), world.root().join("jobctl")).expect("a copy");
    let own = |path: &std::path::Path, mode| {
        std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY)).expect("an owner");
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a mode");
    };
    own(world.root(), 0o755);
    own(&world.home(), 0o755);
    own(&world.catalogue(), 0o600);
    fs::set_permissions(&rooted, fs::Permissions::from_mode(0o4755)).expect("a mode");
    let mut probe = Command::new(&rooted);
    probe
        .args(["--reuid=0", "--clear-groups", "true"])
        .uid(NOBODY);
    let works = probe.status().is_ok_and(|status| status.success());
    needs::met("a file system with setuid programs", works).then_some(world)
}

fn as_nobody(world: &World, words: &str) -> Command {
    let like = world.command(words.split_whitespace());
    let mut command = Command::new(world.root().join("jobctl"));
    command
        .args(like.get_args())
        .env_clear()
        .current_dir(world.root())
        .uid(NOBODY)
        .gid(NOBODY);
    for (name, value) in like.get_envs() {
        command.env(name, value.expect("a value"));
    }
    command
}

fn run(world: &World, words: &str) -> String {
    let output = as_nobody(world, words).output().expect("it ends");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn show(world: &World, id: &str) -> Value {
    let text = run(world, &format!("runs show {id} --json"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Fault (commands): a command outlives SIGKILL (as root only).
#[test]
fn a_command_that_survives_sigkill_is_recorded_correctly_and_frees_its_slot() {
    let Some(world) = nobodys() else {
        return;
    };
    let ids = ["timed", "timed"].map(|job| run(&world, &format!("enqueue {job}")));
    let [timed, cancelled] = ids.each_ref().map(|id| id.trim());
    let log = world.root().join("log");
    let mut worker = as_nobody(&world, "run-worker --slots 2");
    worker.stderr(fs::File::create(&log).expect("a log"));
    let worker = World::start_command(worker);
    let blocked = || {
        let log = fs::read_to_string(&log).expect("a log");
        log.matches("event=run_blocked_by_processes ").count()
    };
    until_late("both are given up", || blocked() == 2);
    // Their slots take other work meanwhile, and their runs are not started again.
    let quick = run(&world, "enqueue quick");
    until_late("another run", || {
        show(&world, quick.trim())["state"] == "succeeded"
    });
    run(&world, &format!("runs cancel {cancelled}"));
    let states = [timed, cancelled].map(|id| show(&world, id)["state"].clone());
    assert_eq!(states, ["running", "running"], "they must not be over yet");
    for (id, state) in [(timed, "dead"), (cancelled, "cancelled")] {
        until_late("it is over", || show(&world, id)["state"] == state);
        let seen = show(&world, id);
        let attempts = seen["attempt_list"].as_array().expect("attempts");
        assert_eq!(attempts.len(), 1, "{seen}");
        // How the command ended, and why it was stopped.
        let ending = [&attempts[0]["ending"], &attempts[0]["exit_code"]];
        assert_eq!(
            ending,
            [&serde_json::json!("timed_out"), &serde_json::json!(3)],
            "{seen}"
        );
        let error = attempts[0]["error"].as_str().unwrap_or_default();
        assert!(
            error.starts_with("timed out after 1"),
            "all of its 16 s: {error}"
        );
    }
    worker.signal("TERM");
    assert_eq!(worker.end().code, Some(0));
}
