//! The node: kubelet and kube-proxy.

use serde_json::{Value, json};

use super::configuration;
use super::network::{NODE_ADDRESS, NODE_NAME, POD_RANGE};
use super::paths::Paths;
use super::tools::Tools;
use crate::process::Spec;

/// Where the API server calls kubelet for exec and logs, the usual port.
pub(crate) const KUBELET_PORT: u16 = 10250;
/// kubelet's health on loopback, the usual port.
pub(crate) const KUBELET_HEALTH_PORT: u16 = 10248;
/// kube-proxy's health on loopback, the usual port.
pub(crate) const PROXY_HEALTH_PORT: u16 = 10256;
/// kube-proxy's metrics on loopback, the usual port.
pub(crate) const PROXY_METRICS_PORT: u16 = 10249;

/// Writes the configurations of kubelet and kube-proxy, as JSON, which is YAML as well.
pub(crate) fn configure(paths: &Paths) -> Result<(), configuration::Error> {
    configuration::write(&paths.configuration("kubelet.json"), &text(&kubelet_configuration(paths)))?;
    configuration::write(&paths.configuration("kube-proxy.json"), &text(&proxy_configuration(paths)))
}

pub(crate) fn kubelet(paths: &Paths, tools: &Tools, name: &str) -> Spec {
    let configuration = paths.configuration("kubelet.json");
    let args = [
        ("kubeconfig", paths.kubeconfig("kubelet").display().to_string()),
        ("config", configuration.display().to_string()),
        ("root-dir", paths.kubelet().display().to_string()),
        ("hostname-override", NODE_NAME.to_owned()),
        ("node-ip", NODE_ADDRESS.to_string()),
    ];
    configuration::pinned(tools.spec(name, "kubelet", &args), &text(&kubelet_configuration(paths)))
}

pub(crate) fn proxy(paths: &Paths, tools: &Tools, name: &str) -> Spec {
    let configuration = paths.configuration("kube-proxy.json");
    let args = [("config", configuration.display().to_string())];
    configuration::pinned(tools.spec(name, "kube-proxy", &args), &text(&proxy_configuration(paths)))
}

fn text(configuration: &Value) -> String {
    format!("{configuration:#}\n")
}

/// Eviction and image collection are off: a full disk or a busy neighbour on a developer's machine must not end pods.
/// With eviction off, kubelet also stops to complain that it finds no file system for containerd's folder.
fn kubelet_configuration(paths: &Paths) -> Value {
    let socket = format!("unix://{}", paths.containerd_socket().display());
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": NODE_ADDRESS,
        "port": KUBELET_PORT,
        "healthzBindAddress": "127.0.0.1",
        "healthzPort": KUBELET_HEALTH_PORT,
        "authentication": {
            "anonymous": { "enabled": false },
            "webhook": { "enabled": true },
            "x509": { "clientCAFile": paths.certificate("ca") },
        },
        "authorization": { "mode": "Webhook" },
        "tlsCertFile": paths.certificate("kubelet-server"),
        "tlsPrivateKeyFile": paths.key("kubelet-server"),
        "containerRuntimeEndpoint": socket,
        "imageServiceEndpoint": socket,
        "cgroupDriver": "cgroupfs",
        "failCgroupV1": false,
        "failSwapOn": false,
        "localStorageCapacityIsolation": false,
        "evictionHard": {},
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "containerLogMaxSize": "10Mi",
        "containerLogMaxFiles": 2,
        // kubelet's own packet chains are for the old proxy mode, and would stay after `down`.
        "makeIPTablesUtilChains": false,
        "podLogsDir": paths.kubelet().join("logs"),
        "volumePluginDir": paths.folder().join("volume-plugins"),
    })
}

/// The limits and timeouts of connection tracking belong to the machine and stay as they are.
fn proxy_configuration(paths: &Paths) -> Value {
    json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "clientConnection": { "kubeconfig": paths.kubeconfig("proxy") },
        "clusterCIDR": POD_RANGE,
        "hostnameOverride": NODE_NAME,
        "healthzBindAddress": format!("127.0.0.1:{PROXY_HEALTH_PORT}"),
        "metricsBindAddress": format!("127.0.0.1:{PROXY_METRICS_PORT}"),
        "nodePortAddresses": [format!("{NODE_ADDRESS}/32")],
        "conntrack": {
            "maxPerCore": 0,
            "min": 0,
            "tcpEstablishedTimeout": "0s",
            "tcpCloseWaitTimeout": "0s",
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths() -> Paths {
        Paths::below("/state".into())
    }

    #[test]
    fn kubelet_ends_no_pod_for_want_of_disk() {
        insta::assert_json_snapshot!(kubelet_configuration(&paths()));
    }

    #[test]
    fn the_proxy_leaves_the_machines_connection_tracking_alone() {
        insta::assert_json_snapshot!(proxy_configuration(&paths()));
    }
}
