//! The bulkhead against plain lists.

use super::*;
use crate::testing::Numbers;

#[derive(Default)]
struct Naive {
    inside: Vec<u64>,
    queue: Vec<u64>,
    told: Vec<u64>,
}

impl Naive {
    fn admit(&mut self, limits: BulkheadLimits) {
        while !self.queue.is_empty() && self.inside.len() < limits.concurrent as usize {
            let first = self.queue.remove(0);
            self.inside.push(first);
            self.told.push(first);
        }
    }
}

fn limits(numbers: &mut Numbers) -> BulkheadLimits {
    let concurrent = u32::try_from(numbers.below(5)).unwrap();
    BulkheadLimits { concurrent, queue: u32::try_from(numbers.below(6)).unwrap() }
}

/// The bulkhead and its model, with those who wait or were let in without knowing, by name.
struct Pair {
    ours: BulkheadState<u64>,
    naive: Naive,
    tickets: Vec<(u64, Ticket)>,
    settled: Vec<u64>,
    seen: [u32; 5],
}

impl Pair {
    fn enter(&mut self, name: u64) {
        let limits = self.ours.limits();
        let room = self.naive.inside.len() < limits.concurrent as usize;
        let queue = self.naive.queue.len() < limits.queue as usize;
        match self.ours.enter(|| name) {
            Entry::Inside => {
                assert!(room);
                self.naive.inside.push(name);
                self.settled.push(name);
                self.seen[0] += 1;
            }
            Entry::Waits(ticket) => {
                assert!(!room && queue);
                self.naive.queue.push(name);
                self.tickets.push((name, ticket));
                self.seen[1] += 1;
            }
            Entry::Refused => {
                assert!(!room && !queue);
                self.seen[2] += 1;
            }
        }
    }

    fn leave(&mut self, which: usize) {
        let gone = self.settled.swap_remove(which);
        self.naive.inside.retain(|inside| *inside != gone);
        self.ours.leave();
    }

    fn give_up(&mut self, which: usize) {
        let (gone, ticket) = self.tickets.swap_remove(which);
        let waited = self.naive.queue.contains(&gone);
        self.naive.queue.retain(|waits| *waits != gone);
        self.naive.inside.retain(|inside| *inside != gone);
        assert_eq!(self.ours.give_up(ticket), waited.then_some(gone));
        self.seen[3] += 1;
    }

    fn claim(&mut self, which: usize) {
        let (who, ticket) = self.tickets[which];
        let inside = self.naive.inside.contains(&who);
        assert_eq!(self.ours.claim(ticket), inside);
        if inside {
            self.tickets.swap_remove(which);
            self.settled.push(who);
            self.seen[4] += 1;
        }
    }

    fn compare(&mut self) {
        self.naive.admit(self.ours.limits());
        let mut told: Vec<_> = core::iter::from_fn(|| self.ours.poll_admitted()).collect();
        told.sort_unstable();
        assert_eq!(told, core::mem::take(&mut self.naive.told), "in the order in which they came");
        assert_eq!(self.ours.inside() as usize, self.naive.inside.len());
        assert_eq!(self.ours.waiting() as usize, self.naive.queue.len());
    }
}

#[test]
fn lets_in_whom_plain_lists_let_in() {
    let mut seen = [0; 5];
    for seed in 0..300 {
        let mut numbers = Numbers(seed);
        let ours = BulkheadState::new(limits(&mut numbers));
        let (naive, tickets, settled) = (Naive::default(), Vec::new(), Vec::new());
        let mut pair = Pair { ours, naive, tickets, settled, seen };
        for name in 0..400 {
            let mut pick = |of: usize| usize::try_from(numbers.below(of as u64)).unwrap();
            match (pick(20), pair.settled.len(), pair.tickets.len()) {
                (0..9, _, _) => pair.enter(name),
                (9..14, settled @ 1.., _) => pair.leave(pick(settled)),
                (14..16, _, tickets @ 1..) => pair.give_up(pick(tickets)),
                (16..19, _, tickets @ 1..) => pair.claim(pick(tickets)),
                (19, _, _) if name % 10 == 0 => pair.ours.set_limits(limits(&mut numbers)),
                _ => {}
            }
            pair.compare();
        }
        seen = pair.seen;
    }
    assert!(seen.iter().all(|times| *times > 1000), "all is tried: {seen:?}");
}
