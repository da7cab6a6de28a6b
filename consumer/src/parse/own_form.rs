//! Reads a line in the form that the ingester writes: compact JSON, every name known and there once, no escapes.
//! Pure.
//!
//! Nearly every line has it, and one pass over the bytes reads it, where the general way takes four. Any other line
//! is left to the general way, which alone decides what is refused and why; both give the same row for the same
//! line, which a property test checks.

use std::borrow::Cow;

use schema::{event::Event, timestamp::Timestamp};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::properties::Properties;

/// The event of a line, its properties in `properties`; none if the line has another form. No text of it holds a NUL.
pub(super) fn read<'a>(line: &'a str, properties: &mut Properties) -> Option<Event<'a>> {
    let mut scan = Scan { line, at: 0 };
    scan.expect(b'{')?;
    let (mut fields, mut seen) = (Fields::default(), 0_u32);
    loop {
        let name = scan.text()?;
        scan.expect(b':')?;
        let bit = fields.read(name, &mut scan, properties)?;
        if seen & bit != 0 {
            return None;
        }
        seen |= bit;
        match scan.next()? {
            b',' => {}
            b'}' if scan.at == line.len() => return fields.event(),
            _other => return None,
        }
    }
}

/// What was read so far.
#[derive(Default)]
struct Fields<'a> {
    id: Option<Uuid>,
    event_name: Option<&'a str>,
    kind: &'a str,
    user_id: &'a str,
    anonymous_id: &'a str,
    distinct_id: &'a str,
    session_id: &'a str,
    app_id: &'a str,
    timestamp: Option<Timestamp>,
    corrected_at: Option<Timestamp>,
    sent_at: Option<Timestamp>,
    received_at: Option<Timestamp>,
    ip_address: &'a str,
    user_agent: &'a str,
    library: &'a str,
    protocol: &'a str,
    has_properties: bool,
}

impl<'a> Fields<'a> {
    /// Reads the value of a name, and says which bit is the name's.
    fn read(&mut self, name: &str, scan: &mut Scan<'a>, properties: &mut Properties) -> Option<u32> {
        let bit = match name {
            "id" => {
                let text = scan.text()?;
                self.id = (text.len() == 36).then(|| Uuid::try_parse(text).ok()).flatten();
                self.id?;
                0
            }
            "event_name" => scan.text_into(&mut self.event_name, 1)?,
            "type" => scan.optional_into(&mut self.kind, 2)?,
            "user_id" => scan.optional_into(&mut self.user_id, 3)?,
            "anonymous_id" => scan.optional_into(&mut self.anonymous_id, 4)?,
            "distinct_id" => scan.optional_into(&mut self.distinct_id, 5)?,
            "session_id" => scan.optional_into(&mut self.session_id, 6)?,
            "app_id" => scan.optional_into(&mut self.app_id, 7)?,
            "timestamp" => scan.time_into(&mut self.timestamp, 8)?,
            "corrected_at" => scan.time_into(&mut self.corrected_at, 9)?,
            "sent_at" => scan.time_into(&mut self.sent_at, 10)?,
            "received_at" => scan.time_into(&mut self.received_at, 11)?,
            "properties" => {
                scan.at += properties.shred_compact(&scan.line[scan.at..])?;
                self.has_properties = true;
                12
            }
            "ip_address" => scan.optional_into(&mut self.ip_address, 13)?,
            "user_agent" => scan.optional_into(&mut self.user_agent, 14)?,
            "library" => scan.optional_into(&mut self.library, 15)?,
            "protocol" => scan.optional_into(&mut self.protocol, 16)?,
            _newer => return None,
        };
        Some(1 << bit)
    }

    fn event(self) -> Option<Event<'a>> {
        Some(Event {
            id: self.id?,
            event_name: Cow::Borrowed(self.event_name?),
            kind: Cow::Borrowed(self.kind),
            user_id: Cow::Borrowed(self.user_id),
            anonymous_id: Cow::Borrowed(self.anonymous_id),
            distinct_id: Cow::Borrowed(self.distinct_id),
            session_id: Cow::Borrowed(self.session_id),
            app_id: Cow::Borrowed(self.app_id),
            timestamp: self.timestamp?,
            corrected_at: self.corrected_at,
            sent_at: self.sent_at,
            received_at: self.received_at?,
            // They were shredded where they stand; nobody asks for their text.
            properties: self.has_properties.then_some(RawValue::NULL)?,
            ip_address: Cow::Borrowed(self.ip_address),
            user_agent: Cow::Borrowed(self.user_agent),
            library: Cow::Borrowed(self.library),
            protocol: Cow::Borrowed(self.protocol),
        })
    }
}

/// A place in a line.
struct Scan<'a> {
    line: &'a str,
    at: usize,
}

impl<'a> Scan<'a> {
    fn next(&mut self) -> Option<u8> {
        let byte = *self.line.as_bytes().get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        (self.next()? == byte).then_some(())
    }

    /// The text here, if it holds no escape.
    fn text(&mut self) -> Option<&'a str> {
        self.expect(b'"')?;
        let start = self.at;
        self.at += plain_length(&self.line.as_bytes()[start..]);
        let text = &self.line[start..self.at];
        self.expect(b'"')?;
        Some(text)
    }

    fn text_into(&mut self, field: &mut Option<&'a str>, bit: u32) -> Option<u32> {
        *field = Some(self.text()?);
        Some(bit)
    }

    fn optional_into(&mut self, field: &mut &'a str, bit: u32) -> Option<u32> {
        *field = self.text()?;
        Some(bit)
    }

    fn time_into(&mut self, field: &mut Option<Timestamp>, bit: u32) -> Option<u32> {
        *field = Some(Timestamp::parse(self.text()?).ok()?);
        Some(bit)
    }
}

/// The bytes before the next quote, backslash or control character: all that a text may hold as it is. It looks at
/// eight bytes at once, as a byte is below another one when the subtraction borrows.
pub(crate) fn plain_length(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::MAX / 255;
    const HIGHS: u64 = ONES << 7;
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word;
    let mut words = bytes.chunks_exact(8);
    let mut length = 0;
    for word in words.by_ref() {
        let mut eight = [0; 8];
        eight.copy_from_slice(word);
        let word = u64::from_le_bytes(eight);
        let quotes = zeros(word ^ (ONES * u64::from(b'"')));
        let backslashes = zeros(word ^ (ONES * u64::from(b'\\')));
        let controls = word.wrapping_sub(ONES * 0x20) & !word;
        // A borrow may mark bytes behind the first one that is meant, and never one before it.
        let marks = (quotes | backslashes | controls) & HIGHS;
        if marks != 0 {
            return length + marks.trailing_zeros() as usize / 8;
        }
        length += 8;
    }
    let is_special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..0x20);
    let rest = words.remainder();
    length + rest.iter().position(is_special).unwrap_or(rest.len())
}

#[cfg(test)]
mod tests;
