//! The users that the operator makes for tenants, on the real engine.
//!
//! The engine of the local stack takes users from `users.xml` alone. So the statements are parsed by it, its checks of the
//! operator's own rights are asked for, and the users are written down there as the statements define them.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Context as _;
use dev::clickhouse::ExtraUsers;
use harness::clickhouse::ClickHouse;
use harness::http::Http;
use harness::kafka::Kafka;
use harness::line::{Line, make_tables};
use harness::private::{PrivateClickHouse, PrivateKafka};
use harness::wait::{Look, until, within};
use schema::access::{self, Account, Fact, Kind, PasswordHash, Policy, Role};
use schema::names::DatabaseName;
use schema::retention::Retention;
use schema::secret::Secret;
use schema::settings::AuditSettings;
use schema::tenant_id::TenantId;
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

mod functions;
mod written;

const TEST: Duration = Duration::from_secs(300);
const STORED: Duration = Duration::from_secs(60);
const PASSWORD: &str = "a password of a test";
/// Every record is looked up, again and again.
const AUDIT: AuditSettings = AuditSettings { share_per_mille: 1_000, interval_ms: 100 };

/// What the server says when something may not be done.
const ACCESS_DENIED: u32 = 497;
/// What the engine of the local stack says to whoever may make users, or change one of `users.xml`.
const NO_STORAGE: u32 = 514;
const STORAGE_READ_ONLY: u32 = 495;

fn tenant(id: &str) -> anyhow::Result<TenantId> {
    Ok(TenantId::parse(id)?)
}

fn account(role: Role, id: &str) -> anyhow::Result<Account> {
    Ok(Account::new(role, &tenant(id)?, "u1", vec![PasswordHash::of(&Secret::new(PASSWORD.to_owned()))]))
}

/// Users that come from some networks, and not from here.
fn elsewhere() -> anyhow::Result<Policy> {
    let policy = json!({"networks": ["172.16.0.0/12", "10.1.2.3/16", "fd00::5/8", "192.168.1.1/32"]});
    Ok(serde_json::from_value(policy)?)
}

/// All statements about a user.
fn statements(account: &Account, policy: &Policy) -> Vec<String> {
    vec![
        access::create_profile(account, policy),
        access::alter_profile(account, policy),
        access::create_user(account, policy),
        access::alter_user(account, policy),
        access::grant(account),
        access::create_quota(account, policy),
        access::alter_quota(account, policy, &[60, 86_400]),
        access::drop_quota(&account.name),
        access::drop_user(&account.name),
        access::drop_profile(&account.name),
    ]
}

/// A server with the users of two tenants, and with both tenants' tables.
struct Site {
    clickhouse: PrivateClickHouse,
    admin: ClickHouse,
    writer: ClickHouse,
    reader: ClickHouse,
}

impl Site {
    async fn make(policy: &Policy) -> anyhow::Result<Self> {
        let mut accounts = Vec::new();
        for id in ["team-acme", "team-other"] {
            accounts.extend([account(Role::Writer, id)?, account(Role::Reader, id)?]);
        }
        let clickhouse = PrivateClickHouse::start_with(written::extra(&accounts, policy, PASSWORD)).await?;
        let admin = clickhouse.reader();
        for id in ["team-acme", "team-other"] {
            let database = DatabaseName::of(&tenant(id)?);
            make_tables(&admin, &database, Retention::DEFAULT).await?;
            let insert = "(id, event_name, distinct_id, timestamp, received_at) \
                          VALUES (generateUUIDv4(), 'signed_up', 'ada', now64(3), now64(3))";
            admin.run(&format!("INSERT INTO {database}.events_raw {insert}")).await?;
        }
        let client = |account: &Account| clickhouse.reader_as(account.name.as_str(), PASSWORD);
        let (writer, reader) = (client(&accounts[0]), client(&accounts[1]));
        Ok(Self { clickhouse, admin, writer, reader })
    }
}

/// The code with which the server refuses a statement; none if it does not.
async fn refusal(client: &ClickHouse, statement: &str) -> anyhow::Result<Option<u32>> {
    let Err(error) = client.run(statement).await else { return Ok(None) };
    let text = error.to_string();
    let code = text.split_once("Code: ").and_then(|(_, rest)| rest.split('.').next()?.parse().ok());
    Ok(Some(code.with_context(|| format!("no code: {text}"))?))
}

async fn assert_refused(client: &ClickHouse, statement: &str, code: u32) -> anyhow::Result<()> {
    assert_eq!(refusal(client, statement).await?, Some(code), "{} and `{statement}`", client.user);
    Ok(())
}

#[tokio::test]
async fn the_real_engine_understands_every_statement() -> anyhow::Result<()> {
    within(TEST, async {
        let clickhouse = PrivateClickHouse::start().await?;
        let engine = clickhouse.reader();
        let hashes = ["one", "two"].map(|text| PasswordHash::of(&Secret::new(text.to_owned())));
        for id in ["a", "00000000-0000-0000-0000-000000000000", &"-".repeat(40)] {
            for role in [Role::Writer, Role::Reader] {
                let account = Account::new(role, &tenant(id)?, "it's `a` \\ UID", hashes.to_vec());
                for policy in [Policy::default(), elsewhere()?] {
                    for statement in statements(&account, &policy) {
                        engine.run(&format!("EXPLAIN AST {statement}")).await?;
                    }
                }
                for role in ["plain", "it's", "a `quoted` one", "back \\ slash", "-- no comment", "new\nline"]
                {
                    let statement = access::revoke(&account.name, &[role, "other"]);
                    let understood = engine.run(&format!("EXPLAIN AST {statement}")).await?;
                    assert!(understood.starts_with("GrantQuery"), "{statement}: {understood}");
                }
            }
        }
        Ok(())
    })
    .await
}

#[derive(Deserialize)]
struct Shown {
    kind: String,
    name: String,
    fact: String,
}

/// What the operator compares is spelled as the server spells it; otherwise it would change users at each look.
#[tokio::test]
async fn what_is_wanted_is_spelled_as_the_server_shows_it() -> anyhow::Result<()> {
    within(TEST, async {
        for (policy, role) in [
            (Policy::default(), Role::Writer),
            (Policy::default(), Role::Reader),
            (elsewhere()?, Role::Reader),
        ] {
            let site = Site::make(&policy).await?;
            let account = account(role, "team-acme")?;
            let rows: Vec<Shown> =
                site.admin.rows(&access::observation(std::slice::from_ref(&account.name))).await?;
            let shown: BTreeSet<Fact> = rows
                .into_iter()
                .map(|row| Some(Fact { kind: Kind::parse(&row.kind)?, name: row.name, text: row.fact }))
                .collect::<Option<_>>()
                .context("a kind of ours")?;
            // `users.xml` has no settings of a user alone.
            let mut wanted = access::facts(&account, &policy);
            wanted.retain(|fact| !fact.text.starts_with("('log_comment',"));
            assert_eq!(shown, wanted);
            let may_log_in = site.reader.run("SELECT 1").await.is_ok();
            assert_eq!(may_log_in, policy.networks.is_empty(), "from here, with {:?}", policy.networks);
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_reader_sees_its_own_tenant_and_nothing_of_another() -> anyhow::Result<()> {
    within(TEST, async {
        let Site { admin, reader, writer, clickhouse } = Site::make(&Policy::default()).await?;
        for view in ["events", "hourly_event_stats"] {
            assert_eq!(reader.number(&format!("SELECT count() FROM t_team_acme.{view}")).await?, 1);
        }
        admin.run("SYSTEM FLUSH LOGS").await?; // makes the log of queries, if there is none yet
        for client in [&reader, &writer] {
            for table in ["events", "events_raw", "hourly_event_stats"] {
                for statement in ["SELECT count() FROM", "DESCRIBE", "SHOW CREATE TABLE", "EXISTS"] {
                    assert_refused(client, &format!("{statement} t_team_other.{table}"), ACCESS_DENIED)
                        .await?;
                }
            }
            assert_eq!(client.run("SHOW DATABASES").await?.trim(), "t_team_acme");
            // All that every table of the server shows of another tenant.
            let tables = admin.run("SELECT name FROM system.tables WHERE database = 'system'").await?;
            let mut readable = 0;
            for table in tables.lines() {
                let query =
                    format!("SELECT * FROM system.{table} LIMIT 100000 SETTINGS max_execution_time = 20");
                if let Ok(rows) = client.run(&query).await {
                    readable += 1;
                    assert!(!rows.contains("team_other"), "{} sees another tenant in {table}", client.user);
                }
            }
            assert!(readable > 10, "{readable} tables of `system` are for everybody");
            for table in ["query_log", "processes", "users", "parts", "errors", "grants", "server_settings"] {
                assert_refused(client, &format!("SELECT * FROM system.{table}"), ACCESS_DENIED).await?;
            }
        }
        drop(clickhouse);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_reader_changes_nothing_and_raises_no_limit() -> anyhow::Result<()> {
    const READ_ONLY: u32 = 164;
    const ABOVE_THE_LIMIT: u32 = 452;
    const PROHIBITED: u32 = 392;
    const TOO_MANY_ROWS: u32 = 396;
    within(TEST, async {
        let Site { reader, writer, clickhouse, .. } = Site::make(&Policy::default()).await?;
        for (statement, code) in [
            ("INSERT INTO t_team_acme.events_raw (id) VALUES (generateUUIDv4())", ACCESS_DENIED),
            ("ALTER TABLE t_team_acme.events_raw DELETE WHERE 1", ACCESS_DENIED),
            ("DROP TABLE t_team_acme.events_raw", ACCESS_DENIED),
            ("TRUNCATE TABLE t_team_acme.events_raw", ACCESS_DENIED),
            ("CREATE VIEW t_team_acme.mine AS SELECT 1", ACCESS_DENIED),
            ("CREATE TEMPORARY TABLE mine (a Int8)", ACCESS_DENIED),
            ("CREATE FUNCTION mine AS (a) -> a", ACCESS_DENIED),
            ("CREATE DICTIONARY t_team_acme.mine (a Int8) PRIMARY KEY a SOURCE(HTTP(URL 'http://127.0.0.1:1/')) LAYOUT(FLAT()) LIFETIME(0)", ACCESS_DENIED),
            ("GRANT SELECT ON t_team_acme.events TO t_team_other_bb82030d_reader", ACCESS_DENIED),
            ("ALTER USER t_team_acme_bb82030d_reader HOST ANY", ACCESS_DENIED),
            ("KILL QUERY WHERE 1", ACCESS_DENIED),
            ("SYSTEM FLUSH LOGS", ACCESS_DENIED),
            ("SELECT 1 SETTINGS readonly = 0", READ_ONLY),
            ("SELECT 1 SETTINGS allow_ddl = 1", PROHIBITED),
            ("SELECT 1 SETTINGS max_memory_usage = 0", READ_ONLY),
            ("SELECT 1 SETTINGS max_threads = 64", READ_ONLY),
            ("SELECT 1 SETTINGS max_query_size = 0", READ_ONLY),
            ("SELECT 1 SETTINGS log_comment = 'somebody else'", READ_ONLY),
            ("SELECT 1 SETTINGS max_execution_time = 61", ABOVE_THE_LIMIT),
            ("SELECT 1 SETTINGS max_execution_time = 0", ABOVE_THE_LIMIT),
            ("SELECT 1 SETTINGS max_result_rows = 1000001", ABOVE_THE_LIMIT),
            ("SELECT number FROM numbers(2000000)", TOO_MANY_ROWS),
        ] {
            assert_refused(&reader, statement, code).await.with_context(|| statement.to_owned())?;
        }
        // What tools set by themselves.
        for setting in [
            "max_execution_time = 30", "max_result_rows = 1000", "result_overflow_mode = 'break'",
            "join_use_nulls = 1", "session_timezone = 'Europe/Berlin'", "extremes = 1",
            "date_time_output_format = 'iso'", "date_time_input_format = 'best_effort'",
            "output_format_json_quote_64bit_integers = 1", "send_progress_in_http_headers = 1",
            "enable_http_compression = 1", "cancel_http_readonly_queries_on_client_close = 1",
        ] {
            reader.run(&format!("SELECT * FROM t_team_acme.events SETTINGS {setting}")).await?;
        }
        for (statement, code) in [
            ("DROP TABLE t_team_acme.events_raw", ACCESS_DENIED),
            ("ALTER TABLE t_team_acme.events_raw DELETE WHERE 1", ACCESS_DENIED),
            ("CREATE TEMPORARY TABLE mine (a Int8)", ACCESS_DENIED),
            ("SELECT 1 SETTINGS max_execution_time = 0", ABOVE_THE_LIMIT),
            ("SELECT 1 SETTINGS allow_ddl = 1", PROHIBITED),
        ] {
            assert_refused(&writer, statement, code).await.with_context(|| statement.to_owned())?;
        }
        drop(clickhouse);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn no_user_reaches_out_of_the_server_or_into_its_files() -> anyhow::Result<()> {
    within(TEST, async {
        let Site { admin, reader, writer, clickhouse } = Site::make(&Policy::default()).await?;
        let names = admin.run("SELECT DISTINCT name FROM system.table_functions ORDER BY name").await?;
        for name in names.lines() {
            let Some((call, code)) = functions::refused(name) else {
                assert!(
                    functions::HARMLESS.contains(&name),
                    "nobody knows what the table function `{name}` does"
                );
                continue;
            };
            for client in [&reader, &writer] {
                assert_refused(client, &format!("SELECT * FROM {call}"), code).await?;
            }
        }
        let engines = admin.run("SELECT name FROM system.table_engines").await?;
        for engine in engines.lines() {
            let statement = format!("CREATE TABLE t_team_acme.mine (a Int8) ENGINE = {engine}");
            for client in [&reader, &writer] {
                let code = refusal(client, &statement).await?;
                assert!(code.is_some(), "{} made a table of the engine {engine}", client.user);
            }
        }
        assert_eq!(admin.number("SELECT count() FROM system.tables WHERE name = 'mine'").await?, 0);
        drop(clickhouse);
        Ok(())
    })
    .await
}

/// The consumer itself, as the writer: it describes the table, inserts, takes a refused row out, and audits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_needs_no_more_than_the_writer_may() -> anyhow::Result<()> {
    within(TEST, async {
        let account = account(Role::Writer, "team-line")?;
        let extra = written::extra(std::slice::from_ref(&account), &Policy::default(), PASSWORD);
        let clickhouse = PrivateClickHouse::start_with(extra).await?;
        let kafka = PrivateKafka::start().await?;
        let (broker, admin) = (Kafka::plain(&kafka.address()), clickhouse.reader());
        let line = Line::make_for(tenant("team-line")?, &broker, &admin).await?.with_audit(AUDIT)?;
        let table = line.table("events_raw");
        let constraint = "ADD CONSTRAINT no_poison CHECK event_name != 'poison'";
        admin.run(&format!("ALTER TABLE {table} {constraint}")).await?;

        let line = line.with_clickhouse(&clickhouse.reader_as(account.name.as_str(), PASSWORD))?;
        let consumer = line.consumer().await?;
        let headers = line.record_headers();
        let headers: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        for name in ["signed_up", "poison", "paid"] {
            let now = jiff::Timestamp::now();
            let event = json!({
                "id": Uuid::new_v4(), "event_name": name, "distinct_id": "ada", "timestamp": now,
                "received_at": now, "properties": {},
            });
            line.kafka.write(line.topic.as_str(), &headers, event.to_string().as_bytes()).await?;
        }
        line.wait_for_events(2, STORED).await.with_context(|| consumer.program.tail())?;
        line.wait_until_committed(STORED).await?;

        let (http, metrics) = (Http::new(Duration::from_secs(10)), format!("{}/metrics", consumer.probes));
        until(STORED, "20 audited events", || async {
            let text = http.get(&metrics).await?.text();
            let checked = text.lines().find_map(|line| line.strip_prefix("audit_events_checked_total "));
            Ok(Look::at(checked.is_some_and(|count| count.parse::<f64>().unwrap_or(0.0) >= 20.0), text))
        })
        .await?;
        // Counted by the server itself, since it was started for this test.
        let refused = format!("SELECT sum(value) AS n FROM system.errors WHERE code = {ACCESS_DENIED}");
        assert_eq!(admin.number(&refused).await?, 0, "{}", consumer.program.log());
        Ok(())
    })
    .await
}

/// All that the operator does with a tenant's database but for its end.
async fn make_and_change(operator: &ClickHouse, database: &DatabaseName) -> anyhow::Result<()> {
    make_tables(operator, database, Retention::DEFAULT).await?;
    operator.run(&schema::migrations::migrations_table(database)).await?;
    operator.run(&schema::migrations::change_retention(database, Retention::from_hours(24)?)).await?;
    operator.run(&format!("ALTER DATABASE {database} MODIFY COMMENT 'x'")).await.map(drop)
}

/// What docs/operations/clickhouse-users.md grants to the operator's user is enough: the engine, which looks at rights
/// first, refuses its statements only because it has nowhere to put users.
#[tokio::test]
async fn the_operators_user_needs_no_more_than_is_documented() -> anyhow::Result<()> {
    within(TEST, async {
        let (policy, known) = (Policy::default(), account(Role::Reader, "team-acme")?);
        let (new, newer) = (account(Role::Writer, "team-new")?, account(Role::Writer, "team-newer")?);
        let grants = written::documented_grants("docs/operations/clickhouse-users.md")?;
        let mut extra = written::extra(std::slice::from_ref(&known), &policy, PASSWORD);
        // A user can only be made with a profile that is there.
        extra.profiles.push_str(&written::extra(std::slice::from_ref(&new), &policy, PASSWORD).profiles);
        extra.users.push_str(&written::operator("operator", PASSWORD, &grants));
        let clickhouse = PrivateClickHouse::start_with(extra).await?;
        let operator = clickhouse.reader_as("operator", PASSWORD);

        let database = DatabaseName::of(&tenant("team-acme")?);
        make_and_change(&operator, &database).await?;
        operator.run(&access::observation(std::slice::from_ref(&known.name))).await?;

        for statement in [
            access::create_profile(&newer, &policy),
            access::create_user(&new, &policy),
            access::create_quota(&known, &policy)
                .replace(known.name.as_str(), "t_new")
                .replace("TO t_new", &format!("TO {}", known.name)),
        ] {
            assert_refused(&operator, &statement, NO_STORAGE).await?;
        }
        for statement in [
            access::alter_profile(&known, &policy),
            access::alter_user(&known, &policy),
            access::grant(&known),
            access::alter_quota(&known, &policy, &[60]),
            access::drop_quota(&known.name),
            access::drop_user(&known.name),
            access::drop_profile(&known.name),
        ] {
            assert_refused(&operator, &statement, STORAGE_READ_ONLY).await?;
        }
        operator.run(&format!("DROP DATABASE {database} SYNC")).await?;
        for foreign in [
            "CREATE DATABASE other",
            "GRANT SELECT ON system.users TO operator",
            "SELECT * FROM system.processes",
        ] {
            assert_refused(&operator, foreign, ACCESS_DENIED).await?;
        }
        Ok(())
    })
    .await
}

/// What docs/operations/install.md grants to an operator's user who makes no users, and who is the consumers' as well.
#[tokio::test]
async fn the_user_of_all_needs_no_more_than_is_documented() -> anyhow::Result<()> {
    within(TEST, async {
        let grants = written::documented_grants("docs/operations/install.md")?;
        let users = written::operator("operator", PASSWORD, &grants);
        let clickhouse = PrivateClickHouse::start_with(ExtraUsers { users, ..ExtraUsers::default() }).await?;
        let operator = clickhouse.reader_as("operator", PASSWORD);

        let database = DatabaseName::of(&tenant("team-acme")?);
        make_and_change(&operator, &database).await?;
        let row = "(id, event_name, distinct_id, timestamp, received_at) \
                   VALUES (generateUUIDv4(), 'signed_up', 'ada', now64(3), now64(3))";
        operator.run(&format!("INSERT INTO {database}.events_raw {row}")).await?;
        assert_eq!(operator.number(&format!("SELECT count() FROM {database}.events")).await?, 1);
        operator.run(&format!("DROP DATABASE {database} SYNC")).await?;
        for foreign in ["CREATE DATABASE other", "CREATE USER other", "SELECT * FROM system.processes"] {
            assert_refused(&operator, foreign, ACCESS_DENIED).await?;
        }
        Ok(())
    })
    .await
}
