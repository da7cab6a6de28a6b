use super::*;
use crate::plans;

/// With the plans of an operator that was told of none.
fn validate(tenant: &AnalyticsTenant) -> Result<ValidatedTenant, Invalid> {
    super::validate(&plans::tests::plain(), tenant)
}

fn tenant(spec: &str) -> AnalyticsTenant {
    let manifest = format!(
        "{{apiVersion: analytics.millrace.dev/v1alpha1, kind: AnalyticsTenant, metadata: {{name: acme, \
         namespace: team, uid: b, creationTimestamp: 2026-01-01T00:00:02Z}}, spec: {spec}}}"
    );
    serde_saphyr::from_str(&manifest).unwrap()
}

#[test]
fn the_id_is_namespace_and_name_unless_the_spec_says_it() {
    assert_eq!(id(&tenant("{}")).unwrap().as_str(), "team-acme");
    assert_eq!(id(&tenant("{tenantId: shop}")).unwrap().as_str(), "shop");
}

#[test]
fn an_id_that_is_too_long_is_refused() {
    let mut long = tenant("{}");
    long.metadata.namespace = Some("n".repeat(60));
    let refused = validate(&long).unwrap_err();
    assert!(matches!(refused, Invalid::Id { .. }), "{refused:?}");
    let told = refused.to_string();
    assert!(
        told.ends_with("this one has 65: delete this tenant, and make it anew with `spec.tenantId`"),
        "{told}"
    );
}

#[test]
fn a_retention_has_one_unit_and_a_range() {
    let retention = |text: &str| {
        validate(&tenant(&format!("{{retention: {text}}}")))
            .map(|validated| validated.retention.retention.hours())
    };
    assert_eq!(retention("{days: 2}"), Ok(48));
    assert_eq!(retention("{hours: 5}"), Ok(5));
    assert!(matches!(retention("{days: 0}"), Err(Invalid::Retention { .. })));
    assert!(matches!(retention("{hours: -1}"), Err(Invalid::Retention { .. })));
    assert!(matches!(retention("{days: 1, hours: 1}"), Err(Invalid::RetentionUnit)));
    assert!(matches!(retention("{}"), Err(Invalid::RetentionUnit)));
}

#[test]
fn a_tier_says_how_long_events_are_kept_and_how_long_at_most() {
    let hours = |spec: &str| validate(&tenant(spec)).map(|validated| validated.retention.retention.hours());
    let above = |asked, longest| Err(Invalid::RetentionAbovePlan { asked, longest });
    for (spec, expected) in [
        ("{}", Ok(2160)),
        ("{retention: {days: 18250}}", Ok(438_000)),
        ("{tier: Free}", Ok(24)),
        ("{tier: Free, retention: {hours: 1}}", Ok(1)),
        ("{tier: Free, retention: {days: 1}}", Ok(24)),
        ("{tier: Free, retention: {hours: 25}}", above(25, 24)),
        ("{tier: Paid}", Ok(2160)),
        ("{tier: Paid, retention: {days: 91}}", above(2184, 2160)),
        ("{tier: Enterprise, retention: {days: 18250}}", Ok(438_000)),
        ("{tier: Enterprise}", Err(Invalid::RetentionUnset)),
    ] {
        assert_eq!(hours(spec), expected, "{spec}");
    }
}

#[test]
fn a_retention_above_the_plan_waits_for_a_change() {
    let refused = validate(&tenant("{tier: Free, retention: {hours: 25}}")).unwrap_err();
    assert_eq!((refused.failure(), refused.reason()), (Failure::Refused, Reason::RetentionAbovePlan));
}

#[test]
fn every_reason_is_a_word_for_programs() {
    for invalid in [
        Invalid::RetentionUnit,
        validate(&tenant("{retention: {days: 0}}")).unwrap_err(),
        validate(&tenant("{tenantId: ''}")).unwrap_err(),
        Invalid::NameConflict {
            id: id(&tenant("{}")).unwrap(),
            namespace: "other".to_owned(),
            name: "rival".to_owned(),
        },
    ] {
        assert!(invalid.reason().as_str().chars().all(|c| c.is_ascii_alphabetic()), "{invalid:?}");
    }
}
