//! The tenant's users in ClickHouse: their Secrets and the users themselves, by turns.

use crds::{AnalyticsTenant, Pipeline, analytics_tenant::ClickHouseUsersStatus, event::EventReason};
use k8s_openapi::api::core::v1::Secret;
use kube::{Resource as _, ResourceExt as _};
use schema::{
    access::{Account, PasswordHash, Policy, Role},
    names::{DatabaseName, UserName},
    tenant_id::TenantId,
};

use super::super::{
    Error,
    build::credentials::{self, Consumers, Passwords},
    fetch::FoundUsers,
    validate::ValidatedTenant,
};
use crate::{
    context::{Backends, Context},
    installation::AccessManagement,
    kubernetes::Guarded,
    labels, pipeline,
    progress::Progress,
    users::{Exposure, Users as _},
};

/// As whom pods and people come to ClickHouse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Access {
    /// Pods as the installation's user, and people as nobody.
    Shared,
    Own(OwnUsers),
}

/// The tenant's own users.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OwnUsers {
    pub(crate) users: ClickHouseUsersStatus,
    /// The request for other passwords that was served.
    pub(crate) served: Option<String>,
    pub(crate) rotation: Rotation,
    pub(crate) exposure: Exposure,
}

/// Whether passwords are being replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Rotation {
    Done,
    /// It waits for the consumers of these Pipelines; for none of them right after a new password.
    WaitsFor(Vec<String>),
}

impl Access {
    /// Whether something has to be done as soon as somebody else is ready for it.
    pub(crate) fn is_on_its_way(&self) -> bool {
        match self {
            Self::Shared => false,
            Self::Own(own) => own.rotation != Rotation::Done,
        }
    }
}

/// One user's Secret, as it is and as it should be.
struct Turn {
    role: Role,
    secret: Secret,
    passwords: Passwords,
}

/// The annotation's text is noted in the status, which has a bound.
const MAX_REQUEST_BYTES: usize = 128;

/// What the tenant's annotation asks for: other passwords, each time that the text is a new one.
pub(crate) fn request(tenant: &AnalyticsTenant) -> Option<&str> {
    let text = tenant.annotations().get(labels::ROTATE_CREDENTIALS)?;
    Some(&text[..text.floor_char_boundary(MAX_REQUEST_BYTES)]).filter(|text| !text.is_empty())
}

/// Brings about the users.
pub(super) async fn apply_users<B: Backends>(
    ctx: &Context<B>,
    policy: &Policy,
    tenant: &AnalyticsTenant,
    validated: &ValidatedTenant,
    found: FoundUsers,
) -> Result<Access, Error> {
    let mut turns = [
        hold(ctx, validated, Role::Writer, found.writer).await?,
        hold(ctx, validated, Role::Reader, found.reader).await?,
    ];
    let consumers = consumers(ctx, validated, &turns).await?;
    prepare(ctx, tenant, validated, &mut turns, &consumers).await?;
    let accounts = turns.each_ref().map(|turn| credentials::account(validated, turn.role, &turn.passwords));
    ensure(ctx, validated, &accounts, policy).await?;
    promote(ctx, validated, &mut turns).await?;
    let [writer, reader] = turns;
    let exposure = match &reader.passwords.current {
        Some(password) => ctx.users.exposure(&validated.database, &accounts[1].name, password).await,
        None => Exposure::Unknown,
    };
    let own = OwnUsers {
        users: status(&accounts, &reader.secret),
        served: writer.passwords.served.clone(),
        rotation: rotation(&[writer, reader], consumers),
        exposure,
    };
    tell_of_exposure(ctx, tenant, exposure).await;
    Ok(Access::Own(own))
}

/// Takes the users of a tenant away whose database turned out to be somebody else's: they would read there.
pub(super) async fn withdraw<B: Backends>(
    ctx: &Context<B>,
    tenant: &AnalyticsTenant,
    validated: &ValidatedTenant,
    cause: &Error,
) -> Progress<Access, Error> {
    let management = &ctx.installation.clickhouse.management;
    let untried = match management {
        AccessManagement::Shared => Progress::Done(Access::Shared),
        AccessManagement::Sql(_) => Progress::Untried,
    };
    if !matches!(cause, Error::Unclaimable(_)) {
        return untried;
    }
    match remove_users(ctx, &users_of(management, tenant, &validated.id), &validated.database).await {
        Ok(()) => untried,
        Err(error) => Progress::Failed(error),
    }
}

/// The users that there may be of a tenant: where the installation makes any, and where it made them before it was
/// started to share its own. The tenant's status tells of those.
pub(crate) fn users_of(
    management: &AccessManagement,
    tenant: &AnalyticsTenant,
    id: &TenantId,
) -> Vec<UserName> {
    let had_users = tenant.status.as_ref().is_some_and(|status| status.clickhouse_users.is_some());
    match management {
        AccessManagement::Shared if !had_users => Vec::new(),
        AccessManagement::Shared | AccessManagement::Sql(_) => {
            credentials::user_names(id, &tenant.uid().unwrap_or_default()).to_vec()
        }
    }
}

/// Takes users away, if there are any: whoever has their passwords sees nothing any more.
pub(crate) async fn remove_users<B: Backends>(
    ctx: &Context<B>,
    names: &[UserName],
    database: &DatabaseName,
) -> Result<(), Error> {
    if names.is_empty() {
        return Ok(());
    }
    ctx.users.remove(database, names).await.map_err(|source| Error::RemoveUsers { source })
}

/// The Secret of a user, made without a password where there is none.
async fn hold<B: Backends>(
    ctx: &Context<B>,
    tenant: &ValidatedTenant,
    role: Role,
    found: Option<Secret>,
) -> Result<Turn, Error> {
    let secret = match found {
        Some(found) => found,
        None => ctx
            .kubernetes
            .create(&credentials::empty(tenant, role))
            .await
            .map_err(|source| Error::ApplyCredentials { source })?,
    };
    Ok(Turn { role, passwords: Passwords::of(&secret), secret })
}

/// Which consumers may have a password that is about to end. Nobody is asked while none is.
async fn consumers<B: Backends>(
    ctx: &Context<B>,
    tenant: &ValidatedTenant,
    turns: &[Turn; 2],
) -> Result<Consumers, Error> {
    let Some(current) = &turns[0].passwords.current else { return Ok(Consumers::AllHaveIt) };
    if !turns.iter().any(|turn| turn.passwords.have_previous()) {
        return Ok(Consumers::AllHaveIt);
    }
    let pipelines: Vec<Guarded<Pipeline>> =
        ctx.kubernetes.list(&tenant.namespace).await.map_err(|source| Error::Fetch { source })?;
    let fingerprint = PasswordHash::of(current).fingerprint();
    let may_have_another =
        |pipeline: &&Guarded<Pipeline>| match (&pipeline.0, pipeline::tenant_name(pipeline)) {
            (_, Some(name)) if name != tenant.name => false,
            (Ok(pipeline), _) => {
                let status = pipeline.status.as_ref();
                status.and_then(|status| status.consumer_credential.as_ref()) != Some(&fingerprint)
            }
            // One that cannot be read may be the tenant's, and its consumer runs as it did.
            (Err(_), _) => true,
        };
    let waiting: Vec<String> =
        pipelines.iter().filter(may_have_another).map(|found| found.name_any()).collect();
    Ok(if waiting.is_empty() { Consumers::AllHaveIt } else { Consumers::Waiting(waiting) })
}

/// Writes new passwords down, and strikes old ones that nobody uses.
async fn prepare<B: Backends>(
    ctx: &Context<B>,
    tenant: &AnalyticsTenant,
    validated: &ValidatedTenant,
    turns: &mut [Turn; 2],
    consumers: &Consumers,
) -> Result<(), Error> {
    let had_users = tenant.status.as_ref().is_some_and(|status| status.clickhouse_users.is_some());
    let before = turns.each_ref().map(|turn| turn.passwords.clone());
    for turn in turns.iter_mut() {
        let passwords = turn.passwords.clone().prepared(request(tenant), consumers, rand::random);
        write(ctx, validated, turn, passwords).await?;
    }
    // One Event tells of both Secrets.
    let named = |is_meant: fn(&Passwords, &Passwords) -> bool| {
        let meant = turns.iter().zip(&before).filter(|(turn, before)| is_meant(before, &turn.passwords));
        let names: Vec<String> = meant.map(|(turn, _)| format!("`{}`", turn.secret.name_any())).collect();
        (!names.is_empty()).then(|| names.join(" and "))
    };
    if let Some(names) = named(|before, _| before.are_lost()).filter(|_| had_users) {
        let note = format!("the passwords in {names} were missing and were made anew");
        ctx.events.tell(tenant.object_ref(&()), EventReason::CredentialsReplaced, note).await;
    }
    if let Some(names) = named(|before, now| before.have_previous() && !now.have_previous()) {
        let note = format!("the passwords in {names} are new, and the old ones end");
        ctx.events.tell(tenant.object_ref(&()), EventReason::CredentialsRotated, note).await;
    }
    Ok(())
}

async fn ensure<B: Backends>(
    ctx: &Context<B>,
    tenant: &ValidatedTenant,
    accounts: &[Account],
    policy: &Policy,
) -> Result<(), Error> {
    ctx.users.ensure(&tenant.database, accounts, policy).await.map_err(|source| Error::EnsureUsers { source })
}

/// Makes those passwords the current ones that ClickHouse takes by now.
async fn promote<B: Backends>(
    ctx: &Context<B>,
    tenant: &ValidatedTenant,
    turns: &mut [Turn; 2],
) -> Result<(), Error> {
    for turn in turns {
        let promoted = turn.passwords.clone().promoted();
        if promoted != turn.passwords {
            write(ctx, tenant, turn, promoted).await?;
        }
    }
    Ok(())
}

/// Brings a user's Secret to these passwords, unless it changed since it was read.
async fn write<B: Backends>(
    ctx: &Context<B>,
    tenant: &ValidatedTenant,
    turn: &mut Turn,
    passwords: Passwords,
) -> Result<(), Error> {
    let url = &ctx.installation.clickhouse.url;
    let manifest = credentials::secret(tenant, turn.role, url, &turn.secret, &passwords);
    turn.secret =
        ctx.kubernetes.apply(&manifest).await.map_err(|source| Error::ApplyCredentials { source })?;
    turn.passwords = passwords;
    Ok(())
}

fn status(accounts: &[Account; 2], reader_secret: &Secret) -> ClickHouseUsersStatus {
    let [writer, reader] = accounts;
    ClickHouseUsersStatus {
        writer: writer.name.to_string(),
        reader: reader.name.to_string(),
        reader_secret_name: reader_secret.name_any(),
    }
}

fn rotation(turns: &[Turn; 2], consumers: Consumers) -> Rotation {
    let are_settled = turns.iter().all(|turn| turn.passwords.are_settled());
    match (are_settled, consumers) {
        (true, _) => Rotation::Done,
        (false, Consumers::Waiting(pipelines)) => Rotation::WaitsFor(pipelines),
        (false, Consumers::AllHaveIt) => Rotation::WaitsFor(Vec::new()),
    }
}

/// Tells an administrator once that the server shows too much.
async fn tell_of_exposure<B: Backends>(ctx: &Context<B>, tenant: &AnalyticsTenant, exposure: Exposure) {
    let Some(note) = exposed(exposure) else { return };
    let conditions = tenant.status.iter().flat_map(|status| &status.conditions);
    let is_told = conditions.into_iter().any(|condition| condition.message.contains(note));
    if !is_told {
        ctx.events.tell(tenant.object_ref(&()), EventReason::SystemTablesExposed, note.to_owned()).await;
    }
}

/// What the server shows too much, and the setting that ends it.
pub(crate) fn exposed(exposure: Exposure) -> Option<&'static str> {
    match exposure {
        Exposure::SystemTables => Some(
            "ClickHouse lets every user read the tables of `system`, which show other tenants' queries: set `access_control_improvements.select_from_system_db_requires_grant` to true",
        ),
        Exposure::None | Exposure::Unknown => None,
    }
}
