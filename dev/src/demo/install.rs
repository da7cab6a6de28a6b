//! Installs the chart into the local cluster, as `helm upgrade --install` does on any other.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use super::cluster::Cluster;
use crate::command;
use crate::images::ImageRef;

/// Where the operator lives.
pub(crate) const NAMESPACE: &str = "millrace-system";

/// The chart's release, which also names the operator's Deployment.
pub(crate) const RELEASE: &str = "millrace";

/// The Secret with ClickHouse's user and password.
const CLICKHOUSE_SECRET: &str = "clickhouse";

/// Time until the operator is ready: its image is there already.
const READY: Duration = Duration::from_secs(120);

/// Time for `kubectl apply`.
const APPLY: Duration = Duration::from_secs(30);

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("failed to write `{}`", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("failed to apply the namespace and ClickHouse's Secret")]
    ApplySecret {
        #[source]
        source: command::Error,
    },
    #[error("failed to install the chart")]
    Install {
        #[source]
        source: command::Error,
    },
}

/// What the chart is told of this stack.
#[derive(Debug, Clone)]
pub(crate) struct Site {
    pub(crate) kafka: String,
    pub(crate) clickhouse_url: String,
    pub(crate) clickhouse_user: String,
    pub(crate) clickhouse_password: String,
    /// In the order of `images::NAMES`.
    pub(crate) images: Vec<ImageRef>,
}

/// Installs or upgrades the release and waits for the operator. Files with passwords go to `folder`.
pub(crate) fn install(cluster: &Cluster, chart: &Path, folder: &Path, site: &Site) -> Result<(), Error> {
    let secret = write(folder, "clickhouse.json", &secret(site))?;
    let values = write(folder, "values.json", &values(site))?;
    cluster
        .order(&["apply", "-f", &secret.to_string_lossy()], APPLY)
        .map_err(|source| Error::ApplySecret { source })?;
    let timeout = format!("{}s", READY.as_secs());
    let (chart, values) = (chart.to_string_lossy(), values.to_string_lossy());
    let words = [
        "upgrade",
        "--install",
        RELEASE,
        &chart,
        "--namespace",
        NAMESPACE,
        "--create-namespace",
        "--values",
        &values,
        "--wait",
        "--timeout",
        &timeout,
    ];
    cluster.helm(&words, READY + APPLY).map(drop).map_err(|source| Error::Install { source })
}

/// The namespace and the Secret that the chart refers to.
fn secret(site: &Site) -> Value {
    json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": CLICKHOUSE_SECRET, "namespace": NAMESPACE},
            "stringData": {"username": site.clickhouse_user, "password": site.clickhouse_password},
        },
    ]})
}

/// One broker and one ClickHouse, whose user is shared by the tenants, and images that are in the cluster already.
fn values(site: &Site) -> Value {
    json!({
        "kafka": {"bootstrapServers": site.kafka, "replicationFactor": 1, "minInsyncReplicas": 1},
        "clickhouse": {
            "url": site.clickhouse_url,
            "existingSecret": CLICKHOUSE_SECRET,
            "allowSharedCredentials": true,
        },
        "images": images(&site.images),
    })
}

fn images(images: &[ImageRef]) -> Value {
    let mut values = json!({"pullPolicy": "IfNotPresent"});
    for image in images {
        let name = image.repository.rsplit('/').next().unwrap_or(&image.repository);
        values[name] = json!({"repository": image.repository, "tag": image.tag});
    }
    values
}

/// Writes a file that only its owner reads.
fn write(folder: &Path, name: &str, value: &Value) -> Result<PathBuf, Error> {
    let path = folder.join(name);
    let write = || -> io::Result<()> {
        fs::create_dir_all(folder)?;
        let mut file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&path)?;
        file.write_all(value.to_string().as_bytes())
    };
    write().map_err(|source| Error::Write { path: path.clone(), source })?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site() -> Site {
        let image =
            |name: &str| ImageRef { repository: format!("localhost/millrace/{name}"), tag: "abc".to_owned() };
        Site {
            kafka: "10.244.255.1:9092".to_owned(),
            clickhouse_url: "http://10.244.255.1:8123".to_owned(),
            clickhouse_user: "millrace".to_owned(),
            clickhouse_password: "secret".to_owned(),
            images: crate::images::NAMES.map(image).to_vec(),
        }
    }

    #[test]
    fn the_values_name_the_stack_and_hold_no_password() {
        insta::assert_json_snapshot!(values(&site()));
        assert!(!values(&site()).to_string().contains("secret"));
    }

    #[test]
    fn a_file_is_its_owner_s_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = write(&folder.path().join("demo"), "a.json", &json!({})).unwrap();
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
