//! Parses, dispatches, prints the error once, returns the exit code.

fn main() {}
