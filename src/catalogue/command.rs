//! `command`, `shell` and `params` of a job: the program to start, and the parameters of an enqueue.
//!
//! Rule: the value of a parameter never becomes part of a text that a shell parses.

use std::collections::{BTreeMap, BTreeSet};

use super::reader::Table;
use super::settings::Context;
use super::template::is_param_name;
use super::value::Value;
use super::{Command, Intake, Param, Template, intake, keys};
use crate::error::nearest;
use crate::units::shown;

/// Programs that take the argument after `-c` as a script.
const SHELLS: [&str; 7] = ["sh", "bash", "dash", "zsh", "ksh", "ash", "fish"];

/// `params`
pub(super) fn params(table: &Table<'_>) -> BTreeMap<String, Param> {
    let mut params = BTreeMap::new();
    let Some(value) = table.get("params") else {
        return params;
    };
    let Some(entries) = value.table().map(|table| table.entries()) else {
        return params;
    };
    for entry in entries {
        if !is_param_name(entry.key) {
            let hint = "use up to 64 of a-z, 0-9 and `_`, the first a letter";
            entry.place.error(
                format!("bad name `{}` of a parameter", shown(entry.key)),
                hint,
            );
        }
        let mut param = Param::default();
        if let Some(table) = entry.value.table() {
            table.check_keys(keys::PARAM, "a parameter");
            param.required = table
                .get("required")
                .and_then(|v| v.boolean())
                .unwrap_or(false);
            let default = table.get("default");
            param.default = default.as_ref().and_then(Value::text).map(str::to_owned);
            if let (Some(default), Some(text)) = (&default, &param.default) {
                if param.required {
                    let hint = "remove `required`, or the `default`";
                    default
                        .place
                        .error("a required parameter needs no default", hint);
                }
                if let Err(error) = intake::check_value(entry.key, text) {
                    default.wrong(&error);
                }
            }
        }
        params.insert(entry.key.to_owned(), param);
    }
    params
}

/// `shell`: the program and its options.
pub(super) fn shell(value: &Value<'_>, context: &Context) -> Option<Vec<String>> {
    if value.as_text().is_some() {
        let hint = "write for instance `[\"/bin/bash\", \"-euo\", \"pipefail\", \"-c\"]`";
        value
            .place
            .error("`shell` must be a list: the program and its options", hint);
        return None;
    }
    let mut words: Vec<String> = value
        .texts()?
        .into_iter()
        .map(|(word, _)| word.to_owned())
        .collect();
    match words.first_mut() {
        Some(program) if !program.is_empty() => *program = program_path(program, context),
        _ => {
            value.place.error(
                "`shell` has no program",
                "write for instance `[\"/bin/sh\", \"-c\"]`",
            );
            return None;
        }
    }
    Some(words)
}

/// A program with a slash is relative to the catalogue; one without a slash is searched in PATH.
fn program_path(program: &str, context: &Context) -> String {
    if program.contains('/') && !program.starts_with('/') {
        context.path(program).to_string_lossy().into_owned()
    } else {
        program.to_owned()
    }
}

/// `command`: a list or a string.
pub(super) fn command(
    value: &Value<'_>,
    shell: Vec<String>,
    params: &BTreeMap<String, Param>,
    context: &Context,
) -> Option<Command> {
    if value.is_list() {
        return argv(value, params, context).map(Command::Argv);
    }
    if value.as_text().is_none() {
        value.expected("a list of arguments, or a string for the shell");
        return None;
    }
    let script = value.text()?;
    if script.trim().is_empty() {
        value.place.error(
            "`command` is empty",
            "write a command, for instance `\"true\"`",
        );
        return None;
    }
    check_script(value, script, params);
    Some(Command::Shell {
        script: script.to_owned(),
        shell,
    })
}

/// Refuses placeholders of parameters in a script, and warns about variables of unknown parameters.
fn check_script(value: &Value<'_>, script: &str, params: &BTreeMap<String, Param>) {
    for name in params.keys() {
        let placeholder = format!("{{{name}}}");
        let stands_alone = |(at, _): (usize, &str)| !script[..at].ends_with('$');
        if script.match_indices(&placeholder).any(stands_alone) {
            let message = format!("placeholder `{placeholder}` in a shell string");
            let hint = format!(
                "write `\"$JOBCTL_PARAM_{}\"`: its value is never read as code",
                name.to_uppercase()
            );
            value.place.error(message, hint);
        }
    }
    let mut warned = BTreeSet::new();
    for (at, prefix) in script.match_indices("JOBCTL_PARAM_") {
        let before = &script[..at];
        if !before.ends_with('$') && !before.ends_with("${") {
            continue;
        }
        let rest = &script[at + prefix.len()..];
        let end = rest
            .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .unwrap_or(rest.len());
        let variable = &rest[..end];
        let name = variable.to_lowercase();
        if (params.contains_key(&name) && variable == name.to_uppercase())
            || !warned.insert(variable)
        {
            continue;
        }
        let hint = match nearest(&name, params.keys().map(String::as_str)) {
            Some(near) => format!("did you mean `$JOBCTL_PARAM_{}`?", near.to_uppercase()),
            None => format!("add `{name}` to `params`"),
        };
        let message = format!("`$JOBCTL_PARAM_{variable}` is not a parameter of this job");
        value.place.warning(message, hint);
    }
}

fn argv(
    value: &Value<'_>,
    params: &BTreeMap<String, Param>,
    context: &Context,
) -> Option<Vec<Template>> {
    let items = value.list()?;
    if items.is_empty() {
        value
            .place
            .error("`command` is empty", "write a program and its arguments");
        return None;
    }
    let mut templates = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let Some(text) = item.text() else { continue };
        let template = match Template::parse(text) {
            Ok(template) => template,
            Err(error) => {
                item.wrong(&error);
                continue;
            }
        };
        check_params(item, &template, params);
        if index == 0 {
            match template.literal() {
                Some("") => item.place.error(
                    "the program of `command` is empty",
                    "write its path or name",
                ),
                Some(program) => {
                    let program = program_path(program, context);
                    templates.push(Template(vec![super::Segment::Text(program)]));
                }
                None => {
                    let hint = "write the program itself; make one job for each program";
                    item.place
                        .error("the program of `command` has a placeholder", hint);
                }
            }
            continue;
        }
        templates.push(template);
    }
    if templates.len() < items.len() {
        return None;
    }
    check_shell_script(&templates, &items);
    Some(templates)
}

/// Reports placeholders of unknown parameters.
pub(super) fn check_params(
    value: &Value<'_>,
    template: &Template,
    params: &BTreeMap<String, Param>,
) {
    for name in template.params().filter(|name| !params.contains_key(*name)) {
        let hint = match nearest(name, params.keys().map(String::as_str)) {
            Some(near) => format!("did you mean `{{{near}}}`?"),
            None => format!("add `{name}` to `params`, or double the braces"),
        };
        value.place.error(
            format!("unknown parameter `{name}` in `{}`", value.name()),
            hint,
        );
    }
}

/// Refuses a placeholder in the script of `["sh", "-c", SCRIPT]`: a shell would parse its value.
fn check_shell_script(templates: &[Template], items: &[Value<'_>]) {
    let program = templates[0].literal().unwrap_or_default();
    if !SHELLS.contains(&program.rsplit('/').next().unwrap_or_default()) {
        return;
    }
    let option = |template: &Template| {
        template
            .literal()
            .is_some_and(|o| o.starts_with('-') && !o.starts_with("--") && o.ends_with('c'))
    };
    let Some(at) = templates.iter().position(option).map(|at| at + 1) else {
        return;
    };
    if let Some(name) = templates.get(at).and_then(|script| script.params().next()) {
        let message =
            format!("placeholder `{{{name}}}` in a script: its value would be read as code");
        let hint = format!(
            "write `\"$JOBCTL_PARAM_{}\"` in the script",
            name.to_uppercase()
        );
        items[at].place.error(message, hint);
    }
}

/// Warns about parameters that neither the command nor a key uses. A command without any placeholder is not checked: it reads
/// the environment.
pub(super) fn warn_unused(value: &Value<'_>, command: &Command, intake: &Intake) {
    let Command::Argv(templates) = command else {
        return;
    };
    let mut used: BTreeSet<&str> = templates.iter().flat_map(Template::params).collect();
    if used.is_empty() {
        return;
    }
    used.extend(intake.dedup.iter().flat_map(|dedup| dedup.key.params()));
    used.extend(
        intake
            .sequence
            .iter()
            .flat_map(|sequence| sequence.key.params()),
    );
    let named = |name: &str| {
        let variable = format!("JOBCTL_PARAM_{}", name.to_uppercase());
        templates
            .iter()
            .filter_map(Template::literal)
            .any(|text| text.contains(&variable))
    };
    let params = intake.params.keys();
    for name in params.filter(|name| !used.contains(name.as_str()) && !named(name)) {
        let hint = format!("add `{{{name}}}` to an argument, or remove the parameter");
        value
            .place
            .warning(format!("parameter `{name}` is not used in `command`"), hint);
    }
}

/// Parameters whose value begins an argument, so that a leading `-` would make it an option. After `--` there are none.
pub(super) fn argument_params(command: &Command) -> Vec<String> {
    let Command::Argv(templates) = command else {
        return Vec::new();
    };
    let arguments = templates
        .iter()
        .skip(1)
        .take_while(|template| template.literal() != Some("--"));
    let names: BTreeSet<&str> = arguments.flat_map(Template::leading_params).collect();
    names.into_iter().map(str::to_owned).collect()
}
