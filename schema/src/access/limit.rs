//! What users may take: the values of an installation, and the settings that they become.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use super::{Account, Network, Role};

/// What holds for the users of every tenant of an installation.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Policy {
    /// Where users may come from; anywhere if there is none.
    #[serde(default)]
    pub networks: Vec<Network>,
    #[serde(default)]
    pub reader: Limits,
}

/// What a reader may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Limits {
    /// The longest time of one query, in seconds.
    pub max_execution_seconds: NonZeroU32,
    /// The most memory of one query, in MiB. All of a reader's queries together may take twice as much.
    pub max_memory_mib: NonZeroU32,
    /// The most threads of one query.
    pub max_threads: NonZeroU32,
    /// The most rows of one result.
    pub max_result_rows: NonZeroU32,
    /// The most queries at one time.
    pub max_concurrent_queries: NonZeroU32,
    /// The most queries of an hour.
    pub queries_per_hour: NonZeroU32,
    /// The most time that the queries of an hour take together, in seconds.
    pub execution_seconds_per_hour: NonZeroU32,
}

impl Default for Limits {
    fn default() -> Self {
        const fn number(number: u32) -> NonZeroU32 {
            NonZeroU32::new(number).expect("none of the defaults is zero")
        }
        Self {
            max_execution_seconds: number(60),
            max_memory_mib: number(4_096),
            max_threads: number(4),
            max_result_rows: number(1_000_000),
            max_concurrent_queries: number(10),
            queries_per_hour: number(10_000),
            execution_seconds_per_hour: number(7_200),
        }
    }
}

/// The longest time of a writer's statement, in seconds: far more than an insert takes.
const WRITER_SECONDS: u32 = 600;

/// What the tools of people set by themselves. None of these makes a query cost more than the limits allow.
const FREE_FOR_READERS: [&str; 10] = [
    "cancel_http_readonly_queries_on_client_close",
    "date_time_input_format",
    "date_time_output_format",
    "enable_http_compression",
    "extremes",
    "join_use_nulls",
    "output_format_json_quote_64bit_floats",
    "output_format_json_quote_64bit_integers",
    "send_progress_in_http_headers",
    "session_timezone",
];

/// A setting of a profile or of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) name: &'static str,
    pub(super) value: Option<String>,
    pub(super) range: Option<(String, String)>,
    pub(super) freedom: Freedom,
}

/// Who may change a setting for a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Freedom {
    /// Whoever may change settings at all.
    Usual,
    Nobody,
    /// Also who reads only.
    Reader,
}

fn fixed(name: &'static str, value: impl ToString) -> Setting {
    Setting { name, value: Some(value.to_string()), range: None, freedom: Freedom::Nobody }
}

fn up_to(name: &'static str, most: impl ToString, freedom: Freedom) -> Setting {
    let most = most.to_string();
    // Zero would be no limit.
    Setting { name, value: Some(most.clone()), range: Some(("1".to_owned(), most)), freedom }
}

/// What a user's own entry sets beside its profile.
pub(super) fn of_user(account: &Account) -> Setting {
    fixed("log_comment", account.mark())
}

/// What the profile of a user sets.
pub(super) fn of_profile(role: Role, policy: &Policy) -> Vec<Setting> {
    match role {
        Role::Writer => of_writer(),
        Role::Reader => of_reader(&policy.reader),
    }
}

/// A consumer sets what it needs with each insert, so it is only kept from what no insert needs.
fn of_writer() -> Vec<Setting> {
    vec![
        fixed("allow_ddl", 0),
        fixed("allow_introspection_functions", 0),
        up_to("max_execution_time", WRITER_SECONDS, Freedom::Usual),
    ]
}

fn of_reader(limits: &Limits) -> Vec<Setting> {
    let memory = u64::from(limits.max_memory_mib.get()) * 1024 * 1024;
    let mut settings = vec![
        fixed("readonly", 1),
        fixed("allow_ddl", 0),
        fixed("allow_introspection_functions", 0),
        fixed("max_ast_depth", 1_000),
        fixed("max_ast_elements", 50_000),
        fixed("max_query_size", 262_144),
        fixed("max_memory_usage", memory),
        fixed("max_memory_usage_for_user", 2 * memory),
        fixed("max_threads", limits.max_threads),
        fixed("max_concurrent_queries_for_user", limits.max_concurrent_queries),
        up_to("max_execution_time", limits.max_execution_seconds, Freedom::Reader),
        up_to("max_result_rows", limits.max_result_rows, Freedom::Reader),
        Setting {
            name: "result_overflow_mode",
            value: Some("throw".to_owned()),
            range: None,
            freedom: Freedom::Reader,
        },
    ];
    settings.extend(FREE_FOR_READERS.map(|name| Setting {
        name,
        value: None,
        range: None,
        freedom: Freedom::Reader,
    }));
    settings
}
