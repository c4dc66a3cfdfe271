//! Applications that enqueue, as the command does it: with request ids, dedup keys, delays, and answers that never come.

use std::collections::BTreeMap;

use jobctl::intake::{MadeId, Request};
use jobctl::run::RunId;
use jobctl::store::{Enqueued, NewDedup, NewRun, Settings, Store, Tx};

use super::catalogues::{JOBS, NO_OPTIONS, ROOM_OF_DEFAULT, ROOM_OF_TENANT};
use super::facts::Actor;
use super::host::{Answer, DAY, HOUR, Host};

/// More than one claim buries when they are late.
const FLOOD: usize = 130;

/// An enqueue that an application wants to make.
#[derive(Debug)]
struct Wish {
    new: NewRun,
    id: Option<String>,
    /// The id that the command gave where the answer was unknown.
    made: Option<MadeId>,
    /// What it became, for the story to know.
    stored: Option<RunId>,
    wished_ms: i64,
}

impl Wish {
    /// The id that it is asked with: its own, or the one that the command made.
    fn request_id(&self) -> Option<String> {
        let made = || self.made.map(|made| made.to_string());
        self.id.clone().or_else(made)
    }
}

/// Who holds a dedup key, and until when by the wall clock.
type Keys = BTreeMap<(String, String), (RunId, i64)>;

#[derive(Default)]
pub(super) struct Application {
    wishes: Vec<Wish>,
    requests: i64,
    keys: Keys,
    /// Requests from before this may be forgotten.
    forgotten_ms: Option<i64>,
    /// The latest time at which something was forgotten.
    pruned_ms: Option<i64>,
}

impl Application {
    /// A prune removes what is older.
    pub(super) fn forget(&mut self, before_ms: i64, now_ms: i64) {
        self.forgotten_ms = self.forgotten_ms.max(Some(before_ms));
        self.pruned_ms = self.pruned_ms.max(Some(now_ms));
    }

    /// Wishes something new, or repeats what was not answered.
    pub(super) fn step(&mut self, host: &mut Host, store: &mut Store) {
        let wish = match self.wishes.pop() {
            Some(wish) => wish,
            None => self.wish(host),
        };
        self.ask(host, store, wish);
    }

    /// Many at once whose deadline is near.
    pub(super) fn flood(host: &mut Host, store: &mut Store) {
        let deadline = format!("{}m", host.dice.between(1, 30));
        let request = || Request {
            job: "urgent",
            deadline: Some(&deadline),
            ..Request::default()
        };
        let (catalogue, now_ms) = (host.catalogue(), host.wall_ms());
        let (intake, settings) = (&catalogue.jobs["urgent"].intake, Settings::of(&catalogue));
        let new: Vec<NewRun> = (0..FLOOD)
            .map(|_| {
                let new = request().prepare(intake, &settings, now_ms, host.dice.bytes());
                new.expect("a good request")
            })
            .collect();
        let answer = host.write(Actor::Application, store, |tx| {
            tx.enqueue_fitting(&new, None, now_ms)
        });
        if let Answer::Stored((stored, _)) = &answer {
            for one in stored {
                host.witness.fact(one.run).acknowledged = true;
            }
        }
        host.note(|| format!("{FLOOD} of `urgent` within {deadline}"));
    }

    /// Repeats everything that was not answered.
    pub(super) fn settle(&mut self, host: &mut Host, store: &mut Store) {
        while let Some(wish) = self.wishes.pop() {
            self.ask(host, store, wish);
        }
    }

    fn wish(&mut self, host: &mut Host) -> Wish {
        let dice = &mut host.dice;
        let job = *dice.pick(JOBS).expect("a job");
        let delay = format!("{}s", dice.between(1, 20 * 3600));
        let key = format!("key-{}", dice.between(1, 6));
        let tenant = ["", "acme", "initech"][dice.between(0, 2) as usize];
        let of = ["1", "2", "-3"][dice.between(0, 2) as usize];
        // Who enqueues by an edition that refuses it gives another.
        let of = if host.edition == NO_OPTIONS {
            of.trim_start_matches('-')
        } else {
            of
        };
        let of = of.to_owned();
        let params: &[(&str, String)] = match job {
            "book" | "ledger" => &[("of", of)],
            "index" => &[("of", of), ("revision", self.requests.to_string())],
            _ => &[],
        };
        let keyed = job != "index" && dice.percent(35);
        let request = Request {
            job,
            params: params
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.clone()))
                .collect(),
            delay: dice.percent(30).then_some(delay.as_str()),
            deadline: (job == "mail" && dice.percent(20)).then_some("2h"),
            dedup_key: keyed.then_some(key.as_str()),
            dedup_window: keyed.then_some("6h"),
            tenant: (!tenant.is_empty()).then_some(tenant),
            priority: Some(dice.between(0, 200)),
            payload: dice.percent(20).then(|| b"1".to_vec()),
            ..Request::default()
        };
        let idempotency_key = dice.bytes();
        let named = dice.percent(40);
        let catalogue = host.catalogue();
        let (intake, settings) = (&catalogue.jobs[job].intake, Settings::of(&catalogue));
        let new = request.prepare(intake, &settings, host.wall_ms(), idempotency_key);
        self.requests += 1;
        Wish {
            new: new.expect("a good request"),
            id: named.then(|| format!("request-{}", self.requests)),
            made: None,
            stored: None,
            wished_ms: host.wall_ms(),
        }
    }

    fn ask(&mut self, host: &mut Host, store: &mut Store, mut wish: Wish) {
        let now_ms = host.wall_ms();
        // A forgotten request would be stored again; a generated id lives no longer than its run.
        let forgotten = self.forgotten_ms.is_some_and(|it| wish.wished_ms < it);
        let gone = |run: RunId| wish.id.is_none() && host.witness.facts[&run.0].gone;
        if forgotten || wish.stored.is_some_and(gone) {
            return;
        }
        let mut would_be = None;
        let answer = host.write(Actor::Application, store, |tx| {
            if let Some(existing) = repeated(tx, &wish)? {
                return Ok(Ok(existing));
            }
            let new = std::slice::from_ref(&wish.new);
            let (mut answers, refusal) = tx.enqueue_fitting(new, None, now_ms)?;
            let Some(answer) = answers.pop() else {
                return Ok(Err(refusal.expect("an answer or a refusal")));
            };
            if let Some(id) = wish.request_id() {
                tx.note_request(&id, &wish.new.job, answer.run, now_ms)?;
            }
            would_be = (!answer.duplicate || answer.replaced).then_some(answer.run);
            Ok(Ok(answer))
        });
        let answer = match answer {
            // Who is refused has stored nothing, and does not ask again.
            Answer::Stored(Err(refusal)) | Answer::Unknown(Err(refusal)) => {
                assert!(is_full(host, &wish.new, 0), "{refusal}: {wish:?}");
                host.note(|| format!("refused `{}`: {refusal}", wish.new.job));
                return;
            }
            Answer::Stored(Ok(stored)) => Answer::Stored(stored),
            Answer::Unknown(Ok(stored)) => Answer::Unknown(stored),
            Answer::NotStored => Answer::NotStored,
        };
        let (stored, known) = match answer {
            Answer::Stored(stored) => (Some(stored), true),
            // An existing run was durable before, unless this enqueue replaced its parameters.
            Answer::Unknown(stored)
                if stored.duplicate && !stored.replaced && wish.request_id().is_none() =>
            {
                (Some(stored), true)
            }
            Answer::Unknown(stored) => (Some(stored), false),
            Answer::NotStored => (None, false),
        };
        if let Some(stored) = &stored {
            self.judge(host, &mut wish, stored, now_ms);
        }
        if let (Some(stored), true) = (stored, known) {
            host.witness.fact(stored.run).acknowledged = true;
            host.note(|| format!("enqueued `{}`: {stored:?}", wish.new.job));
            return;
        }
        // Without an id of its own, the command gives one made of where the run would be.
        if wish.request_id().is_none() {
            let key = wish.new.idempotency_key;
            wish.made = would_be.map(|run| MadeId { run, key });
        }
        // An application without an answer retries, or dies.
        if host.dice.percent(85) {
            self.wishes.push(wish);
        }
    }

    /// Holds the answer against what was answered before.
    fn judge(&mut self, host: &mut Host, wish: &mut Wish, stored: &Enqueued, now_ms: i64) {
        let new = host.witness.new.clone();
        let expected = if stored.duplicate {
            Vec::new()
        } else {
            vec![stored.run]
        };
        assert_eq!(new, expected, "{wish:?}");
        if !stored.duplicate && host.witness.number("SELECT bounded FROM flow") == 1 {
            assert!(!is_full(host, &wish.new, 1), "no room was left: {wish:?}");
        }
        if wish.new.job == "index" {
            return judge_newest(host, wish, stored);
        }
        if let Some(before) = wish.stored.replace(stored.run) {
            assert_eq!(before, stored.run, "one request became two runs: {wish:?}");
            return;
        }
        let Some(NewDedup { key, window_ms, .. }) = &wish.new.dedup else {
            assert!(!stored.duplicate, "{wish:?} duplicates nothing");
            return;
        };
        let key = (wish.new.job.clone(), key.clone());
        if let Some(&(holder, until_ms)) = self.keys.get(&key) {
            let free = is_free(host, holder, until_ms, now_ms);
            // What a prune forgot does not come back when the clock does.
            let forgotten = self.pruned_ms.is_some_and(|it| it >= until_ms);
            assert!(
                forgotten || free != stored.duplicate,
                "{key:?} of run {holder}: {stored:?}"
            );
            assert!(
                !stored.duplicate || stored.run == holder,
                "{key:?} of run {holder}: {stored:?}"
            );
        } else {
            assert!(!stored.duplicate, "{key:?} was held by nobody: {stored:?}");
        }
        if !stored.duplicate {
            let window_ms = window_ms.expect("a window");
            self.keys.insert(key, (stored.run, now_ms + window_ms));
        }
    }

    /// What was acknowledged is still there, or was pruned when it had ended.
    pub(super) fn check(host: &Host) {
        for (run, fact) in &host.witness.facts {
            let kept = !fact.acknowledged || fact.gone || !fact.state.is_empty();
            assert!(kept, "run {run} was acknowledged and is lost");
        }
    }
}

/// The run that answers a wish with `rerun` will start with its parameters, and after all others with its key; unless the
/// wish was answered before.
fn judge_newest(host: &Host, wish: &mut Wish, stored: &Enqueued) {
    if wish.stored.replace(stored.run) == Some(stored.run) {
        return;
    }
    let run = stored.run;
    let sql = format!(
        "SELECT count(*) FROM run WHERE id = {run} AND state = 'waiting' AND params = '{}'",
        wish.new.params.as_deref().expect("parameters")
    );
    assert_eq!(host.witness.number(&sql), 1, "{wish:?}: {stored:?}");
    // It waits for the running runs; a waiting run would have merged with it.
    let new = !stored.duplicate;
    let sql = format!(
        "SELECT count(*) FROM run AS other JOIN run ON run.job = other.job AND run.dedup_key = other.dedup_key
         WHERE run.id = {run} AND other.id <> {run} AND ((other.state = 'waiting' AND {new})
             OR (other.state = 'running' AND NOT EXISTS (SELECT 1 FROM gate WHERE gate.run = other.id AND successor = {run})))"
    );
    assert_eq!(host.witness.number(&sql), 0, "{wish:?}: {stored:?}");
}

/// Whether, apart from this many new runs, there was no room for this run in its queue or for its tenant.
pub(super) fn is_full(host: &Host, new: &NewRun, fresh: i64) -> bool {
    let waiting = |of: &str| {
        let sql = format!("SELECT count(*) FROM run WHERE state = 'waiting' AND {of}");
        host.witness.number(&sql) - fresh
    };
    let queue = || waiting(&format!("queue = '{}'", new.queue));
    let tenant = || waiting(&format!("tenant = '{}'", new.tenant));
    (new.queue == "default" && queue() >= ROOM_OF_DEFAULT)
        || (!new.tenant.is_empty() && tenant() >= ROOM_OF_TENANT)
}

/// Whether a key may be taken: its run died, or its window is over and the run has started.
fn is_free(host: &Host, holder: RunId, until_ms: i64, now_ms: i64) -> bool {
    let sql = format!("SELECT coalesce(max(attempts), 1) FROM run WHERE id = {holder}");
    let started = host.witness.number(&sql) > 0;
    let fact = &host.witness.facts[&holder.0];
    let died = fact.gone || matches!(fact.state.as_str(), "dead" | "cancelled");
    died || (until_ms <= now_ms && started)
}

fn repeated(tx: &Tx<'_>, wish: &Wish) -> jobctl::error::Result<Option<Enqueued>> {
    if let Some(made) = wish.made
        && let Some(existing) = tx.stored_before(made.run, made.key, &wish.new.job)?
    {
        return Ok(Some(existing));
    }
    let id = wish.request_id();
    id.map_or(Ok(None), |id| tx.requested(&id, &wish.new.job))
}

/// The longest time that anything enqueued here waits for its first start.
pub(super) const LONGEST_MS: i64 = DAY + HOUR;
