//! `jobctl internal-exec`: sets umask and resource limits in the child and becomes the command.
//!
//! Rule: it runs in the child, after `posix_spawn`, so that jobctl itself never forks with its locks. What it cannot do it
//! writes to the descriptor `spawn::REPORT`, which the command never sees: its failures are the host's or the catalogue's, and never an
//! exit code that the job's own lists could judge.

use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::process::Rlimit;

use super::not_started::cannot_start;
use super::program::{c_string, resolve};
use super::spawn;
use crate::attempt::{Ending, NotStarted};
use crate::catalogue::{Job, Resource};
use crate::error::os_words;

/// Name of the hidden subcommand.
pub const SUBCOMMAND: &str = "internal-exec";

/// A report is an error number and a sentence.
const REPORT_MAX: u64 = 4096;

/// The path of jobctl's own binary; to be called once at start.
///
/// `/proc/self/exe` still names it after an upgrade replaced the file, so that worker and wrapper have the same version.
pub fn own_binary() -> PathBuf {
    let link = PathBuf::from("/proc/self/exe");
    if link.exists() {
        return link;
    }
    std::env::current_exe().unwrap_or(link)
}

/// The words that start the wrapper before a command; empty if the command needs no wrapper. `soft_nofile` is the soft limit of open
/// files for commands, if it differs from jobctl's own.
pub(super) fn prefix(
    job: &Job,
    own_binary: &Path,
    soft_nofile: Option<u64>,
) -> Result<Vec<CString>, Ending> {
    let own_nofile = |rlimit: &crate::catalogue::Rlimit| rlimit.resource == Resource::Nofile;
    let soft_nofile = soft_nofile.filter(|_| !job.rlimits.iter().any(own_nofile));
    if job.umask.is_none() && job.rlimits.is_empty() && soft_nofile.is_none() {
        return Ok(Vec::new());
    }
    let mut words = vec![
        own_binary.as_os_str().as_bytes().to_vec(),
        SUBCOMMAND.into(),
    ];
    let mut option = |name: &str, value: String| {
        words.extend([name.as_bytes().to_vec(), value.into_bytes()]);
    };
    if let Some(umask) = job.umask {
        option("--umask", format!("{umask:03o}"));
    }
    if let Some(limit) = soft_nofile {
        option("--soft-nofile", limit.to_string());
    }
    for rlimit in &job.rlimits {
        let limit = rlimit
            .limit
            .map_or_else(|| "unlimited".to_owned(), |limit| limit.to_string());
        option("--rlimit", format!("{}={limit}", rlimit.resource));
    }
    words.push(b"--".to_vec());
    words.into_iter().map(c_string).collect()
}

/// An error of the wrapper.
#[derive(Debug, PartialEq, Eq)]
pub struct Failed {
    /// Without a leading `error:`.
    pub message: String,
    /// The system's error number; `None` for wrong arguments.
    pub errno: Option<i32>,
}

impl Failed {
    fn usage(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            errno: None,
        }
    }

    fn of(what: &str, error: &io::Error) -> Self {
        Self {
            message: format!("{what}{}", os_words(error)),
            errno: error.raw_os_error(),
        }
    }

    /// The exit code, as shells have it.
    pub fn exit_code(&self) -> u8 {
        match self.errno {
            None => 2,
            Some(libc::ENOENT) => 127,
            Some(_) => 126,
        }
    }

    /// Writes the error for the slot that waits for the command.
    fn write_to(&self, mut report: impl Write) -> io::Result<()> {
        let errno = self.errno.unwrap_or(libc::EINVAL);
        report.write_all(format!("{errno} {}", self.message).as_bytes())
    }
}

/// Makes the settings and executes the command. Returns only on an error, and only if there is no pipe for a report.
///
/// `arguments` are those after the subcommand's name: `--umask 027 --rlimit nofile=1024 -- PROGRAM ARGUMENTS`.
pub fn exec_wrapper(arguments: impl IntoIterator<Item = OsString>) -> Option<Failed> {
    let report = spawn::take_report();
    let failed = match Plan::parse(arguments) {
        Ok(plan) => plan.become_command(),
        Err(failed) => failed,
    };
    match report {
        Some(report) => {
            // On an error the slot is gone.
            let _ = failed.write_to(report);
            None
        }
        None => Some(failed),
    }
}

/// The error that a wrapper reported; `None` if the command was executed.
pub(super) fn read_report(report: &OwnedFd) -> Option<NotStarted> {
    let mut text = Vec::new();
    let file = File::from(report.as_fd().try_clone_to_owned().ok()?);
    // Without a report the pipe is at its end, or empty while another child, before its exec, holds a copy.
    let _ = file.take(REPORT_MAX).read_to_end(&mut text);
    let text = String::from_utf8_lossy(&text);
    let (errno, message) = text.split_once(' ')?;
    let error = io::Error::from_raw_os_error(errno.parse().ok()?);
    Some(match cannot_start(&error, None) {
        // The shortage may exist only under the limits of this job.
        NotStarted::Shortage(_) => {
            NotStarted::job_lacks(format!("cannot start its command: {message}"))
        }
        NotStarted::Ended(_) => NotStarted::for_good(message),
    })
}

/// The settings to make and the command to execute.
#[derive(Debug, Default)]
struct Plan {
    umask: Option<u32>,
    soft_nofile: Option<u64>,
    limits: Vec<(Resource, Option<u64>, String)>,
    words: Vec<CString>,
}

impl Plan {
    fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, Failed> {
        let mut plan = Self::default();
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            if argument == "--" {
                plan.words = arguments
                    .map(|word| CString::new(word.as_bytes()))
                    .collect::<Result<_, _>>()
                    .map_err(|_| Failed::usage("argument with a NUL byte"))?;
                break;
            }
            let value = arguments.next();
            let value = value.as_deref().and_then(OsStr::to_str).unwrap_or("");
            let bad = |what: &str| Failed::usage(format!("bad {what} `{value}`"));
            if argument == "--umask" {
                let mask = u32::from_str_radix(value, 8).map_err(|_| bad("umask"))?;
                plan.umask = Some(mask & 0o777);
            } else if argument == "--soft-nofile" {
                plan.soft_nofile = Some(value.parse().map_err(|_| bad("limit"))?);
            } else if argument == "--rlimit" {
                let (resource, limit) = parse_rlimit(value).ok_or_else(|| bad("rlimit"))?;
                plan.limits.push((resource, limit, value.to_owned()));
            } else {
                let message = format!("unknown option `{}`", argument.display());
                return Err(Failed::usage(message));
            }
        }
        if plan.words.is_empty() {
            return Err(Failed::usage("no command"));
        }
        Ok(plan)
    }

    /// Does as much as possible before the limits of the job are set: they may leave no memory and no descriptor.
    fn become_command(&self) -> Failed {
        let search = std::env::var_os("PATH").unwrap_or_default();
        let path = match resolve(&self.words[0], search.as_bytes()) {
            Ok(path) => path,
            Err(error) => return Failed::of("", &error),
        };
        if let Some(mask) = self.umask {
            rustix::process::umask(rustix::fs::Mode::from_raw_mode(mask));
        }
        if let Err(error) = self.set_soft_nofile() {
            return Failed::of("cannot set the limit of open files: ", &error);
        }
        for (resource, limit, text) in &self.limits {
            if let Err(error) = set_limit(*resource, *limit) {
                return Failed::of(&format!("cannot set rlimit `{text}`: "), &error);
            }
        }
        let error = spawn::exec(&path, &self.words);
        let interpreter = error.raw_os_error() == Some(libc::ENOENT)
            && Path::new(OsStr::from_bytes(path.to_bytes())).exists();
        let mut failed = Failed::of("", &error);
        if interpreter {
            failed.message.push_str(" (its interpreter)");
        }
        failed
    }

    fn set_soft_nofile(&self) -> io::Result<()> {
        use rustix::process::Resource::Nofile;
        let Some(soft) = self.soft_nofile else {
            return Ok(());
        };
        let maximum = rustix::process::getrlimit(Nofile).maximum;
        let current = Some(soft);
        Ok(rustix::process::setrlimit(
            Nofile,
            Rlimit { current, maximum },
        )?)
    }
}

fn parse_rlimit(text: &str) -> Option<(Resource, Option<u64>)> {
    let (name, limit) = text.split_once('=')?;
    let limit = match limit {
        "unlimited" => None,
        number => Some(number.parse().ok()?),
    };
    Some((Resource::from_word(name)?, limit))
}

fn set_limit(resource: Resource, limit: Option<u64>) -> io::Result<()> {
    use rustix::process::Resource as R;
    let resource = match resource {
        Resource::As => R::As,
        Resource::Core => R::Core,
        Resource::Cpu => R::Cpu,
        Resource::Data => R::Data,
        Resource::Fsize => R::Fsize,
        Resource::Nofile => R::Nofile,
        Resource::Nproc => R::Nproc,
        Resource::Stack => R::Stack,
    };
    Ok(rustix::process::setrlimit(
        resource,
        Rlimit {
            current: limit,
            maximum: limit,
        },
    )?)
}
