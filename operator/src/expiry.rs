//! The end of API keys. Pure: the time is a parameter.
//!
//! The ingester refuses an expired key by its own clock, so that one dies while the operator is away. The operator
//! takes it out of the settings and tells of it.

use std::time::Duration;

use crds::AnalyticsTenant;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// Whether a key with this end, if it has one, is past it.
pub(crate) fn is_past(end: Option<&Time>, now: Timestamp) -> bool {
    end.is_some_and(|end| end.0 <= now)
}

/// The delay, or less if a key of the tenant expires before.
pub(crate) fn not_after(tenant: Option<&AnalyticsTenant>, now: Timestamp, delay: Duration) -> Duration {
    let ends = tenant.iter().flat_map(|tenant| tenant.spec.api_keys.iter().flatten());
    ends.filter_map(|key| key.expires_at.as_ref())
        .filter(|end| end.0 > now)
        .map(|end| end.0.duration_since(now).unsigned_abs())
        .fold(delay, Duration::min)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECHECK: Duration = Duration::from_secs(300);

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn tenant(ends: &[&str]) -> AnalyticsTenant {
        let keys: Vec<String> = ends
            .iter()
            .map(|end| format!("{{name: k{}, scopes: [Ingest], expiresAt: '{end}'}}", end.len()))
            .collect();
        let manifest = format!(
            "{{apiVersion: analytics.millrace.dev/v1alpha1, kind: AnalyticsTenant, metadata: {{name: acme}}, \
             spec: {{apiKeys: [{{name: eternal, scopes: [Ingest]}}, {}]}}}}",
            keys.join(", ")
        );
        serde_saphyr::from_str(&manifest).unwrap()
    }

    #[test]
    fn a_key_is_expired_from_the_very_second_on() {
        let tenant = tenant(&["2026-01-31T13:00:00+01:00"]);
        let keys = tenant.spec.api_keys.unwrap();
        let is_expired = |key: usize, now| is_past(keys[key].expires_at.as_ref(), at(now));
        assert!(!is_expired(1, "2026-01-31T11:59:59.999Z"));
        assert!(is_expired(1, "2026-01-31T12:00:00Z"));
        assert!(!is_expired(0, "2999-01-01T00:00:00Z"));
    }

    #[test]
    fn the_next_end_is_looked_for() {
        let now = at("2026-01-31T12:00:00Z");
        let delay = |ends: &[&str]| not_after(Some(&tenant(ends)), now, RECHECK);
        assert_eq!(delay(&["2026-01-31T12:01:00Z", "2026-01-31T12:00:07.5Z"]), Duration::from_millis(7_500));
        assert_eq!(delay(&["2026-01-31T12:00:00Z"]), RECHECK, "one that is past is not waited for");
        assert_eq!(delay(&["2027-01-01T00:00:00Z"]), RECHECK);
        assert_eq!(not_after(None, now, RECHECK), RECHECK);
    }
}
