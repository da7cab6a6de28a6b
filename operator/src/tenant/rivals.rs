//! Which of several tenants has an id. Pure.
//!
//! An id belongs to the tenant whose status has its database, and while none has it, to the oldest that wants it. The
//! comment of the database has the last word: a tenant that it names, as its owner or as the one that may take it over,
//! gives way to nobody.

use crds::AnalyticsTenant;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{Resource as _, ResourceExt as _};

use super::status;
use crate::tables::{DatabaseComment, DatabaseOwner};

/// Another tenant of the same id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rival {
    pub(crate) namespace: String,
    pub(crate) name: String,
    uid: String,
    created: Option<Time>,
    standing: Standing,
}

/// How a tenant stands to the id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    Wants,
    /// Its status has the database, and does not say that it is somebody else's.
    HasDatabase,
}

impl Rival {
    pub(crate) fn of(tenant: &AnalyticsTenant) -> Self {
        Self {
            namespace: tenant.namespace().unwrap_or_default(),
            name: tenant.name_any(),
            uid: tenant.uid().unwrap_or_default(),
            created: tenant.meta().creation_timestamp.clone(),
            standing: standing(tenant),
        }
    }

    /// Whether the id is this one's rather than `ours`.
    fn precedes(&self, ours: &Self) -> bool {
        match (self.standing, ours.standing) {
            (Standing::HasDatabase, Standing::Wants) => true,
            (Standing::Wants, Standing::HasDatabase) => false,
            (Standing::HasDatabase, Standing::HasDatabase) | (Standing::Wants, Standing::Wants) => {
                self.age() < ours.age()
            }
        }
    }

    /// Of two from the same second, the one with the smaller UID counts as the older.
    fn age(&self) -> (Option<&Time>, &str) {
        (self.created.as_ref(), &self.uid)
    }
}

/// How a tenant stands to its id, as its status says.
pub(crate) fn standing(tenant: &AnalyticsTenant) -> Standing {
    let has_database = tenant.status.as_ref().is_some_and(|status| status.database.is_some());
    if has_database && !status::is_disowned(tenant) { Standing::HasDatabase } else { Standing::Wants }
}

/// The rival that the id belongs to by all that tenants say of themselves, if it does to one.
pub(crate) fn preceding<'a>(tenant: &AnalyticsTenant, rivals: &'a [Rival]) -> Option<&'a Rival> {
    let ours = Rival::of(tenant);
    rivals.iter().find(|rival| rival.precedes(&ours))
}

/// Whether the comment of a database names this tenant.
pub(crate) fn is_named(comment: &DatabaseComment, tenant: &DatabaseOwner) -> bool {
    comment.is_owned_by(tenant) || comment.is_released_to(tenant)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn tenant(created: &str, uid: &str, status: Value) -> AnalyticsTenant {
        serde_json::from_value(json!({
            "apiVersion": "analytics.millrace.dev/v1alpha1",
            "kind": "AnalyticsTenant",
            "metadata": {"name": "acme", "namespace": "team", "uid": uid, "creationTimestamp": created},
            "spec": {},
            "status": status,
        }))
        .unwrap()
    }

    fn database() -> Value {
        json!({"database": {"name": "t_acme", "uuid": "00000000-0000-0000-0000-000000000001"}})
    }

    fn disowned() -> Value {
        let mut status = database();
        status["conditions"] = json!([{
            "type": "DatabaseReady", "status": "False", "reason": "NameConflict", "message": "",
            "observedGeneration": 1, "lastTransitionTime": "2026-01-01T00:00:00Z",
        }]);
        status
    }

    const SECOND: &str = "2026-01-01T00:00:02Z";

    #[track_caller]
    fn check(ours: Value, (created, uid, theirs): (&str, &str, Value), is_theirs: bool) {
        let rivals = [Rival::of(&tenant(created, uid, theirs))];
        let tenant = tenant(SECOND, "b", ours);
        assert_eq!(preceding(&tenant, &rivals).is_some(), is_theirs);
    }

    #[test]
    fn of_two_without_a_database_the_older_has_the_id() {
        check(json!({}), ("2026-01-01T00:00:01Z", "z", json!({})), true);
        check(json!({}), ("2026-01-01T00:00:03Z", "a", json!({})), false);
        check(json!({}), (SECOND, "a", json!({})), true);
        check(json!({}), (SECOND, "c", json!({})), false);
    }

    #[test]
    fn a_database_counts_more_than_age() {
        check(database(), ("2026-01-01T00:00:01Z", "a", json!({})), false);
        check(json!({}), ("2026-01-01T00:00:03Z", "c", database()), true);
        check(database(), ("2026-01-01T00:00:01Z", "a", database()), true);
    }

    #[test]
    fn a_database_that_is_somebody_elses_counts_nothing() {
        check(disowned(), ("2026-01-01T00:00:01Z", "a", json!({})), true);
        check(json!({}), ("2026-01-01T00:00:03Z", "c", disowned()), false);
    }

    #[test]
    fn a_comment_names_its_owner_and_who_may_take_over() {
        let owner =
            DatabaseOwner { uid: "b".to_owned(), namespace: "team".to_owned(), name: "acme".to_owned() };
        let successor = DatabaseOwner { uid: "c".to_owned(), ..owner.clone() };
        let other = DatabaseOwner { name: "other".to_owned(), ..successor.clone() };
        let (owned, released) =
            (DatabaseComment::Owned(owner.clone()), DatabaseComment::released_by(&owner, &[]));
        let foreign = DatabaseComment::Foreign("mine".to_owned());
        for (comment, who, expected) in [
            (&owned, &owner, true),
            (&owned, &successor, false),
            (&released, &successor, true),
            (&released, &other, false),
            (&foreign, &owner, false),
        ] {
            assert_eq!(is_named(comment, who), expected, "{comment:?} {who:?}");
        }
    }
}
