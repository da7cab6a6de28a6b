//! Users as `users.xml` writes them: the same facts that the operator's statements make so.

use std::fmt::Write as _;

use anyhow::Context as _;
use dev::clickhouse::ExtraUsers;
use schema::access::{self, Account, Fact, Kind, Policy};

use crate::checkout::text;

/// The users with their profiles, rights and quotas.
pub(super) fn extra(accounts: &[Account], policy: &Policy, password: &str) -> ExtraUsers {
    let mut extra = ExtraUsers::default();
    for account in accounts {
        let facts = access::facts(account, policy);
        let of =
            |kind: Kind| facts.iter().filter(move |fact| fact.kind == kind).map(fields).collect::<Vec<_>>();
        let name = account.name.as_str();
        extra.profiles.push_str(&profile(name, &of(Kind::ProfileSetting)));
        extra.quotas.push_str(&quota(name, &of(Kind::QuotaLimit)));
        let quota = if of(Kind::QuotaLimit).is_empty() { "default" } else { name };
        let grants: Vec<String> = of(Kind::Grant).iter().map(|grant| granted(grant)).collect();
        let user = user(name, password, (name, quota), &networks(&facts), &grants);
        extra.users.push_str(&user);
    }
    extra
}

/// The operator's user with these grants.
pub(super) fn operator(name: &str, password: &str, grants: &[String]) -> String {
    user(name, password, ("default", "default"), &["::/0".to_owned()], grants)
}

/// The grants of the operator's user that a page of the documentation has.
pub(super) fn documented_grants(page: &str) -> anyhow::Result<Vec<String>> {
    let page = text(page);
    let (_, rest) = page.split_once("```text\n").context("a block of statements")?;
    let (block, _) = rest.split_once("```").context("its end")?;
    let statements =
        block.split(';').map(|statement| statement.split_whitespace().collect::<Vec<_>>().join(" "));
    let grants = statements.filter(|statement| statement.starts_with("GRANT "));
    Ok(grants.map(|grant| grant.replace(" TO millrace", "")).collect())
}

/// The fields of a fact that is a tuple; none for NULL.
fn fields(fact: &Fact) -> Vec<Option<String>> {
    let inside = fact.text.trim_start_matches('(').trim_end_matches(')');
    inside.split(',').map(|field| (field != "NULL").then(|| field.trim_matches('\'').to_owned())).collect()
}

fn profile(name: &str, settings: &[Vec<Option<String>>]) -> String {
    let (mut values, mut constraints) = (String::new(), String::new());
    for setting in settings {
        let [Some(name), value, min, max, writability, _] = &setting[..] else { continue };
        if let Some(value) = value {
            let _ = writeln!(values, "<{name}>{value}</{name}>");
        }
        let bound = |element: &str, bound: &Option<String>| {
            bound.as_ref().map_or_else(String::new, |bound| format!("<{element}>{bound}</{element}>"))
        };
        let freedom = match writability.as_deref() {
            Some("CONST") => "<readonly/>",
            Some("CHANGEABLE_IN_READONLY") => "<changeable_in_readonly/>",
            Some(_) | None => "",
        };
        let _ = writeln!(constraints, "<{name}>{}{}{freedom}</{name}>", bound("min", min), bound("max", max));
    }
    format!("<{name}>\n{values}<constraints>\n{constraints}</constraints>\n</{name}>\n")
}

fn quota(name: &str, limits: &[Vec<Option<String>>]) -> String {
    let interval = |limit: &Vec<Option<String>>| {
        let number = |field: usize| limit[field].clone().unwrap_or_else(|| "0".to_owned());
        format!(
            "<interval><duration>{}</duration><queries>{}</queries><execution_time>{}</execution_time></interval>",
            number(0),
            number(1),
            number(9)
        )
    };
    let intervals: String = limits.iter().map(interval).collect();
    if intervals.is_empty() {
        intervals
    } else {
        format!("<{name}><keyed_by>user_name</keyed_by>{intervals}</{name}>\n")
    }
}

fn granted(grant: &[Option<String>]) -> String {
    let field = |at: usize| grant[at].clone().unwrap_or_default();
    format!("GRANT {} ON {}.{}", field(0), field(1), field(2))
}

/// The last list of the fact about a user.
fn networks(facts: &std::collections::BTreeSet<Fact>) -> Vec<String> {
    let user = facts.iter().find(|fact| fact.kind == Kind::User);
    let hosts = user.and_then(|user| user.text.rsplit_once('[')).map_or("", |(_, hosts)| hosts);
    hosts.trim_end_matches("])").split(',').map(|host| host.trim_matches('\'').to_owned()).collect()
}

fn user(
    name: &str,
    password: &str,
    (profile, quota): (&str, &str),
    networks: &[String],
    grants: &[String],
) -> String {
    let networks: String = networks.iter().map(|network| format!("<ip>{network}</ip>")).collect();
    let grants: String = grants.iter().map(|grant| format!("<query>{grant}</query>\n")).collect();
    format!(
        "<{name}>\n<password_sha256_hex>{}</password_sha256_hex>\n<profile>{profile}</profile>\n<quota>{quota}</quota>\n\
         <networks>{networks}</networks>\n<grants>\n{grants}</grants>\n</{name}>\n",
        sha256(password)
    )
}

/// From the statement, which has it, since the hash is shown nowhere else.
fn sha256(password: &str) -> String {
    use schema::{
        access::{PasswordHash, Role},
        secret::Secret,
        tenant_id::TenantId,
    };
    let tenant = TenantId::parse("a").expect("a letter is an id");
    let hash = PasswordHash::of(&Secret::new(password.to_owned()));
    let statement =
        access::create_user(&Account::new(Role::Reader, &tenant, "", vec![hash]), &Policy::default());
    let hash = statement.split_once("BY '").and_then(|(_, rest)| rest.split_once('\''));
    hash.expect("the statement has the hash between quotes").0.to_owned()
}
