//! What a look makes of a cache that lags behind, lacks something, or shows what is gone: what is true decides.

use super::*;
use scenario::{beside_the_pipelines, beside_the_tenants, flag, looks, settled, until};

use crate::testing::{ACME, ACME_DEFAULT, World, names_of_keys};

const WEB: &str = "pipelines/team/web";
/// So many looks at something that is not as the cache shows it.
const LOOKS: usize = 5;

/// A Pipeline whose topics go with it.
const WEB_PIPELINE: &str = "
apiVersion: analytics.millrace.dev/v1alpha1
kind: Pipeline
metadata: {name: web, namespace: team}
spec: {tenantRef: {name: acme}, deletionPolicy: {kafka: Delete}}
";

/// Every pair of a version that the tenant had and one that its Pipeline had.
fn pairs_of_versions(world: &World) -> Vec<[serde_json::Value; 2]> {
    let (tenants, pipelines) = (world.versions("analyticstenants"), world.versions("pipelines"));
    let pairs: Vec<_> = tenants[0]
        .iter()
        .flat_map(|tenant| pipelines[0].iter().map(|pipeline| [tenant.clone(), pipeline.clone()]))
        .collect();
    assert!(pairs.len() > 9, "{} pairs of versions", pairs.len());
    pairs
}

#[tokio::test]
async fn rule_02_whatever_led_to_a_look_it_does_the_same() {
    let world = settled().await;
    world.edit(ACME, |tenant| tenant["spec"]["apiKeys"] = json!([{"name": "b", "scopes": ["Ingest"]}]));
    world.edit(ACME_DEFAULT, |pipeline| pipeline["spec"]["ingester"] = json!({"replicas": 3}));
    world.take_log();
    let punctual = world.fork();
    punctual.reconcile_tenants().await;
    punctual.reconcile_pipelines().await;
    let expected = punctual.take_log();
    assert!(expected.len() >= 3, "{expected:?}");
    for [tenant, pipeline] in pairs_of_versions(&world) {
        let late = world.fork();
        late.reconcile_cached(&[tenant], &[pipeline]).await;
        assert_eq!(late.take_log(), expected);
        assert_eq!(names_of_keys(&late), ["b"]);
    }
}

/// What a look decides from, it reads; a cache only says which resource to look at.
#[tokio::test]
async fn rule_15_a_cache_older_than_our_own_writes_leads_to_none() {
    let world = settled().await;
    for [tenant, pipeline] in pairs_of_versions(&world) {
        let late = world.fork();
        late.take_log();
        late.reconcile_cached(&[tenant], &[pipeline]).await;
        assert_eq!(late.take_log(), [""; 0]);
    }
}

fn looks_at(world: &World, key: &str) -> usize {
    let read = format!("GET {key}");
    world.state().reads.iter().filter(|line| **line == read).count()
}

/// The cache shows a Pipeline on its way out, while that one is gone and another one bears its name.
#[tokio::test]
async fn rule_15_a_namesake_of_what_the_cache_shows_is_not_harmed() {
    let world = settled().await;
    world.state().pace.draining = Duration::from_millis(5);
    world.apply(WEB_PIPELINE);
    world.settle().await;
    world.leave_unstored(WEB, 5);
    beside_the_pipelines(&world, flag(), async {
        until(|| looks(&world, "WATCH pipelines") > 0).await;
        let before = looks_at(&world, WEB);
        world.delete(WEB);
        until(|| looks_at(&world, WEB) >= before + LOOKS).await;
        world.state().silent = ["pipelines"].into();
        let gone = world.state().objects.remove(WEB).unwrap();
        world.apply(WEB_PIPELINE);
        let new = world.object(WEB).unwrap();
        assert_ne!(new["metadata"]["uid"], gone["metadata"]["uid"]);
        let before = looks_at(&world, WEB);
        // The one that is gone could go on to delete its topics.
        world.state().unstored.clear();
        until(|| looks_at(&world, WEB) > before).await;
        assert_eq!(world.object(WEB).unwrap(), new);
        world.state().expired = ["pipelines"].into();
        world.state().silent.clear();
        until(|| world.reason(WEB, "TopicReady").is_some()).await;
    })
    .await;
    assert!(world.object(WEB).unwrap()["metadata"]["deletionTimestamp"].is_null());
    assert_eq!(world.state().violations, [""; 0]);
}

/// The controller never saw a Pipeline. That it waits for the first list of its own kind is kube's part, and
/// `the_pipelines_are_listed_once_they_may_be_and_not_before`.
#[tokio::test]
async fn rule_14_what_the_cache_lacks_is_not_taken_for_gone() {
    let world = settled().await;
    world.apply(WEB_PIPELINE);
    world.settle().await;
    world.state().pace.soon = Duration::from_millis(5);
    world.state().refusals = vec![("LIST pipelines".to_owned(), 403)];
    world.delete(ACME);
    world.state().reads.clear();
    beside_the_tenants(&world, Writer::default(), async {
        until(|| looks_at(&world, ACME) >= LOOKS && looks(&world, "LIST pipelines") >= LOOKS).await;
    })
    .await;
    assert!(world.object(ACME).is_some(), "it waits for `web`");
    let blocked = world.message(ACME, "DeletionBlocked").unwrap();
    assert!(blocked.contains("web"), "{blocked}");
    assert_eq!(world.stored().1, 1, "its database");
}
