//! The plans of this installation: how long each tier keeps events, and whether its tenants are protected. Pure.
//!
//! The table comes as JSON from the chart's values. One that cannot work ends the operator before it touches anything.

use crds::analytics_tenant::Tier;
use schema::retention::{Retention, RetentionError};
use serde::Deserialize;

/// What each tier means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plans {
    free: Plan,
    paid: Plan,
    enterprise: Plan,
}

/// What one tier, or none, means for a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Plan {
    /// How long events are kept where the spec does not say; none where it has to.
    pub(crate) retention: Option<Retention>,
    /// The longest retention that a spec may ask for, if there is one.
    pub(crate) longest: Option<Retention>,
    /// What a deletion does where the spec does not say.
    pub(crate) deletion: Deletion,
}

/// What a deletion of a tenant does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deletion {
    /// It goes on at once.
    Allowed,
    /// It waits until the spec allows it.
    Protected,
}

impl Deletion {
    pub(crate) fn protected(is_protected: bool) -> Self {
        if is_protected { Self::Protected } else { Self::Allowed }
    }
}

/// Why a table of plans cannot work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PlansError {
    /// The command line shows no causes, and this one says what is wrong.
    #[error(transparent)]
    Json { source: serde_json::Error },
    #[error("the plan `{tier}` has a retention that is not between 1 hour and 18250 days")]
    Retention {
        tier: &'static str,
        #[source]
        source: RetentionError,
    },
    #[error("the plan `{tier}` keeps events for {hours} hours and allows {longest} at most")]
    AboveItself { tier: &'static str, hours: u32, longest: u32 },
}

impl Plans {
    /// The table of an operator without a chart, the same as the chart's own.
    pub(crate) const DEFAULT: &str = concat!(
        r#"{"free":{"retentionHours":24,"maxRetentionHours":24},"#,
        r#""paid":{"retentionHours":2160,"maxRetentionHours":2160},"enterprise":{"deletionProtection":true}}"#
    );

    /// Reads the table.
    ///
    /// # Errors
    /// When it is not the chart's JSON, or a plan in it cannot work.
    pub(crate) fn parse(text: &str) -> Result<Self, PlansError> {
        let table: Table = serde_json::from_str(text).map_err(|source| PlansError::Json { source })?;
        let standing = |tier, row: StandingRow| {
            let deletion = Deletion::protected(row.deletion_protection);
            plan(tier, Some(row.retention_hours), row.max_retention_hours, deletion)
        };
        let agreed = table.enterprise;
        let deletion = Deletion::protected(agreed.deletion_protection);
        Ok(Self {
            free: standing("free", table.free)?,
            paid: standing("paid", table.paid)?,
            enterprise: plan("enterprise", None, agreed.max_retention_hours, deletion)?,
        })
    }

    /// The plan of a tier. A tenant without one is as if there were no plans.
    pub(crate) fn of(&self, tier: Option<Tier>) -> Plan {
        match tier {
            Some(Tier::Free) => self.free,
            Some(Tier::Paid) => self.paid,
            Some(Tier::Enterprise) => self.enterprise,
            None => Plan { retention: Some(Retention::DEFAULT), longest: None, deletion: Deletion::Allowed },
        }
    }
}

fn plan(
    tier: &'static str,
    hours: Option<u64>,
    longest: Option<u64>,
    deletion: Deletion,
) -> Result<Plan, PlansError> {
    let retention =
        |hours| Retention::from_hours(hours).map_err(|source| PlansError::Retention { tier, source });
    let (retention, longest) = (hours.map(retention).transpose()?, longest.map(retention).transpose()?);
    let plan = Plan { retention, longest, deletion };
    match (plan.retention, plan.longest) {
        (Some(hours), Some(longest)) if hours.hours() > longest.hours() => {
            Err(PlansError::AboveItself { tier, hours: hours.hours(), longest: longest.hours() })
        }
        (Some(_) | None, Some(_) | None) => Ok(plan),
    }
}

/// The table as the chart's `plans` has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    free: StandingRow,
    paid: StandingRow,
    enterprise: AgreedRow,
}

/// A plan with a retention of its own.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct StandingRow {
    retention_hours: u64,
    max_retention_hours: Option<u64>,
    #[serde(default)]
    deletion_protection: bool,
}

/// A plan whose tenants say their retention themselves. It protects them also in a table of an older chart.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct AgreedRow {
    max_retention_hours: Option<u64>,
    #[serde(default = "protects")]
    deletion_protection: bool,
}

fn protects() -> bool {
    true
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The plans of an operator that was told of none.
    pub(crate) fn plain() -> Plans {
        Plans::parse(Plans::DEFAULT).unwrap()
    }

    const ENTERPRISE: &str = r#""enterprise":{}"#;
    const PAID: &str = r#""paid":{"retentionHours":2160,"maxRetentionHours":2160}"#;

    fn with_free(free: &str) -> Result<Plans, PlansError> {
        Plans::parse(&format!(r#"{{"free":{free},{PAID},{ENTERPRISE}}}"#))
    }

    fn hours(plan: Plan) -> (Option<u32>, Option<u32>) {
        (plan.retention.map(Retention::hours), plan.longest.map(Retention::hours))
    }

    #[test]
    fn a_tier_has_the_hours_of_its_row() {
        let plans = with_free(r#"{"retentionHours":24,"maxRetentionHours":48}"#).unwrap();
        assert_eq!(hours(plans.of(Some(Tier::Free))), (Some(24), Some(48)));
        assert_eq!(hours(plans.of(Some(Tier::Paid))), (Some(2160), Some(2160)));
        assert_eq!(hours(plans.of(Some(Tier::Enterprise))), (None, None));
    }

    #[test]
    fn the_chart_has_the_same_plans() {
        let values: serde_json::Value =
            serde_saphyr::from_str(include_str!("../../charts/millrace/values.yaml")).unwrap();
        assert_eq!(Plans::parse(&values["plans"].to_string()).unwrap(), plain());
    }

    #[test]
    fn a_tenant_without_a_tier_has_ninety_days_and_no_maximum() {
        let plans = with_free(r#"{"retentionHours":1}"#).unwrap();
        assert_eq!(hours(plans.of(None)), (Some(2160), None));
    }

    #[test]
    fn enterprise_protects_unless_its_row_says_otherwise() {
        let deletions = |plans: &Plans| {
            [None, Some(Tier::Free), Some(Tier::Paid), Some(Tier::Enterprise)]
                .map(|tier| plans.of(tier).deletion)
        };
        let (allowed, protected) = (Deletion::Allowed, Deletion::Protected);
        let without = with_free(r#"{"retentionHours":24}"#).unwrap();
        assert_eq!(deletions(&without), [allowed, allowed, allowed, protected]);
        let table = r#"{"free":{"retentionHours":1,"deletionProtection":true},
            "paid":{"retentionHours":1,"deletionProtection":false},"enterprise":{"deletionProtection":false}}"#;
        assert_eq!(deletions(&Plans::parse(table).unwrap()), [allowed, protected, allowed, allowed]);
    }

    #[test]
    fn a_plan_without_a_maximum_allows_everything() {
        assert_eq!(hours(with_free(r#"{"retentionHours":24}"#).unwrap().of(Some(Tier::Free))).1, None);
    }

    #[test]
    fn an_agreement_can_have_a_maximum() {
        let table = r#"{"free":{"retentionHours":1},"paid":{"retentionHours":1},"enterprise":{"maxRetentionHours":9}}"#;
        assert_eq!(hours(Plans::parse(table).unwrap().of(Some(Tier::Enterprise))), (None, Some(9)));
    }

    #[test]
    fn a_plan_that_cannot_work_is_refused() {
        let refused = |free: &str| with_free(free).unwrap_err();
        assert!(matches!(
            refused(r#"{"retentionHours":25,"maxRetentionHours":24}"#),
            PlansError::AboveItself { tier: "free", hours: 25, longest: 24 }
        ));
        assert!(matches!(refused(r#"{"retentionHours":0}"#), PlansError::Retention { tier: "free", .. }));
        assert!(matches!(refused(r#"{"retentionHours":438001}"#), PlansError::Retention { .. }));
        for text in [
            "{}",
            r#"{"maxRetentionHours":24}"#,
            r#"{"retentionHours":-1}"#,
            r#"{"retentionHours":1,"days":1}"#,
        ] {
            assert!(matches!(refused(text), PlansError::Json { .. }), "{text}");
        }
        assert!(matches!(Plans::parse(&format!("{{{PAID},{ENTERPRISE}}}")), Err(PlansError::Json { .. })));
    }
}
