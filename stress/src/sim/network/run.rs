//! The clock: what happens next, until what is waited for holds or a limit is reached.

use std::time::Duration;

use ironlight_spv::peers::PeerId;

use super::config::{Ended, Limit, NodeId};
use super::event::{Event, Message};
use super::{Kind, SimNetwork, index};

impl SimNetwork {
    /// Runs until a condition holds, [`SimNetwork::all_on_tip`] for one, but at most for so long
    /// from now. The condition is looked at after each event.
    pub fn run_until(&mut self, limit: Duration, mut done: impl FnMut(&Self) -> bool) -> Ended {
        let end = self.elapsed + limit;
        loop {
            if done(self) {
                return Ended::Reached { at: self.elapsed };
            }
            if self.happened >= self.config.max_events {
                return self.ended(Limit::Events);
            }
            if !self.step(end) {
                self.elapsed = end;
                return self.ended(Limit::Time);
            }
        }
    }

    /// Runs for so long, whatever happens, unless the events are used up before.
    pub fn run_for(&mut self, time: Duration) {
        let _ = self.run_until(time, |_| false);
    }

    fn ended(&self, limit: Limit) -> Ended {
        Ended::Limit { limit, at: self.elapsed, behind: self.behind().collect() }
    }

    /// The next thing that happens up to `end`, if there is one.
    fn step(&mut self, end: Duration) -> bool {
        let event = self.queue.next_at();
        let timer = self.timers.first().copied();
        let timer_at = timer.map(|(at, _)| at.max(self.elapsed));
        let next = event.into_iter().chain(timer_at).min().filter(|next| *next <= end);
        let Some(next) = next else { return false };
        self.elapsed = next;
        self.happened += 1;
        self.trace.at(next);
        if event == Some(next) {
            if let Some(event) = self.queue.pop() {
                self.trace.event(&event);
                self.happen(event);
            }
        } else if let Some((_, node)) = timer {
            self.trace.timer(node.0);
            if let Some(light) = self.light_mut(node) {
                light.handle_timeout(next);
            }
            self.settle(node);
        }
        true
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Deliver { link, to, message } => self.deliver(link, to, message),
            Event::Dialled { from, to, life } => self.dialled(from, to, life),
            Event::Closed { link, to, cause } => self.leave(link, to, cause),
            Event::Silent { link } => self.silent(link),
            Event::Started { node } => self.start(node),
            Event::Tick { node } => self.tick(node),
        }
    }

    fn deliver(&mut self, link: PeerId, to: NodeId, message: Message) {
        if self.sender(link, to).is_none() {
            return;
        }
        let (at, unix) = (self.elapsed, self.unix());
        let outputs = match self.kind_mut(to) {
            Some(Kind::Full(full)) => full.handle(link, message, unix),
            Some(Kind::Liar(liar)) => liar.handle(link, message),
            Some(Kind::Light(light)) => {
                light.handle(link, message, at);
                return self.settle(to);
            }
            None => return,
        };
        self.perform(to, outputs);
    }

    /// A light node does what there is to do, and says when it wants to be woken.
    pub(super) fn settle(&mut self, node: NodeId) {
        let at = self.elapsed;
        if !self.nodes.get(index(node)).is_some_and(|node| node.up) {
            return;
        }
        let Some(light) = self.light_mut(node) else { return };
        let outputs = light.settle(at);
        let (wake, tip) = (light.wake_at(), light.tip().hash);
        self.trace.tip(&tip);
        self.set_timer(node, wake);
        self.perform(node, outputs);
    }

    fn set_timer(&mut self, node: NodeId, wake: Option<Duration>) {
        if let Some(before) = self.wakes.remove(&node) {
            self.timers.remove(&(before, node));
        }
        if let Some(wake) = wake {
            self.wakes.insert(node, wake);
            self.timers.insert((wake, node));
        }
    }

    /// A node goes down, keeps its chain, loses its connections, and comes back after
    /// [`NetworkConfig::downtime`](super::NetworkConfig::downtime). Nothing where it is down.
    pub fn restart(&mut self, node: NodeId) {
        let Some(known) = self.nodes.get_mut(index(node)).filter(|node| node.up) else { return };
        known.up = false;
        known.life += 1;
        match &mut known.kind {
            Kind::Full(full) => full.stop(),
            Kind::Liar(liar) => liar.stop(),
            Kind::Light(light) => light.stop(),
        }
        self.set_timer(node, None);
        self.cut_off(node);
        self.push(self.config.downtime, Event::Started { node });
    }

    fn start(&mut self, node: NodeId) {
        let (at, seed) = (self.elapsed, self.random.next_u64());
        let Some(known) = self.nodes.get_mut(index(node)) else { return };
        known.up = true;
        match &mut known.kind {
            Kind::Light(light) => light.restart(at, seed),
            Kind::Full(_) | Kind::Liar(_) => {}
        }
        self.settle(node);
    }

    /// What full nodes and liars do from time to time.
    fn tick(&mut self, node: NodeId) {
        let up = self.nodes.get(index(node)).is_some_and(|node| node.up);
        if up {
            self.dial_wanted(node);
            let outputs = match self.kind_mut(node) {
                Some(Kind::Full(full)) => full.tick(),
                Some(Kind::Liar(liar)) => liar.tick(),
                Some(Kind::Light(_)) | None => Vec::new(),
            };
            self.perform(node, outputs);
        }
        self.push(self.config.tick, Event::Tick { node });
    }
}
