use schema::{access::PasswordHash, secret::Secret, tenant_id::TenantId};

use super::*;

fn accounts() -> [Account; 2] {
    let tenant = TenantId::parse("team-acme").unwrap();
    let hash = || vec![PasswordHash::of(&Secret::new("one".to_owned()))];
    [Role::Writer, Role::Reader].map(|role| Account::new(role, &tenant, "u1", hash()))
}

fn all() -> BTreeSet<Fact> {
    accounts().iter().flat_map(|account| access::facts(account, &Policy::default())).collect()
}

fn first_words(changes: &[Change]) -> Vec<String> {
    changes.iter().map(|change| change.statement.split(' ').take(2).collect::<Vec<_>>().join(" ")).collect()
}

#[test]
fn a_new_user_gets_its_profile_first_and_its_rights_last() {
    let changes = changes(&accounts(), &Policy::default(), &BTreeSet::new());
    let of_reader = ["CREATE SETTINGS", "CREATE USER", "GRANT SELECT", "CREATE QUOTA"];
    assert_eq!(first_words(&changes[..3]), ["CREATE SETTINGS", "CREATE USER", "GRANT INSERT"]);
    assert_eq!(first_words(&changes[3..]), of_reader);
}

#[test]
fn nothing_is_said_of_what_is_as_it_should_be() {
    assert!(changes(&accounts(), &Policy::default(), &all()).is_empty());
}

/// Each fact that is missing, and each that is too many, is one statement about the same thing.
#[test]
fn each_difference_is_put_right_by_one_statement() {
    for fact in all() {
        let mut missing = all();
        missing.remove(&fact);
        let repaired = changes(&accounts(), &Policy::default(), &missing);
        assert_eq!(repaired.len(), 1, "{fact:?}");
        assert!(repaired[0].about.kinds().contains(&fact.kind), "{fact:?}");
        assert_eq!(repaired[0].name.as_str(), fact.name);

        let more = Fact { text: format!("{} and more", fact.text), ..fact.clone() };
        let repaired = changes(&accounts(), &Policy::default(), &[all(), [more].into()].concat_sets());
        assert_eq!(repaired.len(), 1, "{fact:?}");
    }
}

trait ConcatSets {
    fn concat_sets(self) -> BTreeSet<Fact>;
}

impl ConcatSets for [BTreeSet<Fact>; 2] {
    fn concat_sets(self) -> BTreeSet<Fact> {
        self.into_iter().flatten().collect()
    }
}

#[test]
fn a_role_and_a_period_that_somebody_added_go() {
    let [_, reader] = accounts();
    let mut observed = all();
    let fact = |kind, text: &str| Fact { kind, name: reader.name.to_string(), text: text.to_owned() };
    observed.insert(fact(Kind::Role, "admin`s"));
    observed.insert(fact(Kind::QuotaLimit, "(60,1,NULL)"));
    let changes = changes(&accounts(), &Policy::default(), &observed);
    assert_eq!(changes[0].statement, format!("REVOKE `admin\\`s` FROM {}", reader.name));
    assert!(
        changes[1].statement.contains(" FOR INTERVAL 60 second NO LIMITS, FOR INTERVAL 3600 second MAX ")
    );
}

#[test]
fn only_what_is_there_is_removed_and_a_profile_last() {
    let names = accounts().map(|account| account.name);
    assert!(removal(&names, &BTreeSet::new()).is_empty());
    let removed = removal(&names, &all());
    let of_reader = ["DROP QUOTA", "DROP USER", "DROP SETTINGS"];
    assert_eq!(first_words(&removed[..2]), ["DROP USER", "DROP SETTINGS"]);
    assert_eq!(first_words(&removed[2..]), of_reader);
}

#[test]
fn a_change_does_not_show_its_statement() {
    let changes = changes(&accounts(), &Policy::default(), &BTreeSet::new());
    assert!(!format!("{changes:?}").contains("sha256_hash"));
}
