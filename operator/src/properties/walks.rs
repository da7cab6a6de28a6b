//! Walks over valid specs: however a spec was reached, what is there is what it would be if it had been made at once.

use crds::Reason;
use proptest::{collection::vec, prelude::*, sample::select};
use serde_json::{Value, json};

use super::{
    end::end,
    rest::{Order, rest, rounds},
    runner::check,
    scene::manifest,
};
use crate::{
    labels,
    perturbation::difference,
    testing::{
        ACME, World,
        arbitrary::{following, pipeline_spec, tenant_spec},
    },
};

/// Cases where nothing else is asked for.
const CASES: u32 = 16;
const WEB: &str = "pipelines/team/web";

/// What both resources ask for.
#[derive(Debug, Clone)]
struct Specs {
    tenant: Value,
    pipeline: Value,
}

fn specs() -> impl Strategy<Value = Specs> {
    (tenant_spec(), pipeline_spec("acme")).prop_map(|(tenant, pipeline)| Specs { tenant, pipeline })
}

/// What goes wrong for a while.
#[derive(Debug, Clone, Copy)]
enum Trouble {
    /// More copies have to acknowledge a write than there are.
    Replication,
    /// The plan does not allow it.
    Retention,
    /// A key is brought along in a Secret that is not there.
    Key,
    PodsAreStuck,
    KafkaIsAway,
    ClickHouseIsAway,
    /// The API server refuses every change of a Deployment.
    Forbidden,
}

const TROUBLES: [Trouble; 7] = [
    Trouble::Replication,
    Trouble::Retention,
    Trouble::Key,
    Trouble::PodsAreStuck,
    Trouble::KafkaIsAway,
    Trouble::ClickHouseIsAway,
    Trouble::Forbidden,
];

impl Specs {
    /// As they may follow others.
    fn after(mut self, before: &Self) -> Self {
        self.pipeline = following(&before.pipeline, self.pipeline);
        self
    }

    async fn made(&self) -> Result<World, String> {
        let world = World::default();
        world.apply(&manifest("AnalyticsTenant", "acme", &self.tenant));
        world.apply(&manifest("Pipeline", "web", &self.pipeline));
        rest(&world, Order::Tenants).await?;
        Ok(world)
    }

    /// Edits both, and consents to every shorter retention that the operator then asks about.
    async fn edited_in(&self, world: &World) -> Result<(), String> {
        world.edit(ACME, |tenant| tenant["spec"] = self.tenant.clone());
        world.edit(WEB, |pipeline| pipeline["spec"] = self.pipeline.clone());
        rest(world, Order::Tenants).await?;
        for key in [ACME, WEB, "pipelines/team/acme-default"] {
            consent(world, key).await?;
        }
        Ok(())
    }
}

/// Gives the consent that a condition asks for, and takes it back when it was used.
async fn consent(world: &World, key: &str) -> Result<(), String> {
    let asked = |world: &World| {
        let conditions = world.object(key)?["status"]["conditions"].clone();
        let all = conditions.as_array()?.clone();
        let held = all
            .into_iter()
            .find(|condition| condition["reason"] == Reason::RetentionReductionHeld.as_str())?;
        let message = held["message"].as_str()?.to_owned();
        let after = message.split(labels::ALLOW_RETENTION_HOURS).nth(1)?.to_owned();
        after.split('"').nth(1).map(str::to_owned)
    };
    // The topic and its dead letters may ask one after the other.
    for _ in 0..3 {
        let Some(consent) = asked(world) else { return Ok(()) };
        world.edit(key, |object| {
            object["metadata"]["annotations"][labels::ALLOW_RETENTION_HOURS] = json!(consent);
        });
        rest(world, Order::Tenants).await?;
        world.edit(key, |object| drop(object["metadata"].as_object_mut().unwrap().remove("annotations")));
        rest(world, Order::Tenants).await?;
    }
    Err(format!("{key} still asks for a consent: {:?}", asked(world)))
}

impl Trouble {
    fn begins_in(self, world: &World) {
        match self {
            Self::Replication => {
                world.edit(WEB, |pipeline| pipeline["spec"]["topic"]["minInsyncReplicas"] = json!(7));
            }
            Self::Retention => world.edit(ACME, |tenant| {
                tenant["spec"]["tier"] = json!("Free");
                tenant["spec"]["retention"] = json!({"days": 100});
            }),
            Self::Key => world.edit(ACME, |tenant| {
                tenant["spec"]["apiKeys"] = json!([{
                    "name": "default", "scopes": ["Ingest"], "secretRef": {"name": "absent", "key": "token"},
                }]);
            }),
            Self::PodsAreStuck => {
                world.state().are_pods_stuck = true;
                world.edit(WEB, |pipeline| pipeline["spec"]["batch"] = json!({"maxRows": 77}));
            }
            Self::KafkaIsAway => world.state().is_kafka_away = true,
            Self::ClickHouseIsAway => world.state().is_clickhouse_away = true,
            Self::Forbidden => {
                world.state().refusals = vec![("APPLY deployments/".to_owned(), 403)];
                world.edit(WEB, |pipeline| pipeline["spec"]["batch"] = json!({"maxRows": 77}));
            }
        }
    }

    fn ends_in(world: &World) {
        let mut state = world.state();
        (state.are_pods_stuck, state.is_kafka_away, state.is_clickhouse_away) = (false, false, false);
        state.refusals.clear();
    }
}

fn same_end(expected: &World, found: &World) -> Result<(), String> {
    difference(&end(expected), &end(found))
        .map_or(Ok(()), |difference| Err(format!("the end is another one\n{difference}")))
}

#[test]
fn a_spec_that_was_walked_to_is_as_one_that_was_made_at_once() {
    check(CASES, &vec(specs(), 2..=5), |walk| async move {
        let mut before = walk[0].clone();
        let world = before.made().await?;
        for next in walk.into_iter().skip(1) {
            before = next.after(&before);
            before.edited_in(&world).await?;
        }
        same_end(&before.made().await?, &world)
    });
}

#[test]
fn what_goes_wrong_for_a_while_leaves_no_trace() {
    check(CASES, &(specs(), select(TROUBLES.to_vec())), |(specs, trouble)| async move {
        let world = specs.made().await?;
        let untroubled = world.fork();
        trouble.begins_in(&world);
        rounds(&world, 4).await;
        Trouble::ends_in(&world);
        specs.edited_in(&world).await?;
        same_end(&untroubled, &world)
    });
}
