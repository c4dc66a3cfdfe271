//! What every command needs: the places of catalogue and store, the opened store, the screen, the calling user.
//!
//! Rule: if a system-wide store exists, it is used or refused; no second store is created beside it.

use std::cell::OnceCell;
use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Screen;
use super::global::Global;
use super::store_section::StoreSection;
use crate::clock;
use crate::error::{Error, Kind, Result, os_words};
use crate::local::{Local, as_owner};
use crate::owned::{take_rights, user_name, user_words};
use crate::store::{Create, OpenOptions, Opened, Store};

/// How long a command waits for a busy store before it reports that to the user.
const BUSY_WAIT: Duration = Duration::from_secs(10);

const SYSTEM_STORE: &str = "/var/lib/jobctl";
const SYSTEM_CATALOGUE: &str = "/etc/jobctl/jobs.toml";

/// Where the store is.
struct StorePlace {
    /// Absolute path of the directory.
    dir: PathBuf,
    /// User and group that own the catalogue, if the catalogue names the directory.
    named_by: Option<(u32, u32)>,
}

/// What a command works with.
pub struct Context {
    /// The only way to print.
    pub screen: Screen,
    catalogue: Option<PathBuf>,
    given_store: Option<PathBuf>,
    /// The effective user at the start, before root switched to the owner of the store.
    started_as: u32,
    /// The store directory, computed at the first use.
    place: OnceCell<StorePlace>,
    /// The same, once it is found or made.
    local: OnceCell<Local>,
}

impl Context {
    /// From the options and the environment of the process.
    pub fn new(global: Global) -> Self {
        Self {
            screen: Screen::new(&global),
            catalogue: global
                .catalogue
                .or_else(|| variable("JOBCTL_CATALOGUE").map(Into::into)),
            given_store: global
                .store_dir
                .or_else(|| variable("JOBCTL_STORE").map(Into::into)),
            started_as: rustix::process::geteuid().as_raw(),
            place: OnceCell::new(),
            local: OnceCell::new(),
        }
    }

    /// Now by the wall clock, milliseconds.
    pub fn now_ms(&self) -> i64 {
        clock::wall_ms()
    }

    /// Absolute path of the catalogue; it need not exist.
    pub fn catalogue_path(&self) -> PathBuf {
        let path = self
            .catalogue
            .clone()
            .unwrap_or_else(|| default_catalogue(self.is_root(), &variable, &|path| path.exists()));
        std::path::absolute(&path).unwrap_or(path)
    }

    /// Whether the command was started by root.
    fn is_root(&self) -> bool {
        self.started_as == 0
    }

    /// The store directory, absolute: given, or named by the catalogue, or the usual place.
    ///
    /// # Errors
    /// [`Kind::Config`] if the directory is named only by a catalogue, and that cannot be read.
    pub fn store_dir(&self) -> Result<PathBuf> {
        self.store_place().map(|place| place.dir.clone())
    }

    fn store_place(&self) -> Result<&StorePlace> {
        if let Some(place) = self.place.get() {
            return Ok(place);
        }
        let (dir, named_by) = if let Some(dir) = &self.given_store {
            (dir.clone(), None)
        } else {
            let section = self.store_section()?;
            if let Some(path) = section.path {
                let catalogue = self.catalogue_path();
                let base = catalogue.parent().unwrap_or(Path::new("/"));
                (base.join(path), section.owner)
            } else {
                let exists = |path: &Path| path.exists();
                (default_store(self.is_root(), &variable, &exists)?, None)
            }
        };
        let dir = std::path::absolute(&dir).unwrap_or(dir);
        Ok(self.place.get_or_init(|| StorePlace { dir, named_by }))
    }

    /// How to open the store; a write waits up to `busy_wait` for other writers.
    pub fn open_options(&self, create: Create, busy_wait: Duration) -> Result<OpenOptions> {
        self.act_as_owner()?;
        Ok(OpenOptions {
            dir: self.store_dir()?,
            create,
            busy_wait,
            now_ms: self.now_ms(),
        })
    }

    /// Opens the store with this longest wait for other writers.
    pub(super) fn open(&self, create: Create, busy_wait: Duration) -> Result<Opened> {
        let opened = self.open_options(create, busy_wait)?.open()?;
        self.local.get_or_init(|| opened.local.clone());
        Ok(opened)
    }

    /// What this host has beside the store, which must exist.
    ///
    /// # Errors
    /// As [`Local::find`].
    pub(super) fn local(&self) -> Result<&Local> {
        if let Some(local) = self.local.get() {
            return Ok(local);
        }
        let local = Local::find(&self.store_dir()?)?;
        Ok(self.local.get_or_init(|| local))
    }

    /// The store, if it exists. Does not read the catalogue if the place of the store is given.
    pub(super) fn existing_store(&self) -> Result<Option<Store>> {
        match self.open(Create::Never, BUSY_WAIT) {
            Ok(opened) => Ok(Some(opened.store)),
            Err(error) if error.kind == Kind::Unavailable => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// If root works with the store of another user: switches to that user for the rest of the process. Call it after opening the
    /// files that the arguments name, and before reading the catalogue, so that the same ownership checks apply to the catalogue as
    /// in the workers of that user.
    ///
    /// # Errors
    /// [`Kind::Permission`] if switching fails; then the process must not continue.
    pub(super) fn act_as_owner(&self) -> Result<()> {
        let Some((uid, gid)) = self.other_owner() else {
            return Ok(());
        };
        take_rights(uid, gid).map_err(|error| {
            Error::new(
                Kind::Permission,
                format!(
                    "cannot switch to user {}, the owner of the store: {}; nothing was opened",
                    user_words(uid),
                    os_words(&error)
                ),
            )
            .hint(as_owner(uid))
        })
    }

    /// Refuses root at the store of another user: a command that executes runs must be started as that user.
    ///
    /// # Errors
    /// [`Kind::Permission`].
    pub(super) fn refuse_other_owner(&self, what: &str) -> Result<()> {
        let Some((uid, _)) = self.other_owner() else {
            return Ok(());
        };
        let dir = self.store_dir()?;
        Err(Error::new(
            Kind::Permission,
            format!(
                "`{what}` refuses to run as root with the store of another user: `{}` belongs to {}; nothing was opened",
                dir.display(),
                user_words(uid)
            ),
        )
        .hint(as_owner(uid)))
    }

    /// For root: the user and group to switch to, if the store belongs to another user. If a catalogue names the directory, its owner
    /// counts: otherwise a user's catalogue could send root to the store of somebody else.
    fn other_owner(&self) -> Option<(u32, u32)> {
        // This process may have switched already.
        if !self.is_root() || !rustix::process::geteuid().is_root() {
            return None;
        }
        // An unknown place is reported when the store is opened.
        let place = self.store_place().ok()?;
        let is_other = |owner: &(u32, u32)| owner.0 != 0;
        place.named_by.filter(is_other).or_else(|| {
            let meta = std::fs::metadata(&place.dir).ok()?;
            Some((meta.uid(), meta.gid())).filter(is_other)
        })
    }

    /// Opens the store, and reports if it was created.
    pub fn open_store(&mut self, create: Create) -> anyhow::Result<Store> {
        let opened = self.open(create, BUSY_WAIT)?;
        if opened.is_new {
            let dir = opened.local.dir().display();
            self.screen.say(&format!("created the store `{dir}`"));
        }
        Ok(opened.store)
    }

    /// Name of the calling user; with sudo, of the user who called sudo.
    pub fn actor(&self) -> String {
        let uid = self.started_as;
        let caller = variable("SUDO_USER").filter(|_| self.is_root());
        caller
            .and_then(|name| name.into_string().ok())
            .or_else(|| user_name(uid))
            .unwrap_or_else(|| uid.to_string())
    }

    /// `[store]` of the catalogue; empty if there is no catalogue and none was named.
    fn store_section(&self) -> Result<StoreSection> {
        StoreSection::read(&self.catalogue_path(), self.catalogue.is_some())
    }
}

/// A variable of the environment; `None` if it is unset or empty.
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

fn default_store(
    root: bool,
    variable: Variable<'_>,
    exists: &dyn Fn(&Path) -> bool,
) -> Result<PathBuf> {
    if let Some(dir) = first_dir(variable, "STATE_DIRECTORY") {
        return Ok(dir);
    }
    let system = PathBuf::from(SYSTEM_STORE);
    if root || exists(&system) {
        return Ok(system);
    }
    let own = user_dir(variable, "XDG_STATE_HOME", ".local/state");
    own.map(|dir| dir.join("jobctl")).ok_or_else(|| {
        Error::new(
            Kind::Usage,
            "cannot find the store directory: neither `HOME` nor `XDG_STATE_HOME` is set",
        )
        .hint("name the store directory with `--store`")
    })
}

/// The first directory of a variable that systemd sets: it may hold several, separated by colons.
fn first_dir(variable: Variable<'_>, name: &str) -> Option<PathBuf> {
    let value = variable(name)?;
    std::env::split_paths(&value)
        .next()
        .filter(|dir| dir.is_absolute())
}

/// A directory of the XDG specification, which requires that relative values are ignored.
fn user_dir(variable: Variable<'_>, name: &str, below_home: &str) -> Option<PathBuf> {
    let absolute = |name| {
        variable(name)
            .map(PathBuf::from)
            .filter(|dir| dir.is_absolute())
    };
    absolute(name).or_else(|| Some(absolute("HOME")?.join(below_home)))
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
    fn the_store_is_searched_in_the_documented_order() {
        let yes = |_: &Path| true;
        let no = |_: &Path| false;
        let home = [("HOME", "/home/a")];
        let xdg = [("HOME", "/home/a"), ("XDG_STATE_HOME", "/s")];
        let relative = [("HOME", "/home/a"), ("XDG_STATE_HOME", "s")];
        let systemd = [("STATE_DIRECTORY", "/var/lib/one:/var/lib/two")];
        let store = |root, env: Variable<'_>, exists| default_store(root, env, exists).unwrap();
        assert_eq!(
            store(false, &env(&systemd), &yes),
            Path::new("/var/lib/one")
        );
        assert_eq!(store(true, &env(&home), &no), Path::new(SYSTEM_STORE));
        assert_eq!(store(false, &env(&xdg), &yes), Path::new(SYSTEM_STORE));
        assert_eq!(store(false, &env(&xdg), &no), Path::new("/s/jobctl"));
        let own = Path::new("/home/a/.local/state/jobctl");
        assert_eq!(store(false, &env(&home), &no), own);
        assert_eq!(store(false, &env(&relative), &no), own);
        assert_eq!(
            default_store(false, &env(&[]), &no).unwrap_err().kind,
            Kind::Usage
        );
    }

    #[test]
    fn the_catalogue_is_searched_in_the_documented_order() {
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
