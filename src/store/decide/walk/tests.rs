//! Claims over ready runs in memory, which count the seeks and pages that a claim reads.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;

use proptest::prelude::*;

use super::super::ready_runs::{Head, LanesOfQueue, Position};
use super::super::reserves::Reserves;
use super::super::ring::{PASSED_OVER_MAX, TENANTS_MAX};
use super::*;
use crate::flow::{ClosedReason, Gates, JobRules, Paused, QueueRules, Rules, Running, TenantRules};
use crate::records::samples;
use crate::records::{Burial, ClaimRequest, Claimed, Claims};
use crate::run::{Fence, Reason, RunId, WorkerId};

/// The runs of a tenant, by job.
type Jobs = BTreeMap<String, BTreeSet<Position>>;

/// Queue, tenant, job.
type Names = [String; 3];

/// Ready runs in memory.
#[derive(Default)]
struct Memory {
    /// By queue, tenant and job; empty maps and sets are removed.
    ready: BTreeMap<String, BTreeMap<String, Jobs>>,
    /// Names and positions of all runs, in the order of their ids, which begin with 1.
    all: Vec<(Names, Position)>,
    late: BTreeSet<RunId>,
    invalid: BTreeSet<RunId>,
    /// Runs that a claim tried to take and could not.
    refused: Vec<RunId>,
    fences: i64,
    seeks: Cell<usize>,
    pages: Cell<usize>,
}

struct Queue<'m> {
    tenants: Option<&'m BTreeMap<String, Jobs>>,
    seeks: &'m Cell<usize>,
}

fn behind<'m, T>(map: &'m BTreeMap<String, T>, name: &str) -> Option<(&'m String, &'m T)> {
    let behind = (Bound::Excluded(name), Bound::Unbounded);
    map.range::<str, _>(behind).next()
}

impl LanesOfQueue for Queue<'_> {
    fn lane_after(&mut self, tenant: &str, job: &str) -> Result<Option<Head>> {
        self.seeks.set(self.seeks.get() + 1);
        let jobs = self.tenants.and_then(|tenants| tenants.get(tenant));
        let lane = jobs.and_then(|jobs| behind(jobs, job));
        Ok(lane.map(|(job, runs)| Head {
            job: job.clone(),
            first: *runs.first().unwrap(),
        }))
    }

    fn tenant_after(&mut self, tenant: &str) -> Result<Option<String>> {
        self.seeks.set(self.seeks.get() + 1);
        let next = self.tenants.and_then(|tenants| behind(tenants, tenant));
        Ok(next.map(|(tenant, _)| tenant.clone()))
    }
}

impl ReadyRuns for Memory {
    fn lanes<'s>(&'s self, queue: &'s str) -> Result<impl LanesOfQueue + 's> {
        Ok(Queue {
            tenants: self.ready.get(queue),
            seeks: &self.seeks,
        })
    }

    fn runs_after(
        &self,
        lane: LaneName<'_>,
        last: Position,
        max: usize,
        found: &mut VecDeque<Position>,
    ) -> Result<()> {
        self.pages.set(self.pages.get() + 1);
        let tenants = self.ready.get(lane.queue);
        let jobs = tenants.and_then(|tenants| tenants.get(lane.tenant));
        if let Some(runs) = jobs.and_then(|jobs| jobs.get(lane.job)) {
            let behind = (Bound::Excluded(last), Bound::Unbounded);
            found.extend(runs.range(behind).take(max));
        }
        Ok(())
    }

    fn allocate_fences(&mut self, count: i64) -> Result<i64> {
        self.fences += count;
        Ok(self.fences - count + 1)
    }

    fn take(
        &mut self,
        wanted: &Wanted<'_>,
        _: &ClaimRequest<'_>,
        fence: i64,
        _: i64,
    ) -> Result<Taken> {
        let run = wanted.run;
        if self.late.contains(&run) {
            self.refused.push(run);
            return Ok(Taken::Late);
        }
        self.remove(run);
        if self.invalid.contains(&run) {
            self.refused.push(run);
            return Ok(Taken::Buried(Burial {
                run,
                job: wanted.lane.job.to_owned(),
                reason: Reason::Permanent,
            }));
        }
        let LaneName { queue, tenant, job } = wanted.lane;
        let claimed = claimed(run, fence, [queue, tenant, job]);
        Ok(Taken::Claimed(Box::new(claimed)))
    }
}

impl Memory {
    fn add(&mut self, names: [&str; 3], order_key: i64) -> RunId {
        let run = RunId(self.all.len() as i64 + 1);
        let position = Position { order_key, run };
        let [queue, tenant, job] = names.map(str::to_owned);
        self.all
            .push(([queue.clone(), tenant.clone(), job.clone()], position));
        let tenants = self.ready.entry(queue).or_default();
        let jobs = tenants.entry(tenant).or_default();
        jobs.entry(job).or_default().insert(position);
        run
    }

    /// Removes a run from the ready ones.
    fn remove(&mut self, run: RunId) {
        let ([queue, tenant, job], position) = &self.all[run.0 as usize - 1];
        let tenants = self.ready.get_mut(queue).unwrap();
        let jobs = tenants.get_mut(tenant).unwrap();
        assert!(jobs.get_mut(job).unwrap().remove(position), "it was ready");
        jobs.retain(|_, runs| !runs.is_empty());
        tenants.retain(|_, jobs| !jobs.is_empty());
        self.ready.retain(|_, tenants| !tenants.is_empty());
    }

    /// The lanes that have ready runs.
    fn lanes_left(&self) -> BTreeSet<Names> {
        let ready = |position: &Position, [queue, tenant, job]: &Names| {
            let tenants = self.ready.get(queue);
            let jobs = tenants.and_then(|tenants| tenants.get(tenant));
            jobs.and_then(|jobs| jobs.get(job))
                .is_some_and(|runs| runs.contains(position))
        };
        let left = self
            .all
            .iter()
            .filter(|(names, position)| ready(position, names));
        left.map(|(names, _)| names.clone()).collect()
    }
}

fn claimed(run: RunId, fence: i64, names: [&str; 3]) -> Claimed {
    let [queue, tenant, job] = names.map(str::to_owned);
    Claimed {
        job,
        queue,
        tenant,
        ..samples::claimed(run, Fence(fence))
    }
}

/// A worker that serves the queues `p` and `q`, and the runs that it can claim.
struct Lab {
    memory: Memory,
    rules: Rules,
    paused: BTreeMap<String, Paused>,
    queues: [ServedQueue; 2],
    turns: Turns,
    running: Vec<Claimed>,
    /// Jobs of the catalogue in the order of their names, among which a claim may skip closed ones.
    jobs: Vec<String>,
}

impl Lab {
    fn new() -> Self {
        Self {
            memory: Memory::default(),
            rules: Rules::default(),
            paused: BTreeMap::new(),
            queues: ["p", "q"].map(ServedQueue::from),
            turns: Turns::default(),
            running: Vec::new(),
            jobs: Vec::new(),
        }
    }

    fn pause(&mut self, job: &str) {
        let paused = Paused {
            by: "ann".to_owned(),
            reason: None,
            until_ms: None,
        };
        self.paused.insert(job.to_owned(), paused);
    }

    fn cap_job(&mut self, job: &str, concurrency: i64) {
        let rules = JobRules {
            concurrency: Some(concurrency),
            ..JobRules::default()
        };
        self.rules.jobs.insert(job.to_owned(), rules);
    }

    fn weigh_tenant(&mut self, tenant: &str, weight: i64) {
        let rules = TenantRules {
            weight: Some(weight),
            ..TenantRules::default()
        };
        self.rules.tenants.named.insert(tenant.to_owned(), rules);
    }

    fn claim(&mut self, max: usize) -> Claims {
        let request = ClaimRequest {
            worker: WorkerId(1),
            queues: &self.queues,
            knows: &|_| true,
            terms: &|_| None,
            known_after: &|job| self.jobs.iter().find(|it| it.as_str() > job).cloned(),
            max,
            free: max,
            is_short: &|_| false,
        };
        self.memory.seeks.set(0);
        self.memory.pages.set(0);
        let gates = gates(&self.rules, &self.running, &self.paused);
        let reserves = Reserves::of(&self.queues, &self.rules, |_| Ok(0)).unwrap();
        let mut claim = ClaimInProgress::new(&request, gates, reserves, None);
        take_runs(&mut self.memory, &mut claim, &mut self.turns).unwrap();
        let claims = claim.claims;
        self.running.extend(claims.runs.iter().cloned());
        claims
    }

    /// Claims in turn with each of these maxima until no run is left, and returns the runs in the order in which they were claimed.
    fn drain(&mut self, maxima: &[usize]) -> Vec<Claimed> {
        for &max in maxima.iter().cycle() {
            let claims = self.claim(max);
            if claims.runs.is_empty() {
                assert!(!claims.full);
                break;
            }
        }
        std::mem::take(&mut self.running)
    }
}

fn gates<'r>(
    rules: &'r Rules,
    running: &[Claimed],
    paused: &BTreeMap<String, Paused>,
) -> Gates<'r> {
    let running: Vec<Running<'_>> = running
        .iter()
        .map(|it| Running {
            queue: &it.queue,
            tenant: &it.tenant,
            job: &it.job,
            limits: "",
            fence: it.fence.0,
        })
        .collect();
    Gates::new(rules, &running, BTreeMap::new(), paused.clone(), 0)
}

fn ids(runs: &[Claimed]) -> Vec<RunId> {
    runs.iter().map(|it| it.run).collect()
}

/// Number of complete turns that each name had; a turn is as many runs as the weight of the name.
fn turns_of<'a>(
    runs: impl Iterator<Item = &'a str>,
    weights: &BTreeMap<&str, i64>,
) -> BTreeMap<String, i64> {
    let mut taken: BTreeMap<String, i64> = BTreeMap::new();
    for name in weights.keys() {
        taken.insert((*name).to_owned(), 0);
    }
    for name in runs {
        *taken.entry(name.to_owned()).or_default() += 1;
    }
    for (name, runs) in &mut taken {
        *runs /= weights[name.as_str()];
    }
    taken
}

const TENANTS: [&str; 4] = ["", "a", "b", "c"];

const JOBS: [&str; 3] = ["x", "y", "z"];

/// Runs of both queues, of all tenants and jobs.
fn some_runs(max: usize) -> impl Strategy<Value = Vec<([&'static str; 3], i64)>> {
    let run =
        (0..2_usize, 0..4_usize, 0..3_usize, 0..6_i64).prop_map(|(queue, tenant, job, key)| {
            ([["p", "q"][queue], TENANTS[tenant], JOBS[job]], key)
        });
    prop::collection::vec(run, 1..max)
}

/// Whether queues are served by weight, the weights of the queues, and those of the tenants.
fn some_weights() -> impl Strategy<Value = (bool, [i64; 2], [i64; 3])> {
    (
        any::<bool>(),
        prop::array::uniform2(1..4_i64),
        prop::array::uniform3(1..4_i64),
    )
}

fn lab_with(
    runs: &[([&str; 3], i64)],
    (by_weight, queues, tenants): (bool, [i64; 2], [i64; 3]),
) -> Lab {
    let mut lab = Lab::new();
    for (queue, weight) in lab.queues.iter_mut().zip(queues) {
        queue.weight = by_weight.then_some(weight);
    }
    for (tenant, weight) in TENANTS[1..].iter().zip(tenants) {
        lab.weigh_tenant(tenant, weight);
    }
    for (names, order_key) in runs {
        lab.memory.add(*names, *order_key);
    }
    lab
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_order_of_runs_does_not_depend_on_how_many_each_claim_takes(
        runs in some_runs(60),
        weights in some_weights(),
        maxima in prop::collection::vec(1..9_usize, 1..5),
    ) {
        let at_once = lab_with(&runs, weights).drain(&[runs.len() + 1]);
        let in_parts = lab_with(&runs, weights).drain(&maxima);
        prop_assert_eq!(at_once.len(), runs.len());
        prop_assert_eq!(ids(&in_parts), ids(&at_once));
    }

    #[test]
    fn shares_by_weight_differ_by_one_turn_at_most_at_any_time(
        weights in some_weights(),
        maxima in prop::collection::vec(1..9_usize, 1..5),
    ) {
        let (_, of_queues, of_tenants) = weights;
        let mut lab = lab_with(&[], (true, of_queues, of_tenants));
        for n in 0..120_i64 {
            for queue in ["p", "q"] {
                // Each tenant has several jobs, which share its turns.
                for (at, tenant) in TENANTS[1..].iter().enumerate() {
                    lab.memory.add([queue, tenant, JOBS[(n as usize + at) % 3]], n % 7);
                }
            }
        }
        for max in maxima.iter().cycle().take(30) {
            lab.claim(*max);
        }
        let of_queues = BTreeMap::from([("p", of_queues[0]), ("q", of_queues[1])]);
        let of_tenants: BTreeMap<&str, i64> = TENANTS[1..].iter().copied().zip(of_tenants).collect();
        for end in 0..=lab.running.len() {
            let taken = &lab.running[..end];
            let queues = turns_of(taken.iter().map(|it| &*it.queue), &of_queues);
            let mut all = vec![queues];
            for queue in ["p", "q"] {
                let of_queue = taken.iter().filter(|it| it.queue == queue);
                all.push(turns_of(of_queue.map(|it| &*it.tenant), &of_tenants));
            }
            for turns in all {
                let (least, most) = (turns.values().min(), turns.values().max());
                prop_assert!(most.unwrap() - least.unwrap() <= 1, "{:?} after {} runs", turns, end);
            }
        }
    }

    #[test]
    fn claims_over_many_tenants_end_with_the_time_at_which_something_opens(
        tenants in (0..3_usize, 0..20_usize).prop_map(|(parts, more)| (parts * TENANTS_MAX + more).saturating_sub(10)),
        runs in prop::collection::vec((any::<bool>(), any::<prop::sample::Index>(), 0..4_usize), 0..40),
        closed in 0..3_usize,
        weights in some_weights(),
        maxima in prop::collection::vec(1..9_usize, 1..5),
    ) {
        let mut lab = lab_with(&[], weights);
        lab.jobs = ["a", "b", "c", "d"].map(str::to_owned).to_vec();
        let times = BTreeMap::from([("a", 9_000), ("b", 700), ("d", 800)]);
        for (job, until_ms) in &times {
            lab.pause(job);
            lab.paused.get_mut(*job).unwrap().until_ms = Some(*until_ms);
        }
        let name = |n: usize| if n == 0 { String::new() } else { format!("t{n:03}") };
        for n in 0..tenants {
            lab.memory.add(["q", &name(n), ["a", "b", "d"][closed]], 1);
        }
        for (is_p, tenant, job) in runs {
            let queue = if is_p { "p" } else { "q" };
            lab.memory.add([queue, &name(tenant.index(tenants + 5)), ["a", "b", "c", "d"][job]], 1);
        }
        for round in 0..3 {
            let mut claims_left = lab.memory.lanes_left().len() + 10;
            for max in maxima.iter().cycle() {
                claims_left -= 1;
                prop_assert!(claims_left > 0, "no end");
                let claims = lab.claim(*max);
                if !claims.full {
                    let left = lab.memory.lanes_left();
                    let opens_ms = left.iter().map(|[_, _, job]| times.get(job.as_str()).copied());
                    prop_assert_eq!(claims.passed.opens_ms, opens_ms.min().flatten());
                    prop_assert!(left.iter().all(|[_, _, job]| job != "c"));
                    break;
                }
            }
            lab.memory.add(["q", &name((round + 1) * 97 % (tenants + 1)), "c"], 1);
        }
    }

    /// Proves: as `a_claim_that_stops_early_says_that_more_may_be_ready`.
    #[test]
    fn claims_continue_until_only_runs_with_closed_gates_are_left(
        runs in some_runs(120),
        weights in some_weights(),
        caps in prop::array::uniform3(prop::option::of(1..4_i64)),
        of_queue in prop::option::of(1..6_i64),
        paused in prop::option::of(0..3_usize),
        bad in prop::collection::vec((1..120_i64, any::<bool>()), 0..40),
        maxima in prop::collection::vec(1..9_usize, 1..5),
    ) {
        let mut lab = lab_with(&runs, weights);
        lab.jobs = JOBS.map(str::to_owned).to_vec();
        for (job, cap) in JOBS.iter().zip(caps) {
            if let Some(cap) = cap {
                lab.cap_job(job, cap);
            }
        }
        let queue = QueueRules { max_running: of_queue, ..QueueRules::default() };
        lab.rules.queues.insert("q".to_owned(), queue);
        if let Some(job) = paused {
            lab.pause(JOBS[job]);
        }
        for (run, is_late) in bad {
            let bad = if is_late { &mut lab.memory.late } else { &mut lab.memory.invalid };
            bad.insert(RunId(run));
        }
        let mut fences = BTreeSet::new();
        let mut ended = 0;
        let mut maxima = maxima.iter().cycle();
        let mut claims_left = 4 * runs.len() + 10;
        loop {
            claims_left -= 1;
            prop_assert!(claims_left > 0, "no progress");
            let before = lab.running.len();
            let claims = lab.claim(*maxima.next().unwrap());
            for run in &lab.running[before..] {
                prop_assert!(fences.insert(run.fence), "one fence for two runs");
            }
            for (job, cap) in JOBS.iter().zip(caps) {
                let running = lab.running.iter().filter(|it| it.job == *job).count();
                prop_assert!(running as i64 <= cap.unwrap_or(i64::MAX));
            }
            let refused: BTreeSet<RunId> = lab.memory.refused.drain(..).collect();
            for run in refused {
                // The next claim of a worker begins by burying expired runs.
                if lab.memory.late.contains(&run) {
                    lab.memory.remove(run);
                }
            }
            if claims.full {
                continue;
            }
            let mut gates = gates(&lab.rules, &lab.running, &lab.paused);
            for [queue, tenant, job] in lab.memory.lanes_left() {
                let lane = gates.lane(&queue, &tenant, &job);
                let closed = gates.closed(&lane);
                prop_assert!(closed.is_some(), "{queue}.{tenant}.{job} was left");
                let comes = closed.is_some_and(|it| it.why != ClosedReason::Paused);
                prop_assert!(claims.passed.comes || !comes, "the claim did not report that it opens");
            }
            if lab.running.is_empty() {
                break;
            }
            lab.running.remove(ended * 7 % lab.running.len());
            ended += 1;
        }
        let open = |[_, _, job]: &Names| !lab.paused.contains_key(job);
        prop_assert!(!lab.memory.lanes_left().iter().any(open));
    }
}

#[test]
fn a_closed_lane_costs_one_seek_however_long_it_is() {
    let mut lab = Lab::new();
    lab.pause("x");
    for n in 0..2_000 {
        lab.memory.add(["q", "a", "x"], n);
    }
    let claims = lab.claim(5);
    assert!(claims.runs.is_empty() && !claims.full);
    // `p`: no tenant. `q`: the tenant, its lane, no other lane, no other tenant. And the beginning of the ring of each queue.
    let seeks_of_long_lane = lab.memory.seeks.get();
    assert_eq!(lab.memory.pages.get(), 0);
    assert_eq!(lab.memory.fences, 0, "it writes nothing");
    let mut lab = Lab::new();
    lab.pause("x");
    lab.memory.add(["q", "a", "x"], 1);
    lab.claim(5);
    assert_eq!(lab.memory.seeks.get(), seeks_of_long_lane);
    lab.memory.add(["q", "a", "y"], 1);
    lab.pause("y");
    lab.claim(5);
    assert_eq!(lab.memory.seeks.get(), seeks_of_long_lane + 1);
}

#[test]
fn a_claim_visits_only_as_many_tenants_as_it_wants_runs() {
    let mut lab = Lab::new();
    for n in 0..500 {
        for order_key in 0..3 {
            lab.memory.add(["p", &format!("t{n:03}"), "x"], order_key);
        }
    }
    for turn in 0..3 {
        let claims = lab.claim(2);
        assert!(claims.full);
        let tenants = claims.runs.iter().map(|it| it.tenant.clone());
        let next = [2 * turn, 2 * turn + 1].map(|n| format!("t{n:03}"));
        assert!(
            tenants.eq(next),
            "a claim continues where the last one stopped"
        );
        assert!(lab.memory.seeks.get() <= 8, "{}", lab.memory.seeks.get());
        assert_eq!(lab.memory.pages.get(), 0, "the seek returned the first run");
    }
}

#[test]
fn a_walk_over_closed_tenants_is_cut_and_continues_once_around_the_ring() {
    let rounds = 4;
    let tenants = TENANTS_MAX * (rounds - 1) + 1;
    let name = |n: usize| format!("t{n:04}");
    let mut lab = Lab::new();
    lab.pause("x");
    for n in 0..tenants {
        lab.memory.add(["p", &name(n), "x"], 1);
    }
    // The walk must also reach the next queue in the end.
    lab.memory.add(["q", "", "y"], 1);
    for begin in [0, 1, TENANTS_MAX, tenants - 1] {
        lab.memory.add(["p", &name(begin), "y"], 1);
        let mut found = Vec::new();
        for round in 1.. {
            let claims = lab.claim(2);
            // Three seeks per tenant: its lane, no other lane, the next tenant.
            assert!(lab.memory.seeks.get() <= 3 * TENANTS_MAX + 10);
            found.extend(claims.runs.into_iter().map(|it| it.tenant));
            if !claims.full {
                // One round to find the open tenant, and another one that begins there.
                assert!(round <= 2 * rounds, "{round} claims");
                break;
            }
        }
        assert!(found.contains(&name(begin)), "{found:?}");
        let mut claims = 1;
        while lab.claim(2).full {
            claims += 1;
        }
        assert_eq!(claims, rounds, "the whole ring from the tenant {begin}");
    }
    assert_eq!(lab.memory.lanes_left().len(), tenants);
}

#[test]
fn a_lane_with_unclaimable_first_runs_does_not_hold_up_other_lanes() {
    let mut lab = Lab::new();
    for n in 0..60 {
        let run = lab.memory.add(["p", "a", "x"], n);
        let bad = if n % 2 == 0 {
            &mut lab.memory.late
        } else {
            &mut lab.memory.invalid
        };
        bad.insert(run);
    }
    let last = lab.memory.add(["p", "a", "x"], 60);
    let other = lab.memory.add(["p", "a", "y"], 99);
    let claims = lab.claim(100);
    assert_eq!(ids(&claims.runs), [other]);
    assert!(claims.full, "more runs follow them");
    assert_eq!(lab.memory.refused.len(), PASSED_OVER_MAX);
    assert_eq!(claims.buried.len(), PASSED_OVER_MAX / 2);
    // A claim leaves expired runs in place; another step buries them.
    lab.memory.late.clear();
    lab.memory.invalid.clear();
    let next = ids(&lab.claim(100).runs);
    assert_eq!(next.len(), 61 - PASSED_OVER_MAX / 2);
    assert_eq!(next.last(), Some(&last));
}

#[test]
fn the_last_claim_of_a_cut_walk_reports_the_runs_passed_over_by_all() {
    let mut lab = Lab::new();
    for (job, until_ms) in [("soon", 700), ("late", 9_000)] {
        lab.pause(job);
        lab.paused.get_mut(job).unwrap().until_ms = Some(until_ms);
    }
    for n in 0..TENANTS_MAX + 10 {
        let job = if n < TENANTS_MAX { "soon" } else { "late" };
        lab.memory.add(["p", &format!("t{n:03}"), job], 1);
    }
    let opens_ms = |claims: &Claims| (claims.full, claims.passed.opens_ms);
    assert_eq!(opens_ms(&lab.claim(2)), (true, Some(700)));
    assert_eq!(opens_ms(&lab.claim(2)), (false, Some(700)));
    // The same if the last claim finds a run.
    lab.turns = Turns::default();
    lab.memory.add(["p", "t260", "open"], 1);
    assert_eq!(opens_ms(&lab.claim(2)), (true, Some(700)));
    let last = lab.claim(2);
    assert_eq!((last.runs.len(), opens_ms(&last)), (1, (false, Some(700))));
    // The next walk does not report the runs that this one passed over.
    lab.paused.remove("soon");
    lab.cap_job("soon", 0);
    while lab.claim(2).full {}
    assert_eq!(lab.claim(2).passed.opens_ms, Some(9_000));
}

#[test]
fn a_walk_over_many_tenants_ends_although_it_may_skip_closed_jobs() {
    let mut lab = Lab::new();
    lab.jobs = ["late", "soon"].map(str::to_owned).to_vec();
    for (job, until_ms) in [("late", 9_000), ("soon", 700)] {
        lab.pause(job);
        lab.paused.get_mut(job).unwrap().until_ms = Some(until_ms);
    }
    let tenants = 2 * TENANTS_MAX + 10;
    for n in 0..tenants {
        for job in ["late", "soon"] {
            lab.memory.add(["p", &format!("t{n:03}"), job], 1);
        }
    }
    for _ in 0..3 {
        let mut claims = 1;
        let last = loop {
            let claim = lab.claim(2);
            if !claim.full {
                break claim;
            }
            claims += 1;
            assert!(claims < 10, "no end");
        };
        assert_eq!(last.passed.opens_ms, Some(700), "after {claims} claims");
    }
}

#[test]
fn a_walk_that_is_cut_at_the_end_of_the_ring_continues_at_its_beginning() {
    for (closed, parts) in [(TENANTS_MAX, 2), (2 * TENANTS_MAX, 3)] {
        let mut lab = Lab::new();
        lab.pause("x");
        for n in 0..closed {
            lab.memory.add(["p", &format!("t{n:03}"), "x"], 1);
        }
        let open = lab.memory.add(["p", "", "y"], 1);
        let claims: Vec<Claims> = (0..parts).map(|_| lab.claim(2)).collect();
        assert!(claims[..parts - 1].iter().all(|it| it.full), "{closed}");
        assert_eq!(ids(&claims[parts - 1].runs), [open]);
    }
}
