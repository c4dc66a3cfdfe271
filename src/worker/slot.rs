//! A slot: a thread that runs one attempt at a time.

use std::ffi::CString;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::attempt::{Class, Ending, NotStarted, Report, Said};
use crate::clock;
use crate::error::{Error, Kind};
use crate::fail_point;
use crate::local::marks::StartMarks;
use crate::local::{Local, SlotDir, remove_checkpoint};
use crate::policy;
use crate::process::capture::{Capture, LogTarget, Tee};
use crate::process::environment::RunFacts;
use crate::process::{Launch, Limits, Outcome, Stuck, contract, leftovers, supervise};
use crate::store::{Claimed, EndedAttempt};
use crate::units::hex;

use super::admit::admit;
use super::alone::Starter;
use super::inbox::Inbox;
use super::machine::Event;
use super::pool::{Pool, Work};
use super::stuck::StuckAttempts;

/// State shared by all threads of a worker.
pub(super) struct Shared {
    pub(super) pool: Pool,
    pub(super) inbox: Inbox<Event>,
    pub(super) stuck: StuckAttempts,
    pub(super) marks: StartMarks,
    pub(super) local: Local,
    pub(super) uuid: String,
    pub(super) starter: Starter,
}

/// One slot; lives on its own thread.
pub(super) struct Slot {
    pub(super) index: usize,
    pub(super) shared: Arc<Shared>,
    pub(super) dir: SlotDir,
    pub(super) capture: Capture,
}

impl Slot {
    pub(super) fn new(index: usize, shared: Arc<Shared>, dir: SlotDir, tee: Option<Tee>) -> Self {
        let mut capture = Capture::new();
        if let Some(tee) = tee {
            capture.set_tee(tee);
        }
        Self {
            index,
            shared,
            dir,
            capture,
        }
    }

    /// Executes runs until the pool closes.
    pub(super) fn work(mut self) {
        let shared = Arc::clone(&self.shared);
        let _panic = ReportPanic(Arc::clone(&shared), "a slot");
        while let Some(work) = shared.pool.next(self.index) {
            let (event, stuck) = if work.alone {
                let starter = &shared.starter;
                let control = shared.pool.control(self.index);
                (starter.hand_over(&work.claimed, control), None)
            } else {
                let (ended, stuck) = self.attempt(work);
                let ended = Box::new(ended);
                match stuck {
                    None => (Event::Ended(ended), None),
                    Some(stuck) => {
                        let (run, fence) = (ended.claimed.run, ended.claimed.fence);
                        let pids = stuck.pids();
                        (Event::Stuck { run, fence, pids }, Some((ended, stuck)))
                    }
                }
            };
            shared.pool.clear(self.index, |queued| {
                let urgent = queued < shared.pool.slots();
                shared.inbox.leave(event, urgent);
            });
            // Only now, so that its end comes after the event that says that it is stuck.
            if let Some((ended, stuck)) = stuck {
                shared.stuck.hold(ended, stuck);
            }
        }
        if let Some(tee) = self.capture.take_tee() {
            tee.finish();
        }
        self.dir.remove();
    }

    fn attempt(&mut self, work: Work) -> (EndedAttempt, Option<Stuck>) {
        let Work { claimed, job, .. } = work;
        let (mut started, mut stuck, mut shortage) = (false, None, None);
        let report = match self.run(&claimed, &job.launch, &job.job) {
            Ok((mut outcome, said, checkpoint)) => {
                started = outcome.spawned.is_some();
                stuck = outcome.stuck.take();
                let report = outcome.into_report(said);
                // Only a success certainly ends the run. The class decides, since other exit codes may mean success and 0 may not.
                if policy::classify(&report, &job.job.exit).class == Class::Success {
                    drop(remove_checkpoint(&checkpoint));
                }
                report
            }
            Err(NotStarted::Ended(ending)) => Report::not_started(ending, clock::wall_ms()),
            Err(NotStarted::Shortage(lack)) => {
                shortage = Some(lack);
                Report::not_started(
                    Ending::Released {
                        exit_code: None,
                        signal: None,
                    },
                    clock::wall_ms(),
                )
            }
        };
        let ended = EndedAttempt {
            claimed,
            job: Arc::clone(&job.job),
            report,
            started,
            shortage,
            unit: clock::random_unit(),
        };
        (ended, stuck)
    }

    fn run(
        &mut self,
        claimed: &Claimed,
        launch: &Result<
            (
                crate::process::command::CommandPlan,
                crate::process::environment::BaseEnvironment,
            ),
            Ending,
        >,
        job: &crate::catalogue::Job,
    ) -> Result<(Outcome, Said, PathBuf), NotStarted> {
        fail_point::reach("claimed");
        let shared = &self.shared;
        let ended = |ending: &Ending| NotStarted::Ended(ending.clone());
        let (plan, base) = launch.as_ref().map_err(ended)?;
        let params = admit(claimed, job)?;
        let argv = plan.argv(&params).map_err(NotStarted::Ended)?;
        let payload = self
            .dir
            .prepare(claimed.payload.as_deref())
            .map_err(|error| shortage("prepare its directory", &error))?;
        let mark = leftovers::run_mark(&shared.uuid, claimed.run, claimed.fence);
        let key = hex(&claimed.idempotency_key);
        let checkpoint = shared.local.checkpoint_path(claimed.run, &key);
        let cwd = job.cwd.as_deref().unwrap_or(self.dir.dir());
        let facts = RunFacts {
            run: claimed.run,
            mark: &mark,
            job: &claimed.job,
            queue: &claimed.queue,
            tenant: Some(claimed.tenant.as_str()).filter(|tenant| !tenant.is_empty()),
            attempt: claimed.attempt,
            max_attempts: claimed.max_attempts,
            failures: claimed.failures,
            idempotency_key: &key,
            fence: claimed.fence,
            trigger: claimed.trigger,
            deadline_ms: claimed.deadline_ms,
            period: claimed.period.as_ref(),
            previous_success_ms: claimed.previous_success_ms,
            labels: &claimed.labels,
            parent: claimed.parent,
            dir: self.dir.dir(),
            output: self.dir.output(),
            checkpoint: &checkpoint,
            payload_file: payload.as_ref().map(|_| self.dir.payload()),
            cwd,
            last_exit_code: claimed.last_exit_code.map(|code| code as i32),
            last_error: claimed.last_error.as_deref(),
            params: &params,
        };
        let (environment, redactor) = base.build(&facts, |name| std::env::var_os(name))?;
        let log = LogTarget {
            local: shared.local.clone(),
            run: claimed.run,
            attempt: claimed.attempt,
            output_max: job.output_max,
        };
        self.capture.begin(Some(log), redactor);
        let cwd = CString::new(cwd.as_os_str().as_bytes())
            .map_err(|_| NotStarted::for_good("the working directory holds a NUL"))?;
        let ms = |ms: i64| Duration::from_millis(ms.max(0) as u64);
        let limits = Limits {
            // A run past its deadline is given back as not started, and the next claim buries it.
            deadline_ms: claimed.deadline_ms,
            timeout: job.timeout_ms.map(ms),
            grace: ms(job.grace_ms),
            leftovers: job.leftovers,
        };
        let launch = Launch {
            argv: &argv,
            environment: &environment,
            cwd: &cwd,
            stdin: payload.as_ref().map(AsFd::as_fd),
            mark: &mark,
        };
        // The mark is written before the command starts, so a missing mark proves that it did not start.
        shared
            .marks
            .begin(claimed.run, claimed.fence)
            .map_err(|error| shortage("write its start mark", &error))?;
        fail_point::reach("marked");
        let outcome = supervise(
            &launch,
            &limits,
            shared.pool.control(self.index),
            &mut self.capture,
            |it| {
                fail_point::reach("spawned");
                // If this fails, recovery still finds the process by its environment.
                let _ = shared.marks.spawned(claimed.run, claimed.fence, *it);
            },
        )
        .map_err(NotStarted::Shortage)?;
        fail_point::reach("ended");
        let said = contract::said_in(&self.dir, self.capture.redactor());
        Ok((outcome, said, checkpoint))
    }
}

/// Ends the worker when the named thread panics, so that other workers recover its runs: a panicked slot would hold its run for
/// ever, and without a housekeeper the worker recovers no dead worker.
pub(super) struct ReportPanic(pub(super) Arc<Shared>, pub(super) &'static str);

impl Drop for ReportPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let thread = self.1;
            let defect = Error::new(
                Kind::Bug,
                format!("{thread} panicked; the runs of this worker are left to recovery"),
            );
            self.0.inbox.push(Event::Lost(defect));
        }
    }
}

/// A failure of the worker's own file system, which every run of this worker would meet.
fn shortage(what: &str, error: &std::io::Error) -> NotStarted {
    NotStarted::worker_lacks(format!("cannot {what}: {}", crate::error::os_words(error)))
}
