//! The demo's tenant: applied, awaited, and then asked for its key and its address.

use std::path::Path;
use std::time::Duration;

use super::cluster::Cluster;
use crate::command;

/// The name of the tenant in `examples/quickstart.yaml`.
pub(crate) const NAME: &str = "acme";

/// Time until the tenant is ready: images are there already, so it is a few seconds of pods starting.
const READY: Duration = Duration::from_secs(150);

/// Time for `kubectl apply`; the API server may still be reading the new kinds.
const APPLY: Duration = Duration::from_secs(30);

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("failed to apply the tenant")]
    Apply {
        #[source]
        source: command::Error,
    },
    #[error("failed to see the tenant ready")]
    Wait {
        #[source]
        source: command::Error,
    },
    #[error("failed to read the tenant's {what}")]
    Read {
        what: &'static str,
        #[source]
        source: command::Error,
    },
    #[error("failed to find the tenant's {what}")]
    Absent { what: &'static str },
}

/// What a sender and a reader need to know.
#[derive(Debug, Clone)]
pub(crate) struct Tenant {
    pub(crate) id: String,
    pub(crate) key: String,
    /// `http://host:port` of the ingester's Service.
    pub(crate) ingester: String,
    pub(crate) database: String,
}

pub(crate) fn apply(cluster: &Cluster, file: &Path) -> Result<(), Error> {
    let file = file.to_string_lossy();
    cluster.order(&["apply", "-f", &file], APPLY).map(drop).map_err(|source| Error::Apply { source })
}

pub(crate) fn wait(cluster: &Cluster) -> Result<(), Error> {
    let object = format!("analyticstenant/{NAME}");
    let timeout = format!("--timeout={}s", READY.as_secs());
    cluster
        .order(&["wait", "--for=condition=Ready", &object, &timeout], READY + APPLY)
        .map(drop)
        .map_err(|source| Error::Wait { source })
}

pub(crate) fn read(cluster: &Cluster) -> Result<Tenant, Error> {
    let tenant = format!("analyticstenant/{NAME}");
    let secret = format!("secret/{NAME}-api-keys");
    let service = format!("service/{NAME}-default-ingester");
    let field = |what, object: &str, template: &str| field(cluster, what, object, template);
    let address = field("ingester's address", &service, "{{.spec.clusterIP}}")?;
    Ok(Tenant {
        id: field("id", &tenant, "{{.status.tenantId}}")?,
        key: field("key", &secret, "{{.data.default | base64decode}}")?,
        ingester: format!("http://{address}:8080"),
        database: field("database", &tenant, "{{.status.database.name}}")?,
    })
}

fn field(cluster: &Cluster, what: &'static str, object: &str, template: &str) -> Result<String, Error> {
    let text = cluster
        .ask(&["get", object, "-o", &format!("go-template={template}")])
        .map_err(|source| Error::Read { what, source })?;
    match text.trim() {
        "" | "<no value>" => Err(Error::Absent { what }),
        text => Ok(text.to_owned()),
    }
}
