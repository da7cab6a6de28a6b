//! What the pods of a Deployment may be reached at, and what they may reach: nothing else, where the cluster enforces
//! it. The kubelet's probes always pass
//! (<https://kubernetes.io/docs/concepts/services-networking/network-policies/>).

use k8s_openapi::{
    api::networking::v1::{
        NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer,
        NetworkPolicyPort, NetworkPolicySpec,
    },
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};

use super::{super::validate::ValidatedPipeline, ingester, metadata, pod::METRICS_PORT};
use crate::{
    args::NetworkPolicies,
    labels::{self, Component},
};

/// The port of every name server.
const DNS_PORT: i32 = 53;

/// The label that Kubernetes puts on every namespace.
const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";

/// The policy of a Deployment's pods, if the installation has policies.
pub(super) fn of(
    installed: Option<&NetworkPolicies>,
    pipeline: &ValidatedPipeline,
    component: Component,
    name: String,
) -> Option<NetworkPolicy> {
    let policies = installed?;
    Some(NetworkPolicy {
        metadata: metadata(pipeline, name, component, [].into()),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(LabelSelector {
                match_labels: Some(labels::selector(pipeline.name.as_str(), component)),
                ..LabelSelector::default()
            }),
            policy_types: Some(vec!["Ingress".to_owned(), "Egress".to_owned()]),
            ingress: Some(ingress(policies, component)),
            egress: Some(vec![egress(policies)]),
        }),
    })
}

/// Events from everywhere, where the pods take them, and metrics.
fn ingress(policies: &NetworkPolicies, component: Component) -> Vec<NetworkPolicyIngressRule> {
    let events = match component {
        Component::Ingester => Some(from_everywhere(ingester::PORT)),
        Component::Consumer | Component::Settings => None,
    };
    let metrics = NetworkPolicyIngressRule {
        from: policies.monitoring_namespace.as_deref().map(|namespace| vec![pods_of(namespace)]),
        ..from_everywhere(METRICS_PORT)
    };
    events.into_iter().chain([metrics]).collect()
}

fn from_everywhere(number: i32) -> NetworkPolicyIngressRule {
    NetworkPolicyIngressRule { from: None, ports: Some(vec![port("TCP", number)]) }
}

fn pods_of(namespace: &str) -> NetworkPolicyPeer {
    NetworkPolicyPeer {
        namespace_selector: Some(LabelSelector {
            match_labels: Some([(NAMESPACE_NAME.to_owned(), namespace.to_owned())].into()),
            ..LabelSelector::default()
        }),
        ..NetworkPolicyPeer::default()
    }
}

/// Names, Kafka and ClickHouse, wherever they are: the addresses of brokers are Kafka's to say.
fn egress(policies: &NetworkPolicies) -> NetworkPolicyEgressRule {
    let backends = policies.kafka_ports.numbers().chain(policies.clickhouse_ports.numbers());
    let names = ["UDP", "TCP"].map(|protocol| port(protocol, DNS_PORT));
    NetworkPolicyEgressRule {
        to: None,
        ports: Some(names.into_iter().chain(backends.map(|number| port("TCP", number))).collect()),
    }
}

fn port(protocol: &str, number: i32) -> NetworkPolicyPort {
    NetworkPolicyPort {
        protocol: Some(protocol.to_owned()),
        port: Some(IntOrString::Int(number)),
        end_port: None,
    }
}
