//! The program as one crate without a library, in which the compiler finds dead code.
//!
//! In the library everything is public, for rustdoc and the tests, so the compiler takes all of it as used. `.ci/run` checks this
//! crate; it is never built.

#![deny(dead_code)]
#![allow(
    unreachable_pub,
    unused_imports,
    reason = "the modules are written for the library"
)]

extern crate self as jobctl;

mod advice;
mod attempt;
mod catalogue;
mod cli;
mod clock;
mod crontab;
mod document;
mod error;
mod fail_point;
mod flow;
mod intake;
mod local;
mod observe;
mod operate;
mod owned;
mod policy;
mod process;
mod records;
mod recovery;
mod run;
mod schedule;
mod scheduler;
mod store;
mod units;
mod worker;
mod zone_files;

#[path = "main.rs"]
mod program;

fn main() -> std::process::ExitCode {
    program::main()
}

/// Items that only the tests in `tests/` use. Any other unused item is dead code.
#[expect(dead_code, reason = "it only names items")]
fn used_by_tests() {
    let _ = catalogue::LoadError::render;
    let _ = local::Local::unchecked;
    let _ = observe::log::silence;
    // `docs/log.md` is made from these.
    for description in observe::event::LogEvent::descriptions() {
        let _ = (description.name, description.level, description.meaning);
        for field in description.fields {
            let _ = (field.name, field.is_optional);
        }
    }
    let _ = observe::event::FIELD_MEANINGS;
    let _ = |burial: records::Burial| burial.reason;
    let _ = (records::samples::new_run, records::samples::claimed);
    let _ = records::samples::claim_request;
    let _ = scheduler::Answer::into_failure;
    let _ = (scheduler::Planner::load, scheduler::Planner::accept_clock);
    let _ = |ticked: scheduler::Ticked| ticked.next;
    let _ = scheduler::Control::is_loaded;
    let _ = store::Store::in_memory;
    let _ = (
        worker::machine::Machine::slots,
        worker::machine::Machine::has_intents,
    );
    let _ = |machine: &worker::machine::Machine| machine.holds().count();
}
