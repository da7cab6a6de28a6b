//! What users and others do to what there is.

use proptest::{prelude::*, sample::select};
use schema::names::TopicId;
use serde_json::{Value, json};
use uuid::Uuid;

use super::found::Whose;
use crate::{
    labels,
    tables::Database,
    testing::{
        State, World,
        arbitrary::{following, pipeline_spec, tenant_spec},
    },
};

const RESOURCES: [&str; 4] =
    ["analyticstenants/team/acme", "pipelines/team/acme-default", "pipelines/team/web", "pipelines/team/app"];
/// The database of the tenant's id, whoever made it.
const DATABASE: &str = "t_team_acme";
const STATUS_FIELDS: [&str; 9] = [
    "conditions",
    "topic",
    "deadLetterTopic",
    "table",
    "drain",
    "database",
    "tenantId",
    "apiKeys",
    "consumerGroup",
];

/// One thing that happens. What it would happen to may not be there; then nothing does.
#[derive(Debug, Clone)]
pub(super) enum Happening {
    TenantEdited(Value),
    PipelineEdited {
        place: usize,
        spec: Value,
    },
    Deleted {
        place: usize,
    },
    /// The drain of a deletion or of a stop has no time left.
    TimePasses {
        place: usize,
    },
    Abandoned {
        place: usize,
    },
    Recreated,
    StatusFieldGone {
        place: usize,
        field: usize,
    },
    StatusGone {
        place: usize,
    },
    /// Whatever is the n-th of the objects that are owned.
    ChildGone {
        place: usize,
    },
    ChildChanged {
        place: usize,
    },
    TopicGone {
        place: usize,
    },
    TopicMadeAnew {
        place: usize,
    },
    TopicGrown {
        place: usize,
    },
    DatabaseGone,
    DatabaseMadeAnew,
    DatabaseBecomes(Whose),
    Unstored {
        place: usize,
        records: u64,
    },
    RetainedNoted,
    KafkaIsAway,
    ClickHouseIsAway,
    PodsAreStuck,
}

impl Happening {
    pub(super) fn any() -> impl Strategy<Value = Self> {
        let place = || 0..RESOURCES.len();
        let pipeline = || 1..RESOURCES.len();
        let nth = || 0..20_usize;
        prop_oneof![
            3 => tenant_spec().prop_map(Self::TenantEdited),
            4 => (pipeline(), pipeline_spec("acme"))
                .prop_map(|(place, spec)| Self::PipelineEdited { place, spec }),
            4 => place().prop_map(|place| Self::Deleted { place }),
            1 => pipeline().prop_map(|place| Self::TimePasses { place }),
            1 => place().prop_map(|place| Self::Abandoned { place }),
            1 => Just(Self::Recreated),
            3 => (place(), 0..STATUS_FIELDS.len())
                .prop_map(|(place, field)| Self::StatusFieldGone { place, field }),
            1 => place().prop_map(|place| Self::StatusGone { place }),
            2 => nth().prop_map(|place| Self::ChildGone { place }),
            2 => nth().prop_map(|place| Self::ChildChanged { place }),
            2 => nth().prop_map(|place| Self::TopicGone { place }),
            2 => nth().prop_map(|place| Self::TopicMadeAnew { place }),
            1 => nth().prop_map(|place| Self::TopicGrown { place }),
            1 => Just(Self::DatabaseGone),
            1 => Just(Self::DatabaseMadeAnew),
            1 => Whose::any().prop_map(Self::DatabaseBecomes),
            2 => (pipeline(), 0..9_u64).prop_map(|(place, records)| Self::Unstored { place, records }),
            1 => Just(Self::RetainedNoted),
            1 => select(vec![Self::KafkaIsAway, Self::ClickHouseIsAway, Self::PodsAreStuck]),
        ]
    }

    pub(super) fn happens_in(&self, world: &World) {
        match self {
            Self::TenantEdited(spec) => edit(world, RESOURCES[0], |tenant| tenant["spec"] = spec.clone()),
            Self::PipelineEdited { place, spec } => edit(world, RESOURCES[*place], |pipeline| {
                pipeline["spec"] = following(&pipeline["spec"], spec.clone());
            }),
            Self::Deleted { place } => {
                if world.object(RESOURCES[*place]).is_some() {
                    world.delete(RESOURCES[*place]);
                }
            }
            Self::TimePasses { place } => edit(world, RESOURCES[*place], let_time_pass),
            Self::Abandoned { place } => annotate(world, RESOURCES[*place], labels::ABANDON_EXTERNAL, "true"),
            Self::Recreated => {
                let tenant = world.object(RESOURCES[0]).unwrap_or_default();
                if let Some(known) = tenant["status"]["database"]["uuid"].as_str() {
                    annotate(world, RESOURCES[0], labels::RECREATE_DATABASE, known);
                }
            }
            Self::StatusFieldGone { place, field } => edit(world, RESOURCES[*place], |resource| {
                let status = resource["status"].as_object_mut();
                status.map(|status| status.remove(STATUS_FIELDS[*field]));
            }),
            Self::StatusGone { place } => edit(world, RESOURCES[*place], |resource| {
                resource["status"] = json!({"observedGeneration": -1});
            }),
            Self::ChildGone { place } => {
                if let Some(child) = nth_child(world, *place) {
                    world.delete(&child);
                }
            }
            Self::ChildChanged { place } => {
                if let Some(child) = nth_child(world, *place) {
                    edit(world, &child, spoil);
                }
            }
            Self::TopicGone { place } => with_topic(world, *place, |state, name| {
                state.topics.remove(name);
                state.topic_retentions.remove(name);
            }),
            Self::TopicMadeAnew { place } => with_topic(world, *place, |state, name| {
                let id = TopicId(Uuid::from_u128(800 + state.topics.len() as u128));
                state.topics.get_mut(name).unwrap().id = id;
            }),
            Self::TopicGrown { place } => with_topic(world, *place, |state, name| {
                state.topics.get_mut(name).unwrap().partitions += 30;
            }),
            Self::DatabaseGone => {
                let mut state = world.state();
                state.databases.remove(DATABASE);
                state.retentions.remove(DATABASE);
            }
            Self::DatabaseMadeAnew => {
                with_database(world, |database| database.uuid = Uuid::from_u128(900));
            }
            Self::DatabaseBecomes(whose) => {
                with_database(world, |database| database.comment = whose.comment());
            }
            Self::Unstored { place, records } => {
                let pipeline = world.object(RESOURCES[*place]).unwrap_or_default();
                if pipeline["status"]["consumerGroup"].is_string() {
                    world.leave_unstored(RESOURCES[*place], *records);
                }
            }
            Self::RetainedNoted => edit(world, RESOURCES[0], |tenant| {
                tenant["status"]["retainedTopics"] = json!([Uuid::from_u128(601).to_string()]);
            }),
            Self::KafkaIsAway => world.state().is_kafka_away = true,
            Self::ClickHouseIsAway => world.state().is_clickhouse_away = true,
            Self::PodsAreStuck => world.state().are_pods_stuck = true,
        }
    }
}

/// Something is done to the n-th of the topics that could be the tenant's.
fn with_topic(world: &World, place: usize, change: impl FnOnce(&mut State, &str)) {
    let mut state = world.state();
    let ours: Vec<String> = state.topics.keys().filter(|name| name.contains("acme")).cloned().collect();
    if !ours.is_empty() {
        change(&mut state, &ours[place % ours.len()]);
    }
}

fn with_database(world: &World, change: impl FnOnce(&mut Database)) {
    if let Some(database) = world.state().databases.get_mut(DATABASE) {
        change(database);
    }
}

fn edit(world: &World, key: &str, edit: impl FnOnce(&mut Value)) {
    if world.object(key).is_some() {
        world.edit(key, edit);
    }
}

fn annotate(world: &World, key: &str, annotation: &str, value: &str) {
    edit(world, key, |object| object["metadata"]["annotations"][annotation] = json!(value));
}

fn let_time_pass(pipeline: &mut Value) {
    const LONG_AGO: &str = "2026-01-01T00:00:00Z";
    for field in ["/status/drain/startedAt", "/metadata/deletionTimestamp"] {
        if let Some(time) = pipeline.pointer_mut(field).filter(|time| time.is_string()) {
            *time = json!(LONG_AGO);
        }
    }
}

/// An object that one of our resources owns.
fn nth_child(world: &World, place: usize) -> Option<String> {
    let state = world.state();
    let is_child = |key: &&String| {
        key.contains("/team/") && !state.objects[*key]["metadata"]["ownerReferences"].is_null()
    };
    let children: Vec<&String> = state.objects.keys().filter(is_child).collect();
    (!children.is_empty()).then(|| children[place % children.len()].clone())
}

/// Somebody's hand: another number of pods, no data, another label.
fn spoil(child: &mut Value) {
    if child["spec"]["replicas"].is_number() {
        child["spec"]["replicas"] = json!(9);
    }
    if child["data"].is_object() {
        child["data"] = json!({});
    }
    child["metadata"]["labels"]["app.kubernetes.io/part-of"] = json!("theirs");
}
