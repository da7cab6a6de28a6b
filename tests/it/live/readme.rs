//! The commands of README.md, run as they are written and in their order, in a release and a namespace of their own.
//!
//! The shared operator is away meanwhile, since the README installs one.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use crds::AnalyticsTenant;
use dev::console::Console;
use dev::folders::Folders;
use dev::images::{ImageRef, NAMES, Workbench};
use harness::chart;
use harness::kubernetes::{Ground, kubectl};
use harness::names::unique;
use harness::process::folder;
use harness::shared::{self, stack};
use harness::wait::{Look, until, within};
use tempfile::TempDir;

use crate::checkout::{root, text};
use crate::readme::{Commands, blocks};

const TEST: Duration = Duration::from_secs(600);

/// For one block, as `timeout` of coreutils understands it; the longest waits two minutes for a tenant.
const BLOCK: &str = "300s";

#[tokio::test]
async fn every_command_of_the_readme_works_as_it_is_written() -> anyhow::Result<()> {
    let shared_operator = chart::no_operator().await?;
    let reader = Reader::make().await?;
    let read = within(TEST, reader.follow()).await;
    // Whatever became of it: two operators must never work on one cluster.
    let uninstalled = chart::uninstall(&reader.release, &reader.namespace).await;
    let back = match &uninstalled {
        Ok(()) => shared_operator.bring_back().await,
        Err(_) => Ok(()),
    };
    let left = reader.leave().await;
    read.and(uninstalled).and(back).and(left)
}

/// Someone with a shell, a cluster, and the README.
struct Reader {
    ground: Ground,
    namespace: String,
    release: String,
    workbench: Workbench,
    folder: TempDir,
}

impl Reader {
    async fn make() -> anyhow::Result<Self> {
        let workbench =
            tokio::task::spawn_blocking(|| Workbench::open(&Folders::of_this_user()?, &Console::silent()));
        let reader = Self {
            workbench: workbench.await??,
            ground: Ground::make("readme").await?,
            namespace: unique("system"),
            release: unique("readme"),
            folder: TempDir::new()?,
        };
        reader.write_programs()?;
        reader.write_kubeconfig().await?;
        Ok(reader)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `kubectl` and `helm` by their names, as a reader has them.
    fn write_programs(&self) -> anyhow::Result<()> {
        let stack = stack()?;
        for folder in ["bin", "binaries"] {
            std::fs::create_dir(self.path(folder))?;
        }
        for (name, program) in [("bin/kubectl", &stack.kubectl), ("bin/helm", &stack.helm)] {
            std::os::unix::fs::symlink(program, self.path(name))?;
        }
        Ok(())
    }

    /// The tenant's namespace is the one that a command without a namespace means.
    async fn write_kubeconfig(&self) -> anyhow::Result<()> {
        let path = self.path("kubeconfig");
        std::fs::copy(&stack()?.kubeconfig, &path)?;
        let (kubeconfig, namespace) =
            (format!("--kubeconfig={}", path.display()), format!("--namespace={}", self.ground.name));
        kubectl(&[&kubeconfig, "config", "set-context", "--current", &namespace]).await.map(drop)
    }

    async fn follow(&self) -> anyhow::Result<()> {
        let makefile = text("Makefile");
        let mut said = String::new();
        for block in blocks() {
            match block.commands() {
                Commands::Make(targets) => {
                    for target in targets {
                        let is_there = makefile.lines().any(|line| line.starts_with(&format!("{target}:")));
                        ensure!(is_there, "Makefile has no target `{target}`");
                    }
                }
                Commands::Script(script) => said.push_str(&self.run(script).await?),
            }
        }
        ensure!(said.contains(r#""status":"success""#), "the event of the README was not accepted: {said}");
        self.expect_the_event().await
    }

    /// Runs a block and returns what it wrote.
    async fn run(&self, script: String) -> anyhow::Result<String> {
        let mut command = Command::new("timeout");
        command.args(["--kill-after=5s", BLOCK, "bash", "-c", &script]).current_dir(root());
        command.envs(self.environment()?);
        let output = tokio::task::spawn_blocking(move || command.output()).await??;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{}: {said}", output.status);
        Ok(String::from_utf8(output.stdout)?)
    }

    /// What the placeholders of `crate::readme` say, and where the programs find the local stack.
    fn environment(&self) -> anyhow::Result<Vec<(&'static str, String)>> {
        let stack = stack()?;
        let shown = |path: &Path| path.display().to_string();
        let mut environment = vec![
            ("BASE", self.workbench.base.to_string()),
            ("BINARIES", shown(&self.path("binaries"))),
            ("BUILT", shown(&folder()?)),
            ("CLICKHOUSE_PASSWORD", stack.clickhouse_password.clone()),
            ("CLICKHOUSE_URL", stack.clickhouse_url.clone()),
            ("CLICKHOUSE_USER", stack.clickhouse_user.clone()),
            ("KAFKA", stack.kafka.clone()),
            ("KUBECACHEDIR", shown(&self.path("kubectl-cache"))),
            ("KUBECONFIG", shown(&self.path("kubeconfig"))),
            ("NAMESPACE", self.namespace.clone()),
            ("NO_PROXY", "*".to_owned()),
            ("PATH", format!("{}:{}", shown(&self.path("bin")), inherited_path())),
            ("RELEASE", self.release.clone()),
            ("no_proxy", "*".to_owned()),
        ];
        environment.extend(self.workbench.environment.iter().map(|(name, path)| (*name, shown(path))));
        Ok(environment)
    }

    /// "It is in `events` about a second later."
    async fn expect_the_event(&self) -> anyhow::Result<()> {
        let tenant = self.ground.api::<AnalyticsTenant>().get("acme").await?;
        let database = tenant.status.and_then(|status| status.database).context("acme has a database")?.name;
        let query = format!("SELECT count() FROM {database}.events WHERE event_name = 'page_view'");
        let clickhouse = shared::clickhouse()?;
        until(Duration::from_secs(30), "event of the README", || async {
            let events = clickhouse.number(&query).await?;
            Ok(Look::at(events == 1, events))
        })
        .await
    }

    /// Removes the tenant, with the operator that there is by now, and the images; each though another fails.
    async fn leave(self) -> anyhow::Result<()> {
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

#[allow(
    clippy::disallowed_methods,
    reason = "PATH says where the reader's programs are; it is not an option"
)]
fn inherited_path() -> String {
    std::env::var("PATH").unwrap_or_default()
}
