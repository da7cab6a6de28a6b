//! Installations that make users in ClickHouse: made, changed by hand, with other passwords, and deleted.

use schema::access::Policy;
use serde_json::{Value, json};

use super::{ACME, Scenario, Step, tenant};
use crate::{labels, testing::World};

const WRITER: &str = "secrets/team/acme-clickhouse-writer";
const READER: &str = "secrets/team/acme-clickhouse";

pub(super) fn all() -> Vec<Scenario> {
    vec![
        Scenario { name: "users made", given: vec![users()], steps: vec![tenant()] },
        there("passwords replaced", vec![monday()]),
        there("passwords replaced again and the request removed", vec![monday(), tuesday(), no_more()]),
        there("passwords lost", vec![Step::Delete(WRITER), Step::Delete(READER)]),
        there("users changed by hand", vec![Step::Happens(|world| world.state().facts.clear())]),
        there("users deleted and the database kept", vec![Step::Delete(ACME)]),
        there("users deleted and made anew", vec![Step::Delete(ACME), tenant()]),
        Scenario {
            name: "users deleted with the database",
            given: vec![users(), Step::Apply(crate::testing::FLEETING_TENANT.to_owned())],
            steps: vec![Step::Delete(ACME)],
        },
        Scenario { name: "users in place of the shared one", given: vec![tenant()], steps: vec![users()] },
        there("the shared one in place of users, and deleted", vec![no_users(), Step::Delete(ACME)]),
    ]
}

/// The operator is started so that it makes users.
fn users() -> Step {
    Step::Happens(|world: &World| world.state().access = Some(Policy::default()))
}

/// The operator is started so that it makes none.
fn no_users() -> Step {
    Step::Happens(|world: &World| world.state().access = None)
}

fn there(name: &'static str, steps: Vec<Step>) -> Scenario {
    Scenario { name, given: vec![users(), tenant()], steps }
}

fn monday() -> Step {
    Step::Edit(ACME, |tenant| ask(tenant, json!({ labels::ROTATE_CREDENTIALS: "monday" })))
}

fn tuesday() -> Step {
    Step::Edit(ACME, |tenant| ask(tenant, json!({ labels::ROTATE_CREDENTIALS: "tuesday" })))
}

fn no_more() -> Step {
    Step::Edit(ACME, |tenant| ask(tenant, json!({})))
}

fn ask(tenant: &mut Value, annotations: Value) {
    tenant["metadata"]["annotations"] = annotations;
}
