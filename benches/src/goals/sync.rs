//! Headers and filters from others, and what is stored and carried of them.

use super::Wanted::{AtLeast, AtMost, Compared, TimesTheirs};
use super::{Goal, MILLION, counted, each, goal};
use crate::recorded::Unit;

pub(super) const GOALS: &[Goal] = &[
    goal(
        "core-headers-sled",
        "46,000 headers from Bitcoin Core, stored by sled",
        TimesTheirs(1.0),
        "headers_from_core/ironlight-sled",
        &[("bip157, nothing stored", "headers_from_core/bip157")],
    ),
    goal(
        "core-headers-redb",
        "the same, stored by redb",
        TimesTheirs(1.0),
        "headers_from_core/ironlight-redb",
        &[("bip157, nothing stored", "headers_from_core/bip157")],
    ),
    counted(
        Unit::Bytes,
        "core-headers-memory-sled",
        "its peak of resident memory, sled",
        TimesTheirs(0.5),
        "sync_from_core/ironlight-sled, headers, resident",
        &[("bip157", "sync_from_core/bip157, headers, resident")],
    ),
    counted(
        Unit::Bytes,
        "core-headers-memory-redb",
        "its peak of resident memory, redb",
        TimesTheirs(0.5),
        "sync_from_core/ironlight-redb, headers, resident",
        &[("bip157", "sync_from_core/bip157, headers, resident")],
    ),
    goal(
        "core-filters-sled",
        "headers and filters of 46,000 blocks, stored by sled",
        TimesTheirs(1.0),
        "filters_from_core/ironlight-sled",
        &[("bip157, nothing stored", "filters_from_core/bip157")],
    ),
    goal(
        "core-filters-redb",
        "the same, stored by redb",
        TimesTheirs(1.0),
        "filters_from_core/ironlight-redb",
        &[("bip157, nothing stored", "filters_from_core/bip157")],
    ),
    counted(
        Unit::Bytes,
        "core-filters-memory-sled",
        "its peak of resident memory, sled",
        TimesTheirs(0.5),
        "sync_from_core/ironlight-sled, filters, resident",
        &[("bip157", "sync_from_core/bip157, filters, resident")],
    ),
    counted(
        Unit::Bytes,
        "core-filters-memory-redb",
        "its peak of resident memory, redb",
        TimesTheirs(0.5),
        "sync_from_core/ironlight-redb, filters, resident",
        &[("bip157", "sync_from_core/bip157, filters, resident")],
    ),
    goal(
        "libp2p-chunks",
        "1,000,000 headers from two light nodes over slow lines, by chunks of a snapshot",
        TimesTheirs(1.0),
        "sync_over_libp2p/slow-chunks-from-two, once",
        &[("page by page", "sync_over_libp2p/slow-pages-from-two, once")],
    ),
    goal(
        "libp2p-million",
        "1,000,000 headers from two light nodes over loopback, by chunks",
        Compared,
        "sync_over_libp2p/chunks-from-two",
        &[("page by page", "sync_over_libp2p/pages-from-two")],
    ),
    counted(
        Unit::ASecond,
        "snapshot-import",
        "headers imported from a snapshot, verified and applied, two cores",
        AtLeast(5.0 * MILLION),
        "header_snapshot/import",
        &[("80 bytes each, one core", "header_snapshot/80 bytes each")],
    ),
    counted(
        Unit::Bytes,
        "snapshot-memory",
        "memory above the chain's own meanwhile",
        AtMost(32.0 * MILLION),
        "header_snapshot/above the chain, at the peak",
        &[],
    ),
    counted(
        Unit::Bytes,
        "snapshot-segments",
        "a generated header as segments",
        AtMost(44.0),
        "header_snapshot/a header as segments",
        &[],
    ),
    counted(
        Unit::Bytes,
        "snapshot-file",
        "a generated header in the file",
        AtMost(42.0),
        "header_snapshot/a header in the file",
        &[],
    ),
    each(
        100_000,
        goal(
            "store-sync-sled",
            "100,000 headers in batches of 2,000 stored by sled, a header",
            Compared,
            "stores/sync: sled",
            &[
                ("a flat file, each batch synced", "stores/sync: flat file"),
                ("redb", "stores/sync: redb"),
                ("memory", "stores/sync: memory"),
            ],
        ),
    ),
    each(
        100_000,
        goal(
            "store-restart-sled",
            "the stored chain of 100,000 opened and verified again, sled, a header",
            Compared,
            "stores/restart: sled",
            &[("a flat file", "stores/restart: flat file"), ("redb", "stores/restart: redb")],
        ),
    ),
    goal(
        "store-reorg-sled",
        "a reorg of 6 headers stored by sled",
        Compared,
        "stores/reorg: sled",
        &[
            ("a flat file", "stores/reorg: flat file"),
            ("redb", "stores/reorg: redb"),
            ("memory", "stores/reorg: memory"),
        ],
    ),
];
