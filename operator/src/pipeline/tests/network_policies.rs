//! The policies come and go with the operator's option.

use serde_json::json;

use super::settled;

const POLICIES: [&str; 2] =
    ["networkpolicies/team/acme-default-ingester", "networkpolicies/team/acme-default-consumer"];

#[tokio::test]
async fn policies_are_made_repaired_and_removed_with_the_option() {
    let world = settled().await;
    let are_there = || POLICIES.map(|policy| world.object(policy).is_some());
    assert_eq!(are_there(), [false, false]);

    let policies = json!({"kafkaPorts": [9092], "clickhousePorts": [8123]});
    world.state().network_policies = Some(serde_json::from_value(policies).unwrap());
    world.settle().await;
    assert_eq!(are_there(), [true, true]);

    world.edit(POLICIES[0], |policy| policy["spec"]["egress"] = json!([{}]));
    world.settle().await;
    assert_eq!(world.object(POLICIES[0]).unwrap()["spec"]["egress"][0]["ports"][2]["port"], 9092);

    world.state().network_policies = None;
    world.settle().await;
    assert_eq!(are_there(), [false, false]);
}
