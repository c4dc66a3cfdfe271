//! What every command needs: where catalogue and state are, the store, the screen, who asks.
//!
//! Rule: a system state that exists is used or refused, never replaced by a second one.

use std::ffi::OsString;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Screen;
use crate::clock;
use crate::error::{Error, Kind, Result};
use crate::store::{Create, OpenOptions, Store};

/// Id of `--state DIR`, which `runs list --state S` must not meet.
pub(super) const STATE_DIR: &str = "state_dir";

/// A process that a user waits for: BUSY must not reach them before this.
const BUSY_WAIT: Duration = Duration::from_secs(10);

/// Largest catalogue file, as its reader has it.
const CATALOGUE_MAX: u64 = 1 << 20;

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

    /// `[store]` of the catalogue, read without judging the rest: a mistake in a job must not keep an operator from looking.
    fn store_section(&self) -> Result<StoreSection> {
        let path = self.catalogue_path();
        let explicit = self.catalogue.is_some();
        let text = match read_catalogue(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !explicit => {
                return Ok(StoreSection::default());
            }
            Err(error) => {
                let error = Error::io("read the catalogue", &path, &error);
                return Err(Error {
                    kind: Kind::Config,
                    ..error
                }
                .hint("name the state directory with `--state`, or mend the catalogue"));
            }
        };
        StoreSection::of(&text).map_err(|cause| {
            Error::new(
                Kind::Config,
                format!("cannot read `[store]` of `{}`: {cause}", path.display()),
            )
            .hint(format!(
                "`jobctl check {}` shows where; or use `--state`",
                path.display()
            ))
        })
    }
}

/// `[store]`, as far as it says where the store is.
#[derive(Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(default)]
struct StoreSection {
    path: Option<PathBuf>,
    group: Option<String>,
}

impl StoreSection {
    fn of(text: &str) -> std::result::Result<Self, String> {
        #[derive(Default, serde::Deserialize)]
        #[serde(default)]
        struct Sections {
            store: StoreSection,
        }
        // Most catalogues say nothing about it, and parsing a thousand jobs costs more than the enqueue.
        if !["store", "\\u", "\\U"]
            .iter()
            .any(|sign| text.contains(sign))
        {
            return Ok(Self::default());
        }
        toml::from_str::<Sections>(text)
            .map(|sections| sections.store)
            .map_err(|error| error.message().to_owned())
    }
}

fn read_catalogue(path: &Path) -> std::io::Result<String> {
    let file = std::fs::OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)?;
    let mut text = String::new();
    if !file.metadata()?.is_file() {
        return Err(std::io::Error::other("it is not a regular file"));
    }
    file.take(CATALOGUE_MAX).read_to_string(&mut text)?;
    Ok(text)
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

    #[test]
    fn the_store_section_is_read_even_where_jobs_are_wrong() {
        let at = |text| StoreSection::of(text).map(|section| section.path);
        let path = Some(PathBuf::from("/a"));
        assert_eq!(at("[job.x]\ncommand = 3"), Ok(None));
        assert_eq!(at("no toml at all"), Ok(None));
        assert_eq!(
            at("[store]\npath = '/a'\nnew = 1\n[job.x]\nnonsense = 1"),
            Ok(path.clone())
        );
        assert_eq!(at("[\"\\u0073tore\"]\npath = '/a'"), Ok(path));
        assert!(at("[store]\npath = 3").is_err());
        assert!(at("[store\n").is_err());
    }
}
