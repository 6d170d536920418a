//! Base64 with padding (RFC 4648, section 4), in its one canonical form.

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn digit(bits: u32) -> char {
    let place = usize::try_from(bits & 63).unwrap_or(0);
    char::from(DIGITS.get(place).copied().unwrap_or(b'='))
}

fn bits(digit: u8) -> Option<u32> {
    u32::try_from(DIGITS.iter().position(|known| *known == digit)?).ok()
}

pub(super) fn encode(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let byte = |i: usize| u32::from(chunk.get(i).copied().unwrap_or(0));
        let group = byte(0) << 16 | byte(1) << 8 | byte(2);
        text.push(digit(group >> 18));
        text.push(digit(group >> 12));
        text.push(if chunk.len() > 1 { digit(group >> 6) } else { '=' });
        text.push(if chunk.len() > 2 { digit(group) } else { '=' });
    }
    text
}

/// None for anything but what [`encode`] writes.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    for group in text.trim_end_matches('=').as_bytes().chunks(4) {
        let joined = group.iter().try_fold(0, |all, digit| Some(all << 6 | bits(*digit)?))?;
        let missing = u32::try_from(4 - group.len()).ok()?;
        let [_, a, b, c] = (joined << (6 * missing)).to_be_bytes();
        bytes.extend([a, b, c].into_iter().take(group.len().saturating_sub(1)));
    }
    (encode(&bytes) == text).then_some(bytes)
}
