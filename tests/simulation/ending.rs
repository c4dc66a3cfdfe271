//! The end of a story: the faults stop, all processes read another catalogue, and all runs end.

use std::sync::Arc;

use jobctl::run::WorkerId;
use jobctl::worker::machine::Event;

use super::application::{Application, LONGEST_MS};
use super::catalogues::editions;
use super::host::{DAY, HOUR, MINUTE, SECOND};
use super::operators;
use super::story::{Story, WORKERS};
use crate::scheduler::lab::told_once;

/// After the faults everything comes to an end within this: the longest delay, and the waits of a run that is rate limited
/// again and again.
const END_MS: i64 = LONGEST_MS + 2 * DAY;

impl Story {
    /// The faults stop. What is due is opened, and every run comes to an end.
    pub(super) fn end(&mut self) {
        let host = &mut self.host;
        host.note(|| "the faults stop".to_owned());
        host.faults = 0;
        host.stop_refusing();
        self.reload_all();
        let host = &mut self.host;
        host.processes.let_go();
        // The clock stays right from now on, and is later than every period that was opened.
        let last_ms = host
            .witness
            .number("SELECT coalesce(max(watermark_ms), 0) FROM schedule");
        let by_ms = (last_ms + 2 * HOUR - host.wall_ms()).max(0);
        host.set_clock(by_ms);
        operators::resume_all(host, &mut self.store);
        self.application.settle(host, &mut self.store);
        self.schedulers.settle(host);
        for worker in self.workers.iter_mut().flatten() {
            worker.frozen_until_ms = 0;
        }
        let end_ms = self.host.true_ms + END_MS;
        let mut turn = 0;
        while self.left() > 0 || !self.ghosts.is_empty() {
            self.pass_to_next();
            assert!(self.host.true_ms < end_ms, "{} runs never end", self.left());
            operators::unblock_all(&mut self.host, &mut self.store);
            self.work(turn % WORKERS);
            self.children_go_on();
            self.haunt();
            turn += 1;
        }
        self.check();
        self.settle_workers();
        self.host.witness.check_end();
        Application::check(&self.host);
        told_once(&self.store);
    }

    /// Another catalogue is to be read by all that live, or by schedulers or workers only, while the store refuses; then it is in
    /// force.
    fn reload_all(&mut self) {
        let host = &mut self.host;
        host.edition = (host.edition + 1) % editions().len();
        host.note(|| "another catalogue is to be read".to_owned());
        let who = host.dice.between(1, 3);
        if who == 1 {
            self.schedulers.end();
        } else if host.dice.percent(50) {
            self.schedulers.end_standby();
        }
        self.schedulers.reload(host);
        for worker in self.workers.iter_mut().flatten() {
            worker.frozen_until_ms = 0;
            if who != 2 {
                worker.on_event(Event::Reload);
            }
        }
        host.outages.at_changes = 25;
        host.refuse();
        let told: Vec<_> = self.serving().collect();
        let lasts_ms = self.host.true_ms + 3 * MINUTE;
        self.all_go_on_until(lasts_ms);
        self.host.stop_refusing();
        let lasts_ms = self.host.true_ms + 2 * MINUTE;
        self.all_go_on_until(lasts_ms);
        self.schedulers.check_loaded(&self.host);
        if who != 2 && self.serving().any(|worker| told.contains(&worker)) {
            let stamp = &self.host.catalogue().stamp;
            let sql = format!("SELECT count(*) FROM flow WHERE stamp = '{stamp}'");
            assert_eq!(self.host.witness.number(&sql), 1, "its rules are in force");
        }
        for worker in self.workers.iter_mut().flatten() {
            // A process that is notified late reads it too.
            worker.on_event(Event::Reload);
        }
    }

    fn all_go_on_until(&mut self, until_ms: i64) {
        while self.host.true_ms < until_ms {
            let ms = self.host.dice.between(4 * SECOND, 14 * SECOND);
            self.host.pass(ms);
            self.schedulers.step_all(&mut self.host);
            self.children_go_on();
            for index in 0..WORKERS {
                if self.workers[index].is_some() {
                    self.work(index);
                }
            }
        }
    }

    /// Workers that serve queues.
    fn serving(&self) -> impl Iterator<Item = WorkerId> {
        let serving = self.workers.iter().flatten().filter(|it| it.serves());
        serving.map(|it| it.id)
    }

    /// Living workers have nothing left to store. When one ends, the others check again.
    fn settle_workers(&mut self) {
        for turn in 0..12 {
            self.host.pass(MINUTE);
            self.children_go_on();
            for index in 0..WORKERS {
                if self.workers[index].is_some() {
                    self.work(index);
                }
            }
            let mut left = self.workers.iter().flatten();
            if turn > 2 && left.all(|it| !it.machine.has_intents()) {
                break;
            }
        }
        assert!(!self.children_go_on(), "workers for one run are left");
        for worker in self.workers.iter().flatten() {
            let settled = !worker.machine.has_intents() && worker.is_idle();
            assert!(settled, "worker {}: {:?}", worker.id, worker.machine);
            let newest = Arc::ptr_eq(worker.machine.catalogue(), &self.host.catalogue());
            assert!(newest, "worker {} has an old catalogue", worker.id);
        }
    }

    fn left(&self) -> i64 {
        let sql = "SELECT coalesce(sum(ready + delayed + running), 0) FROM depth";
        self.host.witness.number(sql)
    }

    /// A little, or as long as nothing can happen.
    fn pass_to_next(&mut self) {
        let busy = "SELECT coalesce(sum(ready + running), 0) FROM depth";
        let next_ms = if self.host.witness.number(busy) > 0 {
            let stop_ms = self.host.processes.next_stop_ms();
            stop_ms.map(|stop_ms| (stop_ms - self.host.true_ms).min(MINUTE))
        } else {
            let due = "SELECT coalesce(min(min(due_ms, coalesce(deadline_ms, due_ms))), 0) FROM run
                WHERE state = 'waiting' AND gates = 0";
            let wait_ms = self.host.witness.number(due) - self.host.wall_ms();
            Some(wait_ms.min(6 * HOUR))
        };
        self.host.pass(next_ms.unwrap_or(SECOND).max(SECOND));
    }
}
