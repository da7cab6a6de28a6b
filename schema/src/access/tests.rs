use proptest::prelude::{prop_assert, proptest};

use super::*;
use crate::secret::Secret;

fn account(role: Role, passwords: &[&str]) -> Account {
    let passwords = passwords.iter().map(|text| PasswordHash::of(&Secret::new((*text).to_owned()))).collect();
    Account::new(role, &TenantId::parse("team-acme").unwrap(), "u1", passwords)
}

fn narrowed() -> Policy {
    let policy = r#"{"networks": ["10.1.2.3/8", "fd00::/8"], "reader": {"queriesPerHour": 7}}"#;
    serde_json::from_str(policy).unwrap()
}

/// All statements about a user.
fn statements(account: &Account, policy: &Policy) -> Vec<String> {
    let mut statements = vec![
        create_profile(account, policy),
        alter_profile(account, policy),
        create_user(account, policy),
        alter_user(account, policy),
        grant(account),
        revoke(&account.name, &["some`body's \\ role", "other"]),
        drop_user(&account.name),
        drop_profile(&account.name),
    ];
    if account.role == Role::Reader {
        statements.extend([
            create_quota(account, policy),
            alter_quota(account, policy, &[60, 86_400]),
            drop_quota(&account.name),
        ]);
    }
    statements
}

#[test]
fn statements_are_as_frozen() {
    let writer = statements(&account(Role::Writer, &["one"]), &Policy::default());
    let reader = statements(&account(Role::Reader, &["one", "two"]), &narrowed());
    insta::assert_snapshot!([writer, reader].concat().join("\n"));
}

#[test]
fn what_is_wanted_is_as_frozen() {
    let writer = facts(&account(Role::Writer, &["one"]), &Policy::default());
    let reader = facts(&account(Role::Reader, &["one", "two"]), &narrowed());
    let lines =
        writer.iter().chain(&reader).map(|fact| format!("{:?} {} {}", fact.kind, fact.name, fact.text));
    insta::assert_snapshot!(lines.collect::<Vec<_>>().join("\n"));
}

#[test]
fn what_is_asked_for_is_as_frozen() {
    insta::assert_snapshot!(observation(&[account(Role::Writer, &[]).name]).replace(" UNION ALL ", "\n"));
}

#[test]
fn no_password_is_in_a_statement_or_a_fact() {
    let reader = account(Role::Reader, &["hunter2"]);
    assert!(statements(&reader, &Policy::default()).iter().all(|text| !text.contains("hunter2")));
    let hash = reader.passwords[0].hexadecimal();
    assert!(facts(&reader, &Policy::default()).iter().all(|fact| !fact.text.contains(&hash)));
}

#[test]
fn another_password_or_one_more_is_another_user() {
    let facts = |passwords: &[&str]| facts(&account(Role::Reader, passwords), &Policy::default());
    assert_ne!(facts(&["one"]), facts(&["two"]));
    assert_ne!(facts(&["one"]), facts(&["one", "two"]));
    assert_eq!(facts(&["two", "one"]), facts(&["one", "two"]));
}

#[test]
fn a_limit_that_is_zero_or_unknown_is_refused() {
    for policy in [
        r#"{"reader": {"maxThreads": 0}}"#,
        r#"{"reader": {"maxRows": 1}}"#,
        r#"{"networks": ["example.com"]}"#,
    ] {
        assert!(serde_json::from_str::<Policy>(policy).is_err(), "{policy}");
    }
}

proptest! {
    /// Whatever an id and a UID are, a statement is one of plain characters, and its quotes close.
    #[test]
    fn a_hostile_owner_ends_no_literal(id in "[a-z0-9-]{1,40}", uid in "(?s).{0,60}") {
        let hash = PasswordHash::of(&Secret::new(uid.clone()));
        let tenant = TenantId::parse(&id).unwrap();
        for role in [Role::Writer, Role::Reader] {
            let account = Account::new(role, &tenant, &uid, vec![hash.clone()]);
            let name = account.name.as_str();
            prop_assert!(name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_')), "{name}");
            for statement in [
                create_user(&account, &Policy::default()), grant(&account), drop_user(&account.name),
                create_profile(&account, &Policy::default()),
            ] {
                let plain = |c: char| c.is_ascii_alphanumeric() || " _'=,.-".contains(c);
                prop_assert!(statement.chars().all(plain), "{statement}");
                prop_assert!(statement.matches('\'').count() % 2 == 0, "{statement}");
            }
        }
    }
}
