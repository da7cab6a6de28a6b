//! `config.xml` and `users.xml`. The texts are pure.
//!
//! Settings: <https://clickhouse.com/docs/operations/server-configuration-parameters/settings>.
//! What a server waits for before it answers an insert (fsync and its like) stays as it is by default.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::options::{ClickHouseOptions, ExtraUsers};
use super::user::User;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("failed to write `{}`", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

pub(super) fn write(
    folder: &Path,
    log: &Path,
    options: &ClickHouseOptions,
    user: &User,
) -> Result<(), Error> {
    let files = [
        (file(folder), server(folder, log, options)),
        (folder.join("users.xml"), users(user, &options.extra)),
    ];
    for (path, text) in files {
        fs::write(&path, text).map_err(|source| Error::Write { path, source })?;
    }
    Ok(())
}

pub(super) fn file(folder: &Path) -> PathBuf {
    folder.join("config.xml")
}

/// Few threads and small caches, as it shares a machine of two cores.
/// The sizes of the pools obey two rules of the engine: merges only lower their size while 8 entries are free,
/// so 4 threads with 2 merges each; and a mutation waits for 20 free entries unless told otherwise.
fn server(folder: &Path, log: &Path, options: &ClickHouseOptions) -> String {
    let max_memory_bytes = u64::from(options.max_memory_mib) * 1024 * 1024;
    format!(
        "\
<clickhouse>
  <logger>
    <log>{log}</log>
    <size>32M</size>
    <count>1</count>
  </logger>
  <users_config>{folder}/users.xml</users_config>
  <tmp_path>{folder}/data/tmp/</tmp_path>

  <max_server_memory_usage>{max_memory_bytes}</max_server_memory_usage>
  <max_concurrent_queries>100</max_concurrent_queries>
  <max_connections>512</max_connections>
  <mark_cache_size>67108864</mark_cache_size>
  <index_mark_cache_size>16777216</index_mark_cache_size>
  <primary_index_cache_size>67108864</primary_index_cache_size>
  <uncompressed_cache_size>0</uncompressed_cache_size>
  <mmap_cache_size>100</mmap_cache_size>
  <compiled_expression_cache_size>16777216</compiled_expression_cache_size>

  <background_pool_size>4</background_pool_size>
  <background_merges_mutations_concurrency_ratio>2</background_merges_mutations_concurrency_ratio>
  <background_move_pool_size>1</background_move_pool_size>
  <background_fetches_pool_size>1</background_fetches_pool_size>
  <background_common_pool_size>2</background_common_pool_size>
  <background_schedule_pool_size>8</background_schedule_pool_size>
  <merge_tree>
    <number_of_free_entries_in_pool_to_execute_mutation>4</number_of_free_entries_in_pool_to_execute_mutation>
    <number_of_free_entries_in_pool_to_execute_optimize_entire_partition>4</number_of_free_entries_in_pool_to_execute_optimize_entire_partition>
    <number_of_free_entries_in_pool_to_lower_max_size_of_merge>4</number_of_free_entries_in_pool_to_lower_max_size_of_merge>
  </merge_tree>

  <query_log>
    <database>system</database>
    <table>query_log</table>
    <flush_interval_milliseconds>1000</flush_interval_milliseconds>
    <ttl>event_date + INTERVAL 3 DAY DELETE</ttl>
  </query_log>
  <part_log>
    <database>system</database>
    <table>part_log</table>
    <flush_interval_milliseconds>1000</flush_interval_milliseconds>
    <ttl>event_date + INTERVAL 3 DAY DELETE</ttl>
  </part_log>
</clickhouse>
",
        folder = folder.display(),
        log = log.display(),
    )
}

/// `default` is the user of the query that keeps the process alive, and it has no password.
/// That query counts as one from loopback, so `default` may come from there and from nowhere else.
fn users(user: &User, extra: &ExtraUsers) -> String {
    let hash: String = Sha256::digest(&user.password).iter().map(|byte| format!("{byte:02x}")).collect();
    format!(
        "\
<clickhouse>
  <profiles>
    <default>
      <max_memory_usage>2147483648</max_memory_usage>
    </default>
{profiles}  </profiles>
  <quotas>
    <default/>
{quotas}  </quotas>
  <users>
    <default>
      <no_password/>
      <profile>default</profile>
      <quota>default</quota>
      <networks><ip>127.0.0.1</ip></networks>
    </default>
    <{name}>
      <password_sha256_hex>{hash}</password_sha256_hex>
      <profile>default</profile>
      <quota>default</quota>
      <networks><ip>::/0</ip></networks>
    </{name}>
{users}  </users>
</clickhouse>
",
        name = user.name,
        profiles = extra.profiles,
        quotas = extra.quotas,
        users = extra.users,
    )
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn the_server_is_bounded_and_writes_its_log_where_the_stack_expects_it() {
        let options = ClickHouseOptions {
            name: "clickhouse".to_owned(),
            listen: Ipv4Addr::LOCALHOST,
            http_port: 8123,
            tcp_port: 9000,
            max_memory_mib: 4096,
            extra: ExtraUsers::default(),
        };
        let text = server(Path::new("/state/clickhouse"), Path::new("/state/logs/clickhouse.log"), &options);
        insta::assert_snapshot!(text);
    }

    #[test]
    fn only_the_hash_of_the_password_is_written() {
        let user = User { name: "millrace".to_owned(), password: "a secret".to_owned() };
        let text = users(&user, &ExtraUsers::default());
        assert!(!text.contains("a secret"));
        insta::assert_snapshot!(text);
    }

    #[test]
    fn other_users_stand_in_their_sections() {
        let user = User { name: "millrace".to_owned(), password: "a secret".to_owned() };
        let extra = ExtraUsers {
            profiles: "<calm/>\n".to_owned(),
            quotas: "<few/>\n".to_owned(),
            users: "<ada/>\n".to_owned(),
        };
        let text = users(&user, &extra);
        for (start, element, end) in [
            ("<profiles>", "<calm/>", "</profiles>"),
            ("<quotas>", "<few/>", "</quotas>"),
            ("<users>", "<ada/>", "</users>"),
        ] {
            let section = text.split_once(start).unwrap().1.split_once(end).unwrap().0;
            assert!(section.contains(element), "{text}");
        }
    }
}
