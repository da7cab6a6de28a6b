//! Pipelines that pause, stop with and without records left, and go on; and a deletion that leaves records behind.

use crds::pipeline::PipelineState;
use serde_json::json;

use super::{ACME_DEFAULT, Scenario, Step, of_acme, set};
use crate::testing::World;

pub(super) fn all() -> Vec<Scenario> {
    vec![
        of_acme("paused", vec![paused()]),
        of_acme("paused and running", vec![paused(), running()]),
        of_acme("stopped after a drain", vec![five_records(), stopped(), all_stored()]),
        of_acme("stopped with records left", vec![five_records(), stopped(), time_is_over()]),
        of_acme("stopped and running", vec![five_records(), stopped(), all_stored(), running()]),
        of_acme("stopped and running before its end", vec![five_records(), stopped(), running()]),
        of_acme("suspended", vec![Step::Edit(super::ACME, |tenant| set(tenant, "suspend", json!("All")))]),
        of_acme(
            "deleted with records left",
            vec![
                Step::Edit(ACME_DEFAULT, |pipeline| {
                    set(pipeline, "deletionPolicy", json!({"kafka": "Delete"}))
                }),
                five_records(),
                Step::Delete(ACME_DEFAULT),
                time_is_over(),
            ],
        ),
    ]
}

fn paused() -> Step {
    Step::Edit(ACME_DEFAULT, |pipeline| set(pipeline, "state", json!(PipelineState::Paused)))
}

fn stopped() -> Step {
    Step::Edit(ACME_DEFAULT, |pipeline| set(pipeline, "state", json!(PipelineState::Stopped)))
}

fn running() -> Step {
    Step::Edit(ACME_DEFAULT, |pipeline| set(pipeline, "state", json!(PipelineState::Running)))
}

fn five_records() -> Step {
    Step::Happens(|world: &World| world.leave_unstored(ACME_DEFAULT, 5))
}

fn all_stored() -> Step {
    Step::Happens(|world: &World| world.leave_unstored(ACME_DEFAULT, 0))
}

/// A moment ago, so that Kafka may still say what is left.
fn time_is_over() -> Step {
    Step::Edit(ACME_DEFAULT, |pipeline| {
        let allowed = pipeline["spec"]["drainTimeoutSeconds"].as_i64().unwrap_or(60);
        let start = jiff::Timestamp::now() - jiff::SignedDuration::from_secs(allowed + 1);
        pipeline["status"]["drain"]["startedAt"] = json!(start.strftime("%FT%TZ").to_string());
    })
}
