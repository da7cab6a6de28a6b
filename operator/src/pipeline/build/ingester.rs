//! The ingester: its pods, and the Service in front of them.

use crds::pipeline::{self as spec, IngesterSpec, IngressSpec, ServiceType};
use k8s_openapi::{
    api::{
        apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment},
        core::v1::{Service, ServicePort, ServiceSpec},
    },
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};
use schema::settings::INGESTER_ENTRY;

use super::{super::validate::ValidatedPipeline, metadata, pod};
use crate::{
    installation::Installation,
    labels::{self, Component},
};

/// The port that SDKs reach.
pub(super) const PORT: i32 = 8080;
/// The name of that port.
pub(super) const PORT_NAME: &str = "http";
/// Endpoints are removed while SIGTERM is on its way; requests that still come in are answered meanwhile.
const PRE_STOP_SECONDS: i64 = 5;
/// The sleep before, requests in flight, and the flush of the producer.
const GRACE_PERIOD_SECONDS: i64 = 60;
const MEMORY_LIMIT: &str = "256Mi";
const KEPT_REVISIONS: i32 = 3;

/// The name of a Pipeline's ingester Deployment, Service, Ingress and disruption budget.
pub(crate) fn name(pipeline: &str) -> String {
    format!("{pipeline}-ingester")
}

/// Where SDKs send events to.
pub(super) fn endpoint(pipeline: &ValidatedPipeline, ingress: Option<&IngressSpec>) -> String {
    match ingress {
        Some(ingress) if ingress.tls_secret_name.is_some() => format!("https://{}", ingress.hostname),
        Some(ingress) => format!("http://{}", ingress.hostname),
        None => format!("http://{}.{}.svc:{PORT}", name(pipeline.name.as_str()), pipeline.namespace),
    }
}

pub(super) fn deployment(
    installation: &Installation,
    pipeline: &ValidatedPipeline,
    spec: &IngesterSpec,
    settings_hash: &str,
) -> Deployment {
    let template = pod::Template {
        component: Component::Ingester,
        image: &installation.data_plane.ingester_image,
        entry: INGESTER_ENTRY,
        settings_hash,
        ports: vec![pod::port(PORT_NAME, PORT)],
        resources: pod::resources(spec.resources.as_ref(), MEMORY_LIMIT),
        pre_stop_seconds: Some(PRE_STOP_SECONDS),
        grace_period_seconds: GRACE_PERIOD_SECONDS,
    };
    Deployment {
        metadata: metadata(pipeline, name(pipeline.name.as_str()), Component::Ingester, [].into()),
        spec: Some(DeploymentSpec {
            replicas: Some(spec.replicas),
            revision_history_limit: Some(KEPT_REVISIONS),
            selector: LabelSelector {
                match_labels: Some(labels::selector(pipeline.name.as_str(), Component::Ingester)),
                ..LabelSelector::default()
            },
            // A pod more before a pod less: no request finds fewer ingesters than were asked for.
            strategy: Some(DeploymentStrategy {
                type_: Some("RollingUpdate".to_owned()),
                rolling_update: Some(RollingUpdateDeployment {
                    max_surge: Some(IntOrString::Int(1)),
                    max_unavailable: Some(IntOrString::Int(0)),
                }),
            }),
            template: pod::template(installation, pipeline, template),
            ..DeploymentSpec::default()
        }),
        status: None,
    }
}

pub(super) fn service(pipeline: &ValidatedPipeline, spec: &spec::ServiceSpec) -> Service {
    Service {
        metadata: metadata(
            pipeline,
            name(pipeline.name.as_str()),
            Component::Ingester,
            spec.annotations.clone(),
        ),
        spec: Some(ServiceSpec {
            type_: Some(service_type(spec.kind).to_owned()),
            selector: Some(labels::selector(pipeline.name.as_str(), Component::Ingester)),
            ports: Some(vec![ServicePort {
                name: Some(PORT_NAME.to_owned()),
                app_protocol: Some("http".to_owned()),
                port: PORT,
                target_port: Some(IntOrString::String(PORT_NAME.to_owned())),
                protocol: Some("TCP".to_owned()),
                ..ServicePort::default()
            }]),
            ..ServiceSpec::default()
        }),
        status: None,
    }
}

fn service_type(kind: ServiceType) -> &'static str {
    match kind {
        ServiceType::ClusterIP => "ClusterIP",
        ServiceType::NodePort => "NodePort",
        ServiceType::LoadBalancer => "LoadBalancer",
    }
}
