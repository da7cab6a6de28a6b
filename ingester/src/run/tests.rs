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
    time::{sleep, timeout},
};

use super::*;
use crate::testing::{ACME_KEY, route, settings};

type Cluster = MockCluster<'static, DefaultProducerContext>;

const PATIENCE: Duration = Duration::from_secs(20);

struct Process {
    cluster: Cluster,
    public: SocketAddr,
    admin: SocketAddr,
    shutdown: Shutdown,
    ended: JoinHandle<anyhow::Result<()>>,
    _folder: tempfile::TempDir,
}

impl Process {
    /// Starts a process and waits until it is ready.
    async fn started() -> Self {
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
        let ingester = Ingester::bind(options).await.unwrap();
        let (public, admin) = (ingester.address().unwrap(), ingester.admin_address().unwrap());
        let shutdown = Shutdown::manual();
        #[allow(clippy::disallowed_methods, reason = "the test joins it")]
        let ended = tokio::spawn(ingester.run(shutdown.clone(), MetricsHandle::detached()));
        let process = Self { cluster, public, admin, shutdown, ended, _folder: folder };
        process.until_ready().await;
        process
    }

    async fn until_ready(&self) {
        let is_ready = async {
            while !get(self.admin, "/health/ready").await.starts_with("HTTP/1.1 200") {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(PATIENCE, is_ready).await.expect("the process is ready in time");
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

async fn post_event(address: SocketAddr) -> String {
    let body = r#"{"event_name":"page_view"}"#;
    let length = body.len();
    exchange(
        address,
        format!(
            "POST /events HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {ACME_KEY}\r\n\
             content-length: {length}\r\n\r\n{body}"
        ),
    )
    .await
}

#[tokio::test]
async fn a_request_in_flight_is_acknowledged_after_the_stop_and_the_end_is_clean() {
    let process = Process::started().await;
    assert!(post_event(process.public).await.starts_with("HTTP/1.1 200"));
    // The broker takes its time, so that the stop comes while the request waits for its acknowledgement.
    process.cluster.broker_round_trip_time(1, Duration::from_millis(500)).unwrap();
    let public = process.public;
    let answer = post_event(public);
    let stop = async {
        sleep(Duration::from_millis(200)).await;
        process.shutdown.request();
    };
    let (answer, ()) = tokio::join!(answer, stop);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    process.end().await.unwrap();
    assert!(TcpStream::connect(public).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn kafka_that_goes_away_makes_the_process_unready_until_it_is_back() {
    let process = Process::started().await;
    process.cluster.broker_down(1).unwrap();
    let answer = post_event(process.public).await;
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("retry-after: 2"), "{answer}");
    let is_unready = async {
        while get(process.admin, "/health/ready").await.starts_with("HTTP/1.1 200") {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, is_unready).await.expect("the process is unready in time");
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
