//! What the pods of ingesters and consumers may reach, where the installation has NetworkPolicies.

use std::num::NonZeroU16;

use serde::Deserialize;

/// The openings of the pods' NetworkPolicies, beside names and, of ingesters, events.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NetworkPolicies {
    /// The ports of Kafka, those included that brokers tell their clients to use.
    pub kafka_ports: Ports,
    /// The ports of ClickHouse's HTTP interface.
    pub clickhouse_ports: Ports,
    /// The namespace whose pods may read metrics; without it, all may.
    pub monitoring_namespace: Option<String>,
}

/// At least one port: to Kubernetes, a list of none means all.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Vec<NonZeroU16>")]
pub struct Ports(Vec<NonZeroU16>);

impl Ports {
    /// The ports as Kubernetes counts them.
    pub fn numbers(&self) -> impl Iterator<Item = i32> {
        self.0.iter().map(|port| i32::from(port.get()))
    }
}

impl TryFrom<Vec<NonZeroU16>> for Ports {
    type Error = &'static str;

    fn try_from(ports: Vec<NonZeroU16>) -> Result<Self, Self::Error> {
        if ports.is_empty() { Err("no port is named") } else { Ok(Self(ports)) }
    }
}

pub(super) fn parse(text: &str) -> Result<NetworkPolicies, serde_json::Error> {
    serde_json::from_str(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_and_a_namespace_are_understood() {
        let all = r#"{"kafkaPorts":[9092,9093],"clickhousePorts":[8443],"monitoringNamespace":"monitoring"}"#;
        let policies = parse(all).unwrap();
        assert_eq!(policies.kafka_ports.numbers().collect::<Vec<_>>(), [9092, 9093]);
        assert_eq!(policies.clickhouse_ports.numbers().collect::<Vec<_>>(), [8443]);
        assert_eq!(policies.monitoring_namespace.as_deref(), Some("monitoring"));
        let least = parse(r#"{"kafkaPorts":[9092],"clickhousePorts":[8123]}"#).unwrap();
        assert_eq!(least.monitoring_namespace, None);
    }

    #[test]
    fn what_would_open_or_close_everything_is_refused() {
        for (text, expected) in [
            (r#"{"kafkaPorts":[],"clickhousePorts":[8123]}"#, "no port is named"),
            (r#"{"kafkaPorts":[9092],"clickhousePorts":[0]}"#, "nonzero"),
            (r#"{"kafkaPorts":[9092],"clickhousePorts":[65536]}"#, "65536"),
            (r#"{"kafkaPorts":[9092]}"#, "clickhousePorts"),
            (r#"{"kafkaPorts":[9092],"clickhousePorts":[8123],"monitoring":"m"}"#, "monitoring"),
        ] {
            let refusal = parse(text).unwrap_err().to_string();
            assert!(refusal.contains(expected), "{text}: {refusal}");
        }
    }
}
