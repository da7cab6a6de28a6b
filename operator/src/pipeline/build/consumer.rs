//! The consumer's pods.

use k8s_openapi::{
    api::apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment},
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};
use schema::settings::CONSUMER_ENTRY;

use super::{super::validate::ValidatedPipeline, metadata, pod};
use crate::{
    installation::Installation,
    labels::{self, Component},
};

/// Time to finish or abandon the running insert, to commit, and to leave the group.
const GRACE_PERIOD_SECONDS: i64 = 60;
const KEPT_REVISIONS: i32 = 3;

/// The name of a Pipeline's consumer Deployment and disruption budget.
pub(crate) fn name(pipeline: &str) -> String {
    format!("{pipeline}-consumer")
}

/// What selects the pods of a Pipeline's consumer, in one line.
pub(crate) fn selector(pipeline: &str) -> String {
    let labels = labels::selector(pipeline, Component::Consumer);
    labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
}

/// The memory that a consumer may take where the spec does not say it. It grows with the batch: at most 129 MiB were
/// measured with batches of 32 MiB and 246 with those of 64 (docs/benchmarks.md).
fn memory_limit(batch_bytes: u64) -> String {
    const MIB: u64 = 1 << 20;
    format!("{}Mi", (64 + 4 * batch_bytes.div_ceil(MIB)).max(512))
}

pub(super) fn deployment(
    installation: &Installation,
    pipeline: &ValidatedPipeline,
    settings_hash: &str,
) -> Deployment {
    let template = pod::Template {
        component: Component::Consumer,
        image: &installation.data_plane.consumer_image,
        entry: CONSUMER_ENTRY,
        settings_hash,
        ports: Vec::new(),
        resources: pod::resources(
            pipeline.consumer.resources.as_ref(),
            &memory_limit(pipeline.batch.max_bytes),
        ),
        pre_stop_seconds: None,
        grace_period_seconds: GRACE_PERIOD_SECONDS,
    };
    Deployment {
        metadata: metadata(pipeline, name(pipeline.name.as_str()), Component::Consumer, [].into()),
        spec: Some(DeploymentSpec {
            replicas: Some(pipeline.consumer.replicas),
            revision_history_limit: Some(KEPT_REVISIONS),
            selector: LabelSelector {
                match_labels: Some(labels::selector(pipeline.name.as_str(), Component::Consumer)),
                ..LabelSelector::default()
            },
            // A pod less before a pod more: a surplus member would move partitions twice, and records wait in Kafka.
            strategy: Some(DeploymentStrategy {
                type_: Some("RollingUpdate".to_owned()),
                rolling_update: Some(RollingUpdateDeployment {
                    max_surge: Some(IntOrString::Int(0)),
                    max_unavailable: Some(IntOrString::Int(1)),
                }),
            }),
            template: pod::template(installation, pipeline, template),
            ..DeploymentSpec::default()
        }),
        status: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_consumer_may_take_what_its_batches_need() {
        for (mib, limit) in [(1, "512Mi"), (32, "512Mi"), (112, "512Mi"), (113, "516Mi"), (256, "1088Mi")] {
            assert_eq!(memory_limit(mib << 20), limit);
        }
        assert_eq!(memory_limit((112 << 20) + 1), "516Mi");
    }
}
