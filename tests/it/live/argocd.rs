//! The health check for Argo CD, run by the Lua that Argo CD has.

use std::io::Write as _;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use dev::artifacts;
use dev::folders::Folders;
use harness::wait::within;
use serde_json::{Value, json};

use crate::checkout::{root, text};

const TEST: Duration = Duration::from_secs(60);

/// The libraries that Argo CD leaves out unless it is told otherwise.
const CLOSED: [&str; 6] = ["string", "math", "io", "debug", "coroutine", "channel"];

/// What the operator may have said of a resource of generation 2, and the health that it means.
fn cases() -> Vec<(&'static str, Value, &'static str, &'static str)> {
    let ready = condition("Ready", "True", "Ready", "");
    let waiting = condition("Ready", "False", "NoReplicas", "0 of 1 pods are ready");
    let stalled = condition("Stalled", "True", "NameConflict", "the database is another's");
    let blocked = condition("DeletionBlocked", "True", "KafkaUnreachable", "no broker answers");
    let reconciling = condition("Reconciling", "True", "Progressing", "");
    let unseen = "the operator has not looked at this spec yet";
    vec![
        ("nothing is known", resource(json!({})), "Progressing", unseen),
        (
            "no generation was looked at",
            resource(json!({"status": {"conditions": [condition("Ready", "Unknown", "Pending", "")]}})),
            "Progressing",
            unseen,
        ),
        ("an older spec was ready", observed(1, &[&ready]), "Progressing", unseen),
        ("an older spec stalled", observed(1, &[&waiting, &stalled]), "Progressing", unseen),
        ("no conditions", resource(json!({"status": {"observedGeneration": 2}})), "Progressing", ""),
        ("ready", observed(2, &[&ready]), "Healthy", "Ready"),
        (
            "ready with a message",
            observed(2, &[&condition("Ready", "True", "ScaledToZero", "no pods were asked for")]),
            "Healthy",
            "no pods were asked for",
        ),
        ("on the way", observed(2, &[&waiting, &reconciling]), "Progressing", "0 of 1 pods are ready"),
        (
            "nobody knows",
            observed(2, &[&condition("Ready", "Unknown", "KafkaUnreachable", "no broker answers")]),
            "Progressing",
            "no broker answers",
        ),
        ("stalled", observed(2, &[&waiting, &stalled]), "Degraded", "the database is another's"),
        (
            "stalled, the other order",
            observed(2, &[&stalled, &ready]),
            "Degraded",
            "the database is another's",
        ),
        (
            "no longer stalled",
            observed(2, &[&ready, &condition("Stalled", "False", "None", "")]),
            "Healthy",
            "Ready",
        ),
        ("being deleted", deleted(observed(2, &[&ready])), "Progressing", "being deleted"),
        ("stalled, then deleted", deleted(observed(2, &[&stalled])), "Progressing", "being deleted"),
        ("held", deleted(observed(2, &[&waiting, &blocked])), "Progressing", "no broker answers"),
    ]
}

fn condition(kind: &str, status: &str, reason: &str, message: &str) -> Value {
    json!({"type": kind, "status": status, "reason": reason, "message": message, "observedGeneration": 2})
}

/// A resource with these members beside its metadata.
fn resource(mut members: Value) -> Value {
    members["metadata"] = json!({"name": "acme", "generation": 2});
    members
}

fn observed(generation: i64, conditions: &[&Value]) -> Value {
    resource(json!({"status": {"observedGeneration": generation, "conditions": conditions}}))
}

fn deleted(mut resource: Value) -> Value {
    resource["metadata"]["deletionTimestamp"] = json!("2026-01-02T03:04:05Z");
    resource
}

#[tokio::test]
async fn argo_cd_reads_each_state_as_the_health_it_is() -> anyhow::Result<()> {
    within(TEST, async {
        let lua = artifacts::lua(&Folders::of_this_user()?);
        let mut program = tempfile::NamedTempFile::with_suffix(".lua")?;
        program.write_all(program_for(&cases()).as_bytes())?;
        let mut command = Command::new(lua);
        command.current_dir(root()).arg(program.path());
        let output = tokio::task::spawn_blocking(move || command.output()).await?;
        let output = output.context("failed to run Lua; `make up` makes it")?;
        let said = String::from_utf8(output.stdout)?;
        ensure!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
        let found: Vec<&str> = said.lines().collect();
        let expected: Vec<String> =
            cases().iter().map(|(name, _, status, message)| format!("{name}: {status}, {message}")).collect();
        assert_eq!(found, expected);
        Ok(())
    })
    .await
}

/// Runs the check for each resource as Argo CD does: `obj` is the resource, and the returned table the health.
fn program_for(cases: &[(&str, Value, &str, &str)]) -> String {
    let closed: String = CLOSED.map(|name| format!("{name} = nil\n")).concat();
    let calls: String = cases
        .iter()
        .map(|(name, resource, ..)| {
            let (name, resource) = (literal(&json!(name)), literal(resource));
            format!("obj = {resource}\nhealth = check()\nprint({name} .. ': ' .. health.status .. ', ' .. health.message)\n")
        })
        .collect();
    format!("local check = assert(loadfile('charts/millrace/files/argocd/health.lua'))\n{closed}{calls}")
}

/// A value in Lua. Its texts have no character that JSON and Lua write differently.
fn literal(value: &Value) -> String {
    match value {
        Value::Null => "nil".to_owned(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => value.to_string(),
        Value::Array(items) => {
            format!("{{{}}}", items.iter().map(literal).collect::<Vec<_>>().join(", "))
        }
        Value::Object(members) => {
            let member = |(name, value): (&String, &Value)| format!("[{name:?}] = {}", literal(value));
            format!("{{{}}}", members.iter().map(member).collect::<Vec<_>>().join(", "))
        }
    }
}

#[test]
fn the_document_shows_the_check_that_the_chart_carries() {
    let check = text("charts/millrace/files/argocd/health.lua");
    let indented: String = check
        .lines()
        .map(|line| if line.is_empty() { "\n".to_owned() } else { format!("    {line}\n") })
        .collect();
    assert!(text("docs/operations/argocd.md").contains(&indented), "copy it to docs/operations/argocd.md");
}
