//! `jobctl completions`: a completion script, generated from the clap tree.

use super::Context;

/// Print a shell completion script
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The shell
    shell: clap_complete::Shell,
}

/// Prints it.
pub(super) fn run(args: &Args, context: &mut Context) -> u8 {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut super::command(), "jobctl", &mut script);
    context.screen.raw(&script);
    0
}
