//! No source files import each other in a circle, so each can be read and changed without its users. The core imports only
//! the core.
//!
//! Rule: parent and child modules may name each other, since they are one module in several files. A name that a module
//! re-exports counts for the file that has it. All paths here begin at the root of the crate, without `crate`.

use std::collections::BTreeMap;

use super::{CORE, code, is_below, source};

/// Imports of core files from outside the core.
const BESIDES: &[(&str, &str)] = &[
    // A catalogue is only trusted if no other user can write it, and needs the zones of the system.
    ("catalogue/trust.rs", "owned/"),
    ("catalogue/load.rs", "zone_files.rs"),
    // The loop builds the fields of events; the shell writes them.
    ("scheduler/control/report.rs", "observe/log.rs"),
];

/// Beginnings of lines that import something.
const USE: [&str; 4] = ["use ", "pub use ", "pub(crate) use ", "pub(super) use "];

/// The names that a module uses: all paths in its imports and its code, and its imported names with their paths.
#[derive(Default)]
struct Named {
    paths: Vec<String>,
    imported: BTreeMap<String, String>,
}

impl Named {
    fn read(module: &str, text: &str) -> Self {
        let mut named = Self::default();
        let mut lines = code(text).map(str::trim);
        while let Some(line) = lines.next() {
            if let Some(begun) = USE.iter().find_map(|begin| line.strip_prefix(begin)) {
                let mut tree = begun.to_owned();
                while !tree.ends_with(';') {
                    tree.push_str(lines.next().expect("the end of a `use`"));
                }
                named.import(module, "", tree.trim_end_matches(';'));
                continue;
            }
            let is_part = |letter: char| letter.is_alphanumeric() || "_:".contains(letter);
            let words = line.split(|letter| !is_part(letter));
            let paths = words.filter(|it| it.starts_with("crate::") || it.starts_with("super::"));
            named.paths.extend(paths.map(|path| absolute(module, path)));
        }
        named
    }

    /// One name for each leaf of a tree such as `a::{b, c::{d, e as f}}`.
    fn import(&mut self, module: &str, prefix: &str, tree: &str) {
        let mut depth = 0;
        let parts = tree.split(|letter| {
            depth += i32::from(letter == '{') - i32::from(letter == '}');
            letter == ',' && depth == 0
        });
        for part in parts.map(str::trim).filter(|part| !part.is_empty()) {
            if let Some((before, inner)) = part.split_once('{') {
                let inner = inner.strip_suffix('}').expect("a closed brace");
                self.import(module, &format!("{prefix}{before}"), inner);
                continue;
            }
            let leaf = format!("{prefix}{part}").replace("::self", "");
            let (path, name) = leaf.split_once(" as ").unwrap_or((&leaf, &leaf));
            let name = name.rsplit("::").next().unwrap_or_default();
            let path = absolute(module, path);
            self.imported.insert(name.to_owned(), path.clone());
            self.paths.push(path);
        }
    }
}

/// The path from the root of the crate for a path that is written in this module.
fn absolute(module: &str, path: &str) -> String {
    if let Some(path) = path.strip_prefix("crate::") {
        return path.to_owned();
    }
    match path.strip_prefix("super::") {
        Some(path) => {
            let above = module.rsplit_once("::").map_or("", |(above, _)| above);
            absolute(above, path)
        }
        None if module.is_empty() => path.to_owned(),
        None => format!("{module}::{path}"),
    }
}

/// The module that a path leads to, through all that re-export its name; `None` outside of the crate.
fn resolve(mut path: String, modules: &BTreeMap<String, Named>) -> Option<String> {
    loop {
        let separators = path.rmatch_indices("::").map(|(at, _)| at);
        let mut ends = [path.len()].into_iter().chain(separators);
        let end = ends.find(|&end| modules.contains_key(&path[..end]))?;
        let (module, rest) = path.split_at(end);
        let mut rest = rest.splitn(3, "::").skip(1);
        let target = rest
            .next()
            .and_then(|name| modules[module].imported.get(name));
        match target {
            // Not for a macro, which is exported under its own name.
            Some(target) if *target != path => {
                path = rest.fold(target.clone(), |path, rest| path + "::" + rest);
            }
            _ => return Some(module.to_owned()),
        }
    }
}

/// The modules that each module imports, each with a path that leads there.
type Imports = BTreeMap<String, BTreeMap<String, String>>;

fn imports(modules: &BTreeMap<String, Named>) -> Imports {
    let is_within = |one: &str, other: &str| format!("{one}::").starts_with(&format!("{other}::"));
    let mut imports = Imports::new();
    for (module, named) in modules {
        let of_module = imports.entry(module.clone()).or_default();
        for path in &named.paths {
            if let Some(to) = resolve(path.clone(), modules)
                && !is_within(module, &to)
                && !is_within(&to, module)
            {
                of_module.insert(to, path.clone());
            }
        }
    }
    imports
}

/// A circle, one import per line; empty if there is none. Modules whose imports are all removed are removed, again and again, so
/// that the imports of the remaining modules form circles.
fn circle(mut imports: Imports) -> Vec<String> {
    loop {
        let modules: Vec<String> = imports.keys().cloned().collect();
        imports.retain(|_, of_module| of_module.keys().any(|to| modules.contains(to)));
        if imports.len() == modules.len() {
            break;
        }
    }
    let mut way: Vec<String> = imports.keys().take(1).cloned().collect();
    while let Some(last) = way.last() {
        let mut next = imports[last].keys().filter(|to| imports.contains_key(*to));
        let next = next.next().expect("a remaining module").clone();
        let met = way.iter().position(|module| *module == next);
        way.push(next);
        if let Some(begin) = met {
            let line = |pair: &[String]| {
                let path = &imports[&pair[0]][&pair[1]];
                format!("{} -> {}, by `{path}`", pair[0], pair[1])
            };
            return way[begin..].windows(2).map(line).collect();
        }
    }
    Vec::new()
}

/// All modules, and the file of each.
fn modules() -> (BTreeMap<String, Named>, BTreeMap<String, String>) {
    let files = source(|file| !["lib.rs", "main.rs"].contains(&file));
    let modules = files.map(|(file, text)| {
        let module = file.trim_end_matches(".rs").trim_end_matches("/mod");
        let module = module.replace('/', "::");
        let named = Named::read(&module, &text);
        ((module.clone(), named), (module, file))
    });
    modules.unzip()
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let circle = circle(imports(&modules().0));
    assert!(circle.is_empty(), "{circle:#?}");
}

/// Re-exports are followed: a name counts for the file that defines it.
#[test]
fn the_core_imports_only_the_core() {
    let (modules, files) = modules();
    let may = |file: &str, to: &str| {
        let mut besides = BESIDES.iter().filter(|(from, _)| *from == file);
        is_below(to, CORE) || besides.any(|(_, place)| is_below(to, &[*place]))
    };
    let mut found = Vec::new();
    for (module, file) in files.iter().filter(|(_, file)| is_below(file, CORE)) {
        for path in &modules[module].paths {
            let to = resolve(path.clone(), &modules).map(|to| &files[&to]);
            if let Some(to) = to.filter(|to| !may(file, to)) {
                found.push(format!("{file}: `{path}`, which is in {to}"));
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn a_circle_is_found_through_braces_and_names_that_are_exported_again() {
    let modules = [
        ("a", "pub use b::{\n    C,\n    d::{self, E as F},\n};\n"),
        ("a::b", "use crate::a::G;\n"),
        ("g", "fn h(c: super::a::C) {}\n"),
        ("i", "use super::a::F;\nuse std::fmt;\n"),
    ];
    let modules = modules.map(|(module, text)| (module.to_owned(), Named::read(module, text)));
    let mut modules = BTreeMap::from(modules);
    assert!(circle(imports(&modules)).is_empty());
    modules.insert("a::b".to_owned(), Named::read("a::b", "use crate::g;\n"));
    let lines = ["a::b -> g, by `g`", "g -> a::b, by `a::C`"];
    assert_eq!(circle(imports(&modules)), lines);
}
