//! The Ingress in front of the ingester, where the spec asks for one.

use crds::pipeline as spec;
use k8s_openapi::api::networking::v1::{
    HTTPIngressPath, HTTPIngressRuleValue, Ingress, IngressBackend, IngressRule, IngressServiceBackend,
    IngressSpec, IngressTLS, ServiceBackendPort,
};

use super::{super::validate::ValidatedPipeline, ingester, metadata};
use crate::labels::Component;

pub(super) fn ingress(pipeline: &ValidatedPipeline, spec: &spec::IngressSpec) -> Ingress {
    let name = ingester::name(pipeline.name.as_str());
    let backend = IngressBackend {
        service: Some(IngressServiceBackend {
            name: name.clone(),
            port: Some(ServiceBackendPort { name: Some(ingester::PORT_NAME.to_owned()), number: None }),
        }),
        resource: None,
    };
    let rule = IngressRule {
        host: Some(spec.hostname.clone()),
        http: Some(HTTPIngressRuleValue {
            paths: vec![HTTPIngressPath {
                backend,
                path: Some("/".to_owned()),
                path_type: "Prefix".to_owned(),
            }],
        }),
    };
    let tls = spec.tls_secret_name.as_ref().map(|secret| {
        vec![IngressTLS { hosts: Some(vec![spec.hostname.clone()]), secret_name: Some(secret.clone()) }]
    });
    Ingress {
        metadata: metadata(pipeline, name, Component::Ingester, spec.annotations.clone()),
        spec: Some(IngressSpec {
            default_backend: None,
            ingress_class_name: spec.class_name.clone(),
            rules: Some(vec![rule]),
            tls,
        }),
        status: None,
    }
}
