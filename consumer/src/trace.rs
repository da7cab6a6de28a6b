//! The trace that a record belongs to, as its header says (<https://www.w3.org/TR/trace-context/#traceparent-header>).
//! Pure.

use std::fmt;

use rdkafka::message::{Headers as _, Message};
use schema::record::TRACEPARENT;

/// The id of a trace. Invariant: 32 digits of lower-case hexadecimal, not all zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TraceId(u128);

impl TraceId {
    /// The trace of a message, if one of its headers says it.
    pub(crate) fn of(message: &impl Message) -> Option<Self> {
        let headers = message.headers()?;
        headers.iter().find(|header| header.key == TRACEPARENT).and_then(|header| Self::parse(header.value?))
    }

    /// The trace of a `traceparent`: version, trace, parent and flags; later versions may go on behind them.
    pub(crate) fn parse(traceparent: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(traceparent).ok()?;
        let mut parts = text.split('-');
        let version = hexadecimal(parts.next()?, 2).filter(|version| *version != 0xff)?;
        let trace = hexadecimal(parts.next()?, 32).filter(|trace| *trace != 0)?;
        hexadecimal(parts.next()?, 16).filter(|parent| *parent != 0)?;
        hexadecimal(parts.next()?, 2)?;
        (version > 0 || parts.next().is_none()).then_some(Self(trace))
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

fn hexadecimal(text: &str, digits: usize) -> Option<u128> {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    (text.len() == digits && text.bytes().all(is_digit)).then(|| u128::from_str_radix(text, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_tells_its_trace() {
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        let parsed = |text: &str| TraceId::parse(text.as_bytes()).map(|trace| trace.to_string());
        assert_eq!(parsed(&format!("00-{trace}-00f067aa0ba902b7-01")).as_deref(), Some(trace));
        assert_eq!(parsed(&format!("cc-{trace}-00f067aa0ba902b7-01-more")).as_deref(), Some(trace));
        let zero = "0".repeat(32);
        for other in [
            "",
            "x",
            trace,
            &format!("00-{trace}"),
            &format!("ff-{trace}-00f067aa0ba902b7-01"),
            &format!("00-{zero}-00f067aa0ba902b7-01"),
            &format!("00-{trace}-0000000000000000-01"),
            &format!("00-{}-00f067aa0ba902b7-01", trace.to_uppercase()),
            &format!("00-{trace}-00f067aa0ba902b7-01-more"),
            &format!("00-+{}-00f067aa0ba902b7-01", &trace[1..]),
        ] {
            assert_eq!(parsed(other), None, "{other}");
        }
        assert_eq!(TraceId::parse(b"\xff"), None);
    }
}
