//! No two source files import each other in a circle: each can be read and changed without those that use it.
//!
//! Rule: parent and child modules may name each other, since they are one module in several files. A name that a module
//! re-exports counts for the file that has it.

use std::collections::BTreeMap;

use super::{code, source};

/// To be untangled.
const LEFT: [&str; 3] = [
    "store::sqlite::connect",
    "store::sqlite::open",
    "store::sqlite::place",
];

/// What a line begins with that imports something.
const USE: [&str; 4] = ["use ", "pub use ", "pub(crate) use ", "pub(super) use "];

/// What a file imports: the module, and a path that names it.
type Imports = BTreeMap<String, String>;

/// The paths of a `use`: one for each leaf of `a::{b, c::{d, e}}`.
fn leaves(prefix: &str, tree: &str, all: &mut Vec<String>) {
    let mut depth = 0;
    let parts = tree.split(|letter| {
        depth += i32::from(letter == '{') - i32::from(letter == '}');
        letter == ',' && depth == 0
    });
    for part in parts.map(str::trim).filter(|part| !part.is_empty()) {
        match part.split_once('{') {
            Some((before, inner)) => {
                let inner = inner.strip_suffix('}').expect("a closed brace");
                leaves(&format!("{prefix}{before}"), inner, all);
            }
            None => all.push(format!("{prefix}{part}").replace("::self", "")),
        }
    }
}

/// The paths that a file imports by `use`, and those that it names in its code.
fn paths(text: &str) -> (Vec<String>, Vec<String>) {
    let (mut used, mut named) = (Vec::new(), Vec::new());
    let mut lines = code(text).map(str::trim);
    while let Some(line) = lines.next() {
        if let Some(begun) = USE.iter().find_map(|begin| line.strip_prefix(begin)) {
            let mut tree = begun.to_owned();
            while !tree.ends_with(';') {
                tree.push_str(lines.next().expect("the end of a `use`"));
            }
            leaves("", tree.trim_end_matches(';'), &mut used);
            continue;
        }
        let words = line.split(|letter: char| !letter.is_alphanumeric() && !"_:".contains(letter));
        named.extend(
            words
                .filter(|word| word.starts_with("crate::") || word.starts_with("super::"))
                .map(str::to_owned),
        );
    }
    (used, named)
}

/// A path that is written in this module, from the root of the crate.
fn absolute(module: &str, path: &str) -> String {
    if let Some(path) = path.strip_prefix("crate::") {
        return path.to_owned();
    }
    match path.strip_prefix("super::") {
        Some(path) => absolute(
            module.rsplit_once("::").map_or("", |(above, _)| above),
            path,
        ),
        None if module.is_empty() => path.to_owned(),
        None => format!("{module}::{path}"),
    }
}

/// The module that a path leads to, through everything that is re-exported.
fn resolve(
    mut path: String,
    modules: &BTreeMap<String, BTreeMap<String, String>>,
) -> Option<String> {
    loop {
        let separators = path.rmatch_indices("::").map(|(at, _)| at);
        let mut ends = [path.len()].into_iter().chain(separators);
        let end = ends.find(|&end| modules.contains_key(&path[..end]))?;
        let (module, rest) = path.split_at(end);
        let mut rest = rest.splitn(3, "::").skip(1);
        match rest.next().and_then(|name| modules[module].get(name)) {
            Some(target) => path = rest.fold(target.clone(), |path, rest| path + "::" + rest),
            None => return Some(module.to_owned()),
        }
    }
}

fn is_within(module: &str, other: &str) -> bool {
    module == other || module.starts_with(&format!("{other}::"))
}

fn imports() -> BTreeMap<String, Imports> {
    let files = source(|file| !["lib.rs", "main.rs"].contains(&file));
    let files: Vec<_> = files
        .map(|(file, text)| {
            let module = file.trim_end_matches(".rs").trim_end_matches("/mod");
            (module.replace('/', "::"), paths(&text))
        })
        .collect();
    let names = |(module, (used, _)): &(String, (Vec<String>, Vec<String>))| {
        let name = |path: &String| {
            let (path, name) = path.split_once(" as ").unwrap_or((path, path));
            let name = name.rsplit("::").next().unwrap_or_default();
            (name.to_owned(), absolute(module, path))
        };
        // A macro that is exported by its own name leads nowhere else.
        let elsewhere = |(name, path): &(String, String)| *path != format!("{module}::{name}");
        (
            module.clone(),
            used.iter().map(name).filter(elsewhere).collect(),
        )
    };
    let modules: BTreeMap<String, BTreeMap<String, String>> = files.iter().map(names).collect();
    let mut imports: BTreeMap<String, Imports> = BTreeMap::new();
    for (module, (used, named)) in &files {
        let of_file = imports.entry(module.clone()).or_default();
        for path in used.iter().chain(named) {
            let absolute = absolute(module, path.split(" as ").next().unwrap_or_default());
            if let Some(to) = resolve(absolute, &modules)
                && !is_within(module, &to)
                && !is_within(&to, module)
                && !(LEFT.contains(&module.as_str()) && LEFT.contains(&to.as_str()))
            {
                of_file.insert(to, path.clone());
            }
        }
    }
    imports
}

/// Takes away the files that import none of the others, again and again: what is left goes round.
fn circle(mut imports: BTreeMap<String, Imports>) -> Vec<String> {
    loop {
        let modules: Vec<String> = imports.keys().cloned().collect();
        let left = |to: &String| modules.contains(to);
        imports.retain(|_, of_file| of_file.keys().any(left));
        if imports.len() == modules.len() {
            break;
        }
    }
    let mut way: Vec<String> = imports.keys().take(1).cloned().collect();
    while let Some(last) = way.last() {
        let mut all = imports[last].keys();
        let next = all
            .find(|to| imports.contains_key(*to))
            .expect("one that is left");
        if let Some(begin) = way.iter().position(|module| module == next) {
            let circle = way[begin..]
                .iter()
                .zip(way[begin + 1..].iter().chain([next]));
            let line = |(from, to): (&String, &String)| {
                format!("{from} -> {to}, by `{}`", imports[from][to])
            };
            return circle.map(line).collect();
        }
        way.push(next.clone());
    }
    Vec::new()
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let circle = circle(imports());
    assert!(circle.is_empty(), "{circle:#?}");
}

#[test]
fn a_circle_is_found_through_braces_and_names_that_are_exported_again() {
    let (used, named) =
        paths("use a::{\n    b,\n    c::{d, e as f},\n};\nfn g(h: super::i::J) {}\n");
    assert_eq!(used, ["a::b", "a::c::d", "a::c::e as f"]);
    assert_eq!(named, ["super::i::J"]);
    let module = |name: &str, exported: &[(&str, &str)]| {
        let own = |(name, path): &(&str, &str)| ((*name).to_owned(), (*path).to_owned());
        (name.to_owned(), exported.iter().map(own).collect())
    };
    let modules = BTreeMap::from([module("a", &[("B", "a::b::B")]), module("a::b", &[])]);
    let path = absolute("c::d", "super::super::a::B::new");
    assert_eq!(resolve(path, &modules).as_deref(), Some("a::b"));
    let import = |to: &str| Imports::from([(to.to_owned(), format!("crate::{to}"))]);
    let round =
        [("a", "b"), ("b", "c"), ("c", "b")].map(|(from, to)| (from.to_owned(), import(to)));
    let lines = ["b -> c, by `crate::c`", "c -> b, by `crate::b`"];
    assert_eq!(circle(BTreeMap::from(round)), lines);
}
