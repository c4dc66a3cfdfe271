//! `jobctl completions`: a script for the shell, made from the same tree that parses.

use super::Context;

/// Print the completion script of a shell
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which shell
    shell: clap_complete::Shell,
}

/// Prints it.
pub fn run(args: &Args, context: &mut Context) -> u8 {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut super::command(), "jobctl", &mut script);
    context.screen.raw(&script);
    0
}
