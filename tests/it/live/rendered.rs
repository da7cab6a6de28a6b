//! What single values of the chart come to, read from `helm template` and shown to an API server.

use std::io::Write as _;
use std::time::Duration;

use harness::chart::{self, NAMESPACE};
use harness::private_cluster::PrivateCluster;
use harness::wait::within;
use serde_json::{Value, json};

const TEST: Duration = Duration::from_secs(120);

/// The smallest values that the chart takes. Nothing is installed, so the images need not exist.
pub(super) fn smallest() -> Value {
    json!({
        "kafka": {"bootstrapServers": "kafka.example.com:9092"},
        "clickhouse": {
            "url": "http://clickhouse.example.com:8123",
            "existingSecret": "clickhouse",
            "allowSharedCredentials": true,
        },
        "images": {"registry": "registry.example.com"},
    })
}

/// The smallest values and these.
fn with(more: &Value) -> Value {
    let mut values = smallest();
    merge(&mut values, more);
    values
}

fn merge(into: &mut Value, more: &Value) {
    match (into, more) {
        (Value::Object(into), Value::Object(more)) => {
            for (name, value) in more {
                merge(into.entry(name).or_insert(Value::Null), value);
            }
        }
        (into, more) => *into = more.clone(),
    }
}

fn digest(character: char) -> String {
    format!("sha256:{}", character.to_string().repeat(64))
}

/// A value and what it adds to the manifests. Without the value, none of it is there.
fn additions() -> Vec<(Value, Vec<&'static str>)> {
    vec![
        (
            json!({"rbac": {"aggregate": true}, "kafka": {"sourceTopics": []}}),
            vec![
                "--source-topics=[]",
                r#"rbac.authorization.k8s.io/aggregate-to-view: "true""#,
                r#"rbac.authorization.k8s.io/aggregate-to-edit: "true""#,
                r#"rbac.authorization.k8s.io/aggregate-to-admin: "true""#,
            ],
        ),
        (json!({"kafka": {"sourceTopics": ["shop.*"]}}), vec![r#"--source-topics=[\"shop.*\"]"#]),
        (
            json!({"deletionProtection": {"admissionPolicy": true}}),
            vec![
                "kind: ValidatingAdmissionPolicy\n",
                "kind: ValidatingAdmissionPolicyBinding\n",
                "oldObject.spec.tier in ['Enterprise']",
            ],
        ),
        (
            json!({
                "deletionProtection": {"admissionPolicy": true},
                "watchNamespaces": ["red"],
                "plans": {"paid": {"deletionProtection": true}, "enterprise": {"deletionProtection": false}},
            }),
            vec!["oldObject.spec.tier in ['Paid']", r#"values: ["red"]"#],
        ),
        (
            json!({"images": {
                "operator": {"digest": digest('a')},
                "ingester": {"digest": digest('b')},
                "consumer": {"digest": digest('c')},
            }}),
            vec![
                "image: \"registry.example.com/millrace/operator:0.1.0@sha256:aaaa",
                "--ingester-image=registry.example.com/millrace/ingester:0.1.0@sha256:bbbb",
                "--consumer-image=registry.example.com/millrace/consumer:0.1.0@sha256:cccc",
            ],
        ),
        (json!({"watchNamespaces": ["red"]}), vec!["namespace: red\n", "--watch-namespace=red"]),
        (
            json!({"networkPolicies": {"enabled": true}}),
            vec![
                "kind: NetworkPolicy",
                r#"--network-policies={\"clickhousePorts\":[8123],\"kafkaPorts\":[9092]}"#,
                "- port: 6443\n",
                "- port: 9092\n",
                "- port: 8123\n",
            ],
        ),
        (
            json!({
                "kafka": {"bootstrapServers": "a.example.com:9092,[fd00::1]:9094,c.example.com:9094"},
                "clickhouse": {"url": "https://clickhouse.example.com/"},
                "networkPolicies": {"enabled": true, "monitoringNamespace": "monitoring"},
            }),
            vec![
                r#"{\"clickhousePorts\":[443],\"kafkaPorts\":[9092,9094],\"monitoringNamespace\":\"monitoring\"}"#,
                r#"kubernetes.io/metadata.name: "monitoring""#,
            ],
        ),
        (
            json!({"networkPolicies": {
                "enabled": true, "kafkaPorts": [9093], "clickhousePorts": [8443], "apiServerPorts": [8444],
            }}),
            vec![
                r#"{\"clickhousePorts\":[8443],\"kafkaPorts\":[9093]}"#,
                "- port: 8444\n",
                "- port: 9093\n",
                "- port: 8443\n",
            ],
        ),
        (json!({"operator": {"replicas": 0}}), vec!["  replicas: 0\n  strategy:\n    # Nobody stands by"]),
        (
            json!({"operator": {"replicas": 2}}),
            vec![
                "  replicas: 2\n  strategy:\n    # One at a time",
                "type: RollingUpdate",
                "maxSurge: 0",
                "kind: PodDisruptionBudget\n",
                "topologyKey: kubernetes.io/hostname\n",
                "topologyKey: topology.kubernetes.io/zone\n",
            ],
        ),
        (
            json!({"clickhouse": {
                "accessManagement": "Sql", "allowSharedCredentials": false, "users": {"networks": ["10.0.0.0/8"]},
            }}),
            vec![
                "- --clickhouse-access-management=Sql",
                r#"--clickhouse-users={\"networks\":[\"10.0.0.0/8\"],\"reader\":{"#,
                r#"\"maxResultRows\":1000000"#,
            ],
        ),
        (json!({"operator": {"recheckSeconds": 60}}), vec!["--recheck-seconds=60\""]),
        (
            json!({"operator": {"podLabels": {"team": "data"}, "podAnnotations": {"example.com/owner": "data"}}}),
            vec!["        team: data\n", "      annotations:\n        example.com/owner: data\n"],
        ),
        (
            json!({"operator": {"affinity": {"nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
                    {"matchExpressions": [{"key": "example.com/pool", "operator": "Exists"}]},
                ]},
            }}}}),
            vec!["      affinity:\n        nodeAffinity:\n", "key: example.com/pool\n"],
        ),
        (json!({"operator": {"priorityClassName": "platform"}}), vec![r#"priorityClassName: "platform""#]),
        (json!({"dataPlane": {"priorityClassName": "events"}}), vec!["--priority-class-name=events"]),
        (
            json!({"plans": {"free": {"retentionHours": 1}, "paid": {"maxRetentionHours": null}}}),
            vec![
                r#"\"free\":{\"deletionProtection\":false,\"maxRetentionHours\":24,\"retentionHours\":1}"#,
                r#"\"paid\":{\"deletionProtection\":false,\"retentionHours\":2160}"#,
            ],
        ),
    ]
}

#[tokio::test]
async fn each_value_adds_its_lines_and_none_is_there_without_it() -> anyhow::Result<()> {
    within(TEST, async {
        let plain = chart::template(NAMESPACE, &smallest()).await?;
        for (more, expected) in additions() {
            let rendered = chart::template(NAMESPACE, &with(&more)).await?;
            for line in expected {
                assert!(rendered.contains(line), "{more} does not make `{line}`:\n{rendered}");
                assert!(!plain.contains(line), "`{line}` is there without {more}");
            }
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_value_that_no_cluster_would_take_is_refused_with_its_name() -> anyhow::Result<()> {
    within(TEST, async {
        let cases = [
            (json!({"watchNamespaces": ["Red"]}), "watchNamespaces"),
            (json!({"watchNamespaces": ["red", "red"]}), "watchNamespaces"),
            (json!({"watchNamespaces": "red"}), "watchNamespaces"),
            (json!({"rbac": {"roles": "no"}}), "roles"),
            (json!({"rbac": {"aggregate": true}}), "kafka.sourceTopics is required with rbac.aggregate"),
            (json!({"kafka": {"sourceTopics": ["a*b"]}}), "sourceTopics"),
            (json!({"kafka": {"sourceTopics": "shop.*"}}), "sourceTopics"),
            (json!({"deletionProtection": {"admissionPolicy": "yes"}}), "admissionPolicy"),
            (json!({"images": {"consumer": {"digest": "sha256:abc"}}}), "digest"),
            (json!({"clickhouse": {"accessManagement": "sql"}}), "accessManagement"),
            (json!({"clickhouse": {"allowSharedCredentials": false}}), "accessManagement Sql"),
            (json!({"clickhouse": {"users": {"networks": ["example.com"]}}}), "networks"),
            (json!({"clickhouse": {"users": {"reader": {"maxThreads": 0}}}}), "maxThreads"),
            (json!({"rbac": {"aggregate": "yes"}}), "aggregate"),
            (json!({"rbac": {"aggregated": true}}), "aggregated"),
            (json!({"operator": {"priorityClassName": "Not_A_Name"}}), "priorityClassName"),
            (json!({"operator": {"replicas": -1}}), "replicas"),
            (json!({"operator": {"recheckSeconds": 0}}), "recheckSeconds"),
            (json!({"operator": {"recheckSeconds": 3601}}), "recheckSeconds"),
            (json!({"operator": {"affinity": {"nodes": {}}}}), "affinity"),
            (json!({"operator": {"podAnnotations": {"a": 1}}}), "podAnnotations"),
            (
                json!({"operator": {"podLabels": {"app.kubernetes.io/component": "other"}}}),
                "operator.podLabels must not have app.kubernetes.io/component",
            ),
            (json!({"dataPlane": {"priorityClassName": "-"}}), "priorityClassName"),
            (json!({"networkPolicies": {"kafkaPorts": [0]}}), "kafkaPorts"),
            (json!({"networkPolicies": {"clickhousePorts": ["http"]}}), "clickhousePorts"),
            (json!({"networkPolicies": {"apiServerPorts": []}}), "apiServerPorts"),
            (json!({"networkPolicies": {"monitoringNamespace": "a.b"}}), "monitoringNamespace"),
            (
                json!({"plans": {"free": {"maxRetentionHours": 23}}}),
                "plans.free.retentionHours must not be greater",
            ),
            (json!({"plans": {"free": {"retentionHours": null}}}), "plans.free.retentionHours is required"),
            (json!({"plans": {"paid": {"retentionHours": 438_001}}}), "retentionHours"),
            (json!({"plans": {"paid": null}}), "paid"),
            (json!({"plans": {"enterprise": {"retentionHours": 1}}}), "retentionHours"),
            (json!({"plans": {"enterprise": {"deletionProtection": "no"}}}), "deletionProtection"),
        ];
        for (more, expected) in cases {
            let said = chart::template(NAMESPACE, &with(&more)).await.map_err(|error| error.to_string());
            assert!(said.as_ref().is_err_and(|said| said.contains(expected)), "{more}: {said:?}");
        }
        Ok(())
    })
    .await
}

/// How many manifests begin with a kind that belongs to the whole cluster.
fn of_the_cluster(rendered: &str) -> usize {
    rendered.matches("\nkind: Cluster").count()
}

#[tokio::test]
async fn with_named_namespaces_nothing_but_the_roles_of_people_belongs_to_the_cluster() -> anyhow::Result<()>
{
    within(TEST, async {
        let render = async |more: Value| {
            let mut values = with(&more);
            values["crds"] = json!({"install": false});
            chart::template(NAMESPACE, &values).await
        };
        assert_eq!(of_the_cluster(&render(json!({})).await?), 5, "a role, its binding, three of people");
        let named = json!({"watchNamespaces": ["red", "blue"]});
        assert_eq!(of_the_cluster(&render(named).await?), 3);
        let alone = json!({"watchNamespaces": ["red", "blue"], "rbac": {"roles": false}});
        let alone = render(alone).await?;
        assert_eq!(of_the_cluster(&alone), 0);
        assert_eq!(alone.matches("  namespace: blue\n").count(), 2, "a Role and its binding");
        Ok(())
    })
    .await
}

/// As with `helm upgrade --reuse-values` from a chart that did not know them.
#[tokio::test]
async fn values_that_an_older_chart_did_not_have_may_be_absent() -> anyhow::Result<()> {
    within(TEST, async {
        let plain = chart::template(NAMESPACE, &smallest()).await?;
        let absent = with(&json!({
            "watchNamespaces": null,
            "deletionProtection": null,
            "rbac": null,
            "networkPolicies": null,
            "operator": {
                "priorityClassName": null,
                "replicas": null,
                "recheckSeconds": null,
                "affinity": null,
                "podLabels": null,
                "podAnnotations": null,
            },
            "dataPlane": {"priorityClassName": null},
        }));
        assert_eq!(chart::template(NAMESPACE, &absent).await?, plain);
        let without_plans = chart::template(NAMESPACE, &with(&json!({"plans": null}))).await?;
        assert!(!without_plans.contains("--plans="), "the operator has the same by itself");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn every_value_at_once_passes_a_strict_server_side_dry_run() -> anyhow::Result<()> {
    within(TEST, async {
        let mut values = smallest();
        for (more, _) in additions() {
            merge(&mut values, &more);
        }
        let mut file = tempfile::NamedTempFile::with_suffix(".yaml")?;
        file.write_all(chart::template(NAMESPACE, &values).await?.as_bytes())?;
        let path = file.path().display().to_string();
        let cluster = PrivateCluster::start().await?;
        for namespace in [NAMESPACE, "red"] {
            cluster.kubectl(&["create", "namespace", namespace]).await?;
        }
        let words =
            ["apply", "--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict", "-f"];
        let said = cluster.kubectl(&[words.as_slice(), &[path.as_str()]].concat()).await?;
        for kind in ["deployment.apps", "networkpolicy.networking", "clusterrole.rbac"] {
            assert!(said.contains(kind), "{said}");
        }
        Ok(())
    })
    .await
}
