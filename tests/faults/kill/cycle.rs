//! A command from its start to its end, killed once; then others go on where it stopped.

use std::fs;
use std::os::unix::process::ExitStatusExt;

use super::super::{settle, trace};
use super::points::{CALLS, Point, points, some};
use super::sweep::{CATALOGUE, Swept, end_of, tidy};
use crate::world::{Running, World, until};

/// One command that is killed, and the story around it.
pub(super) struct Cycle {
    pub(super) name: &'static str,
    pub(super) words: &'static str,
    pub(super) prepare: fn(&World),
    /// Who else is there meanwhile.
    pub(super) beside: fn(&World) -> Vec<Running>,
    /// What must hold, given what the killed process printed; then the world goes on.
    pub(super) check: fn(&World, &str),
}

impl Cycle {
    fn world(&self) -> (World, Vec<Running>) {
        let world = World::with_catalogue(CATALOGUE);
        (self.prepare)(&world);
        let others = (self.beside)(&world);
        (world, others)
    }

    /// The command under `strace`, whose process it becomes; what it starts is left alone.
    fn traced(&self, world: &World, options: &str) -> (Option<i32>, Option<i32>) {
        let script = format!(
            "exec strace -D -f -b execve -q -o strace.log {options} \"$jobctl\" {} > killed.out 2> killed.err",
            self.words
        );
        let mut child = world.spawn_shell(&script);
        let status = end_of(&mut child);
        (status.code(), status.signal())
    }

    /// What can be killed.
    fn points(&self) -> Vec<Point> {
        let (world, others) = self.world();
        let options = format!("-y -xx -e trace={}", CALLS.join(","));
        let status = self.traced(&world, &options);
        assert_eq!(status, (Some(0), None), "{}: {}", self.name, err(&world));
        // The tracer ends after its last process.
        let log = world.root().join("strace.log");
        until("the trace is whole", || {
            fs::read_to_string(&log).is_ok_and(|text| text.contains("+++ exited with 0 +++"))
        });
        let calls = trace::parse(&fs::read_to_string(&log).expect("a trace"));
        self.goes_on(&world, others);
        points(&calls, world.root(), |_| None)
    }

    fn goes_on(&self, world: &World, others: Vec<Running>) {
        let out = fs::read_to_string(world.root().join("killed.out")).expect("what it printed");
        (self.check)(world, &out);
        drop(others);
        settle(world);
        tidy(world);
    }

    /// Kills at so many points; how many there are, and at how many it died.
    pub(super) fn sweep(&self, n: usize) -> Swept {
        let all = self.points();
        assert!(all.len() > 5, "{}: {all:?}", self.name);
        let mut swept = Swept {
            name: self.name,
            all: all.len(),
            ..Swept::default()
        };
        for point in some(&all, n) {
            println!("{}: killed before {point:?}", self.name);
            let (world, others) = self.world();
            let Point { call, nth, .. } = &point;
            let options = format!("-e trace={call} -e inject={call}:signal=KILL:when={nth}");
            let (code, signal) = self.traced(&world, &options);
            swept.tried += 1;
            if signal == Some(9) {
                swept.died += 1;
            } else {
                // Threads do not always come to the same number of calls.
                assert_eq!(code, Some(0), "{}", err(&world));
            }
            self.goes_on(&world, others);
        }
        println!("{swept}");
        swept
    }
}

fn err(world: &World) -> String {
    fs::read_to_string(world.root().join("killed.err")).unwrap_or_default()
}

pub(super) fn alone(_: &World) -> Vec<Running> {
    Vec::new()
}
