//! The text of `server.properties`. Pure.
//!
//! Keys: <https://kafka.apache.org/41/configuration/broker-configs/>.

use std::net::Ipv4Addr;
use std::path::Path;

use super::options::{Aim, KafkaOptions};
use super::secrets;

/// The configuration of a Kafka whose data and keys are in `folder`.
pub(super) fn text(options: &KafkaOptions, folder: &Path) -> String {
    let listeners = Listeners::of(options);
    let mut lines = fixed();
    lines.extend([
        ("listeners", listeners.all.clone()),
        ("advertised.listeners", listeners.for_clients),
        ("listener.security.protocol.map", listeners.protocols),
        ("controller.quorum.bootstrap.servers", listeners.controller),
        ("log.dirs", folder.join("data").display().to_string()),
    ]);
    match options.aim {
        Aim::QuickStart => lines.extend(quick_restart()),
        Aim::Throughput => {}
    }
    if options.secured_port.is_some() {
        lines.extend(secured(folder));
    }
    let ours = lines.iter().filter(|(key, _)| !options.extra.iter().any(|(other, _)| other == key));
    let ours = ours.map(|(key, value)| format!("{key}={value}\n"));
    let extra = options.extra.iter().map(|(key, value)| format!("{key}={value}\n"));
    ours.chain(extra).collect()
}

struct Listeners {
    all: String,
    for_clients: String,
    protocols: String,
    controller: String,
}

impl Listeners {
    fn of(options: &KafkaOptions) -> Self {
        let plain = format!("PLAIN://{}:{}", options.listen, options.port);
        let secured = options.secured_port.map(|port| format!(",SECURED://{}:{port}", options.listen));
        let for_clients = plain + &secured.unwrap_or_default();
        let controller = format!("{}:{}", Ipv4Addr::LOCALHOST, options.controller_port);
        Self {
            all: format!("{for_clients},CONTROLLER://{controller}"),
            for_clients,
            protocols: "PLAIN:PLAINTEXT,SECURED:SASL_SSL,CONTROLLER:PLAINTEXT".to_owned(),
            controller,
        }
    }
}

/// One broker: every replica that Kafka makes for itself is the only one.
/// Few threads, partitions and buffers, as it shares a developer's machine.
fn fixed() -> Vec<(&'static str, String)> {
    [
        ("process.roles", "broker,controller"),
        ("node.id", "1"),
        ("inter.broker.listener.name", "PLAIN"),
        ("controller.listener.names", "CONTROLLER"),
        // A topic is made by the operator or not at all.
        ("auto.create.topics.enable", "false"),
        ("default.replication.factor", "1"),
        ("offsets.topic.replication.factor", "1"),
        ("offsets.topic.num.partitions", "4"),
        ("transaction.state.log.replication.factor", "1"),
        ("transaction.state.log.min.isr", "1"),
        ("transaction.state.log.num.partitions", "4"),
        ("share.coordinator.state.topic.replication.factor", "1"),
        ("share.coordinator.state.topic.min.isr", "1"),
        ("share.coordinator.state.topic.num.partitions", "1"),
        // A group of one member need not wait 3 s for others.
        ("group.initial.rebalance.delay.ms", "0"),
        ("num.network.threads", "2"),
        ("num.io.threads", "4"),
        ("background.threads", "2"),
        ("log.cleaner.threads", "1"),
        // 128 MiB otherwise, for compacted topics of a size that nothing here has.
        ("log.cleaner.dedupe.buffer.size", "8388608"),
    ]
    .map(|(key, value)| (key, value.to_owned()))
    .to_vec()
}

/// A broker that was killed may only come back when the controller has given up its predecessor, after 9 s otherwise.
fn quick_restart() -> Vec<(&'static str, String)> {
    vec![("broker.session.timeout.ms", "3000".to_owned()), ("broker.heartbeat.interval.ms", "500".to_owned())]
}

fn secured(folder: &Path) -> Vec<(&'static str, String)> {
    let keystore = secrets::keystore(folder).display().to_string();
    vec![
        ("listener.name.secured.sasl.enabled.mechanisms", "SCRAM-SHA-512".to_owned()),
        (
            "listener.name.secured.scram-sha-512.sasl.jaas.config",
            "org.apache.kafka.common.security.scram.ScramLoginModule required;".to_owned(),
        ),
        ("listener.name.secured.ssl.keystore.type", "PEM".to_owned()),
        ("listener.name.secured.ssl.keystore.location", keystore),
        ("listener.name.secured.ssl.client.auth", "none".to_owned()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> KafkaOptions {
        KafkaOptions {
            name: "kafka".to_owned(),
            listen: Ipv4Addr::new(10, 244, 255, 1),
            port: 9092,
            controller_port: 9094,
            secured_port: Some(9093),
            heap_mib: 512,
            aim: Aim::Throughput,
            extra: Vec::new(),
        }
    }

    #[test]
    fn a_secured_kafka_has_three_listeners_and_its_keys() {
        insta::assert_snapshot!(text(&options(), Path::new("/state/kafka")));
    }

    #[test]
    fn an_extra_line_replaces_ours() {
        let extra = vec![("num.io.threads".to_owned(), "8".to_owned())];
        let text = text(&KafkaOptions { extra, ..options() }, Path::new("/state/kafka"));
        let lines: Vec<_> = text.lines().filter(|line| line.starts_with("num.io.threads")).collect();
        assert_eq!(lines, ["num.io.threads=8"]);
    }

    #[test]
    fn a_kafka_that_is_to_be_killed_is_given_up_sooner() {
        let text = text(&KafkaOptions { aim: Aim::QuickStart, ..options() }, Path::new("/state/kafka"));
        assert!(text.contains("broker.session.timeout.ms=3000\n"), "{text}");
    }

    #[test]
    fn without_a_secured_port_there_is_no_secured_listener() {
        let text = text(&KafkaOptions { secured_port: None, ..options() }, Path::new("/state/kafka"));
        assert!(!text.contains("SECURED://") && !text.contains("keystore"), "{text}");
    }
}
