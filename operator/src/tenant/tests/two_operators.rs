//! Two operators at once, as for a moment during a rollout: keys are random, so only one of them may make them.

use std::pin::{Pin, pin};

use super::*;

fn keys(world: &World) -> serde_json::Value {
    world.object(ACME_KEYS).unwrap()["data"].clone()
}

type Late<'a> = Pin<&'a mut dyn Future<Output = Vec<Error>>>;

/// One operator stands still after each of its calls in turn, and goes on late.
async fn after_each_call(world: impl AsyncFn() -> World, look: impl AsyncFn(&World, Late<'_>, usize)) {
    for call in 1.. {
        let world = world().await;
        world.pause_after(call);
        let mut late = pin!(world.reconcile_tenants());
        tokio::select! {
            biased;
            () = world.stands_still() => {}
            _ = &mut late => {
                assert!(call > 5, "an operator makes more than {call} calls");
                return;
            }
        }
        look(&world, late, call).await;
    }
}

/// Another one does its work meanwhile.
async fn check(world: impl AsyncFn() -> World) {
    after_each_call(world, async |world, late, call| {
        world.reconcile_tenants().await;
        let made = keys(world);
        assert!(made.is_object());
        world.go_on();
        late.await;
        assert_eq!(keys(world), made, "after call {call}");
        world.settle().await;
        assert_eq!(keys(world), made, "after call {call}");
        assert_eq!(world.reason(ACME, "Ready").as_deref(), Some("Ready"));
    })
    .await;
}

#[tokio::test]
async fn rule_29_one_of_two_operators_makes_the_first_key() {
    check(async || with_tenant(TENANT)).await;
}

#[tokio::test]
async fn rule_29_one_of_two_operators_makes_a_further_key() {
    check(async || {
        let world = with_tenant(TENANT);
        world.settle().await;
        world.edit(ACME, |tenant| {
            let key = |name: &str| serde_json::json!({"name": name, "scopes": ["Ingest"]});
            tenant["spec"]["apiKeys"] = serde_json::json!([key("default"), key("second")]);
        });
        world
    })
    .await;
}

/// A write of its status leads nobody to look again, so what stays there has to be true.
#[tokio::test]
async fn an_operator_that_is_late_leaves_no_old_status() {
    after_each_call(
        async || with_tenant(TENANT),
        async |world, late, call| {
            world.settle().await;
            world.go_on();
            let will_look_again = !late.await.is_empty();
            let reason = world.reason(ACME, "Ready");
            assert!(will_look_again || reason.as_deref() == Some("Ready"), "after call {call}: {reason:?}");
        },
    )
    .await;
}
