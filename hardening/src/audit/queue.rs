//! What waits to be written: bounded in number and bytes, with places that only bans, repairs and
//! failed authentication may take, and a note where something was lost.
//!
//! Invariant: every event that was offered is either in the queue, in its order, or counted in a
//! gap at the place where it is missing.
//!
//! What an attacker can grow: `capacity` events of together at most `bytes` bytes, and one gap
//! after each of them at most.

use std::collections::VecDeque;

use super::event::Event;

/// How much may wait to be written.
///
/// ```
/// use ironlight_hardening::audit::{AuditConfig, QueueConfig};
///
/// let queue = QueueConfig { capacity: 1_000, ..QueueConfig::default() };
/// let config = AuditConfig { queue, ..AuditConfig::default() };
/// assert_eq!(config.queue.capacity, 1_000);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueConfig {
    /// So many events.
    pub capacity: usize,
    /// Of them so many places are kept for bans, repairs and failed authentication.
    pub reserved: usize,
    /// So many bytes, all events together; the same share of them is reserved.
    pub bytes: usize,
}

impl Default for QueueConfig {
    /// 8,192 events and 8 MiB, an eighth of both reserved.
    fn default() -> Self {
        Self { capacity: 8_192, reserved: 1_024, bytes: 8 << 20 }
    }
}

/// Events that were lost between two others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Gap {
    pub(super) lost: u64,
    /// How many of them were bans, repairs or failed authentications.
    pub(super) reserved: u64,
    pub(super) first_at: u64,
    pub(super) last_at: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    Event { at: u64, event: Event },
    Gap(Gap),
}

/// Places that are ready from the start, of about 200 bytes each; more come when they are needed.
const READY: usize = 8_192;

#[derive(Debug)]
pub(super) struct Queue {
    config: QueueConfig,
    entries: VecDeque<Entry>,
    events: usize,
    bytes: usize,
}

impl Queue {
    /// Its memory is there from the start, and was written to once: else those who emit would wait
    /// for it, microseconds at each page.
    pub(super) fn new(config: QueueConfig) -> Self {
        let mut entries = VecDeque::new();
        entries.resize_with(config.capacity.min(READY), || Entry::Gap(Gap::default()));
        entries.clear();
        Self { config, entries, events: 0, bytes: 0 }
    }

    /// Whether it was taken; what was not is counted in a gap.
    pub(super) fn push(&mut self, at: u64, event: Event) -> bool {
        let size = event.size();
        if !self.has_room(event.kind.is_reserved(), size) {
            self.lose(at, event.kind.is_reserved());
            return false;
        }
        self.events += 1;
        self.bytes += size;
        self.entries.push_back(Entry::Event { at, event });
        true
    }

    fn has_room(&self, reserved: bool, size: usize) -> bool {
        let QueueConfig { capacity, reserved: kept, bytes } = self.config;
        let kept = if reserved { 0 } else { kept.min(capacity) };
        let kept_bytes = bytes.checked_div(capacity).unwrap_or(0).saturating_mul(kept);
        self.events < capacity - kept && self.bytes + size <= bytes - kept_bytes
    }

    fn lose(&mut self, at: u64, reserved: bool) {
        if !matches!(self.entries.back(), Some(Entry::Gap(_))) {
            self.entries.push_back(Entry::Gap(Gap { first_at: at, ..Gap::default() }));
        }
        if let Some(Entry::Gap(gap)) = self.entries.back_mut() {
            gap.lost += 1;
            gap.reserved += u64::from(reserved);
            gap.last_at = at;
        }
    }

    /// The oldest entries, at most so many.
    pub(super) fn take(&mut self, most: usize) -> Vec<Entry> {
        let taken: Vec<Entry> = self.entries.drain(..most.min(self.entries.len())).collect();
        for entry in &taken {
            if let Entry::Event { event, .. } = entry {
                self.events -= 1;
                self.bytes -= event.size();
            }
        }
        taken
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether a writer that gathers should not wait longer.
    pub(super) fn is_half_full(&self) -> bool {
        self.events > self.config.capacity / 2 || self.bytes > self.config.bytes / 2
    }
}

/// How many entries are written at once: twice as many when more were waiting, half as many when
/// there were few, so that a calm log is written soon and a busy one in large pieces.
#[derive(Clone, Copy, Debug)]
pub(super) struct BatchSize(usize);

impl BatchSize {
    const RANGE: (usize, usize) = (16, 2_048);

    pub(super) const fn new() -> Self {
        Self(Self::RANGE.0)
    }

    pub(super) const fn get(self) -> usize {
        self.0
    }

    /// So many were taken and so many are waiting still.
    pub(super) fn adapt(&mut self, taken: usize, waiting: usize) {
        let (least, most) = Self::RANGE;
        if waiting > self.0 {
            self.0 = (self.0 * 2).min(most);
        } else if taken < self.0 / 2 {
            self.0 = (self.0 / 2).max(least);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::cast_possible_truncation,
        clippy::cast_possible_wrap,
        reason = "small numbers"
    )]

    use super::super::kind::EventKind;
    use super::*;
    use crate::testing::Numbers;

    /// Every event ever offered, in a list, and which of them were taken out.
    #[derive(Default)]
    struct Naive {
        offered: Vec<(u64, Event, bool)>,
        out: usize,
    }

    impl Naive {
        fn waiting(&self) -> impl Iterator<Item = &Event> {
            self.offered[self.out..].iter().filter(|(_, _, kept)| *kept).map(|(_, event, _)| event)
        }

        fn push(&mut self, at: u64, event: Event, config: QueueConfig) -> bool {
            let bytes: usize = self.waiting().map(Event::size).sum::<usize>() + event.size();
            let places = if event.kind().is_reserved() {
                (config.capacity, config.bytes)
            } else {
                let share = config.bytes / config.capacity * config.reserved;
                (config.capacity - config.reserved, config.bytes - share)
            };
            let kept = self.waiting().count() < places.0 && bytes <= places.1;
            self.offered.push((at, event, kept));
            kept
        }

        fn take(&mut self, most: usize) -> Vec<Entry> {
            let mut taken = Vec::new();
            while let Some((at, event, kept)) = self.offered.get(self.out).cloned() {
                let joins = !kept && matches!(taken.last(), Some(Entry::Gap(_)));
                if taken.len() == most && !joins {
                    break;
                }
                self.out += 1;
                let reserved = u64::from(event.kind().is_reserved());
                match taken.last_mut() {
                    Some(Entry::Gap(gap)) if !kept => {
                        gap.lost += 1;
                        gap.reserved += reserved;
                        gap.last_at = at;
                    }
                    _ if kept => taken.push(Entry::Event { at, event }),
                    _ => {
                        let gap = Gap { lost: 1, reserved, first_at: at, last_at: at };
                        taken.push(Entry::Gap(gap));
                    }
                }
            }
            taken
        }
    }

    #[test]
    fn it_takes_and_gives_what_a_plain_list_does() {
        let (mut lost, mut given) = (0, 0);
        for seed in 0..50 {
            let mut numbers = Numbers(seed);
            let capacity = 1 + numbers.below(30) as usize;
            let reserved = numbers.below(capacity as u64) as usize;
            let bytes = capacity * (150 + numbers.below(300) as usize);
            let config = QueueConfig { capacity, reserved, bytes };
            let (mut queue, mut naive) = (Queue::new(config), Naive::default());
            for at in 0..2_400 {
                if numbers.below(12) == 0 {
                    let most = numbers.below(30) as usize;
                    let taken = queue.take(most);
                    assert_eq!(taken, naive.take(most), "seed {seed}, at {at}");
                    given += taken.len();
                }
                let kind = if numbers.below(4) == 0 { EventKind::Ban } else { EventKind::Start };
                let event = Event::new(kind).by("x".repeat(numbers.below(200) as usize));
                let taken = queue.push(at, event.clone());
                assert_eq!(taken, naive.push(at, event, config), "seed {seed}, at {at}");
                lost += usize::from(!taken);
                assert!(queue.len() <= 2 * capacity + 1);
            }
        }
        assert!(lost > 10_000 && given > 10_000, "{lost} {given}");
    }

    #[test]
    fn the_size_of_pieces_is_that_of_a_number_of_doublings() {
        let (mut numbers, mut size, mut doublings) = (Numbers(1), BatchSize::new(), 0_u32);
        let mut seen = [0_u32; 8];
        for _ in 0..100_000 {
            let now = 16_usize << doublings;
            assert_eq!(size.get(), now);
            seen[doublings as usize] += 1;
            let taken = numbers.below(now as u64 + 1) as usize;
            let busy = usize::from(numbers.below(3) == 0);
            let waiting = busy * numbers.below(4_400) as usize;
            size.adapt(taken, waiting);
            doublings = match (waiting > now, taken < now / 2) {
                (true, _) => (doublings + 1).min(7),
                (false, true) => doublings.saturating_sub(1),
                (false, false) => doublings,
            };
        }
        assert!(seen.iter().all(|times| *times > 500), "{seen:?}");
    }

    #[test]
    fn a_busy_log_is_written_in_larger_pieces_and_a_calm_one_in_small_ones() {
        let mut size = BatchSize::new();
        for _ in 0..20 {
            size.adapt(size.get(), 10_000);
        }
        assert_eq!(size.get(), 2_048);
        size.adapt(2_048, 10);
        assert_eq!(size.get(), 2_048);
        for _ in 0..20 {
            size.adapt(1, 0);
        }
        assert_eq!(size.get(), 16);
    }
}
