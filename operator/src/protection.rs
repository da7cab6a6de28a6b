//! Whether the deletion of a tenant goes on. Pure.
//!
//! A deletion that was asked for cannot be taken back, so a protected tenant lives on with it: its spec is brought about,
//! its keys end on time, and what is changed by hand is repaired. What is missing is not made anew, because it may be
//! Kubernetes that deletes it, in the foreground or with the namespace.

use crds::{AnalyticsTenant, Reason, analytics_tenant::DefaultPipeline, condition::ConditionType};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Resource as _, ResourceExt as _};

use crate::{
    conditions::Observed,
    kubernetes,
    plans::{Deletion, Plans},
};

/// What is to become of a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    /// Nobody asked for its deletion.
    Lives,
    /// Its deletion was asked for, and it is protected.
    Held,
    /// Its deletion goes on.
    Goes,
}

pub(crate) fn life(plans: &Plans, tenant: &AnalyticsTenant) -> Life {
    if tenant.meta().deletion_timestamp.is_none() {
        return Life::Lives;
    }
    match deletion(plans, tenant) {
        Deletion::Protected => Life::Held,
        Deletion::Allowed => Life::Goes,
    }
}

/// What a deletion of the tenant does, or would do: what the spec says, and else the plan of the tier.
pub(crate) fn deletion(plans: &Plans, tenant: &AnalyticsTenant) -> Deletion {
    let standing = plans.of(tenant.spec.tier).deletion;
    tenant.spec.deletion_protection.map_or(standing, Deletion::protected)
}

/// What the tenant's children are.
#[derive(Debug)]
pub(crate) struct Children<'a> {
    /// The Secret of the keys, and those of the users in ClickHouse where there are to be any. None for one that is not
    /// there.
    pub(crate) secrets: Vec<Option<&'a ObjectMeta>>,
    /// Of one that cannot be read nothing is known. It holds up itself alone.
    pub(crate) pipeline: Result<Option<&'a ObjectMeta>, &'a kubernetes::Error>,
}

/// Whether all that the tenant owns is there and stays. If not, Kubernetes took it, and would take it again.
pub(crate) fn is_whole(tenant: &AnalyticsTenant, children: &Children<'_>) -> bool {
    let stays = |child: Option<&ObjectMeta>| child.is_some_and(|child| child.deletion_timestamp.is_none());
    let has_pipeline = match tenant.spec.default_pipeline {
        DefaultPipeline::Managed => children.pipeline.map_or(true, stays),
        DefaultPipeline::None => true,
    };
    children.secrets.iter().copied().all(stays) && has_pipeline
}

/// What a protected tenant says of its deletion.
pub(crate) fn blocked() -> Observed {
    let message = "the deletion that was asked for waits until `spec.deletionProtection` is false; it cannot be taken \
                   back, and nothing is deleted before";
    Observed::holds(ConditionType::DeletionBlocked, Reason::ProtectionEnabled, message.to_owned())
}

/// What a Pipeline says of its deletion whose tenant is to be deleted as well, and is protected.
pub(crate) fn blocked_with(tenant: &AnalyticsTenant) -> Observed {
    let message = format!(
        "AnalyticsTenant `{}` is to be deleted and is protected: nothing of it is deleted until its \
         `spec.deletionProtection` is false",
        tenant.name_any()
    );
    Observed::holds(ConditionType::DeletionBlocked, Reason::ProtectionEnabled, message)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use serde_json::json;

    use super::*;
    use crate::plans;

    fn tenant(spec: serde_json::Value) -> AnalyticsTenant {
        serde_json::from_value(json!({
            "apiVersion": "analytics.millrace.dev/v1alpha1",
            "kind": "AnalyticsTenant",
            "metadata": {"name": "acme", "namespace": "team", "deletionTimestamp": "2026-01-01T00:00:00Z"},
            "spec": spec,
        }))
        .unwrap()
    }

    #[test]
    fn the_spec_says_whether_a_deletion_goes_on_and_else_the_plan() {
        for (spec, expected) in [
            (json!({}), Life::Goes),
            (json!({"deletionProtection": true}), Life::Held),
            (json!({"deletionProtection": false}), Life::Goes),
            (json!({"tier": "Free"}), Life::Goes),
            (json!({"tier": "Enterprise"}), Life::Held),
            (json!({"tier": "Enterprise", "deletionProtection": false}), Life::Goes),
        ] {
            let mut tenant = tenant(spec.clone());
            assert_eq!(life(&plans::tests::plain(), &tenant), expected, "{spec}");
            tenant.metadata.deletion_timestamp = None;
            assert_eq!(life(&plans::tests::plain(), &tenant), Life::Lives, "{spec}");
        }
    }

    #[test]
    fn a_tenant_is_whole_while_nothing_of_it_goes() {
        let there = ObjectMeta::default();
        let going = ObjectMeta { deletion_timestamp: Some(Time(Timestamp::UNIX_EPOCH)), ..there.clone() };
        for (keys, pipeline, managed, alone) in [
            (Some(&there), Some(&there), true, true),
            (Some(&there), Some(&going), false, true),
            (Some(&there), None, false, true),
            (Some(&going), Some(&there), false, false),
            (None, Some(&there), false, false),
        ] {
            let children = Children { secrets: vec![keys], pipeline: Ok(pipeline) };
            assert_eq!(is_whole(&tenant(json!({})), &children), managed, "{children:?}");
            assert_eq!(
                is_whole(&tenant(json!({"defaultPipeline": "None"})), &children),
                alone,
                "{children:?}"
            );
        }
    }
    #[test]
    fn a_pipeline_that_cannot_be_read_takes_nothing_from_its_tenant() {
        let (object, field) = ("Pipeline `acme-default`".to_owned(), "spec.state".to_owned());
        let (there, unreadable) = (ObjectMeta::default(), kubernetes::Error::Unreadable { object, field });
        let with = |keys| Children { secrets: vec![keys], pipeline: Err(&unreadable) };
        assert!(is_whole(&tenant(json!({})), &with(Some(&there))));
        assert!(!is_whole(&tenant(json!({})), &with(None)));
    }
}
