//! The fetch step of the AnalyticsTenant controller. It reads Kubernetes, then ClickHouse, and writes nothing.

use std::collections::BTreeSet;

use crds::AnalyticsTenant;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::{Resource, ResourceExt as _};
use schema::{access::Role, names::DatabaseName, tenant_id::TenantId};

use super::{
    Error,
    build::{
        api_keys,
        brought_keys::{Referenced, holds_keys},
        credentials, default_pipeline,
    },
    rivals::Rival,
    validate::{self, ValidatedTenant},
};
use crate::{
    context::{Backends, Context},
    installation::AccessManagement,
    kubernetes,
    protection::Children,
    tables::{Database, Tables as _, TablesError},
};

/// What the tenant meets in the world.
#[derive(Debug)]
pub(crate) struct Fetched {
    /// When this was looked at.
    pub(crate) at: Timestamp,
    /// Other tenants of the same id.
    pub(crate) rivals: Vec<Rival>,
    /// The Secret of the keys, if there is one.
    pub(crate) keys: Option<Secret>,
    /// The Secrets that keys of the spec are brought along in.
    pub(crate) referenced: Referenced,
    /// The Secrets of the tenant's users in ClickHouse.
    pub(crate) users: FoundUsers,
    /// The Pipeline of the managed one's name, if there is one. One that cannot be read holds up itself alone.
    pub(crate) pipeline: Result<Option<crds::Pipeline>, kubernetes::Error>,
}

impl Fetched {
    /// The Secrets of users count where the installation makes any.
    pub(crate) fn children(&self, management: &AccessManagement) -> Children<'_> {
        let secrets = match management {
            AccessManagement::Shared => vec![&self.keys],
            AccessManagement::Sql(_) => vec![&self.keys, &self.users.writer, &self.users.reader],
        };
        Children {
            secrets: secrets
                .into_iter()
                .map(|secret| secret.as_ref().map(|secret| &secret.metadata))
                .collect(),
            pipeline: self.pipeline.as_ref().map(|found| found.as_ref().map(Resource::meta)),
        }
    }
}

/// The Secrets of the tenant's users in ClickHouse, as far as there are any.
#[derive(Debug, Clone, Default)]
pub(crate) struct FoundUsers {
    pub(crate) writer: Option<Secret>,
    pub(crate) reader: Option<Secret>,
}

/// The tenant as the API server has it now: a cache may be older than our own last write.
/// None if it is gone, if another one bears its name by now, or if it cannot be read any longer.
pub(crate) async fn tenant<B: Backends>(
    ctx: &Context<B>,
    cached: &AnalyticsTenant,
) -> Result<Option<AnalyticsTenant>, Error> {
    let namespace = cached.namespace().unwrap_or_default();
    let found: Option<AnalyticsTenant> = match ctx.kubernetes.get(&namespace, &cached.name_any()).await {
        Err(kubernetes::Error::Unreadable { .. }) => None,
        found => found.map_err(|source| Error::Fetch { source })?,
    };
    Ok(found.filter(|found| found.uid() == cached.uid()))
}

pub(crate) async fn fetch<B: Backends>(ctx: &Context<B>, tenant: &AnalyticsTenant) -> Result<Fetched, Error> {
    let (namespace, name) = (tenant.namespace().unwrap_or_default(), tenant.name_any());
    let failed = |source| Error::Fetch { source };
    Ok(Fetched {
        at: Timestamp::now(),
        rivals: rivals(ctx, tenant),
        keys: ctx.kubernetes.get(&namespace, &api_keys::name(&name)).await.map_err(failed)?,
        referenced: referenced(ctx, tenant).await?,
        users: users(ctx, tenant).await?,
        pipeline: ctx.kubernetes.get(&namespace, &default_pipeline::name(&name)).await,
    })
}

/// The Secrets of the users, where the installation makes any.
async fn users<B: Backends>(ctx: &Context<B>, tenant: &AnalyticsTenant) -> Result<FoundUsers, Error> {
    match &ctx.installation.clickhouse.management {
        AccessManagement::Shared => Ok(FoundUsers::default()),
        AccessManagement::Sql(_) => Ok(FoundUsers {
            writer: credentials_of(ctx, tenant, Role::Writer).await?,
            reader: credentials_of(ctx, tenant, Role::Reader).await?,
        }),
    }
}

/// The Secret of one of the tenant's users, if there is one.
async fn credentials_of<B: Backends>(
    ctx: &Context<B>,
    tenant: &AnalyticsTenant,
    role: Role,
) -> Result<Option<Secret>, Error> {
    let (namespace, name) = (tenant.namespace().unwrap_or_default(), tenant.name_any());
    ctx.kubernetes
        .get(&namespace, &credentials::name(&name, role))
        .await
        .map_err(|source| Error::Fetch { source })
}

/// The Secrets that the spec's keys refer to, as far as they are there, and of one that is not labelled as holding keys
/// the metadata alone. One that cannot be read is a failure: a key is not taken away because nobody knows it.
async fn referenced<B: Backends>(ctx: &Context<B>, tenant: &AnalyticsTenant) -> Result<Referenced, Error> {
    let namespace = tenant.namespace().unwrap_or_default();
    let mut found = Referenced::new();
    let failed = |source| Error::Fetch { source };
    for name in referenced_names(tenant) {
        let metadata = ctx.kubernetes.get_metadata::<Secret>(&namespace, name).await.map_err(failed)?;
        let secret = match metadata {
            Some(metadata) if !holds_keys(&metadata) => Some(Secret { metadata, ..Secret::default() }),
            Some(_) => ctx.kubernetes.get(&namespace, name).await.map_err(failed)?,
            None => None,
        };
        found.extend(secret.map(|secret| (name.to_owned(), secret)));
    }
    Ok(found)
}

/// The names of the Secrets that a tenant's keys are brought along in, each once.
pub(crate) fn referenced_names(tenant: &AnalyticsTenant) -> BTreeSet<&str> {
    let keys = tenant.spec.api_keys.iter().flatten();
    keys.filter_map(|key| key.secret_ref.as_ref()).map(|reference| reference.name.as_str()).collect()
}

/// The database of the tenant's name, if there is one. Read last: a ClickHouse that hangs holds up only what needs it.
pub(crate) async fn database<B: Backends>(
    ctx: &Context<B>,
    tenant: &ValidatedTenant,
) -> Result<Option<Database>, TablesError> {
    ctx.tables.describe(&tenant.database).await
}

/// The database that bears the name of an id, if there is one. It is read before anything is done for the tenant, and
/// only where another tenant seems to have the id.
pub(crate) async fn database_of<B: Backends>(
    ctx: &Context<B>,
    id: &TenantId,
) -> Result<Option<Database>, TablesError> {
    ctx.tables.describe(&DatabaseName::of(id)).await
}

/// The other tenants of the same id. A cache is enough: the comment of the database has the last word.
fn rivals<B: Backends>(ctx: &Context<B>, tenant: &AnalyticsTenant) -> Vec<Rival> {
    let Ok(id) = validate::id(tenant) else { return Vec::new() };
    ctx.tenants
        .state()
        .iter()
        .filter(|other| other.uid() != tenant.uid() && validate::id(other).as_ref() == Ok(&id))
        .map(|other| Rival::of(other))
        .collect()
}
