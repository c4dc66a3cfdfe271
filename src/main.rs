//! Parses, dispatches, prints the error once, returns the exit code.

use std::ffi::OsString;
use std::process::ExitCode;

use jobctl::cli::{self, Context, Screen};
use jobctl::error::Kind;
use jobctl::process::{spawn, wrapper};

pub(crate) fn main() -> ExitCode {
    cli::report_panics();
    cli::survive_file_limits();
    spawn::reset_sigchld();
    let code = std::panic::catch_unwind(run).unwrap_or(Kind::Bug.exit_code());
    ExitCode::from(code)
}

fn run() -> u8 {
    let args: Vec<OsString> = std::env::args_os().collect();
    // Not a command of users: a job with umask or rlimits starts itself through it.
    if args.get(1).is_some_and(|arg| arg == wrapper::SUBCOMMAND) {
        let failed = wrapper::exec_wrapper(args.into_iter().skip(2));
        // What was reported to a slot needs no exit code of its own.
        return failed.map_or(Kind::Failed.exit_code(), |failed| {
            Screen::before_parsing(&[]).wrapper_failed(&failed)
        });
    }
    match cli::parse(&args) {
        Ok(cli::Cli { global, command }) => {
            let mut context = Context::new(global);
            let result = cli::run(command, &mut context);
            context.screen.report(result)
        }
        Err(stop) => stop.report(&mut Screen::before_parsing(&args)),
    }
}
