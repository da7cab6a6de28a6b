//! The Pipeline that a tenant gets without asking.

use crds::{Pipeline, analytics_tenant::DefaultPipeline};
use kube::Resource as _;
use serde_json::{Value, json};

use super::super::validate::ValidatedTenant;
use crate::{kubernetes::is_controlled_by, labels};

/// What to do about the managed Pipeline.
#[derive(Debug)]
pub(crate) enum Plan {
    Apply(Value),
    /// It was managed and no longer is. Its topics are kept: data is never deleted because of an edit.
    Remove {
        found: Box<Pipeline>,
        keep_topics: Value,
    },
    Nothing,
}

/// The name of a tenant's managed Pipeline.
pub(crate) fn name(tenant: &str) -> String {
    format!("{tenant}-default")
}

pub(crate) fn plan(tenant: &ValidatedTenant, found: Option<Pipeline>) -> Plan {
    match tenant.default_pipeline {
        DefaultPipeline::Managed => Plan::Apply(manifest(tenant)),
        DefaultPipeline::None => match found {
            Some(found) if is_controlled_by(found.meta(), &tenant.owner.uid) => {
                let mut keep_topics = manifest(tenant);
                keep_topics["spec"]["deletionPolicy"] = json!({ "kafka": "Retain" });
                // One that is gone meanwhile must not come back.
                keep_topics["metadata"]["uid"] = json!(found.meta().uid);
                Plan::Remove { found: Box::new(found), keep_topics }
            }
            Some(_) | None => Plan::Nothing,
        },
    }
}

/// Only the reference is ours; whatever else an administrator sets on the Pipeline stays.
fn manifest(tenant: &ValidatedTenant) -> Value {
    json!({
        "apiVersion": Pipeline::api_version(&()),
        "kind": Pipeline::kind(&()),
        "metadata": {
            "name": name(&tenant.name),
            "namespace": tenant.namespace,
            "labels": labels::of_tenant(&tenant.name),
            "ownerReferences": [tenant.owner_reference],
        },
        "spec": { "tenantRef": { "name": tenant.name } },
    })
}

#[cfg(test)]
mod tests;
