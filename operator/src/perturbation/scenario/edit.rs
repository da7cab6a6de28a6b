//! Edits of specs, and of what was made from them.

use serde_json::json;

use super::{ACME, ACME_DEFAULT, Scenario, Step, consent, of_acme, set};
use crate::testing::{ACME_KEYS, World};

const INGESTER: &str = "deployments/team/acme-default-ingester";
const SETTINGS: &str = "secrets/team/acme-default-settings";

pub(super) fn all() -> Vec<Scenario> {
    let mut all = of_the_tenant();
    all.extend(of_the_pipeline());
    all.extend(by_hand());
    all
}

fn of_the_tenant() -> Vec<Scenario> {
    vec![
        of_acme(
            "retention of the tenant",
            vec![
                Step::Edit(ACME, |tenant| set(tenant, "retention", json!({"days": 100}))),
                Step::Edit(ACME, |tenant| set(tenant, "retention", json!({"hours": 24}))),
                Step::Edit(ACME, |tenant| consent(tenant, "2400-to-24")),
                Step::Edit(ACME, |tenant| tenant["metadata"]["annotations"] = json!({})),
            ],
        ),
        of_acme(
            "api keys",
            vec![
                Step::Edit(ACME, |tenant| {
                    let keys = json!([
                        {"name": "default", "scopes": ["Ingest"]}, {"name": "reports", "scopes": ["Query"]},
                    ]);
                    set(tenant, "apiKeys", keys);
                }),
                Step::Edit(ACME, |tenant| {
                    set(tenant, "apiKeys", json!([{"name": "reports", "scopes": ["Query"]}]));
                }),
                Step::Edit(ACME, |tenant| set(tenant, "apiKeys", json!([]))),
            ],
        ),
        of_acme(
            "default pipeline off and on",
            vec![
                Step::Edit(ACME, |tenant| set(tenant, "defaultPipeline", json!("None"))),
                Step::Edit(ACME, |tenant| set(tenant, "defaultPipeline", json!("Managed"))),
            ],
        ),
        of_acme(
            "refused and mended",
            vec![
                Step::Edit(ACME, |tenant| set(tenant, "retention", json!({}))),
                Step::Edit(ACME, |tenant| set(tenant, "retention", json!({"days": 90}))),
            ],
        ),
    ]
}

fn of_the_pipeline() -> Vec<Scenario> {
    vec![
        of_acme(
            "replicas",
            vec![
                Step::Edit(ACME_DEFAULT, |pipeline| {
                    set(pipeline, "ingester", json!({"replicas": 3}));
                    set(pipeline, "consumer", json!({"replicas": 3}));
                }),
                Step::Edit(ACME_DEFAULT, |pipeline| {
                    set(pipeline, "ingester", json!({"replicas": 0}));
                    set(pipeline, "consumer", json!({"replicas": 0}));
                }),
            ],
        ),
        of_acme(
            "batch",
            vec![Step::Edit(ACME_DEFAULT, |pipeline| set(pipeline, "batch", json!({"maxRows": 1000})))],
        ),
        of_acme(
            "ingress on and off",
            vec![
                Step::Edit(ACME_DEFAULT, |pipeline| {
                    set(pipeline, "ingester", json!({"ingress": {"hostname": "events.example.com"}}));
                }),
                Step::Edit(ACME_DEFAULT, |pipeline| set(pipeline, "ingester", json!({}))),
            ],
        ),
        of_acme(
            "topic",
            vec![
                Step::Edit(ACME_DEFAULT, |pipeline| set(pipeline, "topic", json!({"partitions": 24}))),
                Step::Edit(ACME_DEFAULT, |pipeline| {
                    set(pipeline, "topic", json!({"partitions": 24, "retentionHours": 1000}));
                }),
                Step::Edit(ACME_DEFAULT, |pipeline| {
                    set(pipeline, "topic", json!({"partitions": 24, "retentionHours": 2}));
                }),
                Step::Edit(ACME_DEFAULT, |pipeline| consent(pipeline, "1000-to-2")),
            ],
        ),
        of_acme(
            "audit",
            vec![Step::Edit(ACME_DEFAULT, |pipeline| {
                set(pipeline, "consumer", json!({"audit": {"sharePerMille": 7}}));
            })],
        ),
    ]
}

/// What others change is put right.
fn by_hand() -> Vec<Scenario> {
    vec![
        of_acme(
            "children changed by hand",
            vec![
                Step::Edit(INGESTER, |deployment| deployment["spec"]["replicas"] = json!(9)),
                Step::Edit(SETTINGS, |secret| secret["data"] = json!({})),
                Step::Edit(ACME_KEYS, |secret| secret["data"] = json!({})),
            ],
        ),
        of_acme("a child deleted by hand", vec![Step::Delete(INGESTER), Step::Delete(SETTINGS)]),
        of_acme("a managed pipeline deleted by hand", vec![Step::Delete(ACME_DEFAULT)]),
        of_acme(
            "settings of the table changed by hand",
            vec![Step::Happens(|world| {
                world.state().changed_settings.insert("t_team_acme".to_owned());
            })],
        ),
        of_acme(
            "topics gone",
            vec![Step::Happens(|world| {
                let mut state = world.state();
                state.topics.clear();
                state.topic_retentions.clear();
            })],
        ),
        of_acme(
            "topics away with their kafka and back",
            vec![Step::Happens(change_kafka), Step::Happens(change_kafka)],
        ),
        of_acme(
            "a database gone and begun anew",
            vec![
                Step::Happens(|world| {
                    let mut state = world.state();
                    state.databases.clear();
                    state.retentions.clear();
                }),
                Step::Edit(ACME, |tenant| {
                    let known = tenant["status"]["database"]["uuid"].clone();
                    tenant["metadata"]["annotations"][crate::labels::RECREATE_DATABASE] = known;
                }),
            ],
        ),
    ]
}

/// The operator is pointed at the other one of two clusters of Kafka, which is empty at first. What is there meanwhile
/// is kept under names that nobody asks for.
fn change_kafka(world: &World) {
    const ELSEWHERE: &str = "elsewhere/";
    let mut state = world.state();
    state.topics = std::mem::take(&mut state.topics)
        .into_iter()
        .map(|(name, topic)| match name.strip_prefix(ELSEWHERE) {
            Some(name) => (name.to_owned(), topic),
            None => (format!("{ELSEWHERE}{name}"), topic),
        })
        .collect();
}
