//! The part of JSON that records are made of, in one form only: what is written has no choices,
//! and what is read back must be exactly what would be written.

use std::borrow::Cow;

use super::event::Value;

/// A text in quotes. Everything but printable ASCII is escaped as `\uXXXX` (UTF-16 units,
/// lower-case digits), so that a record is safe to show on a terminal.
pub(super) fn push_text(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let mut rest = text;
    loop {
        // Most texts are one such run.
        let end = rest.bytes().position(|byte| !is_unescaped(byte)).unwrap_or(rest.len());
        let (plain, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
        out.extend_from_slice(plain.as_bytes());
        let mut others = after.chars();
        let Some(other) = others.next() else { break };
        push_escaped(other, out);
        rest = others.as_str();
    }
    out.push(b'"');
}

const fn is_unescaped(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\'
}

fn push_escaped(c: char, out: &mut Vec<u8>) {
    match c {
        '"' => out.extend_from_slice(b"\\\""),
        '\\' => out.extend_from_slice(b"\\\\"),
        other => {
            for unit in other.encode_utf16(&mut [0; 2]) {
                out.extend_from_slice(b"\\u");
                super::hash::push_hex(&unit.to_be_bytes(), out);
            }
        }
    }
}

/// A whole number in decimal digits, without leading zeros.
pub(super) fn push_number(number: i64, out: &mut Vec<u8>) {
    if number < 0 {
        out.push(b'-');
    }
    push_natural(number.unsigned_abs(), out);
}

/// As [`push_number`], without a sign.
pub(super) fn push_natural(mut number: u64, out: &mut Vec<u8>) {
    let (mut digits, mut start) = ([b'0'; 20], 20);
    for digit in digits.iter_mut().rev() {
        *digit += u8::try_from(number % 10).unwrap_or(0);
        number /= 10;
        start -= 1;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(start..).unwrap_or_default());
}

pub(super) fn push_value(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Text(text) => push_text(text, out),
        Value::Number(number) => push_number(*number, out),
        Value::Flag(true) => out.extend_from_slice(b"true"),
        Value::Flag(false) => out.extend_from_slice(b"false"),
    }
}

/// Reads what stands at the beginning and moves on. It is lenient about form: whoever uses it
/// writes what was read again and compares.
pub(super) struct Cursor<'a>(pub(super) &'a [u8]);

impl<'a> Cursor<'a> {
    pub(super) fn expect(&mut self, literal: &[u8]) -> Option<()> {
        self.0 = self.0.strip_prefix(literal)?;
        Some(())
    }

    pub(super) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn natural(&mut self) -> Option<u64> {
        let digits = self.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
        core::str::from_utf8(self.take(digits)?).ok()?.parse().ok()
    }

    fn number(&mut self) -> Option<i64> {
        let sign = usize::from(self.0.first() == Some(&b'-'));
        let digits = self.0.iter().skip(sign).take_while(|byte| byte.is_ascii_digit()).count();
        core::str::from_utf8(self.take(sign + digits)?).ok()?.parse().ok()
    }

    pub(super) fn text(&mut self) -> Option<String> {
        self.expect(b"\"")?;
        let mut units = Vec::new();
        loop {
            match self.take(1)? {
                b"\"" => return String::from_utf16(&units).ok(),
                b"\\" => units.push(self.escaped()?),
                [plain @ b' '..=b'~'] => units.push(u16::from(*plain)),
                _ => return None,
            }
        }
    }

    fn escaped(&mut self) -> Option<u16> {
        match self.take(1)? {
            b"\"" => Some(u16::from(b'"')),
            b"\\" => Some(u16::from(b'\\')),
            b"u" => super::hash::decode_hex(self.take(4)?).map(u16::from_be_bytes),
            _ => None,
        }
    }

    pub(super) fn value(&mut self) -> Option<Value> {
        match self.0.first()? {
            b'"' => Some(Value::Text(Cow::Owned(self.text()?))),
            b't' => self.expect(b"true").map(|()| Value::Flag(true)),
            b'f' => self.expect(b"false").map(|()| Value::Flag(false)),
            _ => self.number().map(Value::Number),
        }
    }
}
