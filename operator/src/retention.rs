//! The consent to keep data for less time than now. Pure.
//!
//! A shorter retention deletes what is there. An edit of a spec is no consent, and neither is the default of a new
//! resource that takes over the data of an older one: an annotation has to name the retention that is there and the
//! new one, as in `720-to-24`. It counts once: the status notes the one that was used, until it is removed.

use std::fmt;

use kube::Resource;

use crate::labels;

/// Whether a retention may be made shorter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shortening {
    /// From this one, and from no other.
    Allowed(Kept),
    /// The longer one stays.
    Held,
}

/// A retention that stays although the spec asks for a shorter one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    Hours(u64),
    /// For ever, or by a rule that is none of ours.
    Otherwise,
}

impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hours(hours) => write!(f, "for {hours} hours"),
            Self::Otherwise => f.write_str("as somebody set it by hand"),
        }
    }
}

/// What an annotation says: these data may be kept for that many hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Consent {
    pub(crate) from: Kept,
    pub(crate) to_hours: u64,
}

/// How a consent names a retention that is no number of hours.
const BY_HAND: &str = "custom";
const BETWEEN: &str = "-to-";

impl fmt::Display for Consent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.from {
            Kept::Hours(hours) => write!(f, "{hours}{BETWEEN}{}", self.to_hours),
            Kept::Otherwise => write!(f, "{BY_HAND}{BETWEEN}{}", self.to_hours),
        }
    }
}

impl Consent {
    /// Only a text that we would write ourselves is one.
    fn parse(text: &str) -> Option<Self> {
        let (from, to) = text.split_once(BETWEEN)?;
        let from = if from == BY_HAND { Kept::Otherwise } else { Kept::Hours(from.parse().ok()?) };
        let consent = Self { from, to_hours: to.parse().ok()? };
        (consent.to_string() == text).then_some(consent)
    }
}

impl Shortening {
    /// Whether the retention that is there may become the wanted one, which is shorter.
    pub(crate) fn permits(self, has: Kept) -> bool {
        match self {
            Self::Allowed(from) => from == has,
            Self::Held => false,
        }
    }
}

/// What a resource's annotation says about a retention of these hours. One that names another number says nothing: it
/// was meant for another edit. Neither does the one that was used.
pub(crate) fn shortening(resource: &impl Resource, wanted_hours: u64, used: Option<&str>) -> Shortening {
    match annotated(resource) {
        Some(consent) if consent.to_hours == wanted_hours && used != Some(consent.to_string().as_str()) => {
            Shortening::Allowed(consent.from)
        }
        Some(_) | None => Shortening::Held,
    }
}

/// Whether data are kept as the spec asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Brought {
    About,
    NotYet,
}

/// The consent that is used up after an attempt, for the status. It stays so until the annotation is another or none.
pub(crate) fn used(
    resource: &impl Resource,
    wanted_hours: u64,
    brought: Brought,
    before: Option<String>,
) -> Option<String> {
    let consent = annotated(resource)?;
    match brought {
        Brought::About if consent.to_hours == wanted_hours => Some(consent.to_string()),
        Brought::About | Brought::NotYet => before.filter(|before| *before == consent.to_string()),
    }
}

fn annotated(resource: &impl Resource) -> Option<Consent> {
    let annotations = resource.meta().annotations.as_ref()?;
    Consent::parse(annotations.get(labels::ALLOW_RETENTION_HOURS)?)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Secret;

    use super::*;

    fn with(value: &str) -> Secret {
        let mut resource = Secret::default();
        let annotation = (labels::ALLOW_RETENTION_HOURS.to_owned(), value.to_owned());
        resource.metadata.annotations = Some([annotation].into());
        resource
    }

    #[test]
    fn only_the_very_numbers_are_a_consent() {
        let says = |value: &str| shortening(&with(value), 24, None);
        assert_eq!(says("720-to-24"), Shortening::Allowed(Kept::Hours(720)));
        assert_eq!(says("custom-to-24"), Shortening::Allowed(Kept::Otherwise));
        for other in
            ["", "true", "24", "720-to-25", " 720-to-24", "720-to-024", "+720-to-24", "-to-24", "720-to-"]
        {
            assert_eq!(says(other), Shortening::Held, "{other}");
        }
        assert_eq!(shortening(&Secret::default(), 24, None), Shortening::Held);
    }

    #[test]
    fn a_consent_is_for_the_retention_that_it_names() {
        let allowed = Shortening::Allowed(Kept::Hours(720));
        assert!(allowed.permits(Kept::Hours(720)));
        assert!(!allowed.permits(Kept::Hours(721)) && !allowed.permits(Kept::Otherwise));
        assert!(!Shortening::Held.permits(Kept::Hours(720)));
    }

    #[test]
    fn a_used_consent_is_none_until_it_is_removed() {
        let consent = with("720-to-24");
        let spent = used(&consent, 24, Brought::About, None);
        assert_eq!(spent.as_deref(), Some("720-to-24"));
        assert_eq!(shortening(&consent, 24, spent.as_deref()), Shortening::Held);
        // The spec goes back to 720 hours and the annotation stays.
        let later = used(&consent, 720, Brought::About, spent);
        assert_eq!(shortening(&consent, 24, later.as_deref()), Shortening::Held);
        assert_eq!(used(&consent, 24, Brought::NotYet, later.clone()), later);
        assert_eq!(used(&Secret::default(), 720, Brought::About, later), None);
    }

    #[test]
    fn a_consent_that_comes_before_the_edit_is_not_used_by_it() {
        let consent = with("720-to-24");
        assert_eq!(used(&consent, 720, Brought::About, None), None);
        assert_eq!(used(&consent, 24, Brought::NotYet, None), None);
    }
}
