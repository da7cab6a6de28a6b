use k8s_openapi::api::core::v1::PodSpec;
use runtime::telemetry::LogFormat;
use schema::settings::{AuditSettings, CONSUMER_ENTRY, ConsumerSettings, INGESTER_ENTRY, IngesterSettings};
use uuid::Uuid;

use super::{
    super::validate::{
        tests::{fetched, pipeline},
        validate,
    },
    *,
};
use crate::{args::Options, installation};

fn id() -> TopicId {
    TopicId(Uuid::from_u128(1))
}

fn built_in(installation: &Installation, spec: &str) -> Desired {
    let validated = validate(installation, &pipeline(spec), &fetched()).unwrap();
    build(installation, &validated, Some(id()), running(Runnable::All)).unwrap()
}

/// The pods of a Pipeline that is not stopped.
fn running(runnable: Runnable) -> WantedPods {
    wanted_pods(runnable, &Wish::Run)
}

fn built(spec: &str) -> Desired {
    built_in(&installation::tests::plain(), spec)
}

/// An installation that uses every option of the data plane.
fn elaborate() -> Installation {
    let options: Options = clap::Parser::parse_from([
        "operator",
        "--kafka-bootstrap-servers=kafka:9092",
        "--clickhouse-url=http://clickhouse:8123",
        "--ingester-image=ingester:1",
        "--consumer-image=consumer:1",
        "--image-pull-policy=Always",
        "--image-pull-secret=registry",
        r#"--node-selector={"disk":"fast"}"#,
        r#"--tolerations=[{"key":"dedicated","operator":"Exists","effect":"NoSchedule"}]"#,
        "--priority-class-name=events",
        r#"--network-policies={"kafkaPorts":[9092,9093],"clickhousePorts":[8443],"monitoringNamespace":"monitoring"}"#,
        "--log-format=json",
    ]);
    Installation::load(&options).unwrap()
}

const EVERYTHING: &str = "
ingester: {replicas: 3, resources: {requests: {cpu: 250m, memory: 128Mi}, limits: {memory: 1Gi}},
  service: {type: LoadBalancer, annotations: {cloud.example.com/scheme: internal}},
  ingress: {hostname: events.example.com, className: nginx, tlsSecretName: tls, annotations: {a.example.com/b: c}}},
consumer: {replicas: 2}";

#[test]
fn without_a_topic_there_is_nothing_to_build() {
    let installation = installation::tests::plain();
    let validated = validate(&installation, &pipeline(""), &fetched()).unwrap();
    assert!(build(&installation, &validated, None, running(Runnable::All)).is_none());
}

#[test]
fn beside_a_foreign_dead_letter_topic_no_consumer_runs() {
    let installation = installation::tests::plain();
    let validated = validate(&installation, &pipeline("consumer: {replicas: 2}"), &fetched()).unwrap();
    let desired = build(&installation, &validated, Some(id()), running(Runnable::IngesterOnly)).unwrap();
    let replicas = |deployment: Deployment| deployment.spec.unwrap().replicas;
    assert_eq!(
        (replicas(desired.http.unwrap().ingester.unwrap()), replicas(desired.consumer)),
        (Some(2), Some(0))
    );
    assert!(desired.consumer_budget.is_none());
    assert!(build(&installation, &validated, Some(id()), running(Runnable::Nothing)).is_none());
}

#[test]
fn the_ingester_of_the_smallest_pipeline() {
    insta::assert_yaml_snapshot!(built("").http.unwrap().ingester.unwrap());
}

#[test]
fn the_consumer_of_the_smallest_pipeline() {
    insta::assert_yaml_snapshot!(built("").consumer);
}

#[test]
fn the_service_of_the_smallest_pipeline() {
    insta::assert_yaml_snapshot!(built("").http.unwrap().service);
}

#[test]
fn a_pipeline_that_asks_for_everything() {
    let desired = built_in(&elaborate(), EVERYTHING);
    let http = desired.http.unwrap();
    insta::assert_yaml_snapshot!("everything_ingester", http.ingester);
    insta::assert_yaml_snapshot!("everything_service", http.service);
    insta::assert_yaml_snapshot!("everything_ingress", http.ingress);
    insta::assert_yaml_snapshot!("everything_ingester_budget", http.budget);
    insta::assert_yaml_snapshot!("everything_consumer_budget", desired.consumer_budget);
    insta::assert_yaml_snapshot!("everything_ingester_policy", http.policy);
    insta::assert_yaml_snapshot!("everything_consumer_policy", desired.consumer_policy);
    assert_eq!(http.endpoint, "https://events.example.com");
}

#[test]
fn without_network_policies_in_the_installation_there_are_none() {
    let desired = built(EVERYTHING);
    assert!(desired.http.unwrap().policy.is_none() && desired.consumer_policy.is_none());
}

/// A policy that selects no pods would close and open nothing.
#[test]
fn the_policies_are_those_of_the_pods() {
    let desired = built_in(&elaborate(), "");
    let http = desired.http.unwrap();
    for (deployment, policy) in
        [(http.ingester.unwrap(), http.policy), (desired.consumer, desired.consumer_policy)]
    {
        let pods = deployment.spec.unwrap().template.metadata.unwrap().labels.unwrap();
        let selected = policy.unwrap().spec.unwrap().pod_selector.unwrap().match_labels.unwrap();
        assert!(!selected.is_empty() && selected.iter().all(|(key, value)| pods.get(key) == Some(value)));
    }
}

#[test]
fn metrics_are_open_to_all_where_no_namespace_is_named() {
    let mut installation = elaborate();
    installation.data_plane.network_policies.as_mut().unwrap().monitoring_namespace = None;
    let rules = built_in(&installation, "").consumer_policy.unwrap().spec.unwrap().ingress.unwrap();
    assert!(rules.len() == 1 && rules[0].from.is_none(), "{rules:?}");
}

#[test]
fn a_single_pod_has_no_budget_that_would_hold_up_a_drain() {
    let desired = built("ingester: {replicas: 1}, consumer: {replicas: 1}");
    assert!(desired.http.unwrap().budget.is_none() && desired.consumer_budget.is_none());
}

#[test]
fn every_pod_is_restricted() {
    for installation in [installation::tests::plain(), elaborate()] {
        for spec in ["", EVERYTHING] {
            let desired = built_in(&installation, spec);
            for deployment in [desired.http.unwrap().ingester.unwrap(), desired.consumer] {
                assert_restricted(&deployment.spec.unwrap().template.spec.unwrap());
            }
        }
    }
}

/// The rules of <https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted>, and more.
fn assert_restricted(pod: &PodSpec) {
    let security = pod.security_context.as_ref().unwrap();
    assert_eq!((security.run_as_non_root, security.run_as_user), (Some(true), Some(65_532)));
    assert_eq!(security.seccomp_profile.as_ref().unwrap().type_, "RuntimeDefault");
    assert_eq!(pod.automount_service_account_token, Some(false));
    assert!(pod.host_network.is_none() && pod.host_pid.is_none() && pod.host_ipc.is_none());
    assert!(pod.volumes.iter().flatten().all(|volume| volume.secret.is_some()), "{:?}", pod.volumes);
    assert!(pod.init_containers.is_none() && pod.ephemeral_containers.is_none());
    for container in &pod.containers {
        let security = container.security_context.as_ref().unwrap();
        assert_eq!(security.allow_privilege_escalation, Some(false));
        assert_eq!(security.capabilities.as_ref().unwrap().drop, Some(vec!["ALL".to_owned()]));
        assert_eq!(security.capabilities.as_ref().unwrap().add, None);
        assert_eq!((security.read_only_root_filesystem, security.privileged), (Some(true), None));
        assert!(container.ports.iter().flatten().all(|port| port.host_port.is_none()));
        assert!(
            container.startup_probe.is_some()
                && container.liveness_probe.is_some()
                && container.readiness_probe.is_some()
        );
    }
}

fn entry<T: serde::de::DeserializeOwned>(desired: &Desired, name: &str) -> T {
    serde_json::from_slice(&desired.settings.data.as_ref().unwrap()[name].0).unwrap()
}

#[test]
fn the_audit_takes_the_share_that_the_pipeline_says() {
    for (spec, share) in [
        ("", 10),
        ("consumer: {replicas: 2}", 10),
        ("consumer: {audit: {}}", 10),
        ("consumer: {audit: {sharePerMille: 0}}", 0),
        ("consumer: {audit: {sharePerMille: 1000}}", 1_000),
        ("consumer: {audit: {sharePerMille: -1}}", 10),
    ] {
        let settings = entry::<ConsumerSettings>(&built(spec), CONSUMER_ENTRY);
        assert_eq!(
            settings.audit,
            AuditSettings { share_per_mille: share, ..AuditSettings::default() },
            "{spec}"
        );
    }
}

#[test]
fn the_settings_are_what_the_pods_read() {
    let desired = built("batch: {maxRows: 10}");
    insta::assert_json_snapshot!("ingester_settings", entry::<IngesterSettings>(&desired, INGESTER_ENTRY));
    insta::assert_json_snapshot!("consumer_settings", entry::<ConsumerSettings>(&desired, CONSUMER_ENTRY));
    assert_eq!(entry::<ConsumerSettings>(&desired, CONSUMER_ENTRY).group, desired.group);
}

#[test]
fn both_pods_trust_the_authority_that_signed_for_clickhouse() {
    let mut installation = installation::tests::plain();
    installation.clickhouse.ca_pem = Some("PEM".to_owned());
    let desired = built_in(&installation, "");
    let ingester = entry::<IngesterSettings>(&desired, INGESTER_ENTRY).clickhouse_ca_pem;
    let consumer = entry::<ConsumerSettings>(&desired, CONSUMER_ENTRY).clickhouse.ca_pem;
    assert_eq!((ingester.as_deref(), consumer.as_deref()), (Some("PEM"), Some("PEM")));
}

#[test]
fn each_pod_mounts_its_own_entry_alone() {
    let desired = built("");
    let ingester = desired.http.unwrap().ingester.unwrap();
    for (deployment, entry) in [(ingester, INGESTER_ENTRY), (desired.consumer, CONSUMER_ENTRY)] {
        let volumes = deployment.spec.unwrap().template.spec.unwrap().volumes.unwrap();
        let items = volumes[0].secret.as_ref().unwrap().items.as_ref().unwrap();
        assert_eq!(items.iter().map(|item| item.key.as_str()).collect::<Vec<_>>(), [entry]);
    }
}

fn hashes(installation: &Installation, spec: &str, keys: usize) -> [String; 2] {
    let mut validated = validate(installation, &pipeline(spec), &fetched()).unwrap();
    match &mut validated.source {
        Source::Http(http) => http.keys.truncate(keys),
        Source::Kafka(_) => unreachable!("events come over HTTP here"),
    }
    let desired = build(installation, &validated, Some(id()), running(Runnable::All)).unwrap();
    [desired.http.unwrap().ingester.unwrap(), desired.consumer].map(|deployment| {
        let template = deployment.spec.unwrap().template;
        template.metadata.unwrap().annotations.unwrap()[labels::SETTINGS_HASH].clone()
    })
}

#[test]
fn rule_37_pods_roll_for_everything_but_keys() {
    let plain = installation::tests::plain();
    let before = hashes(&plain, "", 1);
    assert_eq!(hashes(&plain, "", 0), before, "a key rolled the pods");
    let [ingester, consumer] = hashes(&plain, "batch: {maxRows: 10}", 1);
    assert!(ingester == before[0] && consumer != before[1]);
    let mut moved = plain;
    moved.kafka.bootstrap_servers = "elsewhere:9092".to_owned();
    let [ingester, consumer] = hashes(&moved, "", 1);
    assert!(ingester != before[0] && consumer != before[1]);
}

#[test]
fn pods_log_as_the_operator_does() {
    let format = |log_format| {
        let installation = Installation { log_format, ..installation::tests::plain() };
        let pod = built_in(&installation, "").consumer.spec.unwrap().template.spec.unwrap();
        pod.containers[0].env.as_ref().unwrap()[0].value.clone().unwrap()
    };
    assert_eq!((format(LogFormat::Text), format(LogFormat::Json)), ("text".to_owned(), "json".to_owned()));
}

#[test]
fn names_of_children_fit_into_a_label() {
    let longest = "p".repeat(schema::names::MAX_PIPELINE_NAME_LENGTH);
    for name in [ingester::name(&longest), consumer::name(&longest), settings::name(&longest)] {
        assert!(name.len() <= 63, "{name}");
    }
}

/// A Pipeline that reads a topic of somebody else, as it is written down.
const FOREIGN: &str = "
source: {kafka: {topic: octane.events, startFrom: Latest, fieldMap: {id: msg_id, eventName: action}}},
ingester: {replicas: 3, ingress: {hostname: events.example.com}}, consumer: {replicas: 2}";

#[test]
fn a_topic_of_others_needs_a_consumer_and_nothing_before_it() {
    let desired = built(FOREIGN);
    assert!(desired.http.is_none());
    insta::assert_yaml_snapshot!("foreign_consumer", desired.consumer);
    insta::assert_yaml_snapshot!("foreign_consumer_budget", desired.consumer_budget);
    let entries: Vec<&String> = desired.settings.data.as_ref().unwrap().keys().collect();
    assert_eq!(entries, [CONSUMER_ENTRY]);
    insta::assert_json_snapshot!(
        "foreign_consumer_settings",
        entry::<ConsumerSettings>(&desired, CONSUMER_ENTRY)
    );
}

#[test]
fn two_pipelines_that_read_one_topic_do_not_share_its_records() {
    let group = |name: &str| {
        let mut pipeline = pipeline("source: {kafka: {topic: octane.events}}");
        pipeline.metadata.name = Some(name.to_owned());
        let installation = installation::tests::plain();
        let validated = validate(&installation, &pipeline, &fetched()).unwrap();
        build(&installation, &validated, Some(id()), running(Runnable::All)).unwrap().group
    };
    assert_ne!(group("web"), group("app"));
}
