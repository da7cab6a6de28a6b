//! The kubeconfig files: one for the administrator and one for each part that calls the API server.
//!
//! They are written as JSON, which is YAML as well.

use serde_json::{Value, json};

use super::configuration;
use super::options::ControlPlaneOptions;
use super::paths::Paths;

/// The shared API server's port: the usual one of Kubernetes.
pub(crate) const API_PORT: u16 = 6443;

/// The parts that call the API server; each has a client certificate of this name.
const PARTS: [&str; 4] = ["controller-manager", "scheduler", "kubelet", "proxy"];

/// Writes all kubeconfig files; they name the files of their keys and hold no key themselves.
pub(crate) fn write(paths: &Paths, options: &ControlPlaneOptions) -> Result<(), configuration::Error> {
    for part in PARTS {
        let text = format!("{:#}\n", kubeconfig(paths, options, part));
        configuration::write(&paths.kubeconfig(part), &text)?;
    }
    let text = format!("{:#}\n", kubeconfig(paths, options, "admin"));
    configuration::write(&paths.admin_kubeconfig(), &text)
}

fn kubeconfig(paths: &Paths, options: &ControlPlaneOptions, user: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{
            "name": "millrace",
            "cluster": {
                "server": format!("https://{}", options.api_address()),
                "certificate-authority": paths.certificate("ca"),
            },
        }],
        "users": [{
            "name": user,
            "user": {
                "client-certificate": paths.certificate(user),
                "client-key": paths.key(user),
            },
        }],
        "contexts": [{
            "name": "millrace",
            "context": { "cluster": "millrace", "user": user },
        }],
        "current-context": "millrace",
    })
}

#[cfg(test)]
mod tests {
    use super::super::shared;
    use super::*;

    #[test]
    fn a_kubeconfig_names_its_keys_and_holds_none() {
        insta::assert_json_snapshot!(kubeconfig(&Paths::below("/state".into()), &shared(), "admin"));
    }
}
