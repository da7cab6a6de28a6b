//! What the pods of ingester and consumer have in common. They meet the `restricted` pod security standard
//! (<https://kubernetes.io/docs/concepts/security/pod-security-standards/>).

use std::collections::BTreeMap;

use crds::pipeline::{ResourceList, Resources};
use k8s_openapi::{
    api::core::v1::{
        Capabilities, Container, ContainerPort, EnvVar, HTTPGetAction, KeyToPath, Lifecycle,
        LifecycleHandler, LocalObjectReference, PodSecurityContext, PodSpec, PodTemplateSpec, Probe,
        ResourceRequirements, SeccompProfile, SecretVolumeSource, SecurityContext, SleepAction,
        TopologySpreadConstraint, Volume, VolumeMount,
    },
    apimachinery::pkg::{api::resource::Quantity, apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};
use kube::api::ObjectMeta;
use runtime::telemetry::LogFormat;
use schema::settings::MOUNTED_FILE;

use super::{super::validate::ValidatedPipeline, settings};
use crate::{
    installation::Installation,
    labels::{self, Component, SETTINGS_HASH},
};

/// The user that the images run as.
const USER: i64 = 65_532;
/// Readable for the pod's group, which is [`USER`] too, and nobody else.
const SETTINGS_FILE_MODE: i32 = 0o440;
/// Where metrics and probes are served.
pub(super) const METRICS_PORT: i32 = 9090;

/// What differs between the pods.
pub(super) struct Template<'a> {
    pub(super) component: Component,
    pub(super) image: &'a str,
    /// The entry of the settings Secret that the pod may read.
    pub(super) entry: &'static str,
    pub(super) settings_hash: &'a str,
    pub(super) ports: Vec<ContainerPort>,
    pub(super) resources: ResourceRequirements,
    /// How long the pod goes on before it is told to stop.
    pub(super) pre_stop_seconds: Option<i64>,
    pub(super) grace_period_seconds: i64,
}

pub(super) fn template(
    installation: &Installation,
    pipeline: &ValidatedPipeline,
    template: Template<'_>,
) -> PodTemplateSpec {
    let component = template.component;
    let selector = labels::selector(pipeline.name.as_str(), component);
    let options = &installation.data_plane;
    PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(labels::of_pipeline(&pipeline.tenant.name, pipeline.name.as_str(), component)),
            annotations: Some([(SETTINGS_HASH.to_owned(), template.settings_hash.to_owned())].into()),
            ..ObjectMeta::default()
        }),
        spec: Some(PodSpec {
            automount_service_account_token: Some(false),
            enable_service_links: Some(false),
            image_pull_secrets: list(
                options.image_pull_secrets.iter().map(|name| LocalObjectReference { name: name.clone() }),
            ),
            node_selector: (!options.node_selector.0.is_empty()).then(|| options.node_selector.0.clone()),
            tolerations: list(options.tolerations.0.iter().cloned()),
            priority_class_name: options.priority_class_name.clone(),
            security_context: Some(pod_security()),
            termination_grace_period_seconds: Some(template.grace_period_seconds),
            topology_spread_constraints: Some(spread(&selector)),
            volumes: Some(vec![settings_volume(pipeline, template.entry)]),
            containers: vec![container(installation, template)],
            ..PodSpec::default()
        }),
    }
}

fn container(installation: &Installation, template: Template<'_>) -> Container {
    let mut ports = template.ports;
    ports.push(port("metrics", METRICS_PORT));
    Container {
        name: template.component.as_str().to_owned(),
        image: Some(template.image.to_owned()),
        image_pull_policy: Some(installation.data_plane.image_pull_policy.as_str().to_owned()),
        env: Some(vec![EnvVar {
            name: "MILLRACE_LOG_FORMAT".to_owned(),
            value: Some(log_format(installation.log_format).to_owned()),
            value_from: None,
        }]),
        lifecycle: template.pre_stop_seconds.map(sleep_before_stop),
        ports: Some(ports),
        resources: Some(template.resources),
        security_context: Some(container_security()),
        // Settings are read and Kafka is reached before the first readiness; that may take a while on a busy node.
        startup_probe: Some(probe("/health/live", 2, 30)),
        liveness_probe: Some(probe("/health/live", 10, 6)),
        readiness_probe: Some(probe("/health/ready", 5, 2)),
        volume_mounts: Some(vec![VolumeMount {
            name: "settings".to_owned(),
            mount_path: settings_path().0.to_owned(),
            read_only: Some(true),
            ..VolumeMount::default()
        }]),
        ..Container::default()
    }
}

/// Kubernetes' own sleep; the image has no shell.
fn sleep_before_stop(seconds: i64) -> Lifecycle {
    let sleep = LifecycleHandler { sleep: Some(SleepAction { seconds }), ..LifecycleHandler::default() };
    Lifecycle { pre_stop: Some(sleep), ..Lifecycle::default() }
}

fn log_format(format: LogFormat) -> &'static str {
    match format {
        LogFormat::Text => "text",
        LogFormat::Json => "json",
    }
}

/// A port of the container. The protocol is part of the key under which the API server merges ports.
pub(super) fn port(name: &str, number: i32) -> ContainerPort {
    ContainerPort {
        name: Some(name.to_owned()),
        container_port: number,
        protocol: Some("TCP".to_owned()),
        ..ContainerPort::default()
    }
}

fn probe(path: &str, period_seconds: i32, failure_threshold: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::String("metrics".to_owned()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period_seconds),
        timeout_seconds: Some(2),
        failure_threshold: Some(failure_threshold),
        ..Probe::default()
    }
}

fn pod_security() -> PodSecurityContext {
    PodSecurityContext {
        run_as_non_root: Some(true),
        run_as_user: Some(USER),
        run_as_group: Some(USER),
        fs_group: Some(USER),
        seccomp_profile: Some(runtime_default()),
        ..PodSecurityContext::default()
    }
}

fn container_security() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), add: None }),
        read_only_root_filesystem: Some(true),
        run_as_non_root: Some(true),
        seccomp_profile: Some(runtime_default()),
        ..SecurityContext::default()
    }
}

fn runtime_default() -> SeccompProfile {
    SeccompProfile { type_: "RuntimeDefault".to_owned(), localhost_profile: None }
}

/// Pods of one Deployment keep apart where there is room, and share a node where there is none.
fn spread(selector: &BTreeMap<String, String>) -> Vec<TopologySpreadConstraint> {
    ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]
        .map(|key| TopologySpreadConstraint {
            max_skew: 1,
            topology_key: key.to_owned(),
            when_unsatisfiable: "ScheduleAnyway".to_owned(),
            label_selector: Some(LabelSelector {
                match_labels: Some(selector.clone()),
                ..LabelSelector::default()
            }),
            match_label_keys: Some(vec!["pod-template-hash".to_owned()]),
            ..TopologySpreadConstraint::default()
        })
        .to_vec()
}

/// Only the pod's own entry, under the name that both binaries read.
fn settings_volume(pipeline: &ValidatedPipeline, entry: &str) -> Volume {
    Volume {
        name: "settings".to_owned(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(settings::name(pipeline.name.as_str())),
            default_mode: Some(SETTINGS_FILE_MODE),
            items: Some(vec![KeyToPath {
                key: entry.to_owned(),
                path: settings_path().1.to_owned(),
                mode: None,
            }]),
            optional: None,
        }),
        ..Volume::default()
    }
}

/// The folder and the file of the settings inside a pod.
fn settings_path() -> (&'static str, &'static str) {
    MOUNTED_FILE.rsplit_once('/').expect("the path of the mounted file is absolute")
}

/// What the spec asks for. Of each of CPU and memory, one word of the spec replaces both defaults: a default limit
/// below a chosen request, or a default request above a chosen limit, would be refused.
pub(super) fn resources(chosen: Option<&Resources>, memory_limit: &str) -> ResourceRequirements {
    let requests = chosen.and_then(|chosen| chosen.requests.as_ref());
    let limits = chosen.and_then(|chosen| chosen.limits.as_ref());
    let cpu = pair(requests, limits, |list| list.cpu.as_ref(), ("50m", None));
    let memory = pair(requests, limits, |list| list.memory.as_ref(), ("64Mi", Some(memory_limit)));
    let quantities = |cpu: Option<String>, memory: Option<String>| {
        let named = [("cpu", cpu), ("memory", memory)];
        named.into_iter().filter_map(|(name, value)| Some((name.to_owned(), Quantity(value?)))).collect()
    };
    ResourceRequirements {
        requests: Some(quantities(cpu.0, memory.0)),
        limits: Some(quantities(cpu.1, memory.1)),
        claims: None,
    }
}

/// The request and the limit of one resource.
fn pair(
    requests: Option<&ResourceList>,
    limits: Option<&ResourceList>,
    of: fn(&ResourceList) -> Option<&String>,
    default: (&str, Option<&str>),
) -> (Option<String>, Option<String>) {
    match (requests.and_then(of).cloned(), limits.and_then(of).cloned()) {
        (None, None) => (Some(default.0.to_owned()), default.1.map(str::to_owned)),
        chosen => chosen,
    }
}

fn list<T>(items: impl Iterator<Item = T>) -> Option<Vec<T>> {
    let items: Vec<T> = items.collect();
    (!items.is_empty()).then_some(items)
}

#[cfg(test)]
mod tests;
