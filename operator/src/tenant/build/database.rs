//! What to do about the tenant's database. The owner in its comment decides, and the incarnation in the status.

use schema::names::{DatabaseName, TopicId};
use uuid::Uuid;

use super::super::validate::ValidatedTenant;
use crate::{
    labels,
    tables::{Database, DatabaseComment},
};

/// What to do about a database.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    Create,
    Keep(Database),
    /// A tenant of this name left it behind, and these topics.
    Adopt {
        database: Database,
        topics: Vec<TopicId>,
    },
    Refuse(Refusal),
    /// The one that the tenant had is not there, and its events with it. Nothing is made in its place unasked.
    Lost(Loss),
}

/// What became of a tenant's database. An administrator may have it back from a backup.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Loss {
    #[error(
        "database `{database}` with the id {known} is gone, and its events with it: bring it back, or annotate the AnalyticsTenant with `{}: \"{known}\"` to begin a new one",
        labels::RECREATE_DATABASE
    )]
    Gone { database: DatabaseName, known: Uuid },
    #[error(
        "database `{database}` has the id {found} and not {known}: bring the other one back, or annotate the AnalyticsTenant with `{}: \"{known}\"` to go on with this one",
        labels::RECREATE_DATABASE
    )]
    Replaced { database: DatabaseName, known: Uuid, found: Uuid },
}

/// Why a database of our name is not touched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("database `{database}` belongs to the tenant `{namespace}/{name}` with the UID {uid}")]
    Owned { database: String, namespace: String, name: String, uid: String },
    #[error(
        "database `{database}` belongs to an earlier tenant of this name with the UID {uid}, which went without releasing it: if no other cluster has that tenant, an administrator of ClickHouse releases it with `ALTER DATABASE {database} MODIFY COMMENT '{released}'`, and this tenant takes it over with its events"
    )]
    Orphaned { database: String, uid: String, released: String },
    #[error(
        "database `{database}` was left by the tenant `{namespace}/{name}`, and only a tenant of that name takes it over; make this tenant anew with another `spec.tenantId`"
    )]
    Released { database: String, namespace: String, name: String },
    #[error("database `{database}` was not made by Millrace: its comment names no owner")]
    Foreign { database: String },
}

pub(crate) fn plan(tenant: &ValidatedTenant, found: Option<Database>) -> Plan {
    let Some(found) = found else {
        return match tenant.known_database {
            Some(known) => Plan::Lost(Loss::Gone { database: tenant.database.clone(), known }),
            None => Plan::Create,
        };
    };
    match (claim(tenant, found), tenant.known_database) {
        (Plan::Keep(found) | Plan::Adopt { database: found, .. }, Some(known)) if found.uuid != known => {
            Plan::Lost(Loss::Replaced { database: found.name, known, found: found.uuid })
        }
        (plan, Some(_) | None) => plan,
    }
}

/// What the comment of a database allows.
fn claim(tenant: &ValidatedTenant, found: Database) -> Plan {
    let database = found.name.to_string();
    match &found.comment {
        DatabaseComment::Owned(owner) if owner.uid == tenant.owner.uid => Plan::Keep(found),
        DatabaseComment::Owned(owner) if owner.is_namesake_of(&tenant.owner) => {
            Plan::Refuse(Refusal::Orphaned {
                database,
                uid: owner.uid.clone(),
                released: DatabaseComment::released_by(owner, &[]).to_string(),
            })
        }
        DatabaseComment::Owned(owner) => Plan::Refuse(Refusal::Owned {
            database,
            namespace: owner.namespace.clone(),
            name: owner.name.clone(),
            uid: owner.uid.clone(),
        }),
        DatabaseComment::Released { namespace, name, topics }
            if *namespace == tenant.namespace && *name == tenant.name =>
        {
            let topics = topics.clone();
            Plan::Adopt { database: found, topics }
        }
        DatabaseComment::Released { namespace, name, .. } => {
            Plan::Refuse(Refusal::Released { database, namespace: namespace.clone(), name: name.clone() })
        }
        DatabaseComment::Foreign(_) => Plan::Refuse(Refusal::Foreign { database }),
    }
}

/// The database, if it is this tenant's already.
pub(crate) fn owned(tenant: &ValidatedTenant, found: Database) -> Result<Database, Refusal> {
    match claim(tenant, found.clone()) {
        Plan::Keep(database) => Ok(database),
        Plan::Refuse(refusal) => Err(refusal),
        Plan::Create | Plan::Adopt { .. } | Plan::Lost(_) => {
            Err(Refusal::Foreign { database: found.name.to_string() })
        }
    }
}

#[cfg(test)]
mod tests;
