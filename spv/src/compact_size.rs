//! Bitcoin's compact size: a count in front of what it counts, in 1, 3, 5 or 9 bytes.

use alloc::vec::Vec;

/// Writes a count in the fewest bytes, the only form that readers take.
pub(crate) fn push_compact_size(bytes: &mut Vec<u8>, count: u64) {
    match (u8::try_from(count), u16::try_from(count), u32::try_from(count)) {
        (Ok(count @ 0..=0xfc), _, _) => bytes.push(count),
        (_, Ok(count), _) => {
            bytes.push(0xfd);
            bytes.extend_from_slice(&count.to_le_bytes());
        }
        (_, _, Ok(count)) => {
            bytes.push(0xfe);
            bytes.extend_from_slice(&count.to_le_bytes());
        }
        (_, _, Err(_)) => {
            bytes.push(0xff);
            bytes.extend_from_slice(&count.to_le_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_length_ends_where_the_next_begins() {
        let turns = [0, 0xfd, 0x1_0000, 0x1_0000_0000, u64::MAX];
        for count in turns.iter().flat_map(|turn| [turn.saturating_sub(1), *turn]) {
            let mut bytes = Vec::new();
            push_compact_size(&mut bytes, count);
            let expected = bitcoin::consensus::serialize(&bitcoin::VarInt(count));
            assert_eq!(bytes, expected, "{count}");
        }
    }
}
