//! Tests of the documents: the example and the manual page contain every known key, and no other.

use std::collections::BTreeSet;
use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::Catalogue;
use super::keys::known_keys;

const EXAMPLE: &str = include_str!("../../jobs.toml.example");
const MANUAL: &str = include_str!("../../man/jobctl.toml.5");

/// The example with its `# key = value` lines uncommented, which depend on the machine.
fn switched_on() -> String {
    let is_key = |rest: &str| {
        let key = rest.split(" = ").next().unwrap_or_default();
        rest.contains(" = ") && !key.contains(' ')
    };
    let on = |line: &str| match line.strip_prefix("# ") {
        Some(rest) if is_key(rest) => rest.to_owned() + "\n",
        _ => line.to_owned() + "\n",
    };
    EXAMPLE.lines().map(on).collect()
}

fn check(text: &str) -> Vec<String> {
    let world = tempfile::tempdir().expect("a directory");
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(world.path(), private).expect("a mode");
    let path = world.path().join("jobs.toml");
    let holidays = world.path().join("holidays-us.txt");
    for (path, text) in [(&path, text), (&holidays, "2027-07-05 # observed\n")] {
        std::fs::write(path, text).expect("written");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(path, mode).expect("a mode");
    }
    assert!(!text.is_empty() && Catalogue::load(&path).is_ok_and(|c| c.path == path));
    Catalogue::check(Path::new(&path), super::tests::NOW_MS)
        .iter()
        .map(|c| c.render(false))
        .collect()
}

/// All keys below `table`, with `NAME` for free names.
fn keys_of(table: &DeTable<'_>, prefix: &str, found: &mut BTreeSet<String>) {
    for (key, value) in table {
        let free = match prefix {
            "job." | "queue." | "limit." | "calendar." | "job.NAME.params."
            | "job.NAME.secrets." => true,
            "tenants." => value.get_ref().as_table().is_some(),
            _ => false,
        };
        let path = format!("{prefix}{}", if free { "NAME" } else { key.get_ref() });
        found.insert(path.clone());
        let elements = value
            .get_ref()
            .as_array()
            .into_iter()
            .flatten()
            .map(toml::Spanned::get_ref);
        for inner in elements
            .chain([value.get_ref()])
            .filter_map(DeValue::as_table)
        {
            if !matches!(path.as_str(), "job.NAME.env" | "job.NAME.schedule.params") {
                keys_of(inner, &format!("{path}."), found);
            }
        }
    }
}

#[test]
fn the_example_is_a_catalogue_without_complaints() {
    assert_eq!(check(EXAMPLE), Vec::<String>::new());
    assert_eq!(check(&switched_on()), Vec::<String>::new());
}

#[test]
fn the_example_has_every_key() {
    let text = switched_on();
    let mut found = BTreeSet::new();
    keys_of(
        DeTable::parse(&text).expect("TOML").get_ref(),
        "",
        &mut found,
    );
    for (section, key) in known_keys() {
        assert!(
            found.contains(&format!("{section}.{key}")),
            "{section} {key}"
        );
    }
}

#[test]
fn the_manual_has_every_key_and_no_other() {
    let sections = MANUAL.split("\n.SS [").skip(1);
    let documented: BTreeSet<(String, String)> = sections
        .flat_map(|text| {
            let text = text.split("\n.SH ").next().unwrap_or_default();
            let (section, entries) = text.split_once("]\n").unwrap_or_default();
            let keys = entries
                .lines()
                .filter_map(|line| line.strip_prefix(".BI ")?.split_once(" \" = "));
            keys.map(|(key, _)| (section.to_owned(), key.to_owned()))
                .collect::<Vec<_>>()
        })
        .collect();
    let known = known_keys()
        .into_iter()
        .map(|(section, key)| (section.to_owned(), key));
    let mut known: BTreeSet<(String, String)> = known.collect();
    // The store's retention is documented by its two keys alone.
    known.remove(&("store".to_owned(), "retention".to_owned()));
    assert_eq!(documented, known);
}
