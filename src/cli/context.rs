//! What every command needs: where catalogue and state are, the store, the screen, who asks.
//!
//! Rule: a system state that exists is used or refused, never replaced by a second one.

use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Screen;
use super::store_section::StoreSection;
use crate::clock;
use crate::error::{Error, Kind, Result};
use crate::store::{Create, OpenOptions, Store};

/// Id of `--state DIR`, which `runs list --state S` must not meet.
pub(super) const STATE_DIR: &str = "state_dir";

/// A process that a user waits for: BUSY must not reach them before this.
const BUSY_WAIT: Duration = Duration::from_secs(10);

const SYSTEM_STATE: &str = "/var/lib/jobctl";
const SYSTEM_CATALOGUE: &str = "/etc/jobctl/jobs.toml";

/// Options of every command.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Catalogue of jobs.
    #[arg(long, global = true, value_name = "FILE")]
    #[arg(help = "Catalogue of jobs [env: JOBCTL_CATALOGUE] [default: /etc/jobctl/jobs.toml]")]
    pub catalogue: Option<PathBuf>,
    /// State directory with database and output.
    #[arg(help = "State directory [env: JOBCTL_STATE] [default: /var/lib/jobctl]")]
    #[arg(id = STATE_DIR, long = "state", value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// Print one JSON document
    #[arg(long, global = true)]
    pub json: bool,
    /// When to use colours
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: Color,
    /// Print no notices, only data and errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Say more on standard error
    #[arg(short, long, global = true)]
    pub verbose: bool,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Where the store is, and which group shares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatePlace {
    /// The state directory, absolute.
    pub dir: PathBuf,
    /// `[store] group`, or the group that an existing shared directory shows.
    pub group: Option<String>,
}

/// What a command works with.
pub struct Context {
    /// Everything that is printed.
    pub screen: Screen,
    catalogue: Option<PathBuf>,
    state: Option<PathBuf>,
}

impl Context {
    /// From the options and the environment of the process.
    pub fn new(global: Global) -> Self {
        Self {
            screen: Screen::new(&global),
            catalogue: global
                .catalogue
                .or_else(|| variable("JOBCTL_CATALOGUE").map(Into::into)),
            state: global
                .state_dir
                .or_else(|| variable("JOBCTL_STATE").map(Into::into)),
        }
    }

    /// Now by the wall clock, milliseconds.
    pub fn now_ms(&self) -> i64 {
        clock::wall_ms()
    }

    /// Absolute path of the catalogue; it need not exist.
    pub fn catalogue_path(&self) -> PathBuf {
        let path = self.catalogue.clone().unwrap_or_else(|| {
            let root = rustix::process::geteuid().is_root();
            default_catalogue(root, &variable, &|path| path.exists())
        });
        std::path::absolute(&path).unwrap_or(path)
    }

    /// The state directory: given, or named by the catalogue, or the usual place.
    ///
    /// # Errors
    /// [`Kind::Config`] when only a catalogue that cannot be read knows it.
    pub fn state_place(&self) -> Result<StatePlace> {
        let section = self.store_section();
        let (dir, group) = match (&self.state, section) {
            (Some(dir), section) => (dir.clone(), section.ok().and_then(|section| section.group)),
            (None, Err(error)) => return Err(error),
            (
                None,
                Ok(StoreSection {
                    path: Some(path),
                    group,
                }),
            ) => {
                let catalogue = self.catalogue_path();
                let base = catalogue.parent().unwrap_or(Path::new("/"));
                (base.join(path), group)
            }
            (None, Ok(StoreSection { path: None, group })) => {
                let root = rustix::process::geteuid().is_root();
                (
                    default_state(root, &variable, &|path| path.exists())?,
                    group,
                )
            }
        };
        let dir = std::path::absolute(&dir).unwrap_or(dir);
        let group = group.or_else(|| shared_by(&dir));
        Ok(StatePlace { dir, group })
    }

    /// How to open the store, waiting so long for other writers.
    pub fn open_options(&self, create: Create, busy_wait: Duration) -> Result<OpenOptions> {
        let place = self.state_place()?;
        Ok(OpenOptions {
            dir: place.dir,
            group: place.group,
            create,
            busy_wait,
            now_ms: self.now_ms(),
        })
    }

    /// The store, if there is one. Where its place is given, the catalogue is not read for this.
    pub(super) fn existing_store(&self) -> Result<Option<Store>> {
        let options = match &self.state {
            Some(dir) => OpenOptions {
                dir: dir.clone(),
                group: shared_by(dir),
                create: Create::Never,
                busy_wait: BUSY_WAIT,
                now_ms: self.now_ms(),
            },
            None => self.open_options(Create::Never, BUSY_WAIT)?,
        };
        match options.open() {
            Ok((store, _)) => Ok(Some(store)),
            // None, or not ours: whoever makes it will be told which.
            Err(error) if error.kind == Kind::Unavailable => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Opens the store; making it is announced.
    pub fn open_store(&mut self, create: Create) -> anyhow::Result<Store> {
        let (store, created) = self.open_options(create, BUSY_WAIT)?.open()?;
        if created {
            self.screen
                .say(&format!("created the store `{}`", store.dir().display()));
        }
        Ok(store)
    }

    /// Name of the user who asks: behind sudo the one who called it.
    pub fn actor(&self) -> String {
        let uid = rustix::process::getuid().as_raw();
        let caller = variable("SUDO_USER").filter(|_| uid == 0);
        caller
            .and_then(|name| name.into_string().ok())
            .or_else(|| user_name(uid))
            .unwrap_or_else(|| uid.to_string())
    }

    /// `[store]` of the catalogue; none where there is no catalogue and none was named.
    fn store_section(&self) -> Result<StoreSection> {
        StoreSection::read(&self.catalogue_path(), self.catalogue.is_some())
    }
}

/// A variable of the environment; an empty one counts as none.
fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

type Variable<'a> = &'a dyn Fn(&str) -> Option<OsString>;

fn default_catalogue(
    root: bool,
    variable: Variable<'_>,
    exists: &dyn Fn(&Path) -> bool,
) -> PathBuf {
    if let Some(dir) = first_dir(variable, "CONFIGURATION_DIRECTORY") {
        return dir.join("jobs.toml");
    }
    let own = (!root)
        .then(|| user_dir(variable, "XDG_CONFIG_HOME", ".config"))
        .flatten()
        .map(|dir| dir.join("jobctl/jobs.toml"));
    own.filter(|path| exists(path))
        .unwrap_or_else(|| PathBuf::from(SYSTEM_CATALOGUE))
}

fn default_state(
    root: bool,
    variable: Variable<'_>,
    exists: &dyn Fn(&Path) -> bool,
) -> Result<PathBuf> {
    if let Some(dir) = first_dir(variable, "STATE_DIRECTORY") {
        return Ok(dir);
    }
    let system = PathBuf::from(SYSTEM_STATE);
    if root || exists(&system) {
        return Ok(system);
    }
    let own = user_dir(variable, "XDG_STATE_HOME", ".local/state");
    own.map(|dir| dir.join("jobctl")).ok_or_else(|| {
        Error::new(
            Kind::Usage,
            "cannot tell where the state is: neither `HOME` nor `XDG_STATE_HOME` is set",
        )
        .hint("name the state directory with `--state`")
    })
}

/// systemd gives a list with colons; the first is ours.
fn first_dir(variable: Variable<'_>, name: &str) -> Option<PathBuf> {
    let value = variable(name)?;
    std::env::split_paths(&value)
        .next()
        .filter(|dir| dir.is_absolute())
}

/// A directory of the XDG specification: relative values are to be ignored.
fn user_dir(variable: Variable<'_>, name: &str, below_home: &str) -> Option<PathBuf> {
    let absolute = |name| {
        variable(name)
            .map(PathBuf::from)
            .filter(|dir| dir.is_absolute())
    };
    absolute(name).or_else(|| Some(absolute("HOME")?.join(below_home)))
}

/// The group of a directory that is shared as `[store] group` makes it: without this, a command that does not know the
/// catalogue would take the group's rights away again.
fn shared_by(dir: &Path) -> Option<String> {
    let meta = std::fs::metadata(dir).ok()?;
    (meta.mode() & 0o2070 == 0o2070).then(|| meta.gid().to_string())
}

/// The login name of a user id.
pub(super) fn user_name(uid: u32) -> Option<String> {
    let users = std::fs::read_to_string("/etc/passwd").ok()?;
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env<'a>(pairs: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<OsString> + 'a {
        |name| {
            let found = pairs.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| OsString::from(value))
        }
    }

    #[test]
    fn the_state_is_looked_for_in_the_documented_order() {
        let yes = |_: &Path| true;
        let no = |_: &Path| false;
        let home = [("HOME", "/home/a")];
        let xdg = [("HOME", "/home/a"), ("XDG_STATE_HOME", "/s")];
        let relative = [("HOME", "/home/a"), ("XDG_STATE_HOME", "s")];
        let systemd = [("STATE_DIRECTORY", "/var/lib/one:/var/lib/two")];
        let state = |root, env: Variable<'_>, exists| default_state(root, env, exists).unwrap();
        assert_eq!(
            state(false, &env(&systemd), &yes),
            Path::new("/var/lib/one")
        );
        assert_eq!(state(true, &env(&home), &no), Path::new(SYSTEM_STATE));
        assert_eq!(state(false, &env(&xdg), &yes), Path::new(SYSTEM_STATE));
        assert_eq!(state(false, &env(&xdg), &no), Path::new("/s/jobctl"));
        let own = Path::new("/home/a/.local/state/jobctl");
        assert_eq!(state(false, &env(&home), &no), own);
        assert_eq!(state(false, &env(&relative), &no), own);
        assert_eq!(
            default_state(false, &env(&[]), &no).unwrap_err().kind,
            Kind::Usage
        );
    }

    #[test]
    fn the_catalogue_is_looked_for_in_the_documented_order() {
        let yes = |_: &Path| true;
        let no = |_: &Path| false;
        let home = [("HOME", "/home/a")];
        let systemd = [("CONFIGURATION_DIRECTORY", "/etc/x"), ("HOME", "/home/a")];
        let own = Path::new("/home/a/.config/jobctl/jobs.toml");
        assert_eq!(
            default_catalogue(false, &env(&systemd), &yes),
            Path::new("/etc/x/jobs.toml")
        );
        assert_eq!(default_catalogue(false, &env(&home), &yes), own);
        assert_eq!(
            default_catalogue(false, &env(&home), &no),
            Path::new(SYSTEM_CATALOGUE)
        );
        assert_eq!(
            default_catalogue(true, &env(&home), &yes),
            Path::new(SYSTEM_CATALOGUE)
        );
    }
}
