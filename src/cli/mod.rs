//! The command line: one file per command, `context` finds catalogue and store, `render` prints.
//!
//! Rule: commands decide nothing that the store or the core decides, and print only through [`Screen`].

mod act;
pub mod advice;
mod calendar;
mod change_words;
mod check;
mod completions;
mod context;
mod convert;
mod dlq;
mod doctor;
mod enqueue;
mod filters;
mod given;
mod global;
mod history;
mod ids;
mod import;
mod jobs;
mod labels;
mod limits;
mod migrate;
mod next;
mod periods;
mod pressure;
mod progress;
mod prune;
mod queues;
mod quick;
mod render;
mod request;
mod rules;
mod run;
mod run_worker;
mod runs;
mod safe;
mod schedule;
mod scheduler;
mod settings;
mod signals;
mod standing;
mod status;
mod store_section;
mod table;
mod unknown;
mod usage;
mod wait;
mod when;
mod workers;

use clap::{CommandFactory, Parser, Subcommand};

pub use context::Context;
pub use global::Global;
pub use render::{Screen, report_panics};
pub use signals::survive_file_limits;
pub use table::{Paint, Table};
pub use usage::{Stop, parse};

/// Runs shell-command jobs in the background: durable queue, retries, dead letters, one SQLite file.
#[derive(Debug, Parser)]
#[command(name = "jobctl", version, color = clap::ColorChoice::Never, disable_help_subcommand = true)]
#[command(after_help = "Without a command: `jobctl status`.")]
pub struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub global: Global,
    /// The subcommand; `status` if none is given.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Every command; one file each.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check a catalogue and report all errors with their locations
    Check(check::Args),
    /// Enqueue a run of a job, or many from a file
    Enqueue(enqueue::Args),
    /// List and show the jobs of the catalogue, pause and resume them
    Jobs(jobs::Args),
    /// List, show, retry and discard dead runs
    Dlq(dlq::Args),
    /// Check this installation, and test its guarantees on this machine
    Doctor(doctor::Args),
    /// Convert crontabs and holiday calendars to text for the catalogue
    Import(convert::Args),
    /// Migrate the store to the schema of this version
    Migrate(migrate::Args),
    /// Show when schedules run next, or try a rule that is in no catalogue
    Next(next::Args),
    /// List, audit and run the periods of schedules
    Periods(periods::Args),
    /// Remove ended runs and their output
    Prune(prune::Args),
    /// List limits, pause, resume, reset and change them
    Limits(limits::Args),
    /// List queues, pause, resume and change them
    Queues(queues::Args),
    /// Enqueue a run and execute it here, in the foreground
    Run(run::Args),
    /// Run a worker
    RunWorker(run_worker::Args),
    /// List, show, explain, follow, cancel, retry and wait for runs
    Runs(runs::Args),
    /// Run the scheduler
    Schedule(schedule::Args),
    /// Show queues, workers, the scheduler and dead letters at a glance
    Status(status::Args),
    /// List, stop and kill workers
    Workers(workers::Args),
    /// Print a shell completion script
    Completions(completions::Args),
}

/// Executes the command. Returns the exit code, which need not be 0.
pub fn run(command: Option<Command>, context: &mut Context) -> anyhow::Result<u8> {
    match &command {
        // These open no store, or switch users themselves after opening the files that their arguments name.
        Some(
            Command::Check(_)
            | Command::Completions(_)
            | Command::Import(_)
            | Command::Enqueue(_)
            | Command::Next(_),
        ) => {}
        Some(Command::RunWorker(_)) => context.refuse_other_owner("run-worker")?,
        Some(Command::Run(_)) => context.refuse_other_owner("run")?,
        Some(Command::Schedule(args)) if !args.accept_clock => {
            context.refuse_other_owner("schedule")?;
        }
        _ => context.act_as_owner()?,
    }
    match command {
        None | Some(Command::Status(_)) => status::run(context),
        Some(Command::Check(args)) => Ok(check::run(&args, context)),
        Some(Command::Completions(args)) => Ok(completions::run(&args, context)),
        Some(Command::Dlq(args)) => dlq::run(args, context),
        Some(Command::Doctor(args)) => doctor::run(&args, context),
        Some(Command::Enqueue(args)) => enqueue::run(args, context),
        Some(Command::Import(args)) => convert::run(args, context),
        Some(Command::Jobs(args)) => jobs::run(args, context),
        Some(Command::Limits(args)) => limits::run(args, context),
        Some(Command::Migrate(args)) => migrate::run(args, context),
        Some(Command::Next(args)) => next::run(&args, context),
        Some(Command::Periods(args)) => periods::run(args, context),
        Some(Command::Prune(args)) => prune::run(&args, context),
        Some(Command::Queues(args)) => queues::run(args, context),
        Some(Command::Run(args)) => run::run(&args, context),
        Some(Command::RunWorker(args)) => run_worker::run(&args, context),
        Some(Command::Runs(args)) => runs::run(args, context),
        Some(Command::Schedule(args)) => schedule::run(&args, context),
        Some(Command::Workers(args)) => workers::run(args, context),
    }
}

/// The clap tree that the parser, the man pages and the completions share.
pub fn command() -> clap::Command {
    Cli::command()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_tree_passes_the_checks_of_clap() {
        super::command().debug_assert();
    }
}
