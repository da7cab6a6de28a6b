//! The chart on the shared cluster: one release per run, used by every test that needs the operator.

use std::fs::{File, TryLockError};
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use dev::artifacts;
use dev::console::Console;
use dev::folders::Folders;
use dev::images::{self, ImageRef};
use serde_json::{Value, json};
use tempfile::NamedTempFile;
use tokio::sync::{OnceCell, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::kubernetes::{helm, kubectl, run};
use crate::process::folder;
use crate::shared::stack;
use crate::wait::{Look, until};

/// Where the operator lives.
pub const NAMESPACE: &str = "millrace-system";

/// The release, which also names the operator's Deployment. It is the release of `make demo`, so that never two
/// operators work on one cluster.
pub const RELEASE: &str = "millrace";

/// The Secret with ClickHouse's user and password.
const CLICKHOUSE_SECRET: &str = "clickhouse";

/// Time until the operator is ready; helm and kubectl understand the text.
const READY: &str = "180s";

/// A whole run takes a few minutes; more than this means that it hangs.
const OTHER_RUN: Duration = Duration::from_secs(1800);

/// Tests that use the operator hold it for reading, tests that need it away for writing.
static OPERATOR: RwLock<()> = RwLock::const_new(());
/// Held as long as the process lives.
static RUN: OnceCell<File> = OnceCell::const_new();
static INSTALLED: OnceCell<()> = OnceCell::const_new();
static VALUES: OnceCell<Value> = OnceCell::const_new();

/// Keeps the installed operator in place.
#[derive(Debug)]
pub struct Operator {
    _guard: RwLockReadGuard<'static, ()>,
}

/// Keeps everybody else from the installed operator, which is away at first. Call `bring_back` at the end; a test that
/// fails before leaves it away, and the next one that needs it brings it back.
#[derive(Debug)]
pub struct NoOperator {
    _guard: RwLockWriteGuard<'static, ()>,
}

/// The operator of this checkout, installed by the chart and ready.
///
/// # Errors
/// When it cannot be installed.
pub async fn operator() -> anyhow::Result<Operator> {
    let guard = OPERATOR.read().await;
    RUN.get_or_try_init(only_this_run).await?;
    INSTALLED.get_or_try_init(install).await?;
    scale("1").await?;
    Ok(Operator { _guard: guard })
}

/// The definitions of our resources, and no operator that works on them.
///
/// # Errors
/// When it cannot be installed or scaled down.
pub async fn no_operator() -> anyhow::Result<NoOperator> {
    let guard = OPERATOR.write().await;
    RUN.get_or_try_init(only_this_run).await?;
    INSTALLED.get_or_try_init(install).await?;
    let operator = NoOperator { _guard: guard };
    operator.stop().await?;
    Ok(operator)
}

impl NoOperator {
    /// Starts the installed operator, for this test alone.
    ///
    /// # Errors
    /// When it does not become ready.
    pub async fn start(&self) -> anyhow::Result<()> {
        scale("1").await
    }

    /// Stops it and waits until its pod is gone.
    ///
    /// # Errors
    /// When it does not go.
    pub async fn stop(&self) -> anyhow::Result<()> {
        scale("0").await?;
        let pods = format!("--namespace={NAMESPACE}");
        let label = "--selector=app.kubernetes.io/component=operator";
        kubectl(&["wait", "--for=delete", "pod", &pods, label, "--timeout=60s"]).await.map(drop)
    }

    /// Starts the installed operator again, for everybody.
    ///
    /// # Errors
    /// As `start`.
    pub async fn bring_back(self) -> anyhow::Result<()> {
        self.start().await
    }
}

/// Waits until no other run of these tests uses the release of this stack.
async fn only_this_run() -> anyhow::Result<File> {
    let path = stack()?.kubeconfig.with_file_name("tests.lock");
    let file = File::create(&path)?;
    until(OTHER_RUN, "end of another run of the live tests", || async {
        match file.try_lock() {
            Ok(()) => Ok(Look::There(())),
            Err(TryLockError::WouldBlock) => Ok(Look::NotYet(format!("it holds {}", path.display()))),
            Err(TryLockError::Error(error)) => Err(error.into()),
        }
    })
    .await?;
    Ok(file)
}

async fn scale(replicas: &str) -> anyhow::Result<()> {
    let namespace = format!("--namespace={NAMESPACE}");
    let deployment = format!("deployment/{RELEASE}");
    kubectl(&["scale", &deployment, &namespace, &format!("--replicas={replicas}")]).await?;
    let timeout = format!("--timeout={READY}");
    kubectl(&["rollout", "status", &deployment, &namespace, &timeout]).await.map(drop)
}

async fn install() -> anyhow::Result<()> {
    make_secret(NAMESPACE).await?;
    upgrade(RELEASE, NAMESPACE, &values().await?).await.map(drop)
}

/// Makes the namespace and the Secret that the values refer to.
///
/// # Errors
/// When the API server refuses.
pub async fn make_secret(namespace: &str) -> anyhow::Result<()> {
    let stack = stack()?;
    let list = json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}},
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": CLICKHOUSE_SECRET, "namespace": namespace},
            "stringData": {"username": stack.clickhouse_user, "password": stack.clickhouse_password},
        },
    ]});
    let file = written(&list)?;
    kubectl(&["apply", "-f", &file.path().display().to_string()]).await.map(drop)
}

/// Installs or upgrades a release with these values and returns what helm said.
///
/// # Errors
/// When it does not become ready.
pub async fn upgrade(release: &str, namespace: &str, values: &Value) -> anyhow::Result<String> {
    upgrade_to(&path()?, release, namespace, values).await
}

/// As `upgrade`, with the chart in another folder.
///
/// # Errors
/// As `upgrade`.
pub async fn upgrade_to(
    chart: &str,
    release: &str,
    namespace: &str,
    values: &Value,
) -> anyhow::Result<String> {
    let file = written(values)?;
    let values = file.path().display().to_string();
    let words = [
        "upgrade",
        "--install",
        release,
        chart,
        "--namespace",
        namespace,
        "--create-namespace",
        "--values",
        values.as_str(),
        "--wait",
        "--timeout",
        READY,
    ];
    helm(&words).await
}

/// Removes a release and its namespace, as far as they are there; each though the other fails.
///
/// # Errors
/// When one of them stays.
pub async fn uninstall(release: &str, namespace: &str) -> anyhow::Result<()> {
    let words = ["uninstall", release, "--namespace", namespace, "--wait", "--ignore-not-found"];
    let gone = helm(&words).await.map(drop);
    let words = ["delete", "namespace", namespace, "--wait=false", "--ignore-not-found"];
    gone.and(kubectl(&words).await.map(drop))
}

/// The manifests that the chart makes of these values. It needs no stack.
///
/// # Errors
/// When the chart refuses the values, or when Helm was never built (run `make up`).
pub async fn template(namespace: &str, values: &Value) -> anyhow::Result<String> {
    let file = written(values)?;
    let (chart, values) = (path()?, file.path().display().to_string());
    let words =
        ["template", RELEASE, &chart, "-n", namespace, "--values", &values, "--kube-version", "1.34.4"];
    // Nothing is asked of a cluster, so there is none.
    run(artifacts::helm(&Folders::of_this_user()?), Path::new("none"), &words).await
}

/// The chart's folder.
///
/// # Errors
/// When the stack does not run.
pub fn path() -> anyhow::Result<String> {
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the crate is in the checkout")?;
    Ok(checkout.join("charts/millrace").display().to_string())
}

/// The values of the local stack, with images made of the binaries beside this test.
///
/// # Errors
/// When an image cannot be made.
pub async fn values() -> anyhow::Result<Value> {
    VALUES.get_or_try_init(make_values).await.cloned()
}

async fn make_values() -> anyhow::Result<Value> {
    let stack = stack()?;
    let binaries = folder()?;
    let images = tokio::task::spawn_blocking(move || {
        images::build(&Folders::of_this_user()?, &Console::silent(), &binaries)
    })
    .await??;
    Ok(json!({
        "kafka": {"bootstrapServers": stack.kafka, "replicationFactor": 1, "minInsyncReplicas": 1},
        "clickhouse": {
            "url": stack.clickhouse_url,
            "existingSecret": CLICKHOUSE_SECRET,
            "allowSharedCredentials": true,
        },
        "images": image_values(&images),
    }))
}

fn image_values(images: &[ImageRef]) -> Value {
    let mut values = json!({"pullPolicy": "IfNotPresent"});
    for image in images {
        let name = image.repository.rsplit('/').next().unwrap_or(&image.repository);
        values[name] = json!({"repository": image.repository, "tag": image.tag});
    }
    values
}

/// A file that goes with this value.
fn written(value: &Value) -> anyhow::Result<NamedTempFile> {
    let mut file = NamedTempFile::with_suffix(".json")?;
    file.write_all(value.to_string().as_bytes())?;
    Ok(file)
}
