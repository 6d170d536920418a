//! Settings as bytes; the [module's documentation](super) has the format.

use std::collections::BTreeMap;

use super::declare::is_name;
use super::setting::{Condition, Rule, Serve, Setting, Share, Test, Variant};
use super::{FlagError, MAX_FLAGS, MAX_PARTS, MAX_SETTING_BYTES};

const VERSION: u8 = 1;
/// Each test's place is its byte.
const TESTS: [Test; 4] = [Test::OneOf, Test::NoneOf, Test::StartsWith, Test::EndsWith];

/// Settings by name.
pub(super) type Settings = BTreeMap<String, Setting>;

/// All settings. They have been checked, so that every length fits its field.
pub(super) fn encode(settings: &Settings) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    bytes.extend_from_slice(&u16::try_from(settings.len()).unwrap_or(u16::MAX).to_le_bytes());
    for (name, setting) in settings {
        put_byte(&mut bytes, name.len());
        bytes.extend_from_slice(name.as_bytes());
        let encoded = encode_setting(setting);
        let length = u32::try_from(encoded.len()).unwrap_or(u32::MAX);
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(&encoded);
    }
    bytes
}

/// How long a setting is.
pub(super) fn setting_bytes(setting: &Setting) -> usize {
    encode_setting(setting).len()
}

fn encode_setting(setting: &Setting) -> Vec<u8> {
    let mut bytes = Vec::new();
    put_serve(&mut bytes, &setting.otherwise);
    put_byte(&mut bytes, setting.rules.len());
    for Rule { conditions, serve } in &setting.rules {
        put_byte(&mut bytes, conditions.len());
        for Condition { attribute, test, values } in conditions {
            put_text(&mut bytes, attribute);
            put_byte(&mut bytes, TESTS.iter().position(|its| its == test).unwrap_or(0));
            put_byte(&mut bytes, values.len());
            values.iter().for_each(|value| put_text(&mut bytes, value));
        }
        put_serve(&mut bytes, serve);
    }
    bytes
}

fn put_byte(bytes: &mut Vec<u8>, number: usize) {
    bytes.push(u8::try_from(number).unwrap_or(u8::MAX));
}

/// A text beyond its field makes the setting as long as it is, and so too long to be set.
fn put_text(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend_from_slice(&u16::try_from(text.len()).unwrap_or(u16::MAX).to_le_bytes());
    bytes.extend_from_slice(text.as_bytes());
}

fn put_serve(bytes: &mut Vec<u8>, serve: &Serve) {
    match serve {
        Serve::Switch(on) => bytes.push(u8::from(*on)),
        Serve::Share(share) => {
            bytes.push(2);
            bytes.extend_from_slice(&share.parts().to_le_bytes());
        }
        Serve::Variants(variants) => {
            bytes.push(3);
            put_byte(bytes, variants.len());
            for Variant { name, weight } in variants {
                put_text(bytes, name);
                bytes.extend_from_slice(&weight.to_le_bytes());
            }
        }
        Serve::Text(text) => {
            bytes.push(4);
            put_text(bytes, text);
        }
    }
}

/// The settings in the bytes: all of them, in the one form that [`encode`] gives.
///
/// # Errors
/// [`FlagError::Unreadable`] saying where.
pub(super) fn decode(bytes: &[u8]) -> Result<Settings, FlagError> {
    let mut reader = Reader { rest: bytes };
    let settings = reader.settings().filter(|_| reader.rest.is_empty());
    settings.ok_or(FlagError::Unreadable { at: bytes.len() - reader.rest.len() })
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(*taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    fn short(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    /// A number of parts.
    fn count(&mut self) -> Option<usize> {
        self.byte().map(usize::from).filter(|count| *count <= MAX_PARTS)
    }

    fn text(&mut self) -> Option<&'a str> {
        let length = self.short()?;
        std::str::from_utf8(self.take(length.into())?).ok()
    }

    fn settings(&mut self) -> Option<Settings> {
        self.byte().filter(|version| *version == VERSION)?;
        let count = usize::from(self.short()?);
        let mut settings = Settings::new();
        for _ in 0..Some(count).filter(|count| *count <= MAX_FLAGS)? {
            let length = self.byte()?;
            let name = std::str::from_utf8(self.take(length.into())?).ok()?;
            let is_next = settings.last_key_value().is_none_or(|(last, _)| last.as_str() < name);
            let length = usize::try_from(u32::from_le_bytes(self.array()?)).ok()?;
            if !is_next || !is_name(name) || length > MAX_SETTING_BYTES {
                return None;
            }
            let mut inner = Reader { rest: self.take(length)? };
            let setting = inner.setting().filter(|_| inner.rest.is_empty())?;
            settings.insert(name.to_owned(), setting);
        }
        Some(settings)
    }

    fn setting(&mut self) -> Option<Setting> {
        let otherwise = self.serve()?;
        let rules = (0..self.count()?).map(|_| self.rule()).collect::<Option<_>>()?;
        Some(Setting { rules, otherwise })
    }

    fn rule(&mut self) -> Option<Rule> {
        let conditions = (0..self.count()?).map(|_| self.condition()).collect::<Option<_>>()?;
        Some(Rule { conditions, serve: self.serve()? })
    }

    fn condition(&mut self) -> Option<Condition> {
        let attribute = self.text()?.to_owned();
        let test = *TESTS.get(usize::from(self.byte()?))?;
        let values =
            (0..self.count()?).map(|_| self.text().map(str::to_owned)).collect::<Option<_>>()?;
        Some(Condition { attribute, test, values })
    }

    fn serve(&mut self) -> Option<Serve> {
        Some(match self.byte()? {
            on @ (0 | 1) => Serve::Switch(on == 1),
            2 => {
                let parts = self.short().filter(|parts| *parts <= Share::ALL.parts())?;
                Serve::Share(Share::of_10_000(parts))
            }
            3 => {
                let variants = (0..self.count()?).map(|_| self.variant()).collect::<Option<_>>()?;
                Serve::Variants(variants)
            }
            4 => Serve::Text(self.text()?.into()),
            _ => return None,
        })
    }

    fn variant(&mut self) -> Option<Variant> {
        let name = self.text()?.to_owned();
        Some(Variant { name, weight: u32::from_le_bytes(self.array()?) })
    }
}
