use crds::AnalyticsTenant;
use uuid::Uuid;

use super::{super::super::validate::validate, *};
use crate::tables::DatabaseOwner;

fn tenant() -> ValidatedTenant {
    let manifest = "{apiVersion: analytics.millrace.dev/v1alpha1, kind: AnalyticsTenant, \
                    metadata: {name: acme, namespace: team, uid: u1}, spec: {}}";
    let tenant: AnalyticsTenant = serde_saphyr::from_str(manifest).unwrap();
    validate(&crate::plans::tests::plain(), &tenant).unwrap()
}

fn found(comment: DatabaseComment) -> Option<Database> {
    Some(Database { name: tenant().database, uuid: Uuid::from_u128(1), comment })
}

fn owned_by(uid: &str) -> DatabaseComment {
    let owner = DatabaseOwner { uid: uid.to_owned(), namespace: "team".to_owned(), name: "acme".to_owned() };
    DatabaseComment::Owned(owner)
}

fn released_by(name: &str) -> DatabaseComment {
    let topics = vec![TopicId(Uuid::from_u128(9))];
    DatabaseComment::Released { namespace: "team".to_owned(), name: name.to_owned(), topics }
}

#[test]
fn a_missing_database_is_created() {
    assert_eq!(plan(&tenant(), None), Plan::Create);
}

#[test]
fn our_own_is_kept() {
    assert!(matches!(plan(&tenant(), found(owned_by("u1"))), Plan::Keep(_)));
}

#[test]
fn one_that_a_namesake_left_is_adopted_with_its_topics() {
    let Plan::Adopt { topics, .. } = plan(&tenant(), found(released_by("acme"))) else {
        panic!("not adopted")
    };
    assert_eq!(topics, [TopicId(Uuid::from_u128(9))]);
}

#[test]
fn everything_else_is_refused() {
    for comment in [owned_by("u2"), released_by("other"), DatabaseComment::Foreign(String::new())] {
        assert!(matches!(plan(&tenant(), found(comment.clone())), Plan::Refuse(_)), "{comment:?}");
        assert!(owned(&tenant(), found(comment).unwrap()).is_err());
    }
}
