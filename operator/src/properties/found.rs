//! What was there before: topics, databases and objects of others, and of tenants and Pipelines that are gone.

use proptest::{prelude::*, sample::select};
use schema::{
    api_key::{ENTROPY_BYTES, KeyKind, generate},
    names::{DatabaseName, TopicId, TopicName},
    retention::Retention,
    tenant_id::TenantId,
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    labels,
    tables::{Database, DatabaseComment, DatabaseOwner},
    testing::{World, arbitrary::BROUGHT},
    topics::Topic,
};

/// The id of a topic that nobody left to a tenant, and of one that a tenant before left behind.
const FOREIGN: u128 = 500;
const LEFT_BEHIND: u128 = 600;
/// The label of what is not the operator's to touch.
pub(super) const STRANGER: &str = "example.com/stranger";

const TOPICS: [&str; 5] = [
    "millrace.team-acme.acme-default",
    "millrace.team-acme.acme-default.dlq",
    "millrace.team-acme.web",
    "millrace.team-acme.web.dlq",
    "octane.events",
];
const CHILDREN: [(&str, &str); 8] = [
    ("secrets/team/acme-api-keys", "AnalyticsTenant"),
    ("pipelines/team/acme-default", "AnalyticsTenant"),
    ("secrets/team/web-settings", "Pipeline"),
    ("deployments/team/web-ingester", "Pipeline"),
    ("deployments/team/web-consumer", "Pipeline"),
    ("services/team/web-ingester", "Pipeline"),
    ("ingresses/team/web-ingester", "Pipeline"),
    ("poddisruptionbudgets/team/web-consumer", "Pipeline"),
];

/// One thing that was there.
#[derive(Debug, Clone)]
pub(super) enum Found {
    Topic { place: usize, whose: Whose, partitions: i32, hours: i64 },
    Database { whose: Whose, hours: u64 },
    Child { place: usize, whose: Whose },
    Brought(Brought),
}

/// Who made something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    /// Somebody who has nothing to do with us.
    Strangers,
    /// A resource of another name.
    Others,
    /// A resource of the same name before, which kept it for the next one.
    LeftBehind,
    /// A resource of the same name before, which did not.
    Namesakes,
}

/// What there is where a key is brought along.
#[derive(Debug, Clone, Copy)]
pub(super) enum Brought {
    Usable,
    Unlabelled,
    NoKey,
}

impl Whose {
    pub(super) fn any() -> impl Strategy<Value = Self> {
        select(vec![Self::Strangers, Self::Others, Self::LeftBehind, Self::Namesakes])
    }

    fn topic_id(self, place: usize) -> TopicId {
        let first = if self == Self::LeftBehind { LEFT_BEHIND } else { FOREIGN };
        TopicId(Uuid::from_u128(first + place as u128))
    }

    /// The comment of a database.
    pub(super) fn comment(self) -> DatabaseComment {
        let name = if self == Self::Namesakes { "acme" } else { "other" };
        let owner = DatabaseOwner {
            uid: "uid-of-one-before".to_owned(),
            namespace: "team".to_owned(),
            name: name.to_owned(),
        };
        match self {
            Self::Strangers => DatabaseComment::Foreign("of accounting".to_owned()),
            Self::Others | Self::Namesakes => DatabaseComment::Owned(owner),
            Self::LeftBehind => DatabaseComment::Released {
                namespace: "team".to_owned(),
                name: "acme".to_owned(),
                topics: (0..TOPICS.len()).map(|place| self.topic_id(place)).collect(),
            },
        }
    }
}

impl Found {
    pub(super) fn any() -> impl Strategy<Value = Self> {
        prop_oneof![
            4 => (0..TOPICS.len(), Whose::any(), 1..=8_i32, 1..=2_000_i64).prop_map(
                |(place, whose, partitions, hours)| Self::Topic { place, whose, partitions, hours }
            ),
            2 => (Whose::any(), 1..=9_000_u64).prop_map(|(whose, hours)| Self::Database { whose, hours }),
            4 => (0..CHILDREN.len(), Whose::any()).prop_map(|(place, whose)| Self::Child { place, whose }),
            1 => select(vec![Brought::Usable, Brought::Unlabelled, Brought::NoKey]).prop_map(Self::Brought),
        ]
    }

    pub(super) fn put_into(&self, world: &World) {
        let mut state = world.state();
        match self {
            Self::Topic { place, whose, partitions, hours } => {
                let name = TOPICS[*place].to_owned();
                let topic = Topic {
                    name: TopicName::parse(&name).unwrap(),
                    id: whose.topic_id(*place),
                    partitions: *partitions,
                    replication_factor: 1,
                };
                state.topics.insert(name.clone(), topic);
                state.topic_retentions.insert(name, hours * 3_600_000);
            }
            Self::Database { whose, hours } => {
                let name = DatabaseName::of(&TenantId::parse("team-acme").unwrap());
                let database =
                    Database { name: name.clone(), uuid: Uuid::from_u128(700), comment: whose.comment() };
                state.databases.insert(name.to_string(), database);
                state.retentions.insert(name.to_string(), Retention::from_hours(*hours).unwrap());
            }
            Self::Child { place, whose } => {
                let (key, owner) = CHILDREN[*place];
                state.objects.insert(key.to_owned(), child(key, owner, *whose));
            }
            Self::Brought(brought) => {
                state.objects.insert(format!("secrets/team/{}", BROUGHT.0), brought.secret());
            }
        }
    }
}

/// An object of a child's name, as whoever made it left it.
fn child(key: &str, owner: &str, whose: Whose) -> Value {
    let name = key.rsplit('/').next().unwrap();
    let owner_name = if whose == Whose::Others { "other" } else { name.split('-').next().unwrap() };
    let mut child = json!({
        "apiVersion": "v1", "kind": "Child",
        "metadata": {
            "name": name, "namespace": "team", "uid": format!("uid-of-{key}"), "resourceVersion": "7",
            "generation": 1, "labels": {STRANGER: "true"}, "annotations": {},
        },
    });
    match whose {
        Whose::Strangers => {}
        // Labelled as ours and owned by nobody: ours to take.
        Whose::LeftBehind => child["metadata"]["labels"] = json!(labels::of_tenant("acme")),
        Whose::Others | Whose::Namesakes => {
            child["metadata"]["ownerReferences"] = json!([{
                "apiVersion": "analytics.millrace.dev/v1alpha1", "kind": owner, "name": owner_name,
                "uid": "uid-of-one-before", "controller": true,
            }]);
        }
    }
    match key.split('/').next() {
        Some("pipelines") => {
            child["apiVersion"] = json!("analytics.millrace.dev/v1alpha1");
            child["kind"] = json!("Pipeline");
            child["spec"] = json!({"tenantRef": {"name": "acme"}});
            child["metadata"]["creationTimestamp"] = json!("2026-01-01T00:00:00Z");
        }
        Some("deployments") => {
            child["spec"] = json!({"replicas": 3, "selector": {}, "template": {}});
        }
        Some("secrets") => child["data"] = json!({"default": "eA=="}),
        Some(_) | None => {}
    }
    child
}

impl Brought {
    fn secret(self) -> Value {
        let key = generate(KeyKind::Query, [7; ENTROPY_BYTES]).expose().to_owned();
        let (label, text) = match self {
            Self::Usable => ("true", key),
            Self::Unlabelled => ("false", key),
            Self::NoKey => ("true", "hunter2".to_owned()),
        };
        let text = serde_json::to_value(k8s_openapi::ByteString(text.into_bytes())).unwrap();
        json!({
            "apiVersion": "v1", "kind": "Secret", "data": {BROUGHT.1: text},
            "metadata": {
                "name": BROUGHT.0, "namespace": "team", "uid": "uid-of-own", "resourceVersion": "7",
                "labels": {labels::API_KEY: label, STRANGER: "true"},
            },
        })
    }
}

/// Everything that the operator has to leave as it is: all of the other tenant, objects of strangers, and topics and
/// databases that nobody left to this tenant.
pub(super) fn of_strangers(world: &World) -> Vec<String> {
    let state = world.state();
    let is_foreign = |topic: &Topic| {
        topic.name.as_str().contains("globex") || (FOREIGN..LEFT_BEHIND).contains(&topic.id.0.as_u128())
    };
    let mut seen = Vec::new();
    for (key, object) in &state.objects {
        let is_theirs = key.contains("/other/") || object["metadata"]["labels"][STRANGER].is_string();
        // A Pipeline that somebody made is one for us to bring about.
        if is_theirs && !key.starts_with("pipelines/team/") {
            // Back ends that are away show in its status as well.
            let mut object = object.clone();
            object["status"] = Value::Null;
            object["metadata"]["managedFields"] = Value::Null;
            object["metadata"]["resourceVersion"] = Value::Null;
            seen.push(format!("{key}: {object}"));
        }
    }
    for (name, topic) in state.topics.iter().filter(|(_, topic)| is_foreign(topic)) {
        seen.push(format!("{topic:?} {:?}", state.topic_retentions.get(name)));
    }
    for (name, database) in &state.databases {
        let is_theirs = match &database.comment {
            DatabaseComment::Foreign(_) => true,
            DatabaseComment::Owned(owner) => owner.uid == "uid-of-one-before" || name.contains("globex"),
            DatabaseComment::Released { name, .. } => name != "acme",
        };
        if is_theirs {
            seen.push(format!("{database:?} {:?}", state.retentions.get(name)));
        }
    }
    seen
}
