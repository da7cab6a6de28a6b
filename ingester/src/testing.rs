//! What several suites of this crate share: fixed times and ids, one tenant with its keys, and a producer that
//! records what it was given.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use runtime::health::Health;
use schema::{
    api_key::{KeyDigest, Scope},
    names::{PipelineName, TopicName, TopicPrefix},
    settings::{IngesterPipeline, IngesterSettings, KafkaSettings, KeySettings},
    tenant_id::TenantId,
    timestamp::Timestamp,
};
use uuid::Uuid;

use crate::{
    capture::{App, Clock},
    decode::Protocol,
    health::Services,
    keys::Current,
    publish::{self, Acknowledgement, Delivery, Produce, Settlement},
    receive::InFlight,
    route::{Record, Route},
    validate::Receipt,
};

/// The tenant of seed 001's own example.
pub(crate) const TENANT: &str = "00000000-0000-0000-0000-000000000000";
/// The key of seed 001's own example.
pub(crate) const KEY: &str = "secret";
/// A key of the same tenant that may only read.
pub(crate) const QUERY_KEY: &str = "query-secret";
/// A key of the same tenant that ends [`now`].
pub(crate) const ENDED_KEY: &str = "ended-secret";
/// The key of another tenant, `acme`.
pub(crate) const ACME_KEY: &str = "acme-secret";

pub(crate) fn now() -> Timestamp {
    Timestamp::parse("2026-01-31T12:00:00.500Z").unwrap()
}

pub(crate) fn fresh_id(_: Timestamp) -> Uuid {
    Uuid::from_u128(0x0193_8f6e_5c00_7cc3_98c4_dc0c_0c07_3990)
}

pub(crate) fn pipeline(tenant: &str, keys: &[(&str, Scope)]) -> IngesterPipeline {
    let tenant_id = TenantId::parse(tenant).unwrap();
    let name = PipelineName::parse("web").unwrap();
    let topic = TopicName::of(&TopicPrefix::parse("millrace").unwrap(), &tenant_id, &name);
    let keys = keys
        .iter()
        .map(|(key, scope)| KeySettings {
            name: "default".to_owned(),
            sha256: KeyDigest::of(key),
            scopes: vec![*scope],
            expires_at: None,
        })
        .collect();
    IngesterPipeline { tenant_id, name, topic, keys }
}

pub(crate) fn settings(bootstrap_servers: &str) -> IngesterSettings {
    let kafka = serde_json::json!({ "bootstrap_servers": bootstrap_servers });
    let kafka: KafkaSettings = serde_json::from_value(kafka).unwrap();
    let mut of_tenant =
        pipeline(TENANT, &[(KEY, Scope::Ingest), (QUERY_KEY, Scope::Query), (ENDED_KEY, Scope::Ingest)]);
    of_tenant.keys[2].expires_at = Some(now());
    let pipelines = vec![of_tenant, pipeline("acme", &[(ACME_KEY, Scope::Ingest)])];
    IngesterSettings { kafka, clickhouse_url: None, clickhouse_ca_pem: None, pipelines }
}

pub(crate) fn route() -> Route {
    let IngesterPipeline { tenant_id, name, topic, .. } = pipeline(TENANT, &[]);
    Route { tenant_id, pipeline: name, topic }
}

pub(crate) fn receipt(protocol: Protocol) -> Receipt {
    Receipt { protocol, received_at: now(), ip_address: String::new(), user_agent: String::new(), fresh_id }
}

/// Takes every record, and answers each with its own outcome, or all that have none with one.
#[derive(Debug)]
pub(crate) struct Recorder {
    pub(crate) records: Mutex<Vec<Record>>,
    own: Vec<Settlement>,
    others: Settlement,
}

impl Recorder {
    pub(crate) fn answering(outcome: Result<(), publish::Error>) -> Arc<Self> {
        let others = outcome.map_or_else(Settlement::Failed, |()| Settlement::Stored);
        Arc::new(Self { records: Mutex::default(), own: Vec::new(), others })
    }

    pub(crate) fn settling(own: &[Settlement]) -> Arc<Self> {
        Arc::new(Self { records: Mutex::default(), own: own.to_vec(), others: Settlement::Stored })
    }
}

impl Produce for Recorder {
    fn produce(&self, records: &[Record]) -> Result<Acknowledgement, publish::Error> {
        self.records.lock().unwrap().extend_from_slice(records);
        let (delivery, acknowledgement) = Delivery::of(records.len());
        for place in 0..records.len() {
            delivery.settle(place, self.own.get(place).copied().unwrap_or(self.others));
        }
        Ok(acknowledgement)
    }
}

/// Takes records and never answers.
#[derive(Debug, Default)]
pub(crate) struct Silent(Mutex<Vec<Arc<Delivery>>>);

impl Produce for Silent {
    fn produce(&self, records: &[Record]) -> Result<Acknowledgement, publish::Error> {
        let (delivery, acknowledgement) = Delivery::of(records.len());
        self.0.lock().unwrap().push(delivery);
        Ok(acknowledgement)
    }
}

pub(crate) fn app(producer: Arc<dyn Produce>) -> App {
    let (_, keys) = Current::new(settings("unused"));
    App {
        keys,
        producer,
        in_flight: InFlight::new(16 * 1024 * 1024),
        services: Services { kafka: Health::new().flag("kafka"), clickhouse: None },
        trusted_proxies: Vec::new(),
        body_timeout: Duration::from_secs(5),
        request_timeout: Duration::from_secs(10),
        clock: Clock { now, fresh_id },
    }
}
