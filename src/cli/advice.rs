//! The commands for the advice of the core.
//!
//! Rule: the parser accepts each command; a test parses one command for each kind of advice.

use crate::advice::{Advice, Text};
use crate::error::Error;

/// The text with the commands for its advice.
pub fn words(text: &Text) -> String {
    text.words(|advice| format!("`{}`", command(advice)))
}

/// The hint of an error, with the commands for its advice.
pub fn hint_of(error: &Error) -> Option<String> {
    error.hint.as_ref().map(words)
}

/// The command for an advice, as the user types it.
pub fn command(advice: &Advice) -> String {
    match advice {
        Advice::Enqueue => "jobctl enqueue".to_owned(),
        Advice::RunHere => "jobctl run".to_owned(),
        Advice::WhyRun(run) => format!("jobctl runs why {run}"),
        Advice::ShowLogs(run) => format!("jobctl runs logs {run}"),
        Advice::FollowLogs(run) => format!("jobctl runs logs -f {run}"),
        Advice::WaitForRun(run) => format!("jobctl runs wait {run}"),
        Advice::CancelRun(run) => format!("jobctl runs cancel {run}"),
        Advice::RetryRun(run) => format!("jobctl runs retry {run}"),
        Advice::ListUnended => "jobctl runs list --state waiting,running".to_owned(),
        Advice::ListReady(queue) => format!("jobctl runs list --queue {queue} --state ready"),
        Advice::ListFailed(Some(job)) => {
            format!("jobctl runs list --job {job} --state retrying,dead")
        }
        Advice::ListFailed(None) => "jobctl runs list --state retrying,dead".to_owned(),
        Advice::ShowDeadLetter(run) => format!("jobctl dlq show {run}"),
        Advice::RetryDeadLetter(run) => format!("jobctl dlq retry {run}"),
        Advice::DiscardDeadLetter(run) => format!("jobctl dlq discard {run}"),
        Advice::ResumeJob(job) => format!("jobctl jobs resume {job}"),
        Advice::ResumeLimit(limit) => format!("jobctl limits resume {limit}"),
        Advice::ResumeQueue(queue) => format!("jobctl queues resume {queue}"),
        Advice::SetMaxWaiting(queue) => format!("jobctl queues set {queue} max_waiting=N"),
        Advice::StartWorker(Some(queue)) => format!("jobctl run-worker --queue {queue}"),
        Advice::StartWorker(None) => "jobctl run-worker".to_owned(),
        Advice::ListWorkers => "jobctl workers list".to_owned(),
        Advice::DeclareGone(worker) => format!("jobctl workers kill {worker} --gone"),
        Advice::AuditPeriods(job) => format!("jobctl periods audit --job {job}"),
        Advice::AcceptClock => "jobctl schedule --accept-clock".to_owned(),
        Advice::Prune => "jobctl prune --age 1d".to_owned(),
        Advice::Migrate => "jobctl migrate".to_owned(),
        Advice::Doctor => "jobctl doctor".to_owned(),
        Advice::CheckCatalogue(path) => format!("jobctl check {}", path.display()),
        Advice::AsUser(user) => format!("sudo -u {user} jobctl .."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use crate::run::{RunId, WorkerId};
    use clap::Parser;

    /// The example after this one; the examples cover each kind, because a new kind does not compile without an arm here.
    fn after(advice: &Advice) -> Option<Advice> {
        let run = RunId(7);
        let name = || "low".to_owned();
        Some(match advice {
            Advice::Enqueue => Advice::RunHere,
            Advice::RunHere => Advice::WhyRun(run),
            Advice::WhyRun(_) => Advice::ShowLogs(run),
            Advice::ShowLogs(_) => Advice::FollowLogs(run),
            Advice::FollowLogs(_) => Advice::WaitForRun(run),
            Advice::WaitForRun(_) => Advice::CancelRun(run),
            Advice::CancelRun(_) => Advice::RetryRun(run),
            Advice::RetryRun(_) => Advice::ListUnended,
            Advice::ListUnended => Advice::ListReady(name()),
            Advice::ListReady(_) => Advice::ListFailed(None),
            Advice::ListFailed(None) => Advice::ListFailed(Some(name())),
            Advice::ListFailed(Some(_)) => Advice::ShowDeadLetter(run),
            Advice::ShowDeadLetter(_) => Advice::RetryDeadLetter(run),
            Advice::RetryDeadLetter(_) => Advice::DiscardDeadLetter(run),
            Advice::DiscardDeadLetter(_) => Advice::ResumeJob(name()),
            Advice::ResumeJob(_) => Advice::ResumeLimit(name()),
            Advice::ResumeLimit(_) => Advice::ResumeQueue(name()),
            Advice::ResumeQueue(_) => Advice::SetMaxWaiting(name()),
            Advice::SetMaxWaiting(_) => Advice::StartWorker(None),
            Advice::StartWorker(None) => Advice::StartWorker(Some(name())),
            Advice::StartWorker(Some(_)) => Advice::ListWorkers,
            Advice::ListWorkers => Advice::DeclareGone(WorkerId(3)),
            Advice::DeclareGone(_) => Advice::AuditPeriods(name()),
            Advice::AuditPeriods(_) => Advice::AcceptClock,
            Advice::AcceptClock => Advice::Prune,
            Advice::Prune => Advice::Migrate,
            Advice::Migrate => Advice::Doctor,
            Advice::Doctor => Advice::CheckCatalogue("/etc/jobctl.toml".into()),
            Advice::CheckCatalogue(_) => Advice::AsUser("ada".into()),
            Advice::AsUser(_) => return None,
        })
    }

    /// The command with the arguments that the parser needs.
    fn whole(advice: &Advice) -> String {
        let command = command(advice);
        match advice {
            Advice::Enqueue | Advice::RunHere => format!("{command} mail"),
            Advice::AsUser(_) => command.replace("sudo -u ada ", "").replace("..", "status"),
            _ => command,
        }
    }

    #[test]
    fn every_advice_is_a_command_that_the_parser_accepts() {
        let all = std::iter::successors(Some(Advice::Enqueue), after);
        for advice in all {
            let command = whole(&advice);
            let parsed = Cli::try_parse_from(command.split(' '));
            assert!(parsed.is_ok(), "`{command}`: {:?}", parsed.err());
        }
    }

    #[test]
    fn a_text_names_the_commands_for_its_advice() {
        let text = Text::from(Advice::ShowDeadLetter(RunId(7)))
            .and("; ")
            .and(Advice::RetryDeadLetter(RunId(7)))
            .and(" queues it again");
        assert_eq!(
            words(&text),
            "`jobctl dlq show 7`; `jobctl dlq retry 7` queues it again"
        );
    }
}
