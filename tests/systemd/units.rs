//! The unit files: systemd understands every line, and they promise what the README says.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use jobctl::error::Kind;

use super::Manager;
use crate::needs;
use crate::world::{PATH, PATIENCE, World};

/// Where the units expect the binary.
const BINARY: &str = "/usr/local/bin/jobctl";

const SCHEDULER: &str = "jobctl-scheduler.service";
const WORKER: &str = "jobctl-worker@.service";

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd")
}

fn text(unit: &str) -> String {
    fs::read_to_string(directory().join(unit)).expect("a unit")
}

/// The values of a key of a section, in their order.
fn values(unit: &str, section: &str, key: &str) -> Vec<String> {
    let text = text(unit);
    let head = format!("[{section}]");
    let lines = text.lines().skip_while(|line| *line != head).skip(1);
    let lines = lines.take_while(|line| !line.starts_with('['));
    lines
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once('='))
        .filter(|(name, _)| *name == key)
        .map(|(_, value)| value.to_owned())
        .collect()
}

/// What `systemd-analyze verify` says to these units, and whether it is content.
fn verify(units: &[PathBuf]) -> (bool, String) {
    let output = Command::new("systemd-analyze")
        .arg("verify")
        .args(units)
        .env("PATH", PATH)
        .output()
        .expect("systemd-analyze starts");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    (output.status.success(), said)
}

/// The unit under this name, with the binary that was just built.
fn install(world: &World, unit: &str, name: &str, more: &str) -> PathBuf {
    let path = world.root().join(name);
    let text = text(unit).replace(BINARY, env!("CARGO_BIN_EXE_jobctl"));
    fs::write(&path, text + more).expect("written");
    path
}

#[test]
fn systemd_has_nothing_to_say_against_the_units() {
    if !needs::tool("systemd-analyze") {
        return;
    }
    let world = World::new();
    let units = [
        install(&world, SCHEDULER, SCHEDULER, ""),
        install(&world, WORKER, WORKER, ""),
        install(&world, WORKER, "jobctl-worker@night-mail.v2.service", ""),
    ];
    assert_eq!(verify(&units), (true, String::new()));
}

#[test]
fn systemd_would_say_if_a_line_was_wrong() {
    if !needs::tool("systemd-analyze") {
        return;
    }
    let world = World::new();
    for wrong in ["WatchdogSecs=1", "KillMode=mixd", "ExecStartPost=/nowhere"] {
        let more = format!("[Service]\n{wrong}\n");
        let unit = install(&world, SCHEDULER, SCHEDULER, &more);
        let (_, said) = verify(&[unit]);
        assert!(said.contains(SCHEDULER), "{wrong}: {said}");
    }
}

#[test]
fn the_units_promise_what_the_papers_say() {
    let mut units: Vec<_> = fs::read_dir(directory())
        .expect("systemd/")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    units.sort();
    assert_eq!(units, [OsStr::new(SCHEDULER), OsStr::new(WORKER)]);
    let hopeless = [Kind::Usage, Kind::Config].map(|kind| kind.exit_code().to_string());
    assert_eq!(hopeless, ["2", "78"]);
    for unit in [SCHEDULER, WORKER] {
        for (section, key, value) in [
            ("Unit", "StartLimitIntervalSec", "0"),
            ("Service", "Type", "notify"),
            ("Service", "NotifyAccess", "main"),
            ("Service", "ExecReload", "/bin/sh -c 'kill -HUP $MAINPID'"),
            ("Service", "User", "jobctl"),
            ("Service", "ConfigurationDirectory", "jobctl"),
            ("Service", "StateDirectory", "jobctl"),
            ("Service", "StateDirectoryMode", "0700"),
            ("Service", "TimeoutStartSec", "infinity"),
            ("Service", "WatchdogSec", "2min"),
            // So that `jobctl workers stop` renews a worker and takes none away.
            ("Service", "Restart", "always"),
            ("Service", "RestartSec", "5s"),
            ("Service", "RestartPreventExitStatus", "2 78"),
            ("Service", "KillMode", "mixed"),
            ("Service", "TimeoutStopSec", "90s"),
            ("Service", "OOMPolicy", "continue"),
            ("Install", "WantedBy", "multi-user.target"),
        ] {
            assert_eq!(values(unit, section, key), [value], "{unit}: {key}");
        }
    }
    let start = |unit| values(unit, "Service", "ExecStart");
    assert_eq!(start(SCHEDULER), [format!("{BINARY} schedule")]);
    assert_eq!(start(WORKER), [format!("{BINARY} run-worker --queue=%i")]);
    assert_eq!(values(SCHEDULER, "Service", "UMask"), ["0077"]);
    assert_eq!(values(WORKER, "Service", "UMask"), ["0022"]);
}

#[test]
fn the_unit_of_the_worker_takes_no_rights_from_commands() {
    // Each of these hides files or devices, or implies that nobody gains rights by `sudo`.
    let sandbox = [
        "Protect", "Private", "Restrict", "System", "NoNew", "Capab", "Memory",
    ];
    for line in text(WORKER).lines() {
        let found = sandbox.iter().any(|word| line.starts_with(word));
        assert!(!found, "{line}");
    }
}

/// With what systemd sets and nothing else.
#[test]
fn the_command_of_the_unit_is_a_worker_that_becomes_ready() {
    let world = World::with_catalogue("[queue.night-mail]\nrank = 1\n[job.a]\ncommand = 'true'\n");
    let manager = Manager::new(&world).with_watchdog(PATIENCE);
    let start = values(WORKER, "Service", "ExecStart").concat();
    let words = start.strip_prefix(BINARY).expect("the binary");
    let mut command = manager.command(&world, &words.replace("%i", "night-mail"));
    command
        .env_remove("JOBCTL_STORE")
        .env_remove("JOBCTL_CATALOGUE")
        .env("CONFIGURATION_DIRECTORY", world.root())
        .env("STATE_DIRECTORY", world.state());
    let mut worker = World::start_command(command);
    let status = manager.until("STATUS");
    assert!(
        status.ends_with(" slots busy; queues night-mail"),
        "{status}"
    );
    manager.until("READY");
    assert!(world.state().join("jobctl.db").exists());
    worker.signal("TERM");
    let (code, _) = manager.until_end(&mut worker, Duration::from_secs(10));
    assert_eq!(code, Some(0));
}
