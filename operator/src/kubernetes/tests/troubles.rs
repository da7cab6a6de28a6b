//! What goes wrong below the client, which itself asks again when the API server says that it is too busy.

use std::time::Instant;

use k8s_openapi::api::core::v1::Secret;

use super::*;
use crate::testing::{ACME, FLEETING_TENANT, Trouble};

/// A call may take this long here.
const DEADLINE: Duration = Duration::from_millis(300);
/// A machine with other work is slower.
const SLOWER: Duration = Duration::from_secs(5);
/// More requests than one look at a tenant or a Pipeline makes.
const MOST_REQUESTS: usize = 60;

const BUSY: Trouble = Trouble::Status { code: 429, retry_after: None };
const BUSY_FOR_LONG: Trouble = Trouble::Status { code: 429, retry_after: Some(60) };
const FOR_EVER: usize = usize::MAX;

fn status(code: u16) -> Trouble {
    Trouble::Status { code, retry_after: None }
}

const TRANSIENT: (Failure, Reason) = (Failure::Transient, Reason::KubernetesUnreachable);

const TROUBLES: [(Trouble, (Failure, Reason)); 11] = [
    (Trouble::Hang, TRANSIENT),
    (Trouble::HalfBody, TRANSIENT),
    (Trouble::Reset, TRANSIENT),
    (BUSY, TRANSIENT),
    (BUSY_FOR_LONG, TRANSIENT),
    (Trouble::Status { code: 503, retry_after: None }, TRANSIENT),
    (Trouble::Status { code: 500, retry_after: None }, TRANSIENT),
    (Trouble::Status { code: 410, retry_after: None }, TRANSIENT),
    (Trouble::Status { code: 409, retry_after: None }, (Failure::Transient, Reason::KubernetesChanged)),
    (
        Trouble::Status { code: 403, retry_after: None },
        (Failure::Permission, Reason::KubernetesPermissionDenied),
    ),
    (Trouble::Status { code: 422, retry_after: None }, (Failure::Refused, Reason::KubernetesRefused)),
];

/// Every call that there is, each on a world of its own in which all of them are in trouble.
async fn calls(trouble: Trouble) -> Vec<(&'static str, Result<(), Error>)> {
    let world = world_with_a_secret();
    let kubernetes = kubernetes(&world).within(DEADLINE);
    let found = kubernetes.get::<Secret>("team", "acme-api-keys").await.unwrap().unwrap();
    let absent = typed(json!({"metadata": {"name": "absent", "namespace": "team"}}));
    for verb in ["GET", "POST", "APPLY", "MERGE", "DELETE"] {
        world.trouble(verb, trouble, FOR_EVER);
    }
    vec![
        ("get", kubernetes.get::<Secret>("team", "acme-api-keys").await.map(drop)),
        ("metadata", kubernetes.get_metadata::<Secret>("team", "acme-api-keys").await.map(drop)),
        ("list", kubernetes.list::<Secret>("team").await.map(drop)),
        ("create", kubernetes.create(&absent).await.map(drop)),
        ("change", kubernetes.change::<Secret>(&found.metadata, json!({"data": {}})).await),
        ("status", kubernetes.write_status(&found, &json!({})).await.map(drop)),
        ("finalizer", kubernetes.add_finalizer(&found).await.map(drop)),
        ("delete", kubernetes.delete::<Secret>(&found.metadata).await),
    ]
}

#[tokio::test]
async fn rule_27_every_call_ends_in_time_and_says_what_helps() {
    let all = TROUBLES.map(|(trouble, expected)| async move {
        let started = now();
        let calls = calls(trouble).await;
        let most = DEADLINE * u32::try_from(calls.len()).unwrap() + SLOWER;
        assert!(now() - started < most, "{trouble:?}");
        for (call, outcome) in calls {
            let error = outcome.expect_err(call);
            assert_eq!((error.failure(), error.reason()), expected, "{call} in {trouble:?}: {error:?}");
        }
    });
    futures::future::join_all(all).await;
}

#[allow(clippy::disallowed_methods, reason = "calls are measured here")]
fn now() -> Instant {
    Instant::now()
}

#[tokio::test]
async fn a_server_that_is_busy_for_a_moment_is_asked_again_at_once() {
    let world = world_with_a_secret();
    world.trouble("GET", BUSY, 2);
    world.trouble("GET", Trouble::Status { code: 503, retry_after: None }, 1);
    assert!(kubernetes(&world).get::<Secret>("team", "acme-api-keys").await.unwrap().is_some());
    assert_eq!(world.state().requests, 4);
}

/// A change may have been made although nobody heard of it, so it is not sent again unseen.
#[tokio::test]
async fn what_was_not_answered_is_not_sent_again_by_itself() {
    for trouble in [Trouble::Hang, Trouble::HalfBody, Trouble::Reset, status(500), status(409)] {
        let world = world_with_a_secret();
        world.trouble("MERGE", trouble, FOR_EVER);
        let kubernetes = kubernetes(&world).within(DEADLINE);
        kubernetes.change::<Secret>(&secret("u5"), json!({"data": {}})).await.unwrap_err();
        assert_eq!(world.state().requests, 1, "{trouble:?}");
    }
}

/// One look at a resource in trouble asks no more than one that goes well, and the next look comes later.
#[tokio::test]
async fn trouble_makes_no_hot_loop_and_leaves_no_trace() {
    let lines = [
        "GET secrets/",
        "POST secrets/",
        "APPLY pipelines/",
        "APPLY analyticstenants/",
        "APPLY deployments/",
        "MERGE ",
    ];
    let troubles = [Trouble::Hang, Trouble::HalfBody, BUSY_FOR_LONG, status(403)];
    for line in lines {
        let all = troubles.map(|trouble| async move {
            let world = World::default();
            world.state().deadline = Some(Duration::from_millis(60));
            world.apply(FLEETING_TENANT);
            world.trouble(line, trouble, FOR_EVER);
            for _ in 0..3 {
                world.state().requests = 0;
                world.reconcile_tenants().await;
                world.reconcile_pipelines().await;
                let requests = world.state().requests;
                assert!(requests < MOST_REQUESTS, "{requests} requests, {line} in {trouble:?}");
            }
            (world.state().troubles, world.state().deadline) = (Vec::new(), None);
            world.settle().await;
            assert_eq!(world.reason(ACME, "Ready").as_deref(), Some("Ready"), "{line} in {trouble:?}");
            assert_eq!(world.stored(), (2, 1), "{line} in {trouble:?}");
        });
        futures::future::join_all(all).await;
    }
}
