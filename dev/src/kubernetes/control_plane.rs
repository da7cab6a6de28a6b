//! The control plane: kube-apiserver, kube-controller-manager and kube-scheduler.
//!
//! The shared API server listens on the node's address alone, a private one on loopback.
//! The other two answer health checks on loopback, with certificates of our authority.

use super::network::SERVICE_RANGE;
use super::options::{ControlPlaneOptions, Controllers, Reach};
use super::paths::Paths;
use super::tools::Tools;
use crate::process::Spec;

/// The health and metrics port of the shared controller manager, the usual one.
pub(crate) const CONTROLLER_MANAGER_PORT: u16 = 10257;
/// The health and metrics port of the scheduler, the usual one.
pub(crate) const SCHEDULER_PORT: u16 = 10259;

/// Those of `Controllers::Deletion`.
const DELETION: &str = "garbage-collector-controller,namespace-controller,serviceaccount-controller";

pub(crate) fn api_server(paths: &Paths, tools: &Tools, options: &ControlPlaneOptions, name: &str) -> Spec {
    let certificate = |name: &str| paths.certificate(name).display().to_string();
    let key = |name: &str| paths.key(name).display().to_string();
    let tokens = paths.pki().join("service-account.pub");
    let mut args = vec![
        ("bind-address", options.listen.to_string()),
        ("advertise-address", options.listen.to_string()),
        ("secure-port", options.api_port.to_string()),
        ("service-cluster-ip-range", SERVICE_RANGE.to_owned()),
        ("etcd-servers", format!("http://127.0.0.1:{}", options.etcd_port)),
        ("authorization-mode", "Node,RBAC".to_owned()),
        // The second one as on OpenShift: who owns objects that block his deletion needs a permission.
        ("enable-admission-plugins", "NodeRestriction,OwnerReferencesPermissionEnforcement".to_owned()),
        ("allow-privileged", "true".to_owned()),
        // Without DNS, exec and logs reach kubelet by its address.
        ("kubelet-preferred-address-types", "InternalIP".to_owned()),
        ("kubelet-certificate-authority", certificate("ca")),
        ("kubelet-client-certificate", certificate("apiserver-to-kubelet")),
        ("kubelet-client-key", key("apiserver-to-kubelet")),
        ("client-ca-file", certificate("ca")),
        ("tls-cert-file", certificate("apiserver")),
        ("tls-private-key-file", key("apiserver")),
        ("service-account-issuer", "https://kubernetes.default.svc".to_owned()),
        ("service-account-key-file", tokens.display().to_string()),
        ("service-account-signing-key-file", key("service-account")),
        // Nobody holds a certificate of this name: there are no aggregated API servers.
        // Without the flags the other parts complain about an empty bundle for ever.
        ("requestheader-client-ca-file", certificate("ca")),
        ("requestheader-allowed-names", "aggregator".to_owned()),
        ("requestheader-username-headers", "X-Remote-User".to_owned()),
        ("requestheader-group-headers", "X-Remote-Group".to_owned()),
        ("requestheader-extra-headers-prefix", "X-Remote-Extra-".to_owned()),
        ("profiling", "false".to_owned()),
    ];
    args.extend(match options.reach {
        Reach::Pods => None,
        Reach::Machine => Some(("endpoint-reconciler-type", "none".to_owned())),
    });
    if options.audit_policy.is_some() {
        args.push(("audit-policy-file", paths.audit_policy().display().to_string()));
        args.push(("audit-log-path", paths.audit_log().display().to_string()));
    }
    tools.spec(name, "kube-apiserver", &args)
}

pub(crate) fn controller_manager(
    paths: &Paths,
    tools: &Tools,
    options: &ControlPlaneOptions,
    name: &str,
) -> Spec {
    let kubeconfig = paths.kubeconfig("controller-manager").display().to_string();
    let plugins = paths.folder().join("volume-plugins");
    let mut args = vec![
        ("kubeconfig", kubeconfig.clone()),
        ("authentication-kubeconfig", kubeconfig.clone()),
        ("authorization-kubeconfig", kubeconfig),
        ("leader-elect", "false".to_owned()),
        ("use-service-account-credentials", "true".to_owned()),
        ("root-ca-file", paths.certificate("ca").display().to_string()),
        ("service-account-private-key-file", paths.key("service-account").display().to_string()),
        // Its default is a folder outside of ours, which it would create.
        ("flex-volume-plugin-dir", plugins.display().to_string()),
        ("bind-address", "127.0.0.1".to_owned()),
        ("secure-port", options.controller_manager_port.to_string()),
        ("tls-cert-file", paths.certificate("controller-manager-server").display().to_string()),
        ("tls-private-key-file", paths.key("controller-manager-server").display().to_string()),
        ("profiling", "false".to_owned()),
    ];
    args.extend(match options.controllers {
        Controllers::All => None,
        Controllers::Deletion => Some(("controllers", DELETION.to_owned())),
        Controllers::Deployments => Some(("controllers", format!("{DELETION},deployment-controller"))),
    });
    tools.spec(name, "kube-controller-manager", &args)
}

pub(crate) fn scheduler(paths: &Paths, tools: &Tools, name: &str) -> Spec {
    let kubeconfig = paths.kubeconfig("scheduler").display().to_string();
    let args = [
        ("kubeconfig", kubeconfig.clone()),
        ("authentication-kubeconfig", kubeconfig.clone()),
        ("authorization-kubeconfig", kubeconfig),
        ("leader-elect", "false".to_owned()),
        ("bind-address", "127.0.0.1".to_owned()),
        ("secure-port", SCHEDULER_PORT.to_string()),
        ("tls-cert-file", paths.certificate("scheduler-server").display().to_string()),
        ("tls-private-key-file", paths.key("scheduler-server").display().to_string()),
        ("profiling", "false".to_owned()),
    ];
    tools.spec(name, "kube-scheduler", &args)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::super::{etcd, shared};
    use super::*;

    fn paths() -> Paths {
        Paths::below("/state".into())
    }

    #[test]
    fn the_control_plane_listens_on_the_node_and_on_loopback() {
        let tools = Tools::new("/tools".into());
        let options = shared();
        let specs = [
            api_server(&paths(), &tools, &options, "kube-apiserver"),
            controller_manager(&paths(), &tools, &options, "kube-controller-manager"),
            scheduler(&paths(), &tools, "kube-scheduler"),
        ];
        let command_lines =
            specs.map(|spec| format!("{}\n  {}", spec.program.display(), spec.args.join("\n  ")));
        insta::assert_snapshot!(command_lines.join("\n"));
    }

    /// The flags that a private control plane has and the shared one has not.
    #[test]
    fn a_private_control_plane_is_on_loopback_alone() {
        let tools = Tools::new("/tools".into());
        let private = ControlPlaneOptions {
            listen: Ipv4Addr::LOCALHOST,
            api_port: 20_001,
            etcd_port: 20_002,
            etcd_peer_port: 20_003,
            controller_manager_port: 20_004,
            reach: Reach::Machine,
            controllers: Controllers::Deletion,
            audit_policy: Some(serde_json::json!({"rules": []})),
        };
        let flags = |options: &ControlPlaneOptions| {
            let specs = [
                etcd::spec(&paths(), options, "etcd"),
                api_server(&paths(), &tools, options, "kube-apiserver"),
                controller_manager(&paths(), &tools, options, "kube-controller-manager"),
            ];
            specs.into_iter().flat_map(|spec| spec.args).collect::<Vec<_>>()
        };
        let shared = flags(&shared());
        let own: Vec<String> = flags(&private).into_iter().filter(|flag| !shared.contains(flag)).collect();
        insta::assert_snapshot!(own.join("\n"));
    }
}
