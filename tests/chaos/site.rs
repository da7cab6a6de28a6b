//! The parts of a run: a Kafka and a ClickHouse of its own, proxies in front of both, and the ingester.

use std::time::Duration;

use anyhow::Context as _;
use harness::kafka::Kafka;
use harness::line::{Ingester, Line};
use harness::private::{PrivateClickHouse, PrivateKafka};
use harness::proxy::{Mode, Proxy};
use harness::wait::{Look, until};

use crate::load::Target;

pub(crate) struct Site {
    pub(crate) kafka: PrivateKafka,
    pub(crate) kafka_proxy: Proxy,
    pub(crate) clickhouse: PrivateClickHouse,
    pub(crate) clickhouse_proxy: Proxy,
    pub(crate) line: Line,
    pub(crate) ingester: Ingester,
}

impl Site {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let (kafka, kafka_proxy) =
            PrivateKafka::start_behind_proxy().await.context("failed to start Kafka")?;
        let clickhouse = PrivateClickHouse::start().await.context("failed to start ClickHouse")?;
        let reader = clickhouse.reader();
        let address = reader.url.trim_start_matches("http://").parse()?;
        let clickhouse_proxy = Proxy::start(address).await?;
        let line = Line::make(&Kafka::plain(&kafka_proxy.address().to_string()), &reader).await?;
        let ingester = line.ingester(&["--publish-timeout-ms=5000"]).await?;
        Ok(Self { kafka, kafka_proxy, clickhouse, clickhouse_proxy, line, ingester })
    }

    pub(crate) fn target(&self) -> Target {
        Target { url: self.ingester.url.clone(), bearer: self.line.bearer() }
    }

    /// Where consumers reach ClickHouse.
    pub(crate) fn clickhouse_url(&self) -> String {
        format!("http://{}", self.clickhouse_proxy.address())
    }

    /// Where consumers reach Kafka.
    pub(crate) fn bootstrap_servers(&self) -> String {
        self.kafka_proxy.address().to_string()
    }

    /// Waits until a group has committed the end of every partition.
    pub(crate) async fn wait_until_drained(&self, group: &str, deadline: Duration) -> anyhow::Result<()> {
        let topic = self.line.topic.as_str();
        until(deadline, "commit of every record", || async {
            let mut ends = self.line.kafka.ends(topic).await?;
            ends.retain(|_, end| *end > 0);
            let committed = self.line.kafka.committed(group, topic).await?;
            Ok(Look::at(ends == committed, (ends, committed)))
        })
        .await
    }
}

/// Breaks connections through a proxy for a moment.
pub(crate) async fn disturb(proxy: &Proxy, mode: Mode, time: Duration) {
    proxy.set(mode);
    tokio::time::sleep(time).await;
    proxy.set(Mode::Pass);
}
