//! What single values of the chart come to, read from `helm template`.

use std::time::Duration;

use harness::chart::{self, NAMESPACE};
use harness::wait::within;
use serde_json::{Value, json};

const TEST: Duration = Duration::from_secs(60);

/// The smallest values that the chart takes. Nothing is installed, so the images need not exist.
fn smallest() -> Value {
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

/// A value and what it adds to the manifests. Without the value, none of it is there.
fn additions() -> Vec<(Value, Vec<&'static str>)> {
    vec![
        (
            json!({"rbac": {"aggregate": true}}),
            vec![
                r#"rbac.authorization.k8s.io/aggregate-to-view: "true""#,
                r#"rbac.authorization.k8s.io/aggregate-to-edit: "true""#,
                r#"rbac.authorization.k8s.io/aggregate-to-admin: "true""#,
            ],
        ),
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
        (json!({"operator": {"priorityClassName": "platform"}}), vec![r#"priorityClassName: "platform""#]),
        (json!({"dataPlane": {"priorityClassName": "events"}}), vec!["--priority-class-name=events"]),
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

/// As with `helm upgrade --reuse-values` from a chart that did not know them.
#[tokio::test]
async fn values_that_an_older_chart_did_not_have_may_be_absent() -> anyhow::Result<()> {
    within(TEST, async {
        let plain = chart::template(NAMESPACE, &smallest()).await?;
        let absent = with(&json!({
            "rbac": null,
            "networkPolicies": null,
            "operator": {"priorityClassName": null},
            "dataPlane": {"priorityClassName": null},
        }));
        assert_eq!(chart::template(NAMESPACE, &absent).await?, plain);
        Ok(())
    })
    .await
}
