//! Someone with a shell, a cluster, and the documents.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::ensure;
use crds::AnalyticsTenant;
use dev::artifacts;
use dev::console::Console;
use dev::folders::Folders;
use dev::images::{ImageRef, NAMES, Workbench};
use harness::clickhouse::ClickHouse;
use harness::kubernetes::{Ground, kubectl};
use harness::names::unique;
use harness::private::{PrivateClickHouse, PrivateKafka};
use harness::private_cluster::PrivateCluster;
use harness::process::folder;
use harness::shared::stack;
use tempfile::TempDir;

use crate::checkout::root;

/// For one block, as `timeout` of coreutils understands it; the longest waits five minutes for a tenant.
const BLOCK: &str = "320s";

/// What a second installation in the cluster of all tests, whose Kafka is one broker, has other than the documents say.
const LOCALLY: &str =
    "--set crds.install=false --set kafka.replicationFactor=1 --set kafka.minInsyncReplicas=1";

type Environment = Vec<(&'static str, String)>;

/// A reader on the local stack.
pub(super) struct Reader {
    pub(super) ground: Ground,
    pub(super) namespace: String,
    pub(super) release: String,
    workbench: Workbench,
    folder: TempDir,
}

impl Reader {
    pub(super) async fn make() -> anyhow::Result<Self> {
        let workbench =
            tokio::task::spawn_blocking(|| Workbench::open(&Folders::of_this_user()?, &Console::silent()));
        let reader = Self {
            workbench: workbench.await??,
            ground: Ground::make("documents").await?,
            namespace: unique("system"),
            // The chart names everything after a release that has its own name in it.
            release: unique("millrace"),
            folder: TempDir::new()?,
        };
        let stack = stack()?;
        write_programs(reader.folder.path(), &stack.kubectl, &stack.helm)?;
        std::fs::create_dir(reader.path("binaries"))?;
        reader.write_kubeconfig().await?;
        Ok(reader)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The tenant's namespace is the one that a command without a namespace means.
    async fn write_kubeconfig(&self) -> anyhow::Result<()> {
        let path = self.path("kubeconfig");
        std::fs::copy(&stack()?.kubeconfig, &path)?;
        let (kubeconfig, namespace) =
            (format!("--kubeconfig={}", path.display()), format!("--namespace={}", self.ground.name));
        kubectl(&[&kubeconfig, "config", "set-context", "--current", &namespace]).await.map(drop)
    }

    /// Runs a block and returns what it wrote.
    pub(super) async fn run(&self, script: String) -> anyhow::Result<String> {
        run(script, self.environment()?).await
    }

    /// What the placeholders of `crate::documents` say, and where the programs find the local stack.
    fn environment(&self) -> anyhow::Result<Environment> {
        let stack = stack()?;
        let mut environment = everywhere(self.folder.path(), &self.path("kubeconfig"));
        environment.extend([
            ("BASE", self.workbench.base.to_string()),
            ("BINARIES", shown(&self.path("binaries"))),
            ("BUILT", shown(&folder()?)),
            ("CLICKHOUSE_PASSWORD", stack.clickhouse_password.clone()),
            ("CLICKHOUSE_URL", stack.clickhouse_url.clone()),
            ("CLICKHOUSE_USER", stack.clickhouse_user.clone()),
            ("KAFKA", stack.kafka.clone()),
            ("LOCALLY", LOCALLY.to_owned()),
            ("NAMESPACE", self.namespace.clone()),
            ("RELEASE", self.release.clone()),
        ]);
        environment.extend(self.workbench.environment.iter().map(|(name, path)| (*name, shown(path))));
        Ok(environment)
    }

    /// Removes the tenant, with the operator that there is by now, and the images; each though another fails.
    pub(super) async fn leave(self) -> anyhow::Result<()> {
        let mut outcome = self.delete_tenant().await;
        for name in NAMES {
            let repository = format!("registry.example.com/millrace/{name}");
            outcome = outcome.and(self.workbench.remove(&ImageRef { repository, tag: "0.1.0".to_owned() }));
        }
        outcome.and(self.ground.leave().await)
    }

    async fn delete_tenant(&self) -> anyhow::Result<()> {
        match self.ground.api::<AnalyticsTenant>().get_opt("acme").await? {
            Some(_) => self.ground.delete_tenant("acme", Duration::from_secs(120)).await,
            None => Ok(()),
        }
    }
}

/// A reader on an API server of their own, with the names as the documents have them.
pub(in crate::live) struct ApiServerReader {
    folder: TempDir,
    kubeconfig: PathBuf,
    servers: Servers,
}

/// What the placeholders of `crate::documents` say about Kafka and ClickHouse.
pub(in crate::live) struct Servers {
    kafka: String,
    clickhouse: ClickHouse,
}

impl Servers {
    /// Servers that nobody asks: their names are only written down.
    pub(in crate::live) fn absent() -> Self {
        Self {
            kafka: "kafka.example.com:9092".to_owned(),
            clickhouse: ClickHouse::new("http://clickhouse.example.com:8123", "millrace", "secret"),
        }
    }

    pub(in crate::live) fn of(kafka: &PrivateKafka, clickhouse: &PrivateClickHouse) -> Self {
        Self { kafka: kafka.address(), clickhouse: clickhouse.reader() }
    }
}

impl ApiServerReader {
    pub(in crate::live) fn make(cluster: &PrivateCluster, servers: Servers) -> anyhow::Result<Self> {
        let folder = TempDir::new()?;
        let helm = artifacts::helm(&Folders::of_this_user()?);
        write_programs(folder.path(), &cluster.program(), &helm)?;
        Ok(Self { folder, kubeconfig: cluster.kubeconfig(), servers })
    }

    /// Writes a file of the reader.
    pub(in crate::live) fn write(&self, name: &str, text: &str) -> anyhow::Result<()> {
        Ok(std::fs::write(self.folder.path().join(name), text)?)
    }

    /// Runs a block and returns what it wrote.
    pub(in crate::live) async fn run(&self, script: String) -> anyhow::Result<String> {
        let mut environment = everywhere(self.folder.path(), &self.kubeconfig);
        environment.extend([
            ("CLICKHOUSE_PASSWORD", self.servers.clickhouse.password.clone()),
            ("CLICKHOUSE_URL", self.servers.clickhouse.url.clone()),
            ("CLICKHOUSE_USER", self.servers.clickhouse.user.clone()),
            ("KAFKA", self.servers.kafka.clone()),
            ("NAMESPACE", "millrace-system".to_owned()),
            ("RELEASE", "millrace".to_owned()),
        ]);
        run(script, environment).await
    }
}

async fn run(script: String, environment: Environment) -> anyhow::Result<String> {
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5s", BLOCK, "bash", "-c", &script]).current_dir(root());
    command.envs(environment);
    let output = tokio::task::spawn_blocking(move || command.output()).await??;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {said}", output.status);
    Ok(String::from_utf8(output.stdout)?)
}

/// `kubectl` and `helm` by their names, as a reader has them.
fn write_programs(folder: &Path, kubectl: &Path, helm: &Path) -> anyhow::Result<()> {
    let programs = folder.join("bin");
    std::fs::create_dir(&programs)?;
    std::os::unix::fs::symlink(kubectl, programs.join("kubectl"))?;
    std::os::unix::fs::symlink(helm, programs.join("helm"))?;
    Ok(())
}

/// Where a shell finds the reader's programs, their cluster, and a place for their files.
fn everywhere(folder: &Path, kubeconfig: &Path) -> Environment {
    vec![
        ("FOLDER", shown(folder)),
        ("KUBECACHEDIR", shown(&folder.join("kubectl-cache"))),
        ("KUBECONFIG", shown(kubeconfig)),
        ("NO_PROXY", "*".to_owned()),
        ("PATH", format!("{}:{}", shown(&folder.join("bin")), inherited_path())),
        ("no_proxy", "*".to_owned()),
    ]
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

#[allow(
    clippy::disallowed_methods,
    reason = "PATH says where the reader's programs are; it is not an option"
)]
fn inherited_path() -> String {
    std::env::var("PATH").unwrap_or_default()
}
