//! The chart's roles for people, asked of the API server's own authorizer.

use std::time::Duration;

use harness::chart::{NAMESPACE, RELEASE};
use harness::installed::install;
use harness::kubernetes::Ground;
use harness::private_cluster::PrivateCluster;
use harness::wait::{Look, until, within};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::api::{Api, PostParams};
use serde_json::json;

use super::rendered::smallest;

const TEST: Duration = Duration::from_secs(60);

const ROLES: [&str; 3] = ["view", "edit", "admin"];
const READ: [&str; 3] = ["get", "list", "watch"];
const WRITE: [&str; 5] = ["create", "update", "patch", "delete", "deletecollection"];

/// Verbs on a resource, and the roles that have them. No other role of the chart has.
const GRANTS: [(&[&str], &str, &[&str]); 11] = [
    (&READ, "analyticstenants", &ROLES),
    (&READ, "pipelines", &ROLES),
    (&["get"], "analyticstenants/status", &ROLES),
    (&["get"], "pipelines/status", &ROLES),
    (&["get"], "pipelines/scale", &ROLES),
    (&WRITE, "analyticstenants", &["admin"]),
    (&WRITE, "pipelines", &["edit", "admin"]),
    (&["update", "patch"], "pipelines/scale", &["edit", "admin"]),
    // What the operator says of them is its own.
    (&["update", "patch"], "analyticstenants/status", &[]),
    (&["update", "patch"], "pipelines/status", &[]),
    (&["update"], "pipelines/finalizers", &[]),
];

#[tokio::test]
async fn each_role_may_do_what_it_says_and_nothing_else() -> anyhow::Result<()> {
    within(TEST, async {
        let cluster = PrivateCluster::start().await?;
        install(&cluster, &smallest()).await?;
        let ground = cluster.ground("roles").await?;
        for role in ROLES {
            bind(&ground, role).await?;
            until(TEST, "the authorizer's view of a new binding", || async {
                Ok(Look::at(may(&ground, role, "get", "pipelines").await?, role))
            })
            .await?;
        }
        let mut wrong = Vec::new();
        for role in ROLES {
            for (verbs, resource, allowed) in GRANTS {
                for verb in verbs {
                    let expected = allowed.contains(&role);
                    if may(&ground, role, verb, resource).await? != expected {
                        wrong.push(format!("{role}: {verb} {resource} should be {expected}"));
                    }
                }
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
        Ok(())
    })
    .await
}

/// Gives the role, in this namespace, to a user of the role's name.
async fn bind(ground: &Ground, role: &str) -> anyhow::Result<()> {
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": role},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "ClusterRole",
            "name": format!("{NAMESPACE}-{RELEASE}-{role}"),
        },
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user(role)}],
    });
    ground.apply::<RoleBinding>(role, &binding).await.map(drop)
}

fn user(role: &str) -> String {
    format!("one-with-{role}")
}

async fn may(ground: &Ground, role: &str, verb: &str, resource: &str) -> anyhow::Result<bool> {
    let (resource, subresource) = match resource.split_once('/') {
        Some((resource, subresource)) => (resource, Some(subresource.to_owned())),
        None => (resource, None),
    };
    let review = SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: Some(user(role)),
            resource_attributes: Some(ResourceAttributes {
                group: Some(crds::GROUP.to_owned()),
                namespace: Some(ground.name.clone()),
                verb: Some(verb.to_owned()),
                resource: Some(resource.to_owned()),
                subresource,
                ..ResourceAttributes::default()
            }),
            ..SubjectAccessReviewSpec::default()
        },
        ..SubjectAccessReview::default()
    };
    let reviews: Api<SubjectAccessReview> = Api::all(ground.client.clone());
    let answer = reviews.create(&PostParams::default(), &review).await?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}
