//! The consent to keep data for less time than now. Pure.
//!
//! A shorter retention deletes what is there. An edit of a spec is no consent, and neither is the default of a new
//! resource that takes over the data of an older one: an annotation has to name the new retention.

use std::fmt;

use kube::Resource;

use crate::labels;

/// Whether a retention may be made shorter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shortening {
    Allowed,
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

/// What a resource's annotation says about a retention of these hours. One that names another number says nothing:
/// it was meant for another edit.
pub(crate) fn shortening(resource: &impl Resource, wanted_hours: u64) -> Shortening {
    let annotations = resource.meta().annotations.as_ref();
    let allowed = annotations.and_then(|annotations| annotations.get(labels::ALLOW_RETENTION_HOURS));
    match allowed {
        Some(hours) if *hours == wanted_hours.to_string() => Shortening::Allowed,
        Some(_) | None => Shortening::Held,
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Secret;

    use super::*;

    #[test]
    fn only_the_very_number_is_a_consent() {
        let with = |value: &str| {
            let mut resource = Secret::default();
            let annotation = (labels::ALLOW_RETENTION_HOURS.to_owned(), value.to_owned());
            resource.metadata.annotations = Some([annotation].into());
            shortening(&resource, 24)
        };
        assert_eq!(with("24"), Shortening::Allowed);
        for other in ["", "true", "25", " 24", "2"] {
            assert_eq!(with(other), Shortening::Held, "{other}");
        }
        assert_eq!(shortening(&Secret::default(), 24), Shortening::Held);
    }
}
