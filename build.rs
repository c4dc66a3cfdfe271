//! Makes the binary quick to start: an enqueue is a process of two milliseconds.
//!
//! A relocatable binary patches 200 pages of tables at each start, a millisecond, so the binary has a fixed address.
#![expect(
    clippy::disallowed_macros,
    reason = "a build script talks to cargo on standard output"
)]

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let is =
        |variable: &str, value: &str| std::env::var(variable).is_ok_and(|found| found == value);
    if is("CARGO_CFG_TARGET_OS", "linux") && is("CARGO_CFG_TARGET_ENV", "gnu") {
        println!("cargo::rustc-link-arg-bins=-no-pie");
    }
}
