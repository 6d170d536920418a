//! Who is not to be dialled for a while.
//!
//! What an attacker can grow: up to [`MAX_BANS`] entries, one for each IPv4 address or IPv6 /64
//! that it owns and that was dialled; then the ban that ends first makes room.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv6Addr};

use super::Offence;
use crate::time::UnixTime;

/// Bans kept at most.
pub const MAX_BANS: usize = 1024;

/// How long a ban lasts, in seconds: Bitcoin Core's `DEFAULT_MISBEHAVING_BANTIME`, 24 hours.
pub(super) const BAN_SECONDS: u32 = 24 * 60 * 60;

/// One ban, as plain data to be kept over a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BanEntry {
    /// The address. Of an IPv6 address the first 64 bits count: the rest is the owner's to
    /// choose.
    pub ip: IpAddr,
    /// When it ends.
    pub until: UnixTime,
    /// What for.
    pub offence: Offence,
}

#[derive(Clone, Debug, Default)]
pub(super) struct BanList {
    entries: BTreeMap<IpAddr, BanEntry>,
}

impl BanList {
    /// Bans an address for a day from now.
    pub(super) fn ban(&mut self, ip: IpAddr, offence: Offence, now: UnixTime) -> UnixTime {
        let until = now.plus_seconds(BAN_SECONDS);
        self.insert(BanEntry { ip, until, offence }, now);
        until
    }

    /// Takes bans from an earlier run. None lasts longer than a new one would, so that a clock
    /// that was wrong when they were written does no harm.
    pub(super) fn import(&mut self, entries: impl IntoIterator<Item = BanEntry>, now: UnixTime) {
        for entry in entries {
            let until = entry.until.min(now.plus_seconds(BAN_SECONDS));
            if until > now {
                self.insert(BanEntry { until, ..entry }, now);
            }
        }
    }

    pub(super) fn contains(&self, ip: IpAddr, now: UnixTime) -> bool {
        self.entries.get(&owner(ip)).is_some_and(|entry| entry.until > now)
    }

    pub(super) fn export(&self, now: UnixTime) -> Vec<BanEntry> {
        self.entries.values().filter(|entry| entry.until > now).copied().collect()
    }

    fn insert(&mut self, entry: BanEntry, now: UnixTime) {
        let ip = owner(entry.ip);
        if self.entries.len() >= MAX_BANS && !self.entries.contains_key(&ip) {
            self.make_room(now);
        }
        self.entries.insert(ip, BanEntry { ip, ..entry });
    }

    fn make_room(&mut self, now: UnixTime) {
        self.entries.retain(|_, entry| entry.until > now);
        if self.entries.len() < MAX_BANS {
            return;
        }
        let first = self.entries.values().min_by_key(|entry| entry.until).map(|entry| entry.ip);
        if let Some(first) = first {
            self.entries.remove(&first);
        }
    }
}

/// What one owner cannot change: the IPv4 address, or the first 64 bits of an IPv6 one. A ban of an
/// address is one of its owner.
#[must_use]
pub fn owner(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(ip) => IpAddr::V4(ip),
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::Ipv4Addr;

    fn v4(number: u32) -> IpAddr {
        IpAddr::V4(Ipv4Addr::from(0x0808_0000 + number))
    }

    #[test]
    fn bans_end_after_a_day() {
        let mut bans = BanList::default();
        let until = bans.ban(v4(1), Offence::InvalidHeader, UnixTime(1000));
        assert_eq!(until, UnixTime(1000 + BAN_SECONDS));
        assert!(bans.contains(v4(1), UnixTime(999 + BAN_SECONDS)));
        assert!(!bans.contains(v4(1), until));
        assert!(bans.export(until).is_empty());
    }

    #[test]
    fn the_list_is_bounded_and_the_oldest_ban_makes_room() {
        let mut bans = BanList::default();
        for second in 0..2000 {
            let _ = bans.ban(v4(second), Offence::Oversized, UnixTime(second));
        }
        assert_eq!(bans.entries.len(), MAX_BANS);
        assert!(!bans.contains(v4(0), UnixTime(2000)));
        assert!(bans.contains(v4(1999), UnixTime(2000)));
    }

    #[test]
    fn an_ipv6_owner_is_banned_whole() {
        let mut bans = BanList::default();
        let _ = bans.ban("2a01:4f8:1:2::3".parse().unwrap(), Offence::Oversized, UnixTime(5));
        assert!(bans.contains("2a01:4f8:1:2:ffff::".parse().unwrap(), UnixTime(6)));
        assert!(!bans.contains("2a01:4f8:1:3::3".parse().unwrap(), UnixTime(6)));
    }

    #[test]
    fn bans_survive_a_restart_but_no_wrong_clock() {
        let mut before = BanList::default();
        let _ = before.ban(v4(1), Offence::Oversized, UnixTime(1000));
        let _ = before.ban(v4(2), Offence::Oversized, UnixTime(1_000_000_000));
        let mut after = BanList::default();
        after.import(before.export(UnixTime(1000)), UnixTime(2000));
        assert_eq!(after.export(UnixTime(2000)).len(), 2);
        assert!(!after.contains(v4(1), UnixTime(1000 + BAN_SECONDS)));
        assert!(!after.contains(v4(2), UnixTime(2000 + BAN_SECONDS)));
    }
}
