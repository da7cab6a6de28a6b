//! A ClickHouse that takes every statement about some databases and answers none.

use futures::future::join_all;

use super::*;
use crate::testing::names_of_keys;

/// Locked by somebody, as with an ALTER that waits for a merge.
fn hang(world: &World, tenant: &str) {
    world.state().hanging.insert(format!("t_team_{tenant}"));
}

#[tokio::test]
async fn a_key_is_revoked_while_clickhouse_hangs() {
    let world = with_tenant(TENANT);
    world.settle().await;
    world.edit(ACME, |tenant| {
        tenant["spec"]["apiKeys"] = serde_json::json!([{"name": "second", "scopes": ["Ingest"]}]);
    });
    hang(&world, "acme");
    tokio::select! {
        biased;
        () = world.stands_still() => {}
        failures = world.reconcile_tenants() => panic!("ClickHouse answered: {failures:?}"),
    }
    assert_eq!(names_of_keys(&world), ["second"]);
}

#[tokio::test]
async fn rule_27_tenants_that_hang_hold_up_nobody_else() {
    const OTHERS: [&str; 4] = ["one", "two", "three", "four"];
    let world = with_tenant(TENANT);
    for name in OTHERS {
        world.apply(&TENANT.replace("name: acme", &format!("name: {name}")));
        hang(&world, name);
    }
    let hanging = join_all(OTHERS.map(|name| {
        let world = world.clone();
        async move { world.reconcile_tenant(&format!("analyticstenants/team/{name}")).await }
    }));
    let fifth = async {
        for _ in 0..3 {
            world.reconcile_tenant(ACME).await.unwrap();
            world.reconcile_pipelines().await;
        }
    };
    tokio::select! {
        biased;
        outcomes = hanging => panic!("ClickHouse answered: {outcomes:?}"),
        () = fifth => {}
    }
    assert_eq!(world.reason(ACME, "Ready").as_deref(), Some("Ready"));
    for name in OTHERS {
        assert!(world.object(&format!("secrets/team/{name}-api-keys")).is_some(), "{name} has its keys");
    }
}
