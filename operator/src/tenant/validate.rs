//! The validate step of the AnalyticsTenant controller. Pure.
//!
//! The API server refused what can be seen in one object; here are the rules that it cannot see.

use std::collections::BTreeMap;

use crds::{
    AnalyticsTenant, Reason,
    analytics_tenant::{ApiKeyScope, ApiKeyState, DefaultPipeline, RetentionSpec, SecretKeyReference},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{OwnerReference, Time};
use kube::{Resource as _, ResourceExt as _};
use schema::{
    api_key::Scope,
    names::DatabaseName,
    retention::{Retention, RetentionError},
    tenant_id::{TenantId, TenantIdError},
};
use uuid::Uuid;

use crate::{
    failure::Failure,
    labels,
    plans::{Plan, Plans},
    retention::shortening,
    tables::{DatabaseOwner, WantedRetention},
};

/// A tenant whose spec can be brought about.
#[derive(Debug, Clone)]
pub(crate) struct ValidatedTenant {
    pub(crate) id: TenantId,
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) database: DatabaseName,
    /// Who the database's comment names.
    pub(crate) owner: DatabaseOwner,
    /// The incarnation of the database that this tenant has, unless it was lost and given up.
    pub(crate) known_database: Option<Uuid>,
    /// Who the children name.
    pub(crate) owner_reference: OwnerReference,
    pub(crate) retention: WantedRetention,
    pub(crate) default_pipeline: DefaultPipeline,
}

/// The keys that a tenant asks for. They wait for nothing else of its spec: one that was revoked ends also where the rest
/// cannot be brought about.
#[derive(Debug, Clone)]
pub(crate) struct WantedKeys {
    /// The tenant's name.
    pub(crate) tenant: String,
    pub(crate) namespace: String,
    /// Who the Secret names.
    pub(crate) owner_reference: OwnerReference,
    pub(crate) keys: Vec<WantedKey>,
    /// The keys that the status tells of: one that is missing now was lost, and one that was taken may have ended.
    pub(crate) known: BTreeMap<String, ApiKeyState>,
}

/// A key that the spec asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WantedKey {
    pub(crate) name: String,
    pub(crate) scopes: Vec<Scope>,
    pub(crate) expires_at: Option<Time>,
    /// Where it is brought along, if the operator does not make it.
    pub(crate) secret_ref: Option<SecretKeyReference>,
}

/// Why a spec cannot be brought about.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Invalid {
    #[error(
        "the tenant id `{id}` cannot be used, {flaw}: delete this tenant, and make it anew with `spec.tenantId`"
    )]
    Id { id: String, flaw: TenantIdError },
    #[error(
        "the tenant id `{id}` belongs to the tenant `{namespace}/{name}`; make this tenant anew with another `spec.tenantId`"
    )]
    NameConflict { id: TenantId, namespace: String, name: String },
    #[error("the retention cannot be kept")]
    Retention { source: RetentionError },
    #[error("exactly one of `retention.days` and `retention.hours` must be set")]
    RetentionUnit,
    #[error("`retention` must be set: the tenant's tier has none of its own")]
    RetentionUnset,
    #[error(
        "the spec asks to keep events for {asked} hours, and the tenant's tier allows {longest} at most; ask for less, or choose another `tier`"
    )]
    RetentionAbovePlan { asked: u32, longest: u32 },
}

impl Invalid {
    pub(crate) fn failure(&self) -> Failure {
        match self {
            Self::NameConflict { .. } => Failure::Conflict,
            Self::Id { .. }
            | Self::Retention { .. }
            | Self::RetentionUnit
            | Self::RetentionUnset
            | Self::RetentionAbovePlan { .. } => Failure::Refused,
        }
    }

    pub(crate) fn reason(&self) -> Reason {
        match self {
            Self::NameConflict { .. } => Reason::NameConflict,
            Self::Id { .. } => Reason::InvalidTenantId,
            Self::Retention { .. } | Self::RetentionUnit | Self::RetentionUnset => Reason::InvalidRetention,
            Self::RetentionAbovePlan { .. } => Reason::RetentionAbovePlan,
        }
    }
}

pub(crate) fn validate(plans: &Plans, tenant: &AnalyticsTenant) -> Result<ValidatedTenant, Invalid> {
    let id = id(tenant)?;
    Ok(ValidatedTenant {
        database: DatabaseName::of(&id),
        id,
        namespace: tenant.namespace().unwrap_or_default(),
        name: tenant.name_any(),
        owner: owner(tenant),
        known_database: known_database(tenant),
        owner_reference: tenant.controller_owner_ref(&()).unwrap_or_default(),
        retention: wanted_retention(plans, tenant)?,
        default_pipeline: tenant.spec.default_pipeline,
    })
}

/// The keys of a tenant. The API server refused what could be wrong with them.
pub(crate) fn wanted_keys(tenant: &AnalyticsTenant) -> WantedKeys {
    let known = tenant.status.iter().flat_map(|status| &status.api_keys);
    WantedKeys {
        tenant: tenant.name_any(),
        namespace: tenant.namespace().unwrap_or_default(),
        owner_reference: tenant.controller_owner_ref(&()).unwrap_or_default(),
        keys: keys(tenant),
        known: known.map(|key| (key.name.clone(), key.state)).collect(),
    }
}

/// The tenant's id: the spec's, or the namespace, a dash and the name.
pub(crate) fn id(tenant: &AnalyticsTenant) -> Result<TenantId, Invalid> {
    let text = tenant
        .spec
        .tenant_id
        .clone()
        .unwrap_or_else(|| format!("{}-{}", tenant.namespace().unwrap_or_default(), tenant.name_any()));
    TenantId::parse(&text).map_err(|flaw| Invalid::Id { id: text, flaw })
}

/// Who the comment of the tenant's database names.
pub(crate) fn owner(tenant: &AnalyticsTenant) -> DatabaseOwner {
    DatabaseOwner {
        uid: tenant.uid().unwrap_or_default(),
        namespace: tenant.namespace().unwrap_or_default(),
        name: tenant.name_any(),
    }
}

/// The database of the status. One that the annotation names is given up.
pub(crate) fn known_database(tenant: &AnalyticsTenant) -> Option<Uuid> {
    let recorded = tenant.status.as_ref()?.database.as_ref()?;
    let given_up = tenant.annotations().get(labels::RECREATE_DATABASE);
    let id = Uuid::try_parse(&recorded.uuid).ok()?;
    (given_up.and_then(|given_up| Uuid::try_parse(given_up).ok()) != Some(id)).then_some(id)
}

fn wanted_retention(plans: &Plans, tenant: &AnalyticsTenant) -> Result<WantedRetention, Invalid> {
    let Plan { retention: standing, longest, deletion: _ } = plans.of(tenant.spec.tier);
    let retention = match &tenant.spec.retention {
        Some(asked) => retention(asked)?,
        None => standing.ok_or(Invalid::RetentionUnset)?,
    };
    if let Some(longest) = longest.filter(|longest| retention.hours() > longest.hours()) {
        return Err(Invalid::RetentionAbovePlan { asked: retention.hours(), longest: longest.hours() });
    }
    let used = tenant.status.as_ref().and_then(|status| status.used_retention_consent.as_deref());
    Ok(WantedRetention { retention, shortening: shortening(tenant, retention.hours().into(), used) })
}

fn retention(spec: &RetentionSpec) -> Result<Retention, Invalid> {
    // A negative number is out of range as any other.
    let unsigned = |number: i32| u64::try_from(number).unwrap_or(0);
    match (spec.days, spec.hours) {
        (Some(days), None) => Retention::from_days(unsigned(days)),
        (None, Some(hours)) => Retention::from_hours(unsigned(hours)),
        (Some(_), Some(_)) | (None, None) => return Err(Invalid::RetentionUnit),
    }
    .map_err(|source| Invalid::Retention { source })
}

fn keys(tenant: &AnalyticsTenant) -> Vec<WantedKey> {
    tenant
        .spec
        .api_keys()
        .into_iter()
        .map(|key| WantedKey {
            name: key.name,
            scopes: key.scopes.into_iter().map(scope).collect(),
            expires_at: key.expires_at,
            secret_ref: key.secret_ref,
        })
        .collect()
}

pub(crate) fn scope(scope: ApiKeyScope) -> Scope {
    match scope {
        ApiKeyScope::Ingest => Scope::Ingest,
        ApiKeyScope::Query => Scope::Query,
    }
}

#[cfg(test)]
mod tests;
