//! The custom resources on a real API server without an operator: what it accepts, what it refuses, and in which
//! words.

use std::sync::{Arc, Weak};
use std::time::Duration;

use crds::{AnalyticsTenant, Pipeline};
use harness::kubernetes::{Ground, manifest};
use harness::private_cluster::PrivateCluster;
use harness::wait::within;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use tokio::sync::Mutex;

const TEST: Duration = Duration::from_secs(120);

/// The one server of those tests of this file that run at the same time; it ends with the last of them.
static SERVER: Mutex<Weak<PrivateCluster>> = Mutex::const_new(Weak::new());

async fn server() -> anyhow::Result<Arc<PrivateCluster>> {
    let mut server = SERVER.lock().await;
    if let Some(running) = server.upgrade() {
        return Ok(running);
    }
    let started = Arc::new(PrivateCluster::start().await?);
    *server = Arc::downgrade(&started);
    Ok(started)
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Tenant,
    Pipeline,
}

/// Asks the server whether it would take the resource, as `kubectl apply --dry-run=server` does.
async fn ask(ground: &Ground, kind: Kind, name: &str, spec: &Value) -> Result<(), String> {
    let parameters = PatchParams {
        field_validation: Some(kube::api::ValidationDirective::Strict),
        ..PatchParams::apply("tests").force().dry_run()
    };
    let result = match kind {
        Kind::Tenant => {
            let manifest = manifest("AnalyticsTenant", name, spec.clone());
            ground.api::<AnalyticsTenant>().patch(name, &parameters, &Patch::Apply(&manifest)).await.map(drop)
        }
        Kind::Pipeline => {
            let manifest = manifest("Pipeline", name, spec.clone());
            ground.api::<Pipeline>().patch(name, &parameters, &Patch::Apply(&manifest)).await.map(drop)
        }
    };
    result.map_err(|error| error.to_string())
}

/// Compares each answer with what is expected: nothing, or a part of the server's message.
async fn check(ground: &Ground, kind: Kind, cases: &[(&str, Value, Option<&str>)]) {
    let mut wrong = Vec::new();
    for (name, spec, refusal) in cases {
        let answer = ask(ground, kind, name, spec).await;
        let is_right = match (&answer, refusal) {
            (Ok(()), None) => true,
            (Err(said), Some(expected)) => said.contains(expected),
            (Ok(()), Some(_)) | (Err(_), None) => false,
        };
        if !is_right {
            wrong.push(format!("{kind:?} {name} {spec}\n    expected {refusal:?}\n    got      {answer:?}"));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[tokio::test]
async fn rule_31_tenants_are_accepted_or_refused_with_a_message() -> anyhow::Result<()> {
    within(TEST, async {
        let server = server().await?;
        let ground = server.ground("tenants").await?;
        let longest = "a".repeat(40);
        let too_long = "a".repeat(41);
        let keys = |names: &[&str]| {
            let key = |name: &&str| json!({"name": name, "scopes": ["Ingest"]});
            json!({"apiKeys": names.iter().map(key).collect::<Vec<_>>()})
        };
        let ends = |end: &str| json!({"apiKeys": [{"name": "a", "scopes": ["Ingest"], "expiresAt": end}]});
        let brings =
            |from: Value| json!({"apiKeys": [{"name": "a", "scopes": ["Ingest"], "secretRef": from}]});
        let many: Vec<String> = (0..17).map(|number| format!("key-{number}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        check(
            &ground,
            Kind::Tenant,
            &[
                ("acme", json!({}), None),
                (&longest, json!({"tenantId": longest}), None),
                (&too_long, json!({}), Some("at most 40 characters")),
                ("a.b", json!({}), Some("must not contain a dot")),
                ("1acme", json!({}), Some("the name of an AnalyticsTenant must begin with a letter")),
                ("acme", json!({"tenantId": "00000000-0000-0000-0000-000000000000"}), None),
                ("acme", json!({"tenantId": too_long}), Some("tenantId")),
                ("acme", json!({"tenantId": "Acme"}), Some("tenantId")),
                ("acme", json!({"tenantId": "a_b"}), Some("tenantId")),
                ("acme", json!({"tenantId": ""}), Some("tenantId")),
                ("acme", json!({"displayName": "x".repeat(129)}), Some("displayName")),
                ("acme", json!({"retention": {"days": 30}}), None),
                ("acme", json!({"retention": {"hours": 24}}), None),
                (
                    "acme",
                    json!({"retention": {"days": 1, "hours": 24}}),
                    Some("exactly one of days and hours"),
                ),
                ("acme", json!({"retention": {}}), Some("exactly one of days and hours")),
                ("acme", json!({"retention": {"days": 0}}), Some("spec.retention.days")),
                ("acme", json!({"retention": {"days": 18251}}), Some("spec.retention.days")),
                ("acme", json!({"retention": {"hours": 438001}}), Some("spec.retention.hours")),
                ("acme", json!({"tier": "Free"}), None),
                ("acme", json!({"tier": "Paid", "retention": {"hours": 1}}), None),
                ("acme", json!({"tier": "Enterprise", "retention": {"days": 1}}), None),
                (
                    "acme",
                    json!({"tier": "Enterprise"}),
                    Some("retention must be set when tier is 'Enterprise': that plan has none of its own"),
                ),
                ("acme", json!({"tier": "Gold"}), Some("Unsupported value")),
                ("acme", json!({"tier": null}), Some("Unsupported value")),
                ("acme", keys(&["web", "mobile"]), None),
                ("acme", keys(&[]), None),
                ("acme", keys(&["web", "web"]), Some("uplicate")),
                ("acme", keys(&["Web"]), Some("apiKeys")),
                ("acme", keys(&many), Some("apiKeys")),
                ("acme", json!({"apiKeys": [{"name": "a", "scopes": []}]}), Some("scopes")),
                ("acme", json!({"apiKeys": [{"name": "a", "scopes": ["Write"]}]}), Some("Unsupported value")),
                ("acme", ends("2026-12-31T23:59:59Z"), None),
                ("acme", ends("2026-12-31T23:59:59.123456789+01:00"), None),
                ("acme", brings(json!({"name": "own.keys", "key": "token.txt"})), None),
                ("acme", brings(json!({"name": "own"})), Some("secretRef.key")),
                ("acme", brings(json!({"key": "token"})), Some("secretRef.name")),
                ("acme", brings(json!({"name": "Own", "key": "token"})), Some("secretRef.name")),
                ("acme", brings(json!({"name": "own", "key": "a/b"})), Some("secretRef.key")),
                ("acme", ends("2026-12-31"), Some("expiresAt")),
                ("acme", ends("2026-02-30T00:00:00Z"), Some("expiresAt")),
                ("acme", ends("2026-12-31T23:59:59"), Some("expiresAt")),
                ("acme", ends("2026-12-31T23:59:59+99:00"), Some("expiresAt")),
                ("acme", ends("9999-12-31T23:59:59Z"), Some("expiresAt")),
                ("acme", json!({"deletionPolicy": {"kafka": "Delete", "clickhouse": "Delete"}}), None),
                ("acme", json!({"deletionPolicy": {"kafka": "Keep"}}), Some("Unsupported value")),
                ("acme", json!({"deletionProtection": true}), None),
                ("acme", json!({"deletionProtection": "yes"}), Some("expected boolean")),
                ("acme", json!({"defaultPipeline": "None"}), None),
                ("acme", json!({"defaultPipeline": "Maybe"}), Some("Unsupported value")),
                ("acme", json!({"suspend": "None"}), None),
                ("acme", json!({"suspend": "Ingest"}), None),
                ("acme", json!({"suspend": "All"}), None),
                ("acme", json!({"suspend": "Consume"}), Some("Unsupported value")),
                ("acme", json!({"retenton": {"days": 1}}), Some("retenton")),
            ],
        )
        .await;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn rule_31_pipelines_are_accepted_or_refused_with_a_message() -> anyhow::Result<()> {
    within(TEST, async {
        let server = server().await?;
        let ground = server.ground("pipelines").await?;
        let longest = "p".repeat(48);
        let too_long = "p".repeat(49);
        let with = |field: &str, value: Value| json!({"tenantRef": {"name": "acme"}, field: value});
        check(
            &ground,
            Kind::Pipeline,
            &[
                ("web", json!({"tenantRef": {"name": "acme"}}), None),
                (&longest, json!({"tenantRef": {"name": "a".repeat(40)}}), None),
                (&too_long, json!({"tenantRef": {"name": "acme"}}), Some("at most 48 characters")),
                ("a.b", json!({"tenantRef": {"name": "acme"}}), Some("must not contain a dot")),
                ("1web", json!({"tenantRef": {"name": "acme"}}), Some("the name of a Pipeline must begin with a letter")),
                ("web", json!({}), Some("tenantRef")),
                ("web", json!({"tenantRef": {"name": ""}}), Some("tenantRef")),
                ("web", with("source", json!({"http": {}})), None),
                ("web", with("source", json!({"kafka": {"topic": "octane.events"}})), None),
                ("web", with("source", json!({"kafka": {"topic": "t", "format": "Json", "startFrom": "Latest", "fieldMap": {"id": "uuid", "eventName": "action"}}})), None),
                ("web", with("source", json!({"http": {}, "kafka": {"topic": "t"}})), Some("exactly one of source.http and source.kafka")),
                ("web", with("source", json!({})), Some("exactly one of source.http and source.kafka")),
                ("web", with("source", json!({"kafka": {}})), Some("spec.source.kafka.topic")),
                ("web", with("source", json!({"kafka": {"topic": "no name"}})), Some("spec.source.kafka.topic")),
                ("web", with("source", json!({"kafka": {"topic": "__consumer_offsets"}})), Some("not one of Kafka's own topics")),
                ("web", with("source", json!({"kafka": {"topic": "t", "format": "Avro"}})), Some("Unsupported value")),
                ("web", with("source", json!({"kafka": {"topic": "t", "startFrom": "Yesterday"}})), Some("Unsupported value")),
                ("web", with("source", json!({"kafka": {"topic": "t", "fieldMap": {"eventName": ""}}})), Some("eventName")),
                ("web", with("topic", json!({"partitions": 1000, "replicationFactor": 3, "minInsyncReplicas": 3})), None),
                ("web", with("topic", json!({"name": "millrace.acme.Orders_2"})), None),
                ("web", with("topic", json!({"name": "n".repeat(245)})), None),
                ("web", with("topic", json!({"name": "n".repeat(246)})), Some("spec.topic.name")),
                ("web", with("topic", json!({"name": ""})), Some("spec.topic.name")),
                ("web", with("topic", json!({"name": "no name"})), Some("spec.topic.name")),
                ("web", with("topic", json!({"name": "millrace.acme.web.dlq"})), Some("topic.name must not end with '.dlq'")),
                ("web", json!({"tenantRef": {"name": "acme"}, "source": {"kafka": {"topic": "t"}}, "topic": {"name": "n"}}), Some("topic.name must not be set with source.kafka")),
                ("web", with("topic", json!({"partitions": 0})), Some("spec.topic.partitions")),
                ("web", with("topic", json!({"partitions": 1001})), Some("spec.topic.partitions")),
                ("web", with("topic", json!({"replicationFactor": 7, "minInsyncReplicas": 7})), None),
                ("web", with("topic", json!({"replicationFactor": 0})), Some("spec.topic.replicationFactor")),
                ("web", with("topic", json!({"replicationFactor": 8})), Some("spec.topic.replicationFactor")),
                ("web", with("topic", json!({"minInsyncReplicas": 0})), Some("spec.topic.minInsyncReplicas")),
                ("web", with("topic", json!({"minInsyncReplicas": 8})), Some("spec.topic.minInsyncReplicas")),
                ("web", with("topic", json!({"replicationFactor": 1, "minInsyncReplicas": 2})), Some("must not be greater than topic.replicationFactor")),
                ("web", with("topic", json!({"retentionHours": 0})), Some("spec.topic.retentionHours")),
                ("web", with("topic", json!({"retentionHours": 876_000})), None),
                ("web", with("topic", json!({"retentionHours": 876_001})), Some("spec.topic.retentionHours")),
                ("web", with("ingester", json!({"replicas": 0})), None),
                ("web", with("ingester", json!({"replicas": -1})), Some("spec.ingester.replicas")),
                ("web", with("ingester", json!({"replicas": 100})), None),
                ("web", with("ingester", json!({"replicas": 101})), Some("spec.ingester.replicas")),
                ("web", with("ingester", json!({"resources": {"requests": {"cpu": "250m", "memory": "64Mi"}, "limits": {"memory": "1Gi"}}})), None),
                ("web", with("ingester", json!({"resources": {"limits": {"memory": "a lot"}}})), Some("memory")),
                ("web", with("ingester", json!({"resources": {"limits": {"memory": "1"}}})), Some("limits.memory must be 0, which is no limit, or at least 32Mi")),
                ("web", with("consumer", json!({"resources": {"limits": {"memory": "32Mi"}}})), None),
                ("web", with("consumer", json!({"resources": {"limits": {"memory": "0.03Gi"}}})), Some("limits.memory must be 0, which is no limit, or at least 32Mi")),
                ("web", with("consumer", json!({"resources": {"limits": {"memory": "0.001"}}})), Some("limits.memory must be 0, which is no limit, or at least 32Mi")),
                ("web", with("consumer", json!({"resources": {"limits": {"memory": "0"}}})), None),
                ("web", with("consumer", json!({"resources": {"limits": {"memory": "00"}}})), None),
                ("web", with("ingester", json!({"resources": {"limits": {"memory": "0.0"}}})), None),
                ("web", with("ingester", json!({"resources": {"limits": {"memory": "0Mi"}}})), None),
                ("web", with("consumer", json!({"resources": {"requests": {"memory": "64Mi"}, "limits": {"memory": "0"}}})), Some("requests.memory must not be greater than limits.memory")),
                ("web", with("consumer", json!({"resources": {"requests": {"memory": "1Gi"}, "limits": {"memory": "1000M"}}})), Some("requests.memory must not be greater than limits.memory")),
                ("web", with("consumer", json!({"resources": {"requests": {"cpu": "1500m"}, "limits": {"cpu": "1"}}})), Some("requests.cpu must not be greater than limits.cpu")),
                ("web", with("consumer", json!({"resources": {"requests": {"cpu": "1000m"}, "limits": {"cpu": "1", "memory": "1Gi"}}})), None),
                ("web", with("ingester", json!({"service": {"type": "NodePort", "annotations": {"a": "b"}}})), None),
                ("web", with("ingester", json!({"service": {"type": "ExternalName"}})), Some("Unsupported value")),
                ("web", with("ingester", json!({"ingress": {"hostname": "events.example.com", "tlsSecretName": "tls"}})), None),
                ("web", with("ingester", json!({"ingress": {"hostname": "Not a host"}})), Some("hostname")),
                ("web", with("ingester", json!({"ingress": {}})), Some("hostname")),
                ("web", with("ingester", json!({"service": {"annotations": {"a": "b".repeat(4097)}}})), Some("annotations")),
                ("web", with("consumer", json!({"replicas": 6})), None),
                ("web", with("consumer", json!({"replicas": 7})), Some("consumer.replicas must not be greater than topic.partitions")),
                ("web", json!({"tenantRef": {"name": "acme"}, "source": {"kafka": {"topic": "t"}}, "consumer": {"replicas": 7}}), None),
                ("web", with("consumer", json!({"replicas": 1001})), Some("spec.consumer.replicas")),
                ("web", with("consumer", json!({"audit": {}})), None),
                ("web", with("consumer", json!({"audit": {"sharePerMille": 0}})), None),
                ("web", with("consumer", json!({"audit": {"sharePerMille": 1000}})), None),
                ("web", with("consumer", json!({"audit": {"sharePerMille": 1001}})), Some("spec.consumer.audit.sharePerMille")),
                ("web", with("consumer", json!({"audit": {"sharePerMille": -1}})), Some("spec.consumer.audit.sharePerMille")),
                ("web", with("consumer", json!({"audit": {"share": 1}})), Some("share")),
                ("web", with("batch", json!({"maxRows": 1, "maxBytes": 1_048_576, "maxDelayMs": 10})), None),
                ("web", with("batch", json!({"maxRows": 1_000_000, "maxBytes": 268_435_456, "maxDelayMs": 60_000})), None),
                ("web", with("batch", json!({"maxRows": 0})), Some("spec.batch.maxRows")),
                ("web", with("batch", json!({"maxRows": 1_000_001})), Some("spec.batch.maxRows")),
                ("web", with("batch", json!({"maxBytes": 1_048_575})), Some("spec.batch.maxBytes")),
                ("web", with("batch", json!({"maxBytes": 268_435_457})), Some("spec.batch.maxBytes")),
                ("web", with("batch", json!({"maxDelayMs": 9})), Some("spec.batch.maxDelayMs")),
                ("web", with("batch", json!({"maxDelayMs": 60_001})), Some("spec.batch.maxDelayMs")),
                ("web", with("state", json!("Running")), None),
                ("web", with("state", json!("Paused")), None),
                ("web", with("state", json!("Stopped")), None),
                ("web", with("state", json!("Suspended")), Some("Unsupported value")),
                ("web", with("drainTimeoutSeconds", json!(0)), None),
                ("web", with("drainTimeoutSeconds", json!(3600)), None),
                ("web", with("drainTimeoutSeconds", json!(-1)), Some("spec.drainTimeoutSeconds")),
                ("web", with("drainTimeoutSeconds", json!(3601)), Some("spec.drainTimeoutSeconds")),
                ("web", with("deletionPolicy", json!({"kafka": "Delete"})), None),
                ("web", with("deletionPolicy", json!({"clickhouse": "Delete"})), Some("clickhouse")),
                ("web", with("replicas", json!(1)), Some("replicas")),
            ],
        )
        .await;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn names_that_kubernetes_refuses_in_a_service_or_an_ingress_are_refused() -> anyhow::Result<()> {
    within(TEST, async {
        let server = server().await?;
        let ground = server.ground("names").await?;
        let ingester = |value: Value| json!({"tenantRef": {"name": "acme"}, "ingester": value});
        let service = |key: &str| ingester(json!({"service": {"annotations": {key: "value"}}}));
        let ingress = |field: &str, value: Value| {
            let mut ingress = json!({"hostname": "events.example.com"});
            ingress[field] = value;
            ingester(json!({"ingress": ingress}))
        };
        let prefix = |length: usize| format!("{}/name", "p".repeat(length));
        let many: Value = (0..65).map(|number| (format!("key-{number}"), json!("value"))).collect();
        let a_key = Some("a key of annotations must be a name of at most 63");
        let [hostname, class, secret] =
            ["hostname", "className", "tlsSecretName"].map(|field| format!("spec.ingester.ingress.{field}"));
        check(
            &ground,
            Kind::Pipeline,
            &[
                ("web", service("service.beta.kubernetes.io/aws-load-balancer-type"), None),
                ("web", service("Example.COM/Some_name.of-1"), None),
                ("web", service(&"n".repeat(63)), None),
                ("web", service(&"n".repeat(64)), a_key),
                ("web", service(&prefix(253)), None),
                ("web", service(&prefix(254)), a_key),
                ("web", service(""), a_key),
                ("web", service("a key"), a_key),
                ("web", service("-name"), a_key),
                ("web", service("name."), a_key),
                ("web", service("/name"), a_key),
                ("web", service("example.com/"), a_key),
                ("web", service("example..com/name"), a_key),
                ("web", service("example-.com/name"), a_key),
                ("web", service("under_score.com/name"), a_key),
                ("web", service("example.com/a/b"), a_key),
                (
                    "web",
                    ingress("annotations", json!({"cert-manager.io/cluster-issuer": "letsencrypt"})),
                    None,
                ),
                ("web", ingress("annotations", json!({"good": "a", "not good": "b"})), a_key),
                ("web", ingress("annotations", many), Some("Too many")),
                ("web", ingress("hostname", json!("e")), None),
                ("web", ingress("hostname", json!("1.e--vents.example.com")), None),
                ("web", ingress("hostname", json!("events..example.com")), Some(&hostname)),
                ("web", ingress("hostname", json!(".example.com")), Some(&hostname)),
                ("web", ingress("hostname", json!("example.com.")), Some(&hostname)),
                ("web", ingress("hostname", json!("*.example.com")), Some(&hostname)),
                ("web", ingress("hostname", json!("events-.example.com")), Some(&hostname)),
                ("web", ingress("className", json!("nginx.internal-2")), None),
                ("web", ingress("className", json!("Nginx")), Some(&class)),
                ("web", ingress("className", json!("nginx..internal")), Some(&class)),
                ("web", ingress("className", json!("-nginx")), Some(&class)),
                ("web", ingress("className", json!("")), Some(&class)),
                ("web", ingress("tlsSecretName", json!("events.example.com-tls")), None),
                ("web", ingress("tlsSecretName", json!("events_tls")), Some(&secret)),
                ("web", ingress("tlsSecretName", json!("events..tls")), Some(&secret)),
                ("web", ingress("tlsSecretName", json!("events-tls.")), Some(&secret)),
                ("web", ingress("tlsSecretName", json!("t".repeat(254))), Some(&secret)),
            ],
        )
        .await;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn rule_33_what_kafka_and_clickhouse_cannot_change_cannot_be_changed() -> anyhow::Result<()> {
    within(TEST, async {
        let server = server().await?;
        let ground = server.ground("transitions").await?;
        ground.tenant("named", json!({"tenantId": "one", "retention": {"days": 30}})).await?;
        ground.tenant("unnamed", json!({})).await?;
        let fixed = "tenantId cannot be changed, added or removed later";
        check(
            &ground,
            Kind::Tenant,
            &[
                ("named", json!({"tenantId": "one", "retention": {"hours": 5}}), None),
                ("named", json!({"tenantId": "two"}), Some(fixed)),
                ("named", json!({}), Some(fixed)),
                ("unnamed", json!({"tenantId": "one"}), Some(fixed)),
                ("unnamed", json!({"displayName": "Acme"}), None),
                // A default that the server had filled in would stay beside these.
                ("unnamed", json!({"retention": {"hours": 24}}), None),
            ],
        )
        .await;

        let spec = |topic: Value| json!({"tenantRef": {"name": "acme"}, "topic": topic});
        ground.pipeline("web", spec(json!({"partitions": 3, "replicationFactor": 1}))).await?;
        ground.pipeline("plain", json!({"tenantRef": {"name": "acme"}})).await?;
        ground.pipeline("given", spec(json!({"name": "millrace.acme.a"}))).await?;
        let name = "topic.name cannot be changed, added or removed later";
        let foreign = |source: Value| json!({"tenantRef": {"name": "acme"}, "source": {"kafka": source}});
        ground.pipeline("foreign", foreign(json!({"topic": "a"}))).await?;
        let source = "source cannot be changed";
        let copies = "topic.replicationFactor cannot be changed, added or removed later";
        check(
            &ground,
            Kind::Pipeline,
            &[
                ("web", spec(json!({"partitions": 4, "replicationFactor": 1})), None),
                (
                    "web",
                    spec(json!({"partitions": 2, "replicationFactor": 1})),
                    Some("topic.partitions cannot be lowered"),
                ),
                ("web", spec(json!({"partitions": 3, "replicationFactor": 2})), Some(copies)),
                ("web", spec(json!({"partitions": 3})), Some(copies)),
                ("plain", spec(json!({"replicationFactor": 1})), Some(copies)),
                ("given", spec(json!({"name": "millrace.acme.a", "partitions": 7})), None),
                ("given", spec(json!({"name": "millrace.acme.b"})), Some(name)),
                ("given", spec(json!({})), Some(name)),
                ("plain", spec(json!({"name": "millrace.acme.plain"})), Some(name)),
                ("plain", json!({"tenantRef": {"name": "other"}}), Some("tenantRef cannot be changed")),
                ("plain", spec(json!({"retentionHours": 1})), None),
                ("foreign", foreign(json!({"topic": "a", "startFrom": "Earliest"})), None),
                ("foreign", foreign(json!({"topic": "b"})), Some(source)),
                ("foreign", foreign(json!({"topic": "a", "startFrom": "Latest"})), Some(source)),
                ("foreign", foreign(json!({"topic": "a", "fieldMap": {"id": "uuid"}})), Some(source)),
                ("foreign", json!({"tenantRef": {"name": "acme"}, "source": {"http": {}}}), Some("source")),
            ],
        )
        .await;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn kubectl_explains_every_resource_and_knows_its_short_names() -> anyhow::Result<()> {
    within(TEST, async {
        let server = server().await?;
        // What kubectl remembered when it made the definitions does not have them.
        let cache = tempfile::TempDir::new()?;
        let cache = format!("--cache-dir={}", cache.path().display());
        for (short, field) in [("atn", "retention"), ("apl", "topic")] {
            let text = server.kubectl(&["explain", &format!("{short}.spec.{field}"), &cache]).await?;
            assert!(text.contains("DESCRIPTION"), "{text}");
        }
        let ours = ["--api-group=analytics.millrace.dev", "--categories=analytics"];
        let listed = server.kubectl(&["api-resources", ours[0], ours[1], "--output=name", &cache]).await?;
        assert_eq!(listed.lines().count(), 2, "{listed}");
        Ok(())
    })
    .await
}
