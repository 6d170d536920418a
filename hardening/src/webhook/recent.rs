//! The ids of the last messages.

use std::collections::{HashSet, VecDeque};

use super::sign::MessageId;

/// Forgets the oldest when there are too many.
#[derive(Debug, Default)]
pub(super) struct RecentIds {
    order: VecDeque<MessageId>,
    known: HashSet<MessageId>,
}

impl RecentIds {
    pub(super) fn contains(&self, id: &MessageId) -> bool {
        self.known.contains(id)
    }

    /// Only for an id that is not there.
    pub(super) fn remember(&mut self, id: MessageId, most: usize) {
        self.known.insert(id.clone());
        self.order.push_back(id);
        if self.order.len() > most
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}
