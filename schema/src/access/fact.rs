//! What `system` tables show of users, a line a fact. Pure.
//!
//! A fact is text as the server spells it, so that what is wanted and what is there can be compared whole, and whatever
//! somebody added shows as well. The live tests compare the spelling with the server's.

use std::collections::BTreeSet;

use super::{
    Account, Policy, Role,
    limit::{Freedom, Setting, of_profile, of_user},
    statement::HOUR,
};
use crate::names::UserName;

/// Something that is so.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fact {
    pub kind: Kind,
    /// The name of the user, profile or quota.
    pub name: String,
    pub text: String,
}

/// What a fact is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// That there is a profile.
    Profile,
    ProfileSetting,
    /// That there is a user: how many passwords it has, and where it may come from.
    User,
    UserSetting,
    Grant,
    Role,
    /// That there is a quota: what it is counted by, and for whom.
    Quota,
    QuotaLimit,
}

impl Kind {
    const ALL: [Self; 8] = [
        Self::Profile,
        Self::ProfileSetting,
        Self::User,
        Self::UserSetting,
        Self::Grant,
        Self::Role,
        Self::Quota,
        Self::QuotaLimit,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Profile => "profile",
            Self::ProfileSetting => "profile setting",
            Self::User => "user",
            Self::UserSetting => "user setting",
            Self::Grant => "grant",
            Self::Role => "role",
            Self::Quota => "quota",
            Self::QuotaLimit => "quota limit",
        }
    }

    /// The kind that a line of the observation names.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    /// The table that shows facts of this kind, the column of the name, and the rest of the fact.
    fn source(self) -> (&'static str, &'static str, &'static str) {
        const SETTING: &str =
            "toString((setting_name, value, min, max, toString(writability), inherit_profile))";
        match self {
            Self::Profile => ("settings_profiles", "name", "''"),
            Self::ProfileSetting => ("settings_profile_elements", "profile_name", SETTING),
            Self::User => (
                "users",
                "name",
                "toString((arrayMap(method -> toString(method), auth_type), \
                 arrayMap(until -> toUnixTimestamp(until), valid_until), \
                 arraySort(arrayConcat(host_ip, host_names, host_names_regexp, host_names_like))))",
            ),
            Self::UserSetting => ("settings_profile_elements", "user_name", SETTING),
            Self::Grant => (
                "grants",
                "user_name",
                "toString((toString(access_type), database, table, column, is_partial_revoke, grant_option))",
            ),
            Self::Role => ("role_grants", "user_name", "granted_role_name"),
            Self::Quota => (
                "quotas",
                "name",
                "toString((arrayMap(key -> toString(key), keys), apply_to_all, apply_to_list))",
            ),
            Self::QuotaLimit => (
                "quota_limits",
                "quota_name",
                "toString((duration, max_queries, max_query_selects, max_query_inserts, max_errors, max_result_rows, \
                 max_result_bytes, max_read_rows, max_read_bytes, max_execution_time, max_written_bytes, \
                 max_failed_sequential_authentications))",
            ),
        }
    }
}

/// The query for all that is there of users, with their profiles and quotas: rows of `kind`, `name` and `fact`.
#[must_use]
pub fn observation(names: &[UserName]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("'{name}'")).collect();
    let names = names.join(", ");
    let of = |kind: Kind| {
        let (table, column, fact) = kind.source();
        format!(
            "SELECT '{}' AS kind, ifNull({column}, '') AS name, {fact} AS fact FROM system.{table} \
             WHERE {column} IN ({names})",
            kind.as_str()
        )
    };
    Kind::ALL.map(of).join(" UNION ALL ")
}

/// What has to be there of a user.
#[must_use]
pub fn facts(account: &Account, policy: &Policy) -> BTreeSet<Fact> {
    let fact = |kind, text| Fact { kind, name: account.name.to_string(), text };
    let profile = of_profile(account.role, policy);
    let mut facts: BTreeSet<Fact> = [
        fact(Kind::Profile, String::new()),
        fact(Kind::User, user(account, policy)),
        fact(Kind::UserSetting, format!("(NULL,NULL,NULL,NULL,NULL,'{}')", account.name)),
        fact(Kind::UserSetting, setting(&of_user(account))),
    ]
    .into();
    facts.extend(profile.iter().map(|shown| fact(Kind::ProfileSetting, setting(shown))));
    let database = account.database();
    facts.extend(account.grants().iter().map(|(privilege, table)| {
        fact(Kind::Grant, format!("('{}','{database}','{table}',NULL,0,0)", privilege.as_str()))
    }));
    match account.role {
        Role::Writer => {}
        Role::Reader => {
            facts.insert(fact(Kind::Quota, format!("(['user_name'],0,['{}'])", account.name)));
            facts.insert(fact(Kind::QuotaLimit, limit(policy)));
        }
    }
    facts
}

fn user(account: &Account, policy: &Policy) -> String {
    let of_each = |text: &str| vec![text; account.passwords.len()].join(",");
    let mut hosts: Vec<String> = policy
        .networks
        .iter()
        .map(|network| format!("'{network}'"))
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    if hosts.is_empty() {
        hosts.push("'::/0'".to_owned());
    }
    format!("([{}],[{}],[{}])", of_each("'sha256_password'"), of_each("0"), hosts.join(","))
}

fn setting(setting: &Setting) -> String {
    let text = |text: Option<&str>| text.map_or_else(|| "NULL".to_owned(), |text| format!("'{text}'"));
    let freedom = match setting.freedom {
        Freedom::Usual => None,
        Freedom::Nobody => Some("CONST"),
        Freedom::Reader => Some("CHANGEABLE_IN_READONLY"),
    };
    let (least, most) = setting.range.as_ref().map(|(least, most)| (least.as_str(), most.as_str())).unzip();
    format!(
        "('{}',{},{},{},{},NULL)",
        setting.name,
        text(setting.value.as_deref()),
        text(least),
        text(most),
        text(freedom)
    )
}

fn limit(policy: &Policy) -> String {
    format!(
        "({HOUR},{},NULL,NULL,NULL,NULL,NULL,NULL,NULL,{},NULL,NULL)",
        policy.reader.queries_per_hour, policy.reader.execution_seconds_per_hour
    )
}

/// The period, in seconds, that a fact about a limit of a quota counts by.
#[must_use]
pub fn period(limit: &str) -> Option<u32> {
    limit.strip_prefix('(')?.split(',').next()?.parse().ok()
}
