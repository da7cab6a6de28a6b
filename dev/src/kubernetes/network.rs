//! The addresses of the stack, and the bridges and routes that carry them.
//!
//! The node's address lives on a bridge of its own, because kubelet refuses a loopback address
//! and not every kernel has a dummy device.
//! Pods live on a second bridge. They get routes to pods, Services and the node only,
//! and the range of the Services is routed to the node's bridge:
//! no packet for one of our addresses can leave the machine.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use super::kernel_settings;
use super::leftovers::attached_interfaces;
use crate::command::{self, QUICK, run};
use crate::folders::Folders;

/// Where Kafka, ClickHouse and the API server listen: reachable from pods and from this machine, from nowhere else.
pub const NODE_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 244, 255, 1);
/// The addresses of pods.
pub const POD_RANGE: &str = "10.244.0.0/24";
/// The pods' gateway, which is the source address this machine has when it calls a pod.
pub const POD_GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 244, 0, 1);
/// The addresses of Services.
pub const SERVICE_RANGE: &str = "10.96.0.0/16";
/// The API server's own Service, which is always the first address of the range.
pub const API_SERVICE_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 1);
/// The range that holds the node and the pods.
pub(crate) const CLUSTER_RANGE: &str = "10.244.0.0/16";
/// The only node.
pub(crate) const NODE_NAME: &str = "millrace";

pub(crate) const NODE_BRIDGE: &str = "mrnode";
pub(crate) const POD_BRIDGE: &str = "mrpods";

/// A bridge without an address of its own takes the lowest of its ports, and changes it when that pod goes:
/// the others then send to an address that nobody has, until they ask again.
/// Locally administered, written like the pod networks of the field: `0a:58`, then the IPv4 address.
const NODE_HARDWARE_ADDRESS: &str = "0a:58:0a:f4:ff:01";
const POD_GATEWAY_HARDWARE_ADDRESS: &str = "0a:58:0a:f4:00:01";

/// Kernel modules that a stock Debian loads on demand or not at all; a kernel that has them built in answers the same.
const MODULES: [&str; 4] = ["overlay", "br_netfilter", "nf_tables", "nf_conntrack"];

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("failed to read the routes of this machine")]
    ReadRoutes {
        #[source]
        source: command::Error,
    },
    #[error(
        "failed to claim the addresses 10.244.0.0/16 and 10.96.0.0/16, they are in use: `{route}`; stop what uses them (another local Kubernetes, a VPN)"
    )]
    AddressesTaken { route: String },
    #[error("failed to make the bridge `{bridge}`")]
    MakeBridge {
        bridge: &'static str,
        #[source]
        source: command::Error,
    },
    #[error("failed to remove the bridge `{bridge}`")]
    RemoveBridge {
        bridge: &'static str,
        #[source]
        source: command::Error,
    },
    #[error("failed to remove the packet rules of kube-proxy")]
    RemoveRules {
        #[source]
        source: command::Error,
    },
    #[error("failed to set up the kernel")]
    Settings {
        #[source]
        source: kernel_settings::Error,
    },
}

/// Makes both bridges, their addresses and routes; changes nothing that is as it should be.
pub fn up(folders: &Folders) -> anyhow::Result<()> {
    refuse_foreign_routes()?;
    load_modules();
    kernel_settings::apply(&folders.state).map_err(|source| Error::Settings { source })?;
    bridge(NODE_BRIDGE, NODE_HARDWARE_ADDRESS, &format!("{NODE_ADDRESS}/32"))?;
    ip(&["route", "replace", SERVICE_RANGE, "dev", NODE_BRIDGE]).map_err(making(NODE_BRIDGE))?;
    bridge(POD_BRIDGE, POD_GATEWAY_HARDWARE_ADDRESS, &format!("{POD_GATEWAY}/24"))?;
    reattach_pods().map_err(making(POD_BRIDGE))?;
    Ok(())
}

/// Removes the bridges and kube-proxy's packet rules, and gives the kernel its former settings back.
///
/// Kafka and ClickHouse must have ended before: without the bridge their own address would lead to the default route.
pub fn down(folders: &Folders) -> anyhow::Result<()> {
    for family in ["ip", "ip6"] {
        remove_rules(family)?;
    }
    for bridge in [POD_BRIDGE, NODE_BRIDGE] {
        if exists(bridge) {
            ip(&["link", "delete", bridge]).map_err(|source| Error::RemoveBridge { bridge, source })?;
        }
    }
    kernel_settings::restore(&folders.state).map_err(|source| Error::Settings { source })?;
    Ok(())
}

/// What of the network is there, in words for a list of leftovers.
pub(crate) fn remains() -> Vec<String> {
    let bridges = [POD_BRIDGE, NODE_BRIDGE]
        .into_iter()
        .filter(|bridge| exists(bridge))
        .map(|bridge| format!("bridge {bridge}"));
    let tables = run("nft", &["list", "tables"], QUICK).unwrap_or_default();
    let tables: Vec<String> = tables
        .lines()
        .filter(|line| line.ends_with(" kube-proxy"))
        .map(|line| format!("nft {line}"))
        .collect();
    bridges.chain(tables).collect()
}

fn refuse_foreign_routes() -> Result<(), Error> {
    let routes = ip(&["-4", "route", "show"]).map_err(|source| Error::ReadRoutes { source })?;
    match foreign_route(&routes) {
        Some(route) => Err(Error::AddressesTaken { route: route.to_owned() }),
        None => Ok(()),
    }
}

/// A route into our ranges over a device that is not ours.
fn foreign_route(routes: &str) -> Option<&str> {
    routes.lines().map(str::trim).find(|route| {
        let is_in_our_ranges = ["10.244.", "10.96."].iter().any(|range| route.starts_with(range));
        let is_ours = [NODE_BRIDGE, POD_BRIDGE].iter().any(|bridge| route.contains(&format!("dev {bridge}")));
        is_in_our_ranges && !is_ours
    })
}

/// Best effort: a kernel without loadable modules has them built in, and what is truly missing shows one line later.
fn load_modules() {
    let _ = run("modprobe", &[["--all", "--quiet"].as_slice(), &MODULES].concat(), QUICK);
}

fn bridge(name: &'static str, hardware_address: &str, address: &str) -> Result<(), Error> {
    if !exists(name) {
        ip(&["link", "add", name, "type", "bridge"]).map_err(making(name))?;
    }
    ip(&["link", "set", name, "address", hardware_address]).map_err(making(name))?;
    ip(&["address", "replace", address, "dev", name]).map_err(making(name))?;
    ip(&["link", "set", name, "up"]).map_err(making(name))?;
    Ok(())
}

/// Plugs the running pods into the bridge again, in case the bridge was deleted under them.
fn reattach_pods() -> Result<(), command::Error> {
    for interface in attached_interfaces() {
        let is_unplugged = exists(&interface) && !device(&interface).join("master").exists();
        if is_unplugged {
            ip(&["link", "set", &interface, "master", POD_BRIDGE])?;
            let port = ["link", "set", "dev", &interface, "type", "bridge_slave", "hairpin", "on"];
            ip(&port)?;
        }
    }
    Ok(())
}

fn remove_rules(family: &str) -> Result<(), Error> {
    let tables =
        run("nft", &["list", "tables", family], QUICK).map_err(|source| Error::RemoveRules { source })?;
    let is_there = tables.lines().any(|line| line == format!("table {family} kube-proxy"));
    if is_there {
        run("nft", &["delete", "table", family, "kube-proxy"], QUICK)
            .map_err(|source| Error::RemoveRules { source })?;
    }
    Ok(())
}

fn exists(interface: &str) -> bool {
    device(interface).exists()
}

fn device(interface: &str) -> PathBuf {
    Path::new("/sys/class/net").join(interface)
}

fn ip(args: &[&str]) -> Result<String, command::Error> {
    run("ip", args, QUICK)
}

fn making(bridge: &'static str) -> impl FnOnce(command::Error) -> Error {
    move |source| Error::MakeBridge { bridge, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_routes_are_not_foreign() {
        let routes = "default via 192.0.2.1 dev eth0\n10.96.0.0/16 dev mrnode scope link\n10.244.0.0/24 dev mrpods proto kernel\n";
        assert_eq!(foreign_route(routes), None);
    }

    #[test]
    fn a_neighbour_in_our_ranges_is_named() {
        let routes = "default via 192.0.2.1 dev eth0\n10.244.0.0/24 dev cni0 proto kernel\n";
        assert_eq!(foreign_route(routes), Some("10.244.0.0/24 dev cni0 proto kernel"));
    }

    #[test]
    fn a_range_that_only_begins_like_ours_is_not_foreign() {
        assert_eq!(foreign_route("10.9.6.0/24 dev tun0\n10.24.4.0/24 dev tun0\n"), None);
    }
}
