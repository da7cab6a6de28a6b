//! The statements that bring users about. Pure.
//!
//! Names are checked types of `[a-z0-9_]` and numbers stand as they are; a role that somebody else made is quoted.
//! A password is a hash, so that neither the network nor the server's log has it.
//!
//! Every statement says all of what it is about and not a change of it: whatever was there before, it is then as wanted.

use super::{
    Account, Network, Policy, Role,
    limit::{Freedom, Setting, of_profile, of_user},
};
use crate::names::UserName;

/// The one period that a quota counts by, in seconds.
pub(super) const HOUR: u32 = 3_600;

/// Makes the profile of a user.
#[must_use]
pub fn create_profile(account: &Account, policy: &Policy) -> String {
    format!(
        "CREATE SETTINGS PROFILE IF NOT EXISTS {} SETTINGS {}",
        account.name,
        profile(account.role, policy)
    )
}

/// Gives the profile of a user the wanted settings and no others.
#[must_use]
pub fn alter_profile(account: &Account, policy: &Policy) -> String {
    format!("ALTER SETTINGS PROFILE {} SETTINGS {}", account.name, profile(account.role, policy))
}

fn profile(role: Role, policy: &Policy) -> String {
    of_profile(role, policy).iter().map(setting).collect::<Vec<_>>().join(", ")
}

/// Makes a user without a right.
#[must_use]
pub fn create_user(account: &Account, policy: &Policy) -> String {
    format!("CREATE USER IF NOT EXISTS {} {}", account.name, definition(account, policy))
}

/// Gives a user the wanted passwords, networks and settings, and no others.
#[must_use]
pub fn alter_user(account: &Account, policy: &Policy) -> String {
    format!("ALTER USER {} {}", account.name, definition(account, policy))
}

fn definition(account: &Account, policy: &Policy) -> String {
    let passwords = account.passwords.iter().map(|hash| format!("sha256_hash BY '{}'", hash.hexadecimal()));
    format!(
        "IDENTIFIED WITH {} HOST {} SETTINGS PROFILE {}, {}",
        passwords.collect::<Vec<_>>().join(", "),
        hosts(&policy.networks),
        account.name,
        setting(&of_user(account)),
    )
}

fn hosts(networks: &[Network]) -> String {
    if networks.is_empty() {
        return "ANY".to_owned();
    }
    networks.iter().map(|network| format!("IP '{network}'")).collect::<Vec<_>>().join(", ")
}

/// Gives a user the wanted rights and no others.
#[must_use]
pub fn grant(account: &Account) -> String {
    let database = account.database();
    let grants = account.grants().iter();
    let grants = grants.map(|(privilege, table)| format!("{} ON {database}.{table}", privilege.as_str()));
    format!("GRANT {} TO {} WITH REPLACE OPTION", grants.collect::<Vec<_>>().join(", "), account.name)
}

/// Takes roles away that somebody gave to a user.
#[must_use]
pub fn revoke(user: &UserName, roles: &[&str]) -> String {
    let roles: Vec<String> = roles.iter().map(|role| quoted(role)).collect();
    format!("REVOKE {} FROM {user}", roles.join(", "))
}

/// Makes the quota of a user.
#[must_use]
pub fn create_quota(account: &Account, policy: &Policy) -> String {
    format!("CREATE QUOTA IF NOT EXISTS {} {}", account.name, quota(account, policy, &[]))
}

/// Gives the quota of a user the wanted limits. Those of other periods, in seconds, are taken away.
#[must_use]
pub fn alter_quota(account: &Account, policy: &Policy, other_periods: &[u32]) -> String {
    format!("ALTER QUOTA {} {}", account.name, quota(account, policy, other_periods))
}

fn quota(account: &Account, policy: &Policy, other_periods: &[u32]) -> String {
    let others = other_periods.iter().map(|period| format!("FOR INTERVAL {period} second NO LIMITS, "));
    format!(
        "KEYED BY user_name {}FOR INTERVAL {HOUR} second MAX queries = {}, execution_time = {} TO {}",
        others.collect::<String>(),
        policy.reader.queries_per_hour,
        policy.reader.execution_seconds_per_hour,
        account.name,
    )
}

/// Takes a user away.
#[must_use]
pub fn drop_user(name: &UserName) -> String {
    format!("DROP USER IF EXISTS {name}")
}

/// Takes the profile of a user away.
#[must_use]
pub fn drop_profile(name: &UserName) -> String {
    format!("DROP SETTINGS PROFILE IF EXISTS {name}")
}

/// Takes the quota of a user away.
#[must_use]
pub fn drop_quota(name: &UserName) -> String {
    format!("DROP QUOTA IF EXISTS {name}")
}

fn setting(setting: &Setting) -> String {
    let mut text = setting.name.to_owned();
    if let Some(value) = &setting.value {
        text.push_str(&format!(" = {}", literal(value)));
    }
    if let Some((least, most)) = &setting.range {
        text.push_str(&format!(" MIN {least} MAX {most}"));
    }
    text.push_str(match setting.freedom {
        Freedom::Usual => "",
        Freedom::Nobody => " CONST",
        Freedom::Reader => " CHANGEABLE_IN_READONLY",
    });
    text
}

/// Our values are numbers and words of `[a-z0-9 -]`.
fn literal(value: &str) -> String {
    if value.bytes().all(|byte| byte.is_ascii_digit()) { value.to_owned() } else { format!("'{value}'") }
}

/// A name between backquotes (<https://clickhouse.com/docs/sql-reference/syntax#identifiers>), escaped as a literal is.
fn quoted(name: &str) -> String {
    let mut quoted = String::with_capacity(name.len() + 2);
    quoted.push('`');
    for character in name.chars() {
        match character {
            '`' | '\\' => quoted.extend(['\\', character]),
            '\0' => quoted.push_str("\\0"),
            other => quoted.push(other),
        }
    }
    quoted.push('`');
    quoted
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

    use super::*;

    /// Reads a quoted name as ClickHouse does: the name, and what stands behind the closing quote.
    fn read(quoted: &str) -> Option<(String, &str)> {
        let mut name = String::new();
        let mut characters = quoted.strip_prefix('`')?.char_indices();
        while let Some((index, character)) = characters.next() {
            match character {
                '`' => return Some((name, &quoted[index + 2..])),
                '\\' => match characters.next()?.1 {
                    '0' => name.push('\0'),
                    escaped => name.push(escaped),
                },
                other => name.push(other),
            }
        }
        None
    }

    proptest! {
        #[test]
        fn a_hostile_role_stays_inside_its_quotes(role in "(?s)(.|[\\\\'`\0\n\r;-])*") {
            let quoted = quoted(&role);
            let (inside, behind) = read(&quoted).expect("the name ends");
            prop_assert_eq!(inside, role);
            prop_assert!(behind.is_empty(), "{behind}");
        }
    }
}
