//! The whole process, on sockets of its own and against librdkafka's mock broker.

use rdkafka::{
    mocking::MockCluster,
    producer::DefaultProducerContext,
    types::{RDKafkaApiKey, RDKafkaRespErr},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinHandle,
    time::timeout,
};

use super::*;
use crate::{
    args::Deadlines,
    testing::{ACME_KEY, route, settings},
};

type Cluster = MockCluster<'static, DefaultProducerContext>;

const PATIENCE: Duration = Duration::from_secs(20);

struct Process {
    cluster: Cluster,
    public: SocketAddr,
    admin: SocketAddr,
    health: Health,
    shutdown: Shutdown,
    ended: JoinHandle<anyhow::Result<()>>,
    _folder: tempfile::TempDir,
}

impl Process {
    /// Starts a process without a grace after the stop, and waits until it is ready.
    async fn started() -> Self {
        Self::started_with(|_| {}).await
    }

    async fn started_with(change: impl FnOnce(&mut Deadlines)) -> Self {
        let cluster = MockCluster::new(1).unwrap();
        for topic in ["millrace.acme.web", route().topic.as_str()] {
            cluster.create_topic(topic, 1, 1).unwrap();
        }
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("settings.json");
        std::fs::write(&file, serde_json::to_vec(&settings(&cluster.bootstrap_servers())).unwrap()).unwrap();
        let local = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut options = Options { public: local, admin: local, ..Options::default() };
        options.settings.file = file;
        options.producer.publish_timeout = Duration::from_secs(2);
        options.deadlines.drain_grace = Duration::ZERO;
        change(&mut options.deadlines);
        let ingester = Ingester::bind(options).await.unwrap();
        let (public, admin) = (ingester.address().unwrap(), ingester.admin_address().unwrap());
        let (health, shutdown) = (ingester.health(), Shutdown::manual());
        #[allow(clippy::disallowed_methods, reason = "the test joins it")]
        let ended = tokio::spawn(ingester.run(shutdown.clone(), MetricsHandle::detached()));
        let process = Self { cluster, public, admin, health, shutdown, ended, _folder: folder };
        process.until_ready().await;
        process
    }

    async fn until_ready(&self) {
        timeout(PATIENCE, self.health.until_ready()).await.expect("the process is ready in time");
        assert!(get(self.admin, "/health/ready").await.starts_with("HTTP/1.1 200"));
    }

    async fn until_unready(&self) {
        timeout(PATIENCE, self.health.until_unready()).await.expect("the process is unready in time");
        assert!(get(self.admin, "/health/ready").await.starts_with("HTTP/1.1 503"));
    }

    async fn end(self) -> anyhow::Result<()> {
        timeout(PATIENCE, self.ended).await.expect("the process ends in time").unwrap()
    }
}

async fn exchange(address: SocketAddr, request: String) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut answer)).await.expect("an answer in time").unwrap();
    answer
}

async fn get(address: SocketAddr, path: &str) -> String {
    exchange(address, format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")).await
}

const EVENT: &str = r#"{"event_name":"page_view"}"#;

/// The head of a request with an event, ready for more header lines.
fn event_head() -> String {
    let length = EVENT.len();
    format!(
        "POST /events HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {ACME_KEY}\r\n\
         content-length: {length}\r\n"
    )
}

async fn post_event(address: SocketAddr) -> String {
    exchange(address, format!("{}\r\n{EVENT}", event_head())).await
}

/// A request of which the server has the head and waits for the body.
async fn begun_event(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!("{}expect: 100-continue\r\n\r\n", event_head());
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut go_on = [0; b"HTTP/1.1 100 Continue\r\n\r\n".len()];
    timeout(PATIENCE, stream.read_exact(&mut go_on)).await.expect("the body is asked for").unwrap();
    stream
}

#[tokio::test]
async fn a_request_in_flight_is_acknowledged_after_the_stop_and_the_end_is_clean() {
    let process = Process::started().await;
    let mut request = begun_event(process.public).await;
    process.shutdown.request();
    process.until_unready().await;
    // The stop is long under way when the broker acknowledges.
    process.cluster.broker_round_trip_time(1, Duration::from_millis(200)).unwrap();
    request.write_all(EVENT.as_bytes()).await.unwrap();
    let mut answer = String::new();
    timeout(PATIENCE, request.read_to_string(&mut answer)).await.expect("an answer in time").unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let public = process.public;
    process.end().await.unwrap();
    assert!(TcpStream::connect(public).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn in_the_grace_after_the_stop_the_unready_process_goes_on() {
    let process = Process::started_with(|deadlines| deadlines.drain_grace = Duration::from_secs(3_600)).await;
    process.shutdown.request();
    process.until_unready().await;
    assert!(post_event(process.public).await.starts_with("HTTP/1.1 200"));
    process.ended.abort();
}

/// Its requests are many, since the kernel keeps megabytes of answers for it.
#[tokio::test]
async fn a_client_that_reads_no_answer_is_disconnected() {
    let process = Process::started_with(|deadlines| deadlines.write = Duration::from_millis(100)).await;
    let mut stream = TcpStream::connect(process.public).await.unwrap();
    let requests = "GET /health HTTP/1.1\r\nhost: x\r\n\r\n".repeat(100);
    let until_it_ends = async { while stream.write_all(requests.as_bytes()).await.is_ok() {} };
    // The default would be ten seconds.
    timeout(Duration::from_secs(8), until_it_ends).await.expect("the connection ends in time");
    process.shutdown.request();
    process.end().await.unwrap();
}

#[tokio::test]
async fn kafka_that_goes_away_makes_the_process_unready_until_it_is_back() {
    let process = Process::started().await;
    process.cluster.broker_down(1).unwrap();
    let answer = post_event(process.public).await;
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("retry-after: 2"), "{answer}");
    process.until_unready().await;
    assert!(get(process.admin, "/health/live").await.starts_with("HTTP/1.1 200"));
    process.cluster.broker_up(1).unwrap();
    process.until_ready().await;
    assert!(post_event(process.public).await.starts_with("HTTP/1.1 200"));
    process.shutdown.request();
    process.end().await.unwrap();
}

#[tokio::test]
async fn a_producer_that_failed_for_good_ends_the_process_with_a_failure() {
    let process = Process::started().await;
    let broken = RDKafkaRespErr::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER;
    process.cluster.request_errors(RDKafkaApiKey::Produce, &[broken]);
    let answer = post_event(process.public).await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    let failure = process.end().await.unwrap_err();
    assert!(format!("{failure:#}").contains("failed for good"), "{failure:#}");
}

#[tokio::test]
async fn the_options_authority_for_clickhouse_replaces_the_settings_one() {
    let folder = tempfile::tempdir().unwrap();
    let (file, authority) = (folder.path().join("settings.json"), folder.path().join("ca.crt"));
    let of_the_settings =
        IngesterSettings { clickhouse_ca_pem: Some("SETTINGS".to_owned()), ..settings("unused") };
    std::fs::write(&file, serde_json::to_vec(&of_the_settings).unwrap()).unwrap();
    let local = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut options = Options { public: local, admin: local, ..Options::default() };
    options.settings.file = file;
    let plain = Ingester::bind(options.clone()).await.unwrap();
    assert_eq!(plain.settings.clickhouse_ca_pem.as_deref(), Some("SETTINGS"));
    options.settings.clickhouse_ca_file = Some(authority.clone());
    let failure = Ingester::bind(options.clone()).await.unwrap_err();
    assert_eq!(failure.to_string(), format!("failed to read `{}`", authority.display()));
    std::fs::write(&authority, "OPTIONS").unwrap();
    let replaced = Ingester::bind(options).await.unwrap();
    assert_eq!(replaced.settings.clickhouse_ca_pem.as_deref(), Some("OPTIONS"));
    assert!(!replaced.current.has_other_addresses_than(&of_the_settings), "the file did not change");
    assert!(replaced.current.has_other_addresses_than(&settings("elsewhere")));
}

#[test]
fn a_stop_leaves_time_for_the_longest_request_and_ends_before_the_pod_is_killed() {
    // `terminationGracePeriodSeconds` of the pods that the operator makes.
    const POD: Duration = Duration::from_secs(60);
    let options = Options::default();
    let Deadlines { request, write, drain_grace, .. } = options.deadlines;
    assert!(drain_timeout(&options) > DRAIN_HEADER_TIMEOUT + request + write);
    assert!(end_timeout(&options) >= drain_grace + drain_timeout(&options) + FLUSH_TIMEOUT);
    assert!(end_timeout(&options) + Duration::from_secs(10) < POD);
}

#[tokio::test]
async fn a_port_that_is_taken_is_told() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("settings.json");
    std::fs::write(&file, serde_json::to_vec(&settings("unused")).unwrap()).unwrap();
    let mut options = Options { public: taken.local_addr().unwrap(), ..Options::default() };
    options.settings.file = file;
    let failure = Ingester::bind(options).await.unwrap_err();
    assert!(failure.to_string().starts_with("failed to listen on 127.0.0.1:"), "{failure}");
}
