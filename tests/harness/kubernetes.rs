//! The cluster of the shared stack: namespaces of a test's own, resources, conditions, and `kubectl` and `helm`.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use crds::{AnalyticsTenant, Condition, Pipeline};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{Namespace, Pod, Secret, Service};
use kube::api::{Api, DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config, Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::names::unique;
use crate::shared::stack;
use crate::wait::{Look, until};

/// A client of the cluster's administrator. Each test has its own, since a client belongs to its runtime.
///
/// # Errors
/// When the stack does not run.
pub async fn client() -> anyhow::Result<Client> {
    Ok(Client::try_from(config_of(&stack()?.kubeconfig).await?)?)
}

/// How the user of a kubeconfig reaches its cluster, which is on this machine.
pub(crate) async fn config_of(kubeconfig: &Path) -> anyhow::Result<Config> {
    let kubeconfig = Kubeconfig::read_from(kubeconfig)?;
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    // The local cluster is reached directly, whatever the environment says.
    config.proxy_url = None;
    Ok(config)
}

/// A namespace of one test, which refuses pods that are not restricted.
#[derive(Clone)]
pub struct Ground {
    pub client: Client,
    pub name: String,
}

impl fmt::Debug for Ground {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ground").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Ground {
    /// Makes the namespace in the shared cluster.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn make(text: &str) -> anyhow::Result<Self> {
        Self::make_with(client().await?, text).await
    }

    /// Makes the namespace in the cluster of this client.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn make_with(client: Client, text: &str) -> anyhow::Result<Self> {
        let name = unique(text);
        let labels = [("pod-security.kubernetes.io/enforce".to_owned(), "restricted".to_owned())];
        let namespace = Namespace {
            metadata: ObjectMeta {
                name: Some(name.clone()),
                labels: Some(labels.into()),
                ..ObjectMeta::default()
            },
            ..Namespace::default()
        };
        Api::all(client.clone()).create(&PostParams::default(), &namespace).await?;
        Ok(Self { client, name })
    }

    /// The resources of one kind in this namespace.
    #[must_use]
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), &self.name)
    }

    /// Applies a manifest as `kubectl apply --server-side` does.
    ///
    /// # Errors
    /// When the API server refuses it; the text is the server's.
    pub async fn apply<K>(&self, name: &str, manifest: &Value) -> anyhow::Result<K>
    where
        K: Resource<Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Serialize + fmt::Debug,
        K::DynamicType: Default,
    {
        let parameters = PatchParams::apply("tests").force();
        Ok(self.api().patch(name, &parameters, &Patch::Apply(manifest)).await?)
    }

    /// Applies an AnalyticsTenant with this spec.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn tenant(&self, name: &str, spec: Value) -> anyhow::Result<AnalyticsTenant> {
        self.apply(name, &manifest("AnalyticsTenant", name, spec)).await
    }

    /// Applies a Pipeline with this spec.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn pipeline(&self, name: &str, spec: Value) -> anyhow::Result<Pipeline> {
        self.apply(name, &manifest("Pipeline", name, spec)).await
    }

    /// Waits until a tenant's condition has this status, and returns the tenant.
    ///
    /// # Errors
    /// When it does not get there; the text has all conditions.
    pub async fn tenant_with(
        &self,
        name: &str,
        kind: &str,
        status: &str,
        deadline: Duration,
    ) -> anyhow::Result<AnalyticsTenant> {
        let api: Api<AnalyticsTenant> = self.api();
        until(deadline, &format!("{kind}={status} of tenant `{name}`"), || async {
            let tenant = api.get(name).await?;
            let status_now = tenant.status.clone().unwrap_or_default();
            let is_current = status_now.observed_generation == tenant.metadata.generation;
            Ok(if is_current && has(&status_now.conditions, kind, status) {
                Look::There(tenant)
            } else {
                Look::NotYet(shown(&status_now.conditions))
            })
        })
        .await
    }

    /// Waits until a pipeline's condition has this status, and returns the pipeline.
    ///
    /// # Errors
    /// When it does not get there; the text has all conditions.
    pub async fn pipeline_with(
        &self,
        name: &str,
        kind: &str,
        status: &str,
        deadline: Duration,
    ) -> anyhow::Result<Pipeline> {
        let api: Api<Pipeline> = self.api();
        until(deadline, &format!("{kind}={status} of pipeline `{name}`"), || async {
            let pipeline = api.get(name).await?;
            let status_now = pipeline.status.clone().unwrap_or_default();
            let is_current = status_now.observed_generation == pipeline.metadata.generation;
            Ok(if is_current && has(&status_now.conditions, kind, status) {
                Look::There(pipeline)
            } else {
                Look::NotYet(shown(&status_now.conditions))
            })
        })
        .await
    }

    /// Deletes a tenant and waits until it is gone.
    ///
    /// # Errors
    /// When it does not go.
    pub async fn delete_tenant(&self, name: &str, deadline: Duration) -> anyhow::Result<()> {
        let api: Api<AnalyticsTenant> = self.api();
        api.delete(name, &DeleteParams::default()).await?;
        until(deadline, &format!("end of tenant `{name}`"), || async {
            Ok(match api.get_opt(name).await? {
                None => Look::There(()),
                Some(tenant) => Look::NotYet(shown(&tenant.status.unwrap_or_default().conditions)),
            })
        })
        .await
    }

    /// The text of an entry of a Secret.
    ///
    /// # Errors
    /// When there is none.
    pub async fn secret(&self, name: &str, entry: &str) -> anyhow::Result<String> {
        let secret: Secret = self.api().get(name).await?;
        let data = secret.data.unwrap_or_default();
        let bytes = data.get(entry).with_context(|| format!("Secret `{name}` has no `{entry}`"))?;
        Ok(String::from_utf8(bytes.0.clone())?)
    }

    /// The base URL of a Service's first port, as the host reaches it.
    ///
    /// # Errors
    /// When there is no such Service.
    pub async fn service_url(&self, name: &str) -> anyhow::Result<String> {
        let service: Service = self.api().get(name).await?;
        let spec = service.spec.context("a Service has a spec")?;
        let port = spec.ports.unwrap_or_default().first().context("a Service has a port")?.port;
        Ok(format!("http://{}:{port}", spec.cluster_ip.context("the Service has an address")?))
    }

    /// The pods whose names begin like this.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn pods(&self, beginning: &str) -> anyhow::Result<Vec<Pod>> {
        let pods = self.api::<Pod>().list(&ListParams::default()).await?.items;
        Ok(pods.into_iter().filter(|pod| pod.name_any().starts_with(beginning)).collect())
    }

    /// Deletes the namespace, and waits neither for it nor for its pods.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn leave(self) -> anyhow::Result<()> {
        Api::<Namespace>::all(self.client).delete(&self.name, &DeleteParams::background()).await?;
        Ok(())
    }
}

/// A manifest of one of our kinds.
#[must_use]
pub fn manifest(kind: &str, name: &str, spec: Value) -> Value {
    json!({"apiVersion": format!("{}/v1alpha1", crds::GROUP), "kind": kind, "metadata": {"name": name}, "spec": spec})
}

fn has(conditions: &[Condition], kind: &str, status: &str) -> bool {
    conditions.iter().any(|condition| condition.kind == kind && format!("{:?}", condition.status) == status)
}

/// Conditions in one line, for an error.
#[must_use]
pub fn shown(conditions: &[Condition]) -> String {
    let one = |condition: &Condition| {
        format!("{}={:?} {} ({})", condition.kind, condition.status, condition.reason, condition.message)
    };
    conditions.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// The reason of a condition.
#[must_use]
pub fn reason<'a>(conditions: &'a [Condition], kind: &str) -> Option<&'a str> {
    conditions.iter().find(|condition| condition.kind == kind).map(|condition| condition.reason.as_str())
}

/// Runs `kubectl` with these words and returns what it wrote.
///
/// # Errors
/// When it fails; the text is what it said.
pub async fn kubectl(words: &[&str]) -> anyhow::Result<String> {
    run(stack()?.kubectl.clone(), &stack()?.kubeconfig, words).await
}

/// Runs `helm` with these words and returns what it wrote.
///
/// # Errors
/// When it fails; the text is what it said.
pub async fn helm(words: &[&str]) -> anyhow::Result<String> {
    run(stack()?.helm.clone(), &stack()?.kubeconfig, words).await
}

/// Runs a program with the cluster of a kubeconfig.
pub(crate) async fn run(program: PathBuf, kubeconfig: &Path, words: &[&str]) -> anyhow::Result<String> {
    // What kubectl remembers of the API server goes with the cluster, not into the home folder.
    let cache = kubeconfig.with_file_name("kubectl-cache");
    let mut command = Command::new(&program);
    command.args(words).env("KUBECONFIG", kubeconfig).env("KUBECACHEDIR", cache);
    command.env("NO_PROXY", "*").env("no_proxy", "*");
    let output = tokio::task::spawn_blocking(move || command.output()).await??;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{} {}: {said}", program.display(), words.join(" "));
    Ok(String::from_utf8(output.stdout)?)
}
