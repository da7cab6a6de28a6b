//! Why one event of a request is not accepted, while its neighbours are. Nothing in it repeats the input.

use schema::timestamp::TimeRefused;

/// The reason an event is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("the event has more than 262144 bytes")]
    TooLarge,
    #[error("the event is nested deeper than 64 levels")]
    TooDeep,
    #[error("a text holds the character U+0000")]
    Nul,
    #[error("a text holds half of a surrogate pair")]
    LoneSurrogate,
    #[error("an event is a JSON object")]
    NotAnObject,
    #[error("a field has the wrong type or stands there twice")]
    WrongType,
    #[error("`properties` is a JSON object")]
    PropertiesNotAnObject,
    #[error("the event has more than 1000 properties")]
    TooManyProperties,
    #[error("`type` is one of pageview, click, scroll, performance and custom")]
    UnknownType,
    #[error("the event has no name")]
    NameMissing,
    #[error("`{field}` has more than 200 characters")]
    TextTooLong { field: &'static str },
    #[error("`tenant_id` is not the tenant of the key")]
    ForeignTenant,
    #[error("a time is written as ISO 8601")]
    TimeUnreadable,
    #[error("{0}")]
    Time(TimeRefused),
    #[error("Kafka takes no record as large as the one with this event")]
    RecordTooLarge,
}

impl Refusal {
    /// A label for answers and metrics.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::TooLarge => "event_too_large",
            Self::TooDeep => "nested_too_deep",
            Self::Nul => "nul_character",
            Self::LoneSurrogate => "lone_surrogate",
            Self::NotAnObject => "not_an_object",
            Self::WrongType => "wrong_type",
            Self::PropertiesNotAnObject => "properties_not_an_object",
            Self::TooManyProperties => "too_many_properties",
            Self::UnknownType => "unknown_type",
            Self::NameMissing => "event_name_missing",
            Self::TextTooLong { .. } => "text_too_long",
            Self::ForeignTenant => "foreign_tenant",
            Self::TimeUnreadable => "timestamp_unreadable",
            Self::Time(refused) => refused.reason(),
            Self::RecordTooLarge => "record_too_large",
        }
    }
}
