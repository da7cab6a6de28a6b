//! From what is there of users to the statements that make it what is wanted. Pure.

use std::{collections::BTreeSet, fmt};

use schema::{
    access::{self, Account, Fact, Kind, Policy, Role},
    names::UserName,
};

/// A statement, and what it is about.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) about: About,
    pub(crate) name: UserName,
    pub(crate) statement: String,
}

/// What a statement is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum About {
    Profile,
    User,
    Roles,
    Grants,
    Quota,
}

impl About {
    /// The facts that the statement decides.
    pub(crate) fn kinds(self) -> &'static [Kind] {
        match self {
            Self::Profile => &[Kind::Profile, Kind::ProfileSetting],
            Self::User => &[Kind::User, Kind::UserSetting],
            Self::Roles => &[Kind::Role],
            Self::Grants => &[Kind::Grant],
            Self::Quota => &[Kind::Quota, Kind::QuotaLimit],
        }
    }
}

impl fmt::Display for About {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Profile => "the settings profile",
            Self::User => "the user",
            Self::Roles => "the roles of",
            Self::Grants => "the rights of",
            Self::Quota => "the quota",
        })
    }
}

impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Change").field("about", &self.about).field("name", &self.name).finish_non_exhaustive()
    }
}

/// What has to change, in an order in which each statement finds what it names: a profile before its user, and the user
/// before its rights and its quota.
pub(crate) fn changes(accounts: &[Account], policy: &Policy, observed: &BTreeSet<Fact>) -> Vec<Change> {
    accounts.iter().flat_map(|account| of_account(account, policy, observed)).collect()
}

fn of_account(account: &Account, policy: &Policy, observed: &BTreeSet<Fact>) -> Vec<Change> {
    let wanted = access::facts(account, policy);
    let name = account.name.as_str();
    let differs = |about: About| of(about, name, &wanted) != of(about, name, observed);
    let is_there = |kind: Kind| observed.iter().any(|fact| fact.kind == kind && fact.name == name);
    let mut changes = Vec::new();
    let mut add = |about: About, statement: String| {
        changes.push(Change { about, name: account.name.clone(), statement });
    };
    if differs(About::Profile) {
        add(
            About::Profile,
            match is_there(Kind::Profile) {
                true => access::alter_profile(account, policy),
                false => access::create_profile(account, policy),
            },
        );
    }
    if differs(About::User) {
        add(
            About::User,
            match is_there(Kind::User) {
                true => access::alter_user(account, policy),
                false => access::create_user(account, policy),
            },
        );
    }
    if differs(About::Roles) {
        let roles: Vec<&str> =
            of(About::Roles, name, observed).into_iter().map(|fact| fact.text.as_str()).collect();
        add(About::Roles, access::revoke(&account.name, &roles));
    }
    if differs(About::Grants) {
        add(About::Grants, access::grant(account));
    }
    if account.role == Role::Reader && differs(About::Quota) {
        add(
            About::Quota,
            match is_there(Kind::Quota) {
                true => access::alter_quota(account, policy, &other_periods(name, &wanted, observed)),
                false => access::create_quota(account, policy),
            },
        );
    }
    changes
}

/// What takes users away, as far as they are there: a quota and a user before the profile that the user has.
pub(crate) fn removal(names: &[UserName], observed: &BTreeSet<Fact>) -> Vec<Change> {
    type Drop = fn(&UserName) -> String;
    const STEPS: [(About, Kind, Drop); 3] = [
        (About::Quota, Kind::Quota, access::drop_quota),
        (About::User, Kind::User, access::drop_user),
        (About::Profile, Kind::Profile, access::drop_profile),
    ];
    let is_there = |kind: Kind, name: &UserName| {
        observed.iter().any(|fact| fact.kind == kind && fact.name == name.as_str())
    };
    let of_each = |name: &UserName| {
        let there = STEPS.iter().filter(|(_, kind, _)| is_there(*kind, name));
        let drops =
            there.map(|(about, _, drop)| Change { about: *about, name: name.clone(), statement: drop(name) });
        drops.collect::<Vec<_>>()
    };
    names.iter().flat_map(of_each).collect()
}

fn of<'a>(about: About, name: &str, facts: &'a BTreeSet<Fact>) -> BTreeSet<&'a Fact> {
    facts.iter().filter(|fact| fact.name == name && about.kinds().contains(&fact.kind)).collect()
}

/// The periods, in seconds, that a quota counts by and should not.
fn other_periods(name: &str, wanted: &BTreeSet<Fact>, observed: &BTreeSet<Fact>) -> Vec<u32> {
    let periods = |facts: &BTreeSet<Fact>| -> BTreeSet<u32> {
        let limits = facts.iter().filter(|fact| fact.kind == Kind::QuotaLimit && fact.name == name);
        limits.filter_map(|fact| access::period(&fact.text)).collect()
    };
    periods(observed).difference(&periods(wanted)).copied().collect()
}

#[cfg(test)]
mod tests;
