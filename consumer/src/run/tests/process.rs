//! The consumer as a process of its own, so that its metrics and its health are not those of other tests.

use std::{
    net::TcpListener as Listener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

/// A process that runs a consumer. It is killed when this is dropped.
pub(super) struct Process {
    child: Child,
    listen: String,
    log: PathBuf,
}

impl Process {
    /// Starts this very binary again, as [`a_process_of_a_test_is_a_consumer`].
    pub(super) fn start(settings: &Path) -> Self {
        let listen = Listener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let log = settings.with_extension(format!("{}.log", listen.rsplit_once(':').unwrap().1));
        let output = std::fs::File::create(&log).unwrap();
        let test = concat!(module_path!(), "::a_process_of_a_test_is_a_consumer");
        let child = Command::new(std::env::current_exe().unwrap())
            .args([test.split_once("::").unwrap().1, "--exact", "--nocapture"])
            .env("MILLRACE_SETTINGS", settings)
            .env("MILLRACE_LISTEN", &listen)
            .env("MILLRACE_INSERT_TIMEOUT_MS", "500")
            .env("MILLRACE_LOG", "info,consumer=debug")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(output)
            .spawn()
            .unwrap();
        Self { child, listen, log }
    }

    /// What it has written to its log.
    pub(super) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// The status and the body of an answer; none while it does not listen yet.
    pub(super) async fn get(&self, path: &str) -> Option<(u16, String)> {
        let mut stream = tokio::net::TcpStream::connect(&self.listen).await.ok()?;
        let request = format!("GET {path} HTTP/1.1\r\nhost: consumer\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n")?;
        Some((head.split(' ').nth(1)?.parse().unwrap(), body.to_owned()))
    }

    /// The value of a metric, with its labels as Prometheus writes them.
    pub(super) async fn metric(&self, name: &str) -> Option<f64> {
        let (_, text) = self.get("/metrics").await?;
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
    }

    /// Asks it to stop, as Kubernetes does, and waits until it has ended well.
    pub(super) async fn stop(&mut self) {
        let pid = nix::unistd::Pid::from_raw(self.child.id() as i32);
        nix::sys::signal::kill(pid, nix::sys::signal::SIGTERM).unwrap();
        let ended = tokio::time::timeout(PATIENCE, async {
            loop {
                match self.child.try_wait().unwrap() {
                    Some(status) => break status,
                    None => tokio::time::sleep(Duration::from_millis(50)).await,
                }
            }
        });
        let status = ended.await;
        assert!(status.is_ok_and(|status| status.success()), "it did not stop\n{}", self.log());
    }

    /// Waits until a metric has such a value.
    pub(super) async fn until_metric(&self, name: &str, holds: impl Fn(f64) -> bool) {
        self.until(name, async || self.metric(name).await.is_some_and(&holds)).await;
    }

    /// Waits until a probe answers with this status.
    pub(super) async fn until_status(&self, path: &str, status: u16) {
        self.until(path, async || self.get(path).await.is_some_and(|(seen, _)| seen == status)).await;
    }

    #[allow(clippy::disallowed_methods, reason = "the test waits for a process")]
    pub(super) async fn until(&self, what: &str, check: impl AsyncFn() -> bool) {
        let start = Instant::now();
        while !check().await {
            let seen = self.get("/metrics").await.unwrap_or_default().1;
            assert!(start.elapsed() < PATIENCE, "waited in vain for {what}\n{seen}\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The whole of a process that [`Process::start`] started; nothing where the tests run.
#[tokio::test]
async fn a_process_of_a_test_is_a_consumer() {
    let options = <Options as clap::Parser>::parse_from(["consumer"]);
    if options.settings != Path::new(schema::settings::MOUNTED_FILE) {
        telemetry::init(&options.log).unwrap();
        run(options, Shutdown::on_signals().unwrap()).await.unwrap();
    }
}
