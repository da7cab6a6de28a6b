//! The apply step of the AnalyticsTenant controller. It writes Kubernetes and ClickHouse.
//!
//! Each aspect is brought about by itself, so that ClickHouse away does not hold up the rest.

mod users;

use crds::{
    AnalyticsTenant, Condition, Pipeline, Reason,
    analytics_tenant::{ApiKeyStatus, DatabaseStatus, Suspend},
    condition::{ConditionStatus, ConditionType},
    event::EventReason,
};
use k8s_openapi::api::core::v1::Secret;
use kube::{Resource as _, ResourceExt as _};
use schema::{names::TableGeneration, retention::Retention, tenant_id::TenantId};

use super::{
    Error,
    build::{
        Desired,
        api_keys::{self, ApiKeys},
        brought_keys::Unusable,
        database, default_pipeline,
    },
    fetch::FoundUsers,
    validate::{Invalid, ValidatedTenant, WantedKeys},
};
use crate::{
    attempt, conditions,
    context::{Backends, Context},
    installation::AccessManagement,
    kubernetes::{self, is_held},
    progress::{Progress, Waiting},
    retained,
    tables::{Database, Migrated, Tables as _, TablesError},
};

pub(crate) use users::{Access, OwnUsers, Rotation, exposed, remove_users, request, users_of};

type Aspect<T> = Progress<T, Error>;

/// How far each aspect came.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) spec: Aspect<TenantId>,
    pub(crate) credentials: Aspect<Credentials>,
    pub(crate) database: Aspect<DatabaseStatus>,
    /// As whom pods and people come to ClickHouse.
    pub(crate) users: Aspect<Access>,
    /// How long events are kept, by tables that are as they should be.
    pub(crate) schema: Aspect<Retention>,
    pub(crate) pipeline: Aspect<ManagedPipeline>,
    /// Where the managed Pipeline takes events.
    pub(crate) endpoint: Option<String>,
    /// The tenant after topics were noted in its status, where they had to be.
    pub(crate) noted: Option<Box<AnalyticsTenant>>,
}

/// The keys that are there, and those that are not because what was brought along cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Credentials {
    pub(crate) keys: Vec<ApiKeyStatus>,
    pub(crate) unusable: Vec<Unusable>,
}

impl Credentials {
    /// Why not all keys are there, if they are not.
    pub(crate) fn obstacle(&self) -> Option<Waiting> {
        let reason = self.unusable.first()?.reason();
        let flaws: Vec<String> = self.unusable.iter().map(ToString::to_string).collect();
        Some(Waiting { reason, message: flaws.join("; ") })
    }
}

/// What there is of a managed Pipeline, as it says itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ManagedPipeline {
    AsWanted,
    /// None is wanted.
    None,
    /// It is as it was asked to be, and something does not flow.
    Idle {
        reason: Reason,
        message: String,
    },
}

impl Outcome {
    /// Nothing was tried besides the keys, because the spec cannot be brought about.
    pub(crate) fn refused(invalid: Invalid) -> Self {
        Self {
            spec: Progress::Failed(Error::Invalid(invalid)),
            credentials: Progress::Untried,
            database: Progress::Untried,
            users: Progress::Untried,
            schema: Progress::Untried,
            pipeline: Progress::Untried,
            endpoint: None,
            noted: None,
        }
    }

    /// The same, with what came of the keys.
    pub(crate) fn with_credentials(self, credentials: Result<Credentials, Error>) -> Self {
        Self { credentials: credentials.into(), ..self }
    }

    /// Whether nothing is missing.
    pub(crate) fn is_complete(&self) -> bool {
        self.credentials.done().is_some_and(|credentials| credentials.unusable.is_empty())
            && self.database.done().is_some()
            && self.users.done().is_some_and(|access| !access.is_on_its_way())
            && self.schema.done().is_some()
            && self.pipeline.done().is_some()
    }

    /// The failure that decides when to try again: one that waiting mends comes before one that it does not.
    pub(crate) fn into_failure(self) -> Option<Error> {
        let failures = [
            self.spec.into_failed(),
            self.credentials.into_failed(),
            self.database.into_failed(),
            self.users.into_failed(),
            self.schema.into_failed(),
            self.pipeline.into_failed(),
        ];
        failures.into_iter().flatten().min_by_key(attempt::patience)
    }
}

/// Puts the finalizer on the tenant, before anything outside is made that would have to be cleaned up.
pub(crate) async fn hold<B: Backends>(
    ctx: &Context<B>,
    tenant: AnalyticsTenant,
) -> Result<AnalyticsTenant, Error> {
    if is_held(&tenant) {
        return Ok(tenant);
    }
    ctx.kubernetes.add_finalizer(&tenant).await.map_err(|source| Error::Hold { source })
}

/// The Secret of the keys, made without any where there is none.
pub(crate) async fn hold_keys<B: Backends>(
    ctx: &Context<B>,
    wanted: &WantedKeys,
    found: Option<Secret>,
) -> Result<Secret, Error> {
    match found {
        Some(found) => Ok(found),
        None => ctx
            .kubernetes
            .create(&api_keys::empty(wanted))
            .await
            .map_err(|source| Error::ApplyKeys { source }),
    }
}

/// Brings about the keys, unless the Secret changed since they were read.
pub(crate) async fn apply_keys<B: Backends>(
    ctx: &Context<B>,
    tenant: &AnalyticsTenant,
    keys: ApiKeys,
) -> Result<Credentials, Error> {
    ctx.kubernetes.apply::<Secret>(&keys.secret).await.map_err(|source| Error::ApplyKeys { source })?;
    if !keys.replaced.is_empty() {
        let note = format!(
            "keys {} were missing or unusable in Secret `{}` and were made anew; whoever used them needs the new ones",
            keys.replaced.join(", "),
            keys.secret.name_any(),
        );
        ctx.events.tell(tenant.object_ref(&()), EventReason::ApiKeysReplaced, note).await;
    }
    if !keys.expired.is_empty() {
        let note = format!("keys {} are past their end and are refused", keys.expired.join(", "));
        ctx.events.tell(tenant.object_ref(&()), EventReason::ApiKeysExpired, note).await;
    }
    let credentials = Credentials { keys: keys.status, unusable: keys.unusable };
    if let Some(obstacle) = credentials.obstacle().filter(|obstacle| !is_told(tenant, obstacle)) {
        ctx.events.tell(tenant.object_ref(&()), EventReason::ApiKeyUnusable, obstacle.message).await;
    }
    Ok(credentials)
}

/// Whether the tenant's status says of its keys what holds them up.
fn is_told(tenant: &AnalyticsTenant, obstacle: &Waiting) -> bool {
    let conditions = tenant.status.as_ref().map_or(&[][..], |status| &status.conditions);
    conditions::find(conditions, ConditionType::CredentialsReady)
        .is_some_and(|known| known.reason == obstacle.reason.as_str() && known.message == obstacle.message)
}

/// Brings about what has to be there besides the keys.
pub(crate) async fn apply<B: Backends>(
    ctx: &Context<B>,
    tenant: &AnalyticsTenant,
    validated: &ValidatedTenant,
    desired: Desired,
    users: FoundUsers,
) -> Outcome {
    let (database, noted) = match note_topics(ctx, tenant, &desired.database).await {
        Ok(noted) => (apply_database(ctx, tenant, validated, desired.database).await, noted),
        Err(error) => (Err(error), None),
    };
    let (schema, table) = match &database {
        Ok(_) => migrate(ctx, validated).await,
        Err(_) => (Progress::Untried, None),
    };
    let users = match (&ctx.installation.clickhouse.management, &database) {
        (AccessManagement::Sql(policy), Ok(_)) => {
            users::apply_users(ctx, policy, tenant, validated, users).await.into()
        }
        (AccessManagement::Shared, Ok(_)) => Progress::Done(Access::Shared),
        (AccessManagement::Shared | AccessManagement::Sql(_), Err(error)) => {
            users::withdraw(ctx, tenant, validated, error).await
        }
    };
    let (pipeline, endpoint) = match apply_pipeline(ctx, desired.pipeline, tenant.spec.suspend, table).await {
        Ok(state) => state,
        Err(error) => (Progress::Failed(error), None),
    };
    Outcome {
        spec: Progress::Done(validated.id.clone()),
        credentials: Progress::Untried,
        database: database.map(|database| database_status(tenant, &database, table)).into(),
        users,
        schema,
        pipeline,
        endpoint,
        noted,
    }
}

/// Notes the topics that come with a database that is taken over: the claim wipes them from its comment. Gives the
/// tenant as it is then, if that changed it.
async fn note_topics<B: Backends>(
    ctx: &Context<B>,
    tenant: &AnalyticsTenant,
    plan: &Result<database::Plan, TablesError>,
) -> Result<Option<Box<AnalyticsTenant>>, Error> {
    match plan {
        Ok(database::Plan::Adopt { topics, .. }) => {
            let noted = retained::note(ctx, tenant, topics).await;
            noted.map(|noted| noted.map(Box::new)).map_err(|source| Error::NoteTopics { source })
        }
        Ok(
            database::Plan::Keep(_)
            | database::Plan::Create
            | database::Plan::Refuse(_)
            | database::Plan::Lost(_),
        )
        | Err(_) => Ok(None),
    }
}

async fn apply_database<B: Backends>(
    ctx: &Context<B>,
    tenant: &AnalyticsTenant,
    validated: &ValidatedTenant,
    plan: Result<database::Plan, TablesError>,
) -> Result<Database, Error> {
    match plan.map_err(|source| Error::DescribeDatabase { source })? {
        database::Plan::Keep(database) => Ok(database),
        database::Plan::Create => {
            let created = ctx
                .tables
                .create(&validated.database, &validated.owner)
                .await
                .map_err(|source| Error::CreateDatabase { source })?;
            // Somebody may have been faster, and then it is theirs.
            database::owned(validated, created).map_err(Error::Unclaimable)
        }
        database::Plan::Adopt { database, topics: _ } => {
            ctx.tables
                .claim(&database, &validated.owner)
                .await
                .map_err(|source| Error::ClaimDatabase { source })?;
            let note = format!("took over database `{}` with the events of the tenant before", database.name);
            ctx.events.tell(tenant.object_ref(&()), EventReason::DatabaseAdopted, note).await;
            Ok(database)
        }
        database::Plan::Refuse(refusal) => Err(Error::Unclaimable(refusal)),
        database::Plan::Lost(loss) => Err(Error::DatabaseLost(loss)),
    }
}

/// A retention that is held changes nothing for those who write and read, and a table that differs goes on as it does:
/// the table is there.
async fn migrate<B: Backends>(
    ctx: &Context<B>,
    validated: &ValidatedTenant,
) -> (Aspect<Retention>, Option<TableGeneration>) {
    let wanted = validated.retention;
    match ctx.tables.migrate(&validated.database, wanted).await {
        Ok(Migrated { generation, kept, differences }) => {
            let hours = wanted.retention.hours();
            let schema = match (differences.is_empty(), kept) {
                (true, None) => Progress::Done(wanted.retention),
                (true, Some(kept)) => Progress::Failed(Error::RetentionHeld { kept, wanted_hours: hours }),
                (false, _) => Progress::Failed(Error::table_differs(&validated.database, &differences)),
            };
            (schema, Some(generation))
        }
        Err(source) => (Progress::Failed(Error::Migrate { source }), None),
    }
}

async fn apply_pipeline<B: Backends>(
    ctx: &Context<B>,
    plan: Result<default_pipeline::Plan, kubernetes::Error>,
    suspend: Suspend,
    table: Option<TableGeneration>,
) -> Result<(Aspect<ManagedPipeline>, Option<String>), Error> {
    match plan.map_err(|source| Error::ApplyPipeline { source })? {
        default_pipeline::Plan::Nothing => Ok((Progress::Done(ManagedPipeline::None), None)),
        default_pipeline::Plan::Apply(manifest) => {
            let pipeline: Pipeline =
                ctx.kubernetes.apply(&manifest).await.map_err(|source| Error::ApplyPipeline { source })?;
            let endpoint = pipeline.status.as_ref().and_then(|status| status.endpoint.clone());
            Ok((readiness(&pipeline, suspend, table), endpoint))
        }
        default_pipeline::Plan::Remove { found, keep_topics } => {
            let failed = |source| Error::RemovePipeline { source };
            if found.meta().deletion_timestamp.is_none() {
                let kept: Pipeline = ctx.kubernetes.apply(&keep_topics).await.map_err(failed)?;
                ctx.kubernetes.delete::<Pipeline>(kept.meta()).await.map_err(failed)?;
            }
            let message = format!("Pipeline `{}` is being removed", found.name_any());
            Ok((Progress::Waiting(Waiting { reason: Reason::PipelineBeingRemoved, message }), None))
        }
    }
}

/// Whether a Pipeline works, as it says itself of its present spec, of its tenant's, and of the table of now.
fn readiness(
    pipeline: &Pipeline,
    suspend: Suspend,
    table: Option<TableGeneration>,
) -> Aspect<ManagedPipeline> {
    let conditions = pipeline.status.as_ref().map_or(&[][..], |status| &status.conditions);
    let name = pipeline.name_any();
    let waiting = |message| Progress::Waiting(Waiting { reason: Reason::PipelineNotReady, message });
    match conditions::find(conditions, ConditionType::Ready) {
        Some(ready) if Some(ready.observed_generation) != pipeline.meta().generation => {
            waiting(format!("Pipeline `{name}` was not looked at since it changed"))
        }
        Some(ready) if !knows(ready, suspend) => {
            waiting(format!("Pipeline `{name}` was not looked at since `suspend` changed"))
        }
        Some(ready) if ready.status == ConditionStatus::True && !writes_to(pipeline, table) => {
            waiting(format!("Pipeline `{name}` was not looked at since its table was made anew"))
        }
        Some(ready) => match ready.status {
            ConditionStatus::True => Progress::Done(match Reason::parse(&ready.reason) {
                Some(reason) if reason != Reason::Ready => {
                    ManagedPipeline::Idle { reason, message: format!("Pipeline `{name}`: {}", ready.message) }
                }
                Some(_) | None => ManagedPipeline::AsWanted,
            }),
            ConditionStatus::False | ConditionStatus::Unknown => {
                waiting(format!("Pipeline `{name}`: {}: {}", ready.reason, ready.message))
            }
        },
        None => waiting(format!("Pipeline `{name}` was not looked at yet")),
    }
}

/// Whether a Pipeline's table is this one. Without a table the tenant is not ready for that reason.
fn writes_to(pipeline: &Pipeline, table: Option<TableGeneration>) -> bool {
    let known = pipeline.status.as_ref().and_then(|status| status.table.as_ref());
    table.is_none_or(|table| known.is_some_and(|known| known.uuid == table.to_string()))
}

/// Whether a Pipeline that is ready has heard of what its tenant leaves off. One that is stopped by itself need not.
fn knows(ready: &Condition, suspend: Suspend) -> bool {
    let (is_suspended, says_so) =
        (suspend != Suspend::None, ready.reason == Reason::TenantSuspended.as_str());
    ready.status != ConditionStatus::True
        || ready.reason == Reason::Stopped.as_str()
        || is_suspended == says_so
}

fn database_status(
    tenant: &AnalyticsTenant,
    database: &Database,
    table: Option<TableGeneration>,
) -> DatabaseStatus {
    let uuid = database.uuid.to_string();
    let table_uuid = table.map(|table| table.to_string()).or_else(|| known_table(tenant, &uuid));
    DatabaseStatus { name: database.name.to_string(), uuid, table_uuid }
}

/// The table of the last time: a migration that failed because ClickHouse went away did not change it. One of another
/// database says nothing.
fn known_table(tenant: &AnalyticsTenant, database_uuid: &str) -> Option<String> {
    let before = tenant.status.as_ref()?.database.as_ref()?;
    before.table_uuid.clone().filter(|_| before.uuid == database_uuid)
}
