//! The pods of a Pipeline, and how they are reached.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// What Kubernetes takes as the name of an IngressClass or a Secret.
const DNS_SUBDOMAIN: &str = r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$";

/// The pods that take events over HTTP.
#[derive(Debug, Clone, PartialEq, Eq, KubeSchema, Serialize, Deserialize)]
pub struct IngesterSpec {
    /// How many pods take events. Default 2.
    #[serde(default = "default_ingester_replicas")]
    #[schemars(range(min = 0, max = 100))]
    pub replicas: i32,
    /// CPU and memory of each pod. Default: requests of 50m and 64Mi, and a memory limit of 256Mi. Naming a request or a
    /// limit of CPU replaces the default of CPU, naming one of memory both defaults of memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// The Service in front of the pods.
    #[serde(default)]
    pub service: ServiceSpec,
    /// An Ingress in front of the Service. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress: Option<IngressSpec>,
}

fn default_ingester_replicas() -> i32 {
    2
}

impl Default for IngesterSpec {
    fn default() -> Self {
        Self {
            replicas: default_ingester_replicas(),
            resources: None,
            service: ServiceSpec::default(),
            ingress: None,
        }
    }
}

/// CPU and memory as Kubernetes quantities, for example `250m` and `128Mi`.
#[derive(Debug, Clone, PartialEq, Eq, Default, KubeSchema, Serialize, Deserialize)]
#[x_kube(
    validation = Rule::new("!has(self.limits) || !has(self.limits.memory) || quantity(self.limits.memory).compareTo(quantity('0')) == 0 || !quantity(self.limits.memory).isLessThan(quantity('32Mi'))")
        .message("limits.memory must be 0, which is no limit, or at least 32Mi"),
    validation = Rule::new("!has(self.requests) || !has(self.limits) || !has(self.requests.memory) || !has(self.limits.memory) || !quantity(self.requests.memory).isGreaterThan(quantity(self.limits.memory))")
        .message("requests.memory must not be greater than limits.memory"),
    validation = Rule::new("!has(self.requests) || !has(self.limits) || !has(self.requests.cpu) || !has(self.limits.cpu) || !quantity(self.requests.cpu).isGreaterThan(quantity(self.limits.cpu))")
        .message("requests.cpu must not be greater than limits.cpu")
)]
pub struct Resources {
    /// What the scheduler keeps free for a pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<ResourceList>,
    /// What a pod may not exceed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<ResourceList>,
}

/// An amount of CPU and memory.
#[derive(Debug, Clone, PartialEq, Eq, Default, KubeSchema, Serialize, Deserialize)]
pub struct ResourceList {
    /// CPUs, for example `2` or `250m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 20), regex(pattern = r"^[0-9]+(\.[0-9]+)?m?$"))]
    pub cpu: Option<String>,
    /// Bytes, for example `128Mi`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 20), regex(pattern = r"^[0-9]+(\.[0-9]+)?(k|M|G|T|Ki|Mi|Gi|Ti)?$"))]
    pub memory: Option<String>,
}

/// The Service in front of the ingester.
#[derive(Debug, Clone, PartialEq, Eq, Default, KubeSchema, Serialize, Deserialize)]
pub struct ServiceSpec {
    /// How the Service is reached. ClusterIP: from inside the cluster. NodePort: from a port of every node.
    /// LoadBalancer: through a load balancer of the cloud. Default: ClusterIP.
    #[serde(default, rename = "type")]
    pub kind: ServiceType,
    /// Annotations of the Service, for example for a cloud's load balancer.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "annotations")]
    pub annotations: BTreeMap<String, String>,
}

/// How a Service is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, JsonSchema, Serialize, Deserialize)]
pub enum ServiceType {
    /// From inside the cluster.
    #[default]
    ClusterIP,
    /// From a port of every node.
    NodePort,
    /// Through a load balancer of the cloud.
    LoadBalancer,
}

/// An Ingress in front of the ingester.
#[derive(Debug, Clone, PartialEq, Eq, KubeSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IngressSpec {
    /// The host name, for example `events.example.com`.
    #[schemars(length(min = 1, max = 253), regex(pattern = DNS_SUBDOMAIN))]
    pub hostname: String,
    /// The IngressClass. Default: the cluster's default class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = DNS_SUBDOMAIN))]
    pub class_name: Option<String>,
    /// The Secret with the certificate. Without it the Ingress speaks plain HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = DNS_SUBDOMAIN))]
    pub tls_secret_name: Option<String>,
    /// Annotations of the Ingress, for example for cert-manager.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "annotations")]
    pub annotations: BTreeMap<String, String>,
}

/// The pods that write events into ClickHouse.
#[derive(Debug, Clone, PartialEq, Eq, KubeSchema, Serialize, Deserialize)]
pub struct ConsumerSpec {
    /// How many pods store events; more than the topic has partitions would idle. Default 1.
    /// `kubectl scale` and autoscalers set this field, so leave it out of manifests where one of them does.
    #[serde(default = "default_consumer_replicas")]
    #[schemars(range(min = 0, max = 1000))]
    pub replicas: i32,
    /// CPU and memory of each pod. Default: requests of 50m and 64Mi, and a memory limit of 512Mi, or of 64Mi and four
    /// times `batch.maxBytes` where that is more. Naming a request or a limit of CPU replaces the default of CPU, naming
    /// one of memory both defaults of memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// The audit, which reads stored records from Kafka again and looks their events up in ClickHouse.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit: Option<AuditSpec>,
}

fn default_consumer_replicas() -> i32 {
    1
}

impl Default for ConsumerSpec {
    fn default() -> Self {
        Self { replicas: default_consumer_replicas(), resources: None, audit: None }
    }
}

/// How much of what was stored is looked up again.
#[derive(Debug, Clone, PartialEq, Eq, KubeSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditSpec {
    /// Of a thousand stored records, those that are looked up; 0 switches the audit off. Default 10, which is one per
    /// cent.
    #[serde(default = "default_share_per_mille")]
    #[schemars(range(min = 0, max = 1000))]
    pub share_per_mille: i32,
}

fn default_share_per_mille() -> i32 {
    10
}

/// At most 64 annotations of at most 4096 characters each, under keys that Kubernetes takes: it reads their prefixes in
/// lower case.
fn annotations(_: &mut SchemaGenerator) -> Schema {
    // No schema bounds a key. The first part of the rule does, so that the others cost little.
    let rule = "self.all(key, key.size() <= 317 && key.indexOf('/') <= 253 && key.matches('^([A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?([.][A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$'))";
    let message = "a key of annotations must be a name of at most 63 letters, digits, '-', '_' and '.' that begins and ends with a letter or digit, or a DNS name of at most 253 characters, '/' and such a name";
    json_schema!({
        "type": "object",
        "maxProperties": 64,
        "additionalProperties": { "type": "string", "maxLength": 4096 },
        "x-kubernetes-validations": [{ "rule": rule, "message": message }],
    })
}
