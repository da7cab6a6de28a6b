//! Tenants of one id: it belongs to the one whose database it is, and while there is none, to the oldest.

use serde_json::json;

use super::*;

const THE_RIVAL: &str = "analyticstenants/other/rival";

fn ready_of(world: &World, key: &str) -> Option<String> {
    world.reason(key, "Ready")
}

/// Whoever came first into the database keeps it, though the other counts as the older one.
#[tokio::test]
async fn a_tenant_keeps_its_database_before_a_rival_that_counts_as_older() {
    let world = with_tenant(TENANT);
    world.settle().await;
    let created = world.object(ACME).unwrap()["metadata"]["creationTimestamp"].clone();
    world.apply(RIVAL);
    for (time, uid) in
        [(created, "00000000-0000-0000-0000-000000000000"), (json!("2001-01-01T00:00:00Z"), "z")]
    {
        world.edit(THE_RIVAL, |rival| {
            rival["metadata"]["uid"] = json!(uid);
            rival["metadata"]["creationTimestamp"] = time.clone();
        });
        world.settle().await;
        assert_eq!(ready_of(&world, ACME).as_deref(), Some("Ready"), "{time}");
        assert_eq!(world.reason(THE_RIVAL, "Stalled").as_deref(), Some("NameConflict"), "{time}");
        assert!(world.message(THE_RIVAL, "Stalled").unwrap().contains("`team/acme`"));
    }
}

/// As two operators before left it behind: each of both tenants says that the id is the other's.
#[tokio::test]
async fn a_tenant_that_was_taken_for_the_younger_one_has_its_database_again() {
    let world = with_tenant(TENANT);
    world.settle().await;
    world.apply(RIVAL);
    world.edit(THE_RIVAL, |rival| rival["metadata"]["creationTimestamp"] = json!("2001-01-01T00:00:00Z"));
    world.edit(ACME, |tenant| {
        for condition in tenant["status"]["conditions"].as_array_mut().unwrap() {
            if condition["type"] == "SpecValid" {
                condition["reason"] = json!("NameConflict");
                condition["status"] = json!("False");
            }
        }
    });
    world.settle().await;
    assert_eq!(ready_of(&world, ACME).as_deref(), Some("Ready"));
    assert_eq!(world.reason(THE_RIVAL, "Stalled").as_deref(), Some("NameConflict"));
}

#[tokio::test]
async fn whoever_waits_for_the_id_of_a_tenant_does_not_get_it_before_the_next_of_its_name() {
    let world = with_tenant(TENANT);
    world.settle().await;
    world.apply(RIVAL);
    world.settle().await;
    let database = world.state().databases.clone();
    world.delete(ACME);
    world.settle().await;
    assert_eq!(world.reason(THE_RIVAL, "Stalled").as_deref(), Some("NameConflict"), "it was released");
    world.apply(TENANT);
    world.edit(THE_RIVAL, |rival| rival["metadata"]["creationTimestamp"] = json!("2001-01-01T00:00:00Z"));
    world.settle().await;
    assert_eq!(ready_of(&world, ACME).as_deref(), Some("Ready"));
    assert_eq!(world.reason(THE_RIVAL, "Stalled").as_deref(), Some("NameConflict"));
    assert_eq!(world.state().databases.len(), database.len());
}

/// Nobody can say then whose the database is, and what is known stays true.
#[tokio::test]
async fn clickhouse_away_decides_no_contest() {
    let world = with_tenant(TENANT);
    world.settle().await;
    world.apply(RIVAL);
    world.edit(THE_RIVAL, |rival| rival["metadata"]["creationTimestamp"] = json!("2001-01-01T00:00:00Z"));
    world.state().is_clickhouse_away = true;
    world.reconcile_tenants().await;
    assert_eq!(world.reason(ACME, "SpecValid").as_deref(), Some("Valid"));
    assert_eq!(world.reason(THE_RIVAL, "SpecValid").as_deref(), Some("NameConflict"));
    world.state().is_clickhouse_away = false;
    world.settle().await;
    assert_eq!(ready_of(&world, ACME).as_deref(), Some("Ready"));
}
