//! How many pods of a Deployment a drained node may take at a time.

use k8s_openapi::{
    api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec},
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};

use super::{super::validate::ValidatedPipeline, metadata};
use crate::labels::{self, Component};

/// One pod at a time; none for a single pod, whose budget would hold up every drain.
pub(super) fn of(
    pipeline: &ValidatedPipeline,
    component: Component,
    name: String,
    replicas: i32,
) -> Option<PodDisruptionBudget> {
    if replicas < 2 {
        return None;
    }
    Some(PodDisruptionBudget {
        metadata: metadata(pipeline, name, component, [].into()),
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(1)),
            selector: Some(LabelSelector {
                match_labels: Some(labels::selector(pipeline.name.as_str(), component)),
                ..LabelSelector::default()
            }),
            // A pod that is not ready helps nobody; it must not hold up a drain.
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".to_owned()),
            ..PodDisruptionBudgetSpec::default()
        }),
        status: None,
    })
}
