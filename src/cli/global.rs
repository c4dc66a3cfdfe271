//! The options that every command has.

use std::path::PathBuf;

/// Options of every command.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Catalogue of jobs.
    #[arg(long, global = true, value_name = "FILE")]
    #[arg(help = "Catalogue of jobs [env: JOBCTL_CATALOGUE] [default: /etc/jobctl/jobs.toml]")]
    pub catalogue: Option<PathBuf>,
    /// Directory of the store, with its database and the output of runs.
    #[arg(long = "store", global = true, value_name = "DIR")]
    #[arg(help = "Store directory [env: JOBCTL_STORE] [default: /var/lib/jobctl]")]
    pub store_dir: Option<PathBuf>,
    /// Print one JSON document
    #[arg(long, global = true)]
    pub json: bool,
    /// When to use colours
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: Color,
    /// Print no notices, only data, warnings and errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Print more detail on standard error
    #[arg(short, long, global = true)]
    pub verbose: bool,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}
