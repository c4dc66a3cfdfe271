//! The manual pages in `man/` describe the real command line.
//!
//! They are generated from the clap tree: `cargo test -- --ignored regenerate_man_pages` writes them. Rule: nothing in `man/*.1` is
//! edited by hand; further sections are in the texts below.

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
refused: not allowed in the present state
.TP
69
the store does not exist or is not usable
.TP
70
a defect in jobctl
.TP
74
input or output error; nothing was changed unless the message says so (if only the answer could not be printed)
.TP
75
nothing was stored, try again later: queue full, store busy
.TP
76
unknown whether it was stored: repeat with the same \fB\-\-request\-id\fR
.TP
77
no permission; the store belongs to another user, or others can access it
.TP
78
bad catalogue
.PP
With \fB\-\-wait\fR, and of \fBjobctl run\fR and \fBjobctl runs wait\fR: 0 succeeded, 101 dead, 102 cancelled, 124 the wait
timed out, 130 interrupted.
.SH ENVIRONMENT
.TP
\fBJOBCTL_CATALOGUE\fR, \fBJOBCTL_STORE\fR
as \fB\-\-catalogue\fR and \fB\-\-store\fR
.TP
\fBCONFIGURATION_DIRECTORY\fR, \fBSTATE_DIRECTORY\fR
set by systemd(1): directories of catalogue and store, unless the above are given
.TP
\fBNOTIFY_SOCKET\fR, \fBWATCHDOG_USEC\fR, \fBWATCHDOG_PID\fR
set by systemd(1): where a worker reports its status; see \fBjobctl\-run\-worker\fR(1)
.TP
\fBXDG_CONFIG_HOME\fR, \fBXDG_STATE_HOME\fR
directories of a user\(aqs catalogue and store
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
.SH "OWNER OF A STORE"
A store belongs to one user, who owns the store directory, with mode 0700, and everything in it; files in it are not links and
have no second name.
The directories above it, and symbolic links in the path, belong to root or to that user, and nobody else can write them, except
directories with the sticky bit such as \fI/tmp\fR.
Every command checks the files that it uses, for every user, and exits with 77 if one is wrong; \fBjobctl doctor\fR(1) lists all
problems, and warns about directories above that a group can write.
.PP
Other users call it as its owner: \fBsudo \-u\fR \fIOWNER\fR \fBjobctl\fR ..
If root uses the store of another user, jobctl first opens the files that the arguments name (\fB\-\-from\fR, \fB\-\-payload @\fR\fIFILE\fR),
then permanently switches to the owner and the owner\(aqs groups, and only then reads the catalogue and opens the store.
If a user\(aqs catalogue names the store directory, root acts as that user, also if another user owns the directory.
\fBjobctl run\-worker\fR, \fBjobctl schedule\fR and \fBjobctl run\fR, which start commands or serve others, refuse to do this.
The groups are those of \fI/etc/passwd\fR and \fI/etc/group\fR; for a user that is not in these files, the group of the directory.
"#;

/// Sections of single commands, before `SEE ALSO`.
const MORE_OF: &[(&str, &str)] = &[(
    "run-worker",
    r".SH SIGNALS
.TP
SIGTERM, SIGINT
Claim no more runs, let running commands continue for \fB[worker] stop_after\fR, then stop them and return their runs to the queue.
A second signal stops them at once, a third kills them.
.TP
SIGHUP
Reload the catalogue.
If it has errors, the old one stays in use.
.SH SYSTEMD
If \fBNOTIFY_SOCKET\fR is set, as in a unit of \fBType=notify\fR, the worker reports to the service manager when it is ready, how many
slots are busy, when it reloads the catalogue, and when it begins to stop.
While it stops it asks for more time, so that \fBTimeoutStopSec=\fR need not be as long as \fBstop_after\fR.
With \fBWATCHDOG_USEC\fR its main loop sends a keep\-alive signal twice in this time.
The death of a worker does not count as a crash of its runs after its parent process sent SIGTERM, SIGINT or SIGABRT, that is after
a stop that took too long, or a watchdog.
The unit \fBjobctl\-worker@.service\fR serves one queue, named by its instance.
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
#[ignore = "rewrites man/*.1"]
fn regenerate_man_pages() {
    for (name, page) in pages() {
        fs::write(directory().join(name), page).expect("a page is written");
    }
}
