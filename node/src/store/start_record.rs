//! The trusted start on disk. It must last as long as the chain above it, so it is written by
//! hand; docs/STORE_FORMAT.md has it byte for byte.

use ironlight_spv::rules::difficulty::PeriodFirst;
use ironlight_spv::{BlockHeight, CompactTarget, Header, TrustedStart, UnixTime, Work};

const PERIOD_FIRST: u8 = 1;
const LAST_ORDINARY: u8 = 2;
const IMPORTED: u8 = 4;

/// Encodes a start: height, header, work, flags, what the flags announce, times.
pub(super) fn encode(start: &TrustedStart) -> Vec<u8> {
    let mut flags = if start.imported { IMPORTED } else { 0 };
    let mut context = Vec::new();
    if let Some(PeriodFirst { time, bits }) = start.period_first {
        flags |= PERIOD_FIRST;
        context.extend_from_slice(&time.0.to_le_bytes());
        context.extend_from_slice(&bits.to_consensus().to_le_bytes());
    }
    if let Some(bits) = start.last_ordinary {
        flags |= LAST_ORDINARY;
        context.extend_from_slice(&bits.to_consensus().to_le_bytes());
    }
    let times = start.previous_times.iter().flat_map(|time| time.0.to_le_bytes());
    let mut bytes = Vec::with_capacity(200);
    bytes.extend_from_slice(&start.height.0.to_le_bytes());
    bytes.extend_from_slice(start.header.as_bytes());
    bytes.extend_from_slice(&start.work.to_be_bytes());
    bytes.push(flags);
    bytes.extend(context);
    bytes.extend(times);
    bytes
}

/// Decodes a start; none where the bytes are not of that form.
pub(super) fn decode(bytes: &[u8]) -> Option<TrustedStart> {
    let (height, rest) = take_number(bytes)?;
    let (header, rest) = rest.split_first_chunk::<{ Header::SIZE }>()?;
    let (work, rest) = rest.split_first_chunk::<32>()?;
    let (&flags, mut rest) = rest.split_first()?;
    if flags > PERIOD_FIRST | LAST_ORDINARY | IMPORTED {
        return None;
    }
    let mut period_first = None;
    if flags & PERIOD_FIRST != 0 {
        let (time, after_time) = take_number(rest)?;
        let (bits, after_bits) = take_number(after_time)?;
        let bits = CompactTarget::from_consensus(bits);
        period_first = Some(PeriodFirst { time: UnixTime(time), bits });
        rest = after_bits;
    }
    let mut last_ordinary = None;
    if flags & LAST_ORDINARY != 0 {
        let (bits, after_bits) = take_number(rest)?;
        last_ordinary = Some(CompactTarget::from_consensus(bits));
        rest = after_bits;
    }
    let (times, ragged) = rest.as_chunks::<4>();
    let previous_times = times.iter().map(|time| UnixTime(u32::from_le_bytes(*time))).collect();
    ragged.is_empty().then(|| TrustedStart {
        height: BlockHeight(height),
        header: Header::from_bytes(*header),
        work: Work::from_be_bytes(*work),
        previous_times,
        period_first,
        last_ordinary,
        imported: flags & IMPORTED != 0,
    })
}

fn take_number(bytes: &[u8]) -> Option<(u32, &[u8])> {
    bytes.split_first_chunk().map(|(number, rest)| (u32::from_le_bytes(*number), rest))
}

#[cfg(test)]
mod tests {
    use ironlight_spv::{Network, Params};

    use super::*;

    fn start(times: u32, first: bool, ordinary: bool) -> TrustedStart {
        let params = Params::new(Network::Mainnet);
        let bits = params.pow_limit;
        TrustedStart {
            height: BlockHeight(840_000),
            header: params.genesis,
            work: params.minimum_chain_work,
            previous_times: (0..times).map(UnixTime).collect(),
            period_first: first.then_some(PeriodFirst { time: UnixTime(7), bits }),
            last_ordinary: ordinary.then_some(bits),
            imported: first,
        }
    }

    #[test]
    fn a_start_comes_back_with_whatever_context_it_has() {
        for (times, first, ordinary) in
            [(0, false, false), (10, true, false), (3, false, true), (10, true, true)]
        {
            let start = start(times, first, ordinary);
            let decoded = decode(&encode(&start)).unwrap();
            assert_eq!(format!("{decoded:?}"), format!("{start:?}"));
        }
    }

    #[test]
    fn bytes_that_are_cut_or_too_many_are_no_start() {
        let bytes = encode(&start(2, true, true));
        for length in 0..bytes.len() {
            let decoded = decode(&bytes[..length]);
            // A cut between two times leaves a start with fewer times; the checksum is for that.
            assert!(decoded.is_none_or(|start| start.previous_times.len() < 2), "{length}");
        }
    }
}
