//! The manual pages in `man/` say what the command line really takes.
//!
//! They are made from the tree that parses: `cargo test -- --ignored regenerate_man_pages` writes them anew. Rule: nothing in
//! `man/*.1` is edited by hand; what no option says stands in the texts below.

use std::fs;
use std::path::PathBuf;

use clap::Command;
use clap_mangen::Man;

/// Sections of `jobctl(1)` behind the options.
const MORE: &str = r#".SH "EXIT STATUS"
.TP
0
done
.TP
1
failed
.TP
2
wrong arguments
.TP
3
no such job, run, queue or worker
.TP
4
refused by a rule
.TP
69
the store cannot be reached or is not ours
.TP
70
a defect in jobctl
.TP
74
input or output error; nothing was changed unless the message says what was (only the answer could not be printed)
.TP
75
nothing was stored, try again: queue full, store busy
.TP
76
unknown whether it was stored: repeat with the same \fB\-\-request\-id\fR
.TP
77
no permission; the store is not ours, or others have rights to it
.TP
78
bad catalogue
.PP
With \fB\-\-wait\fR, and of \fBjobctl run\fR and \fBjobctl runs wait\fR: 0 succeeded, 101 dead, 102 cancelled, 124 the wait
timed out, 130 interrupted.
.SH ENVIRONMENT
.TP
\fBJOBCTL_CATALOGUE\fR, \fBJOBCTL_STORE\fR
as \fB\-\-catalogue\fR and \fB\-\-state\fR
.TP
\fBCONFIGURATION_DIRECTORY\fR, \fBSTATE_DIRECTORY\fR
set by systemd(1): where catalogue and state are, unless the above say so
.TP
\fBNOTIFY_SOCKET\fR, \fBWATCHDOG_USEC\fR, \fBWATCHDOG_PID\fR
set by systemd(1): whom a worker tells how it is; see \fBjobctl\-run\-worker\fR(1)
.TP
\fBXDG_CONFIG_HOME\fR, \fBXDG_STATE_HOME\fR
where catalogue and state of a user are
.TP
\fBNO_COLOR\fR
no colours
.SH FILES
.TP
/etc/jobctl/jobs.toml
the catalogue, see \fBjobctl.toml\fR(5)
.TP
/var/lib/jobctl
the store directory: jobctl.db, lock files, output of the runs
.SH "WHOSE A STORE IS"
A store belongs to one user: the store directory has mode 0700 and is that user\(aqs, and so is everything in it; files have one
name and are no links.
The directories above it, and links on the way, belong to root or to that user, and nobody else can write one (with the sticky
bit, as \fI/tmp\fR has it, anyone may).
Every command looks at what it uses, for every user, and otherwise ends with 77; \fBjobctl doctor\fR(1) names each thing that is
wrong, and warns of directories above that a group can write.
.PP
Others use it as its owner: \fBsudo \-u\fR \fIOWNER\fR \fBjobctl\fR ..
Root that works at the store of somebody else opens the files that its arguments name (\fB\-\-from\fR, \fB\-\-payload @\fR\fIFILE\fR)
and then takes the owner\(aqs user and groups for good, before it reads the catalogue and opens the store.
Where the catalogue of a user names the store directory, root acts as that user, whosever the directory is.
\fBjobctl run\-worker\fR, \fBjobctl schedule\fR and \fBjobctl run\fR, which start commands or serve others, refuse this.
The groups are those of \fI/etc/passwd\fR and \fI/etc/group\fR; of a user that these files do not know, the group of the directory.
"#;

/// Sections of single commands, before `SEE ALSO`.
const MORE_OF: &[(&str, &str)] = &[(
    "run-worker",
    r".SH SIGNALS
.TP
SIGTERM, SIGINT
Claim no more and let running commands go on for \fB[worker] stop_after\fR, then end them and give their runs back.
A second signal ends them at once, a third kills them.
.TP
SIGHUP
Load the catalogue anew.
One with mistakes is refused, and the old one stays.
.SH SYSTEMD
Where \fBNOTIFY_SOCKET\fR is set, as in a unit of \fBType=notify\fR, the worker tells the service manager when it is ready, how
many slots are busy, when it loads the catalogue, and when it begins to stop.
While it stops it asks for more time, so that \fBTimeoutStopSec=\fR need not be as long as \fBstop_after\fR.
With \fBWATCHDOG_USEC\fR its main loop shows that it lives, twice in this time.
A run is not blamed for the death of its worker after whoever started the worker sent SIGTERM, SIGINT or SIGABRT: a stop that
took too long, or a watchdog.
The unit \fBjobctl\-worker@.service\fR works one queue, named by its instance.
",
)];

const SEE_ALSO: &str =
    ".SH \"SEE ALSO\"\n\\fBjobctl\\fR(1) for the options of every command and the exit codes\n";

/// Every page: file name and content.
fn pages() -> Vec<(String, String)> {
    let mut tree = jobctl::cli::command();
    tree.build();
    let mut pages = vec![("jobctl.1".to_owned(), main_page(&tree))];
    for command in visible(&tree) {
        pages.push((format!("jobctl-{}.1", command.get_name()), page(command)));
    }
    pages
}

fn visible(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|sub| !sub.is_hide_set())
}

fn about(command: &Command) -> String {
    command
        .get_about()
        .map(ToString::to_string)
        .unwrap_or_default()
}

/// One of the sections that `clap_mangen` renders.
fn section(
    command: &Command,
    render: impl Fn(&Man, &mut Vec<u8>) -> std::io::Result<()>,
) -> String {
    let mut text = Vec::new();
    render(&Man::new(command.clone()), &mut text).expect("a section");
    String::from_utf8(text).expect("UTF-8")
}

fn head(command: &Command, name: &str) -> String {
    let about = about(command);
    let title = name.to_uppercase().replace('-', "\\-");
    let version = env!("CARGO_PKG_VERSION");
    let name = name.replace('-', "\\-");
    format!(".TH {title} 1 \"\" \"jobctl {version}\" \"jobctl\"\n.SH NAME\n{name} \\- {about}\n")
}

fn body(command: &Command) -> String {
    let synopsis = section(command, |man, out| man.render_synopsis_section(out));
    let description = if command.get_long_about().is_some() {
        section(command, |man, out| man.render_description_section(out))
    } else {
        String::new()
    };
    let options = section(command, |man, out| man.render_options_section(out));
    let options = if options.lines().any(|line| line.starts_with(".TP")) {
        options
    } else {
        String::new()
    };
    format!("{synopsis}{description}{options}")
}

fn main_page(tree: &Command) -> String {
    let line = |command: &Command| {
        let name = command.get_name().replace('-', "\\-");
        format!(".TP\n\\fBjobctl\\-{name}\\fR(1)\n{}\n", about(command))
    };
    let commands: Vec<String> = visible(tree).map(line).collect();
    let (head, body, commands) = (head(tree, "jobctl"), body(tree), commands.concat());
    plain(&format!("{head}{body}.SH COMMANDS\n{commands}{MORE}"))
}

/// A command with its verbs; the options of every command stand in `jobctl(1)` alone.
fn page(command: &Command) -> String {
    let name = format!("jobctl-{}", command.get_name());
    let verb = |verb: &Command| {
        let title = format!("{} {}", name.replace('-', " "), verb.get_name()).to_uppercase();
        let body = body(&own(verb)).replace(".SH ", ".SS ");
        format!(".SH \"{title}\"\n{}\n{body}", about(verb))
    };
    let verbs: Vec<String> = visible(command).map(verb).collect();
    let (head, body, verbs) = (head(command, &name), body(&own(command)), verbs.concat());
    let more = MORE_OF.iter().find(|(of, _)| *of == command.get_name());
    let more = more.map_or("", |(_, text)| text);
    plain(&format!("{head}{body}{verbs}{more}{SEE_ALSO}"))
}

fn own(command: &Command) -> Command {
    let elsewhere = |arg: &clap::Arg| {
        arg.get_help_heading() == Some("Global options") || arg.get_id() == "help"
    };
    let hide = |arg: clap::Arg| {
        let hidden = elsewhere(&arg) || arg.is_hide_set();
        arg.hide(hidden)
    };
    command.clone().mut_args(hide)
}

/// Without the lines that set up quotes for old formatters, which every section repeats.
fn plain(text: &str) -> String {
    let lines = text
        .lines()
        .filter(|line| !line.starts_with(".ie ") && !line.starts_with(".el "));
    let lines: Vec<&str> = lines.map(str::trim_end).collect();
    lines.join("\n").replace("\\*(Aq", "\\(aq") + "\n"
}

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("man")
}

#[test]
fn the_manual_pages_are_those_of_the_real_options() {
    let pages = pages();
    for (name, page) in &pages {
        let kept = fs::read_to_string(directory().join(name)).unwrap_or_default();
        assert!(
            kept == *page,
            "man/{name} is old: `cargo test -- --ignored regenerate_man_pages`"
        );
    }
    for entry in fs::read_dir(directory()).expect("man") {
        let name = entry
            .expect("an entry")
            .file_name()
            .into_string()
            .expect("UTF-8");
        let known = pages.iter().any(|(page, _)| *page == name) || !name.ends_with(".1");
        assert!(known, "man/{name} is of no command");
    }
}

#[test]
#[ignore = "writes man/*.1 anew"]
fn regenerate_man_pages() {
    for (name, page) in pages() {
        fs::write(directory().join(name), page).expect("a page is written");
    }
}
