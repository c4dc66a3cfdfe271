//! Slots of a worker that are reserved for queues.

use crate::error::Result;
use crate::flow::{QueueRules, Rules};
use crate::records::ServedQueue;

/// Free slots that are reserved, by queue.
#[derive(Debug)]
pub struct Reserves<'a>(Vec<(&'a str, usize)>);

impl<'a> Reserves<'a> {
    /// The unused reserves of these queues. `held` returns how many runs of a queue the worker holds; it is called only for queues with
    /// a reserve.
    ///
    /// # Errors
    /// Those of `held`.
    pub fn of(
        queues: &'a [ServedQueue],
        rules: &Rules,
        held: impl Fn(&str) -> Result<i64>,
    ) -> Result<Self> {
        let mut reserves = Vec::new();
        for served in queues {
            let reserve = rules
                .queues
                .get(&served.name)
                .map_or(0, QueueRules::usable_reserve);
            if reserve > 0 {
                let left = (reserve - held(&served.name)?).max(0);
                reserves.push((served.name.as_str(), left as usize));
            }
        }
        Ok(Self(reserves))
    }

    fn others(&self, queue: &str) -> impl Iterator<Item = usize> {
        let others = self.0.iter().filter(move |(name, _)| *name != queue);
        others.map(|(_, slots)| *slots)
    }

    /// Whether other queues have a reserve. Then no run is claimed before a slot is free, because it could use a reserved slot.
    pub fn bind(&self, queue: &str) -> bool {
        self.0.iter().any(|(name, _)| *name != queue)
    }

    /// Number of free slots that this queue may use.
    pub fn room(&self, queue: &str, free: usize) -> usize {
        free.saturating_sub(self.others(queue).sum())
    }

    /// Counts a run of this queue that was taken.
    pub fn take(&mut self, queue: &str) {
        if let Some((_, slots)) = self.0.iter_mut().find(|(name, _)| *name == queue) {
            *slots = slots.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unused_part_of_a_reserve_is_closed_to_other_queues() {
        let mut rules = Rules::default();
        for (name, reserve) in [("urgent", 3), ("batch", 0)] {
            let queue = QueueRules {
                reserve,
                ..QueueRules::default()
            };
            rules.queues.insert(name.to_owned(), queue);
        }
        let queues = ["urgent", "batch", "unknown"].map(ServedQueue::from);
        let held = |queue: &str| {
            assert_eq!(queue, "urgent", "no other queue has a reserve");
            Ok(1)
        };
        let mut reserves = Reserves::of(&queues, &rules, held).unwrap();
        assert!(reserves.bind("batch") && !reserves.bind("urgent"));
        let room = |it: &Reserves<'_>| (it.room("urgent", 4), it.room("batch", 4));
        assert_eq!(room(&reserves), (4, 2));
        reserves.take("batch");
        assert_eq!(room(&reserves), (4, 2));
        reserves.take("urgent");
        assert_eq!(room(&reserves), (4, 3));
        assert_eq!(reserves.room("batch", 0), 0);
    }
}
