use clap::CommandFactory as _;

use super::*;

fn none(_: &'static str) -> Option<String> {
    None
}

/// A command line in an environment without `MILLRACE_`, which clap reads by itself.
fn flags(arguments: &[&str]) -> Flags {
    let arguments = std::iter::once("ingester").chain(arguments.iter().copied());
    let command = Flags::command().mut_args(|argument| argument.env(None::<&str>));
    <Flags as clap::FromArgMatches>::from_arg_matches(&command.get_matches_from(arguments)).unwrap()
}

fn file(text: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ingester.toml");
    std::fs::write(&path, text).unwrap();
    let shown = path.display().to_string();
    (folder, shown)
}

#[test]
fn a_flag_wins_over_the_seeds_environment_which_wins_over_the_file_which_wins_over_the_default() {
    let (_folder, path) = file(
        "port = 1\nkafka_brokers = \"file:1\"\nbody_timeout_ms = 1000\nclickhouse_ca_file = \"ca.crt\"\n",
    );
    let seed = |variable: &'static str| match variable {
        "INGESTION_PORT" => Some("2".to_owned()),
        "INGESTION_REDPANDA_BROKERS" => Some("seed:2".to_owned()),
        _ => None,
    };
    let options = flags(&["--config", &path, "--port", "3"]).resolve_with(seed).unwrap();
    assert_eq!(options.public.port(), 3);
    assert_eq!(options.settings.kafka_brokers.as_deref(), Some("seed:2"));
    assert_eq!(options.deadlines.body, Duration::from_secs(1));
    assert_eq!(options.settings.clickhouse_ca_file, Some("ca.crt".into()));
    assert_eq!(options.admin.port(), 9090);
}

#[test]
fn every_name_of_seed_001_is_accepted() {
    let seed = |variable: &'static str| {
        let value = match variable {
            "INGESTION_HOST" => "127.0.0.1",
            "INGESTION_PORT" => "8000",
            "INGESTION_REDPANDA_BROKERS" => "redpanda:9092",
            "INGESTION_REDPANDA_BATCH_SIZE" => "500",
            "INGESTION_CLICKHOUSE_URL" => "http://clickhouse:8123",
            _ => return None,
        };
        Some(value.to_owned())
    };
    let options = flags(&[]).resolve_with(seed).unwrap();
    assert_eq!(options.public.to_string(), "127.0.0.1:8000");
    assert_eq!(options.producer.batch_messages, 500);
    assert_eq!(options.settings.kafka_brokers.as_deref(), Some("redpanda:9092"));
    assert_eq!(options.settings.clickhouse_url.as_deref(), Some("http://clickhouse:8123"));
}

#[test]
fn a_variable_of_the_wrong_kind_is_named() {
    let error = flags(&[]).resolve_with(|name| (name == "INGESTION_PORT").then(|| "tcp://1".to_owned()));
    assert!(matches!(error, Err(Error::Variable { variable: "INGESTION_PORT", .. })));
}

#[test]
fn a_file_with_an_unknown_option_or_without_sense_is_refused() {
    for text in ["prot = 1\n", "port = \"high\"\n", "port = -1\n"] {
        let (_folder, path) = file(text);
        let error = flags(&["--config", &path]).resolve_with(none);
        assert!(matches!(error, Err(Error::Lay(_))), "{text}");
    }
    let error = flags(&["--config", "/nowhere/ingester.toml"]).resolve_with(none);
    assert!(matches!(error, Err(Error::File(_))));
}

#[test]
fn options_that_contradict_each_other_are_refused() {
    let deadlines = flags(&["--body-timeout-ms", "8000", "--publish-timeout-ms", "12000"]).resolve_with(none);
    assert!(matches!(deadlines, Err(Error::Deadlines)));
    let in_flight = flags(&["--max-inflight-bytes", "1048576"]).resolve_with(none);
    assert!(matches!(in_flight, Err(Error::InFlight)));
    for option in [
        "max_connections",
        "kafka_batch_size",
        "kafka_queue_kib",
        "publish_timeout_ms",
        "write_timeout_ms",
        "settings_poll_ms",
    ] {
        let flag = format!("--{}", option.replace('_', "-"));
        let error = flags(&[&flag, "0"]).resolve_with(none);
        assert!(matches!(error, Err(Error::Zero { option: named }) if named == option), "{option}");
    }
}

#[test]
fn trusted_proxies_come_with_commas_or_again() {
    let options =
        flags(&["--trusted-proxy", "10.0.0.0/8,fd00::/8", "--trusted-proxy", "192.0.2.1"]).resolve_with(none);
    let networks: Vec<String> = options.unwrap().trusted_proxies.into_iter().map(String::from).collect();
    assert_eq!(networks, ["10.0.0.0/8", "fd00::/8", "192.0.2.1/32"]);
}

#[test]
fn the_help_explains_every_option_and_the_precedence() {
    let command = Flags::command().mut_args(|argument| argument.hide_env_values(true));
    insta::assert_snapshot!(command.term_width(110).render_long_help().to_string());
}
