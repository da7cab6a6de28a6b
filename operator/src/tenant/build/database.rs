//! What to do about the tenant's database. The owner in its comment decides.

use schema::names::TopicId;

use super::super::validate::ValidatedTenant;
use crate::tables::{Database, DatabaseComment};

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
}

/// Why a database of our name is not touched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("database `{database}` belongs to the tenant `{namespace}/{name}` with the UID {uid}")]
    Owned { database: String, namespace: String, name: String, uid: String },
    #[error(
        "database `{database}` was left by the tenant `{namespace}/{name}`, and only a tenant of that name takes it over"
    )]
    Released { database: String, namespace: String, name: String },
    #[error("database `{database}` was not made by Millrace: its comment names no owner")]
    Foreign { database: String },
}

pub(crate) fn plan(tenant: &ValidatedTenant, found: Option<Database>) -> Plan {
    let Some(found) = found else { return Plan::Create };
    let database = found.name.to_string();
    match &found.comment {
        DatabaseComment::Owned(owner) if owner.uid == tenant.owner.uid => Plan::Keep(found),
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
    match plan(tenant, Some(found.clone())) {
        Plan::Keep(database) => Ok(database),
        Plan::Refuse(refusal) => Err(refusal),
        Plan::Create | Plan::Adopt { .. } => Err(Refusal::Foreign { database: found.name.to_string() }),
    }
}

#[cfg(test)]
mod tests;
