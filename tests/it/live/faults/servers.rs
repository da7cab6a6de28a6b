//! Rows F19, F20 and F22: ClickHouse has too many parts, too little memory, or says 200 and means no.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use anyhow::Context as _;
use harness::kafka::Kafka;
use harness::line::Line;
use harness::private::{PrivateClickHouse, PrivateKafka};
use harness::wait::within;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::site::{ROW, Site, event, until_metric};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f19_a_server_with_too_many_parts_is_waited_for_and_gets_no_copies() -> anyhow::Result<()> {
    within(ROW, async {
        let site = Site::make().await?;
        site.line.clickhouse.run(&format!("SYSTEM STOP MERGES {}", site.line.table("events_raw"))).await?;
        site.alter("MODIFY SETTING parts_to_delay_insert = 2, parts_to_throw_insert = 2").await?;
        let mut consumer = site.consumer(&[]).await?;
        for number in 0..2 {
            site.write(number * 20..(number + 1) * 20).await?;
            site.assert_exact(0..(number + 1) * 20).await?;
        }
        let committed = site.committed().await?;
        site.write(40..60).await?;
        until_metric(&consumer, "consumer_inserts_total", "slower", 1.0).await?;
        assert_eq!(site.committed().await?, committed, "nothing is committed meanwhile");
        site.alter("RESET SETTING parts_to_delay_insert, parts_to_throw_insert").await?;
        site.assert_exact(0..60).await?;
        assert_eq!(site.copies().await?, 0, "what was refused has left nothing");
        assert!(consumer.program.is_running()?);
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f20_a_server_with_too_little_memory_gets_smaller_blocks() -> anyhow::Result<()> {
    within(ROW, async {
        // Servers of its own: neighbours would get too little memory as well.
        let (kafka, clickhouse) = (PrivateKafka::start().await?, PrivateClickHouse::start().await?);
        let line = Line::make(&Kafka::plain(&kafka.address()), &clickhouse.reader()).await?;
        let site = Site::of(line).await?;
        // Some 0.4 MB a row while it is inserted, of the 2 GiB that a query may have.
        site.alter("ADD COLUMN much UInt64 MATERIALIZED length(repeat(user_id, 60000))").await?;
        for record in 0..4 {
            let numbers = record * 2_400..(record + 1) * 2_400;
            site.write_lines(&numbers.map(|number| event(number).to_string()).collect::<Vec<_>>()).await?;
        }
        let consumer = site.consumer(&[]).await?;
        site.assert_exact(0..9_600).await?;
        assert!(consumer.metric("consumer_inserts_total", "smaller").await? >= 1.0, "there was too little");
        assert_eq!(consumer.metric("consumer_dead_letters_total", "").await?, 0.0);
        Ok(())
    })
    .await
}

/// Answers that say 200 and mean no.
const LIES: [&str; 3] = [
    "X-ClickHouse-Exception-Code: 209\r\nX-ClickHouse-Summary: {\"written_rows\":\"20\"}\r\nContent-Length: 0\r\n\r\n",
    "X-ClickHouse-Summary: {\"written_rows\":\"20\"}\r\nContent-Length: 62\r\n\r\n\
     Code: 209. DB::Exception: Timeout exceeded. (SOCKET_TIMEOUT) \n",
    "Content-Length: 6\r\n\r\n<html>",
];

/// Stands in front of ClickHouse and lies until it is told to pass.
struct Liar {
    address: SocketAddr,
    passes: Arc<AtomicBool>,
    lies: Arc<AtomicUsize>,
    _accepts: JoinSet<()>,
}

impl Liar {
    async fn start(target: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (passes, lies) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let mut accepts = JoinSet::new();
        let (is_passing, count) = (Arc::clone(&passes), Arc::clone(&lies));
        accepts.spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                if is_passing.load(Ordering::Acquire) {
                    // One consumer has one connection at a time.
                    let Ok(mut server) = TcpStream::connect(target).await else { continue };
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                } else if read_request(&mut client).await.is_ok() {
                    let lie = LIES[count.fetch_add(1, Ordering::AcqRel) % LIES.len()];
                    let answer = format!("HTTP/1.1 200 OK\r\nConnection: close\r\n{lie}");
                    let _ = client.write_all(answer.as_bytes()).await;
                }
            }
        });
        Ok(Self { address, passes, lies, _accepts: accepts })
    }
}

/// Reads a request with its body.
async fn read_request(client: &mut TcpStream) -> anyhow::Result<()> {
    let (mut read, mut buffer) = (Vec::new(), [0; 4_096]);
    loop {
        let length = client.read(&mut buffer).await?;
        anyhow::ensure!(length > 0, "the client has gone");
        read.extend_from_slice(&buffer[..length]);
        let Some(head) = read.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let text = String::from_utf8_lossy(&read[..head]).to_lowercase();
        let body = text.split_once("content-length: ").context("a length")?.1;
        let body: usize = body.lines().next().unwrap_or_default().trim().parse()?;
        if read.len() >= head + 4 + body {
            return Ok(());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f22_an_answer_of_200_with_an_exception_is_no_success() -> anyhow::Result<()> {
    within(ROW, async {
        let site = Site::make().await?;
        let liar = Liar::start(site.proxy.address()).await?;
        let consumer = site.line.consumer_through(&format!("http://{}", liar.address), &[]).await?;
        site.write(0..20).await?;
        until_metric(&consumer, "consumer_inserts_total", "again", LIES.len() as f64).await?;
        assert!(liar.lies.load(Ordering::Acquire) >= LIES.len(), "each lie was told");
        assert_eq!(site.committed().await?.len(), 0, "and none was believed");
        liar.passes.store(true, Ordering::Release);
        site.assert_exact(0..20).await?;
        assert_eq!(consumer.metric("consumer_dead_letters_total", "").await?, 0.0);
        Ok(())
    })
    .await
}

/// The lies above have the lengths that they say.
#[test]
fn each_lie_is_a_whole_answer() {
    for lie in LIES {
        let (head, body) = lie.split_once("\r\n\r\n").unwrap();
        let length: usize = head.rsplit_once("Content-Length: ").unwrap().1.parse().unwrap();
        assert_eq!(body.len(), length, "{lie}");
    }
}
