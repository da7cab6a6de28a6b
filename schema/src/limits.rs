//! Bounds of an event and a request, the same for every process that checks them.

/// The largest request body as it arrives, in bytes.
pub const MAX_BODY_BYTES: usize = 10 * 1024 * 1024;
/// The largest event as JSON, in bytes.
pub const MAX_EVENT_BYTES: usize = 256 * 1024;
/// The most properties of one event.
pub const MAX_PROPERTIES: usize = 1_000;
/// The longest event name and the longest of any id, in characters.
pub const MAX_NAME_CHARS: usize = 200;
/// The most events of one request.
pub const MAX_EVENTS_PER_REQUEST: usize = 2_500;
/// The deepest nesting of a JSON value; the event itself is level 1.
pub const MAX_DEPTH: usize = 64;
