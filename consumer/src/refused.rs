//! Why a record, or one line of it, is a dead letter.

use schema::timestamp::TimeRefused;

/// What is wrong with a record or an event. The same bytes are always refused for the same reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("the record lacks headers that the ingester sets")]
    ForeignRecord,
    #[error("the record is of another tenant")]
    WrongTenant,
    #[error("the record has a schema version that this consumer does not know")]
    UnknownSchemaVersion,
    #[error("the record has another content type than newline-delimited JSON")]
    WrongContentType,
    #[error("the record holds no event")]
    EmptyRecord,
    #[error("the record holds more events than a request may have")]
    TooManyEvents,
    #[error("the event is larger than an event may be")]
    EventTooLarge,
    #[error("the event is not UTF-8")]
    InvalidUtf8,
    #[error("the event is not the JSON object that the schema version describes")]
    Malformed,
    #[error("a mapped member of the JSON object is neither a text nor a number")]
    WrongType,
    #[error("the time of the event is neither ISO 8601 nor a number of seconds or milliseconds since 1970")]
    UnreadableTime,
    #[error("the properties are not a JSON object")]
    PropertiesNotObject,
    #[error("the event is nested too deeply")]
    TooDeep,
    #[error("the event holds a NUL character")]
    Nul,
    #[error("the event has more properties than an event may have")]
    TooManyProperties,
    #[error("the event has no name")]
    NoName,
    #[error("the name of the event or one of its ids is too long")]
    NameTooLong,
    #[error("the time of receipt is not between 2000 and 2100")]
    ReceivedOutOfRange,
    #[error("the time of the event is not stored: {0}")]
    Time(TimeRefused),
    #[error("the table refuses the row")]
    ByTable,
}

impl Refused {
    /// Every reason, so that the metric of each begins at zero.
    pub(crate) const ALL: [Self; 21] = [
        Self::ForeignRecord,
        Self::WrongTenant,
        Self::UnknownSchemaVersion,
        Self::WrongContentType,
        Self::EmptyRecord,
        Self::TooManyEvents,
        Self::EventTooLarge,
        Self::InvalidUtf8,
        Self::Malformed,
        Self::WrongType,
        Self::UnreadableTime,
        Self::PropertiesNotObject,
        Self::TooDeep,
        Self::Nul,
        Self::TooManyProperties,
        Self::NoName,
        Self::NameTooLong,
        Self::ReceivedOutOfRange,
        Self::Time(TimeRefused::TooOld),
        Self::Time(TimeRefused::TooNew),
        Self::ByTable,
    ];

    /// A label for metrics and for the dead letter.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::ForeignRecord => "foreign_record",
            Self::WrongTenant => "wrong_tenant",
            Self::UnknownSchemaVersion => "unknown_schema_version",
            Self::WrongContentType => "wrong_content_type",
            Self::EmptyRecord => "empty_record",
            Self::TooManyEvents => "too_many_events",
            Self::EventTooLarge => "event_too_large",
            Self::InvalidUtf8 => "invalid_utf8",
            Self::Malformed => "malformed",
            Self::WrongType => "wrong_type",
            Self::UnreadableTime => "unreadable_time",
            Self::PropertiesNotObject => "properties_not_object",
            Self::TooDeep => "too_deep",
            Self::Nul => "nul",
            Self::TooManyProperties => "too_many_properties",
            Self::NoName => "no_name",
            Self::NameTooLong => "name_too_long",
            Self::ReceivedOutOfRange => "received_out_of_range",
            Self::Time(time) => time.reason(),
            Self::ByTable => "refused_by_table",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_reason_is_told_apart_and_counted_from_zero() {
        let reasons: BTreeSet<&str> = Refused::ALL.map(Refused::reason).into();
        assert_eq!(reasons.len(), Refused::ALL.len());
        // A new reason fails to compile here until it is in the list above.
        let known = |refused: Refused| match refused {
            Refused::ForeignRecord
            | Refused::WrongTenant
            | Refused::UnknownSchemaVersion
            | Refused::WrongContentType
            | Refused::EmptyRecord
            | Refused::TooManyEvents
            | Refused::EventTooLarge
            | Refused::InvalidUtf8
            | Refused::Malformed
            | Refused::WrongType
            | Refused::UnreadableTime
            | Refused::PropertiesNotObject
            | Refused::TooDeep
            | Refused::Nul
            | Refused::TooManyProperties
            | Refused::NoName
            | Refused::NameTooLong
            | Refused::ReceivedOutOfRange
            | Refused::Time(TimeRefused::TooOld | TimeRefused::TooNew)
            | Refused::ByTable => true,
        };
        assert!(Refused::ALL.into_iter().all(known));
    }
}
