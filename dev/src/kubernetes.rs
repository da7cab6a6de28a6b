//! A Kubernetes cluster of one node, out of the real parts.
//!
//! ```text
//! certificates -> etcd -> kube-apiserver -> controller manager, scheduler
//!                 containerd -> pause image -> kubelet, kube-proxy -> node Ready
//! ```
//!
//! `up` starts what does not run and leaves alone what does, so it repairs a cluster of which any part was killed.
//! Invariant: all files are below the state folder, and what has to be outside of it
//! (bridges, packet rules, control groups, a few sockets and links) is removed by `down`.
//! It has no DNS, no network policies and no storage classes: nothing here needs them.
//!
//! A test that needs an API server and no pods starts a private one on loopback.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use self::cluster::Cluster;
use self::component::Component;
use self::paths::Paths;
use self::tools::Tools;
use crate::console::Console;
use crate::folders::Folders;
use crate::status::Part;
use crate::{artifacts, images, process};

mod after_restart;
mod certificates;
mod cluster;
mod component;
mod configuration;
mod containerd;
mod control_plane;
mod etcd;
mod health;
mod kernel_settings;
mod kubeconfig;
mod leftovers;
pub mod network;
mod node;
mod options;
mod paths;
mod private;
mod tools;

pub use options::{ControlPlaneOptions, Controllers, Reach};
pub use private::PrivateApiServer;

/// Time until a part answers: 1 to 3 s on an idle machine, several times that while others compile.
const START: Duration = Duration::from_secs(90);

/// Time that pods get to end by themselves before `down` ends them.
const PODS_END: Duration = Duration::from_secs(10);

/// Time that a part gets to end by itself before it is killed. Most need milliseconds;
/// the API server waits for clients that watch, and nothing of its state outlives `down`.
const GRACE: Duration = Duration::from_secs(1);

/// Every address the cluster listens on.
pub(crate) fn listens() -> Vec<SocketAddrV4> {
    let on_loopback = [
        etcd::CLIENT_PORT,
        etcd::PEER_PORT,
        control_plane::CONTROLLER_MANAGER_PORT,
        control_plane::SCHEDULER_PORT,
        node::KUBELET_HEALTH_PORT,
        node::PROXY_HEALTH_PORT,
        node::PROXY_METRICS_PORT,
    ];
    let on_node = [kubeconfig::API_PORT, node::KUBELET_PORT];
    let loopback = on_loopback.map(|port| SocketAddrV4::new(Ipv4Addr::LOCALHOST, port));
    let node = on_node.map(|port| SocketAddrV4::new(network::NODE_ADDRESS, port));
    loopback.into_iter().chain(node).collect()
}

/// Starts every part that does not run, and returns when pods can be scheduled.
///
/// # Errors
/// When the network is not up, a program is missing, or a part does not answer in time; the log's last lines are part of it.
pub fn up(folders: &Folders, console: &Console) -> anyhow::Result<Vec<Part>> {
    let steps = Steps::new(folders);
    steps.prepare()?;
    steps.start(console, &[Component::Etcd, Component::Containerd])?;
    console.step("kube-apiserver, pause image", || {
        steps.launch(Component::ApiServer)?;
        images::ensure_pause(folders)?;
        steps.wait_for(Component::ApiServer)
    })?;
    steps.start(
        console,
        &[Component::ControllerManager, Component::Scheduler, Component::Kubelet, Component::Proxy],
    )?;
    console.step("service accounts", || steps.wait_for_accounts())?;
    Ok(steps.parts())
}

/// Ends all pods and parts, and removes what they left outside of the state folder.
/// Works on a cluster of which any part is missing. The network stays: Kafka and ClickHouse may still use it.
///
/// # Errors
/// When a part cannot be ended; everything else is ended and removed all the same.
pub fn down(folders: &Folders, console: &Console) -> anyhow::Result<()> {
    let steps = Steps::new(folders);
    // Whoever would make new pods or start containers again goes first.
    let makers = console.step("kube-controller-manager, kube-scheduler", || {
        steps.stop(&[Component::ControllerManager, Component::Scheduler])
    });
    console.step("pods", || steps.end_pods())?;
    let starters = console.step("kubelet", || steps.stop(&[Component::Kubelet]));
    console.step("kubernetes", || {
        let others =
            steps.stop(&[Component::Containerd, Component::Proxy, Component::ApiServer, Component::Etcd]);
        leftovers::end_containers(&steps.paths);
        leftovers::remove(&steps.paths);
        makers.and(starters).and(others)
    })
}

/// What each part looks like now; one that does not answer says why.
pub fn status(folders: &Folders) -> Vec<Part> {
    Steps::new(folders).parts()
}

/// What `down` should have removed and did not.
pub fn remains(folders: &Folders) -> Vec<String> {
    leftovers::remains(&Paths::new(folders)).into_iter().chain(network::remains()).collect()
}

/// The control plane of the shared cluster.
fn shared() -> ControlPlaneOptions {
    ControlPlaneOptions {
        listen: network::NODE_ADDRESS,
        api_port: kubeconfig::API_PORT,
        etcd_port: etcd::CLIENT_PORT,
        etcd_peer_port: etcd::PEER_PORT,
        controller_manager_port: control_plane::CONTROLLER_MANAGER_PORT,
        reach: Reach::Pods,
        controllers: Controllers::All,
        audit_policy: None,
    }
}

pub(crate) fn containerd_socket(folders: &Folders) -> PathBuf {
    Paths::new(folders).containerd_socket()
}

/// The steps of `up` and `down`, with what they need to know.
struct Steps<'a> {
    folders: &'a Folders,
    paths: Paths,
    tools: Tools,
    cluster: Cluster,
    options: ControlPlaneOptions,
}

impl<'a> Steps<'a> {
    fn new(folders: &'a Folders) -> Self {
        let paths = Paths::new(folders);
        let tools = Tools::new(artifacts::kubernetes_programs(folders));
        let cluster = Cluster::new(&paths, &tools);
        Self { folders, paths, tools, cluster, options: shared() }
    }

    /// Everything that has to be on disk before the first part starts.
    fn prepare(&self) -> anyhow::Result<()> {
        after_restart::forget(&self.paths)?;
        certificates::ensure(&self.paths.pki())?;
        kubeconfig::write(&self.paths, &self.options)?;
        containerd::configure(&self.paths, &images::pause_reference().to_string())?;
        node::configure(&self.paths)?;
        Ok(())
    }

    /// Starts parts that do not need each other, and waits for all of them.
    fn start(&self, console: &Console, components: &[Component]) -> anyhow::Result<()> {
        let names: Vec<&str> = components.iter().map(|component| component.name()).collect();
        console.step(&names.join(", "), || {
            for component in components {
                self.launch(*component)?;
            }
            for component in components {
                self.wait_for(*component)?;
            }
            Ok(())
        })
    }

    fn launch(&self, component: Component) -> anyhow::Result<()> {
        process::start(self.folders, &component.spec(&self.paths, &self.tools, &self.options))?;
        Ok(())
    }

    fn wait_for(&self, component: Component) -> anyhow::Result<()> {
        process::until(self.folders, component.name(), START, || {
            component.check(&self.paths, &self.cluster, &self.options)
        })?;
        Ok(())
    }

    fn wait_for_accounts(&self) -> anyhow::Result<()> {
        process::until(self.folders, Component::ControllerManager.name(), START, || {
            self.cluster.expect_default_account()
        })
    }

    /// Stops all of the parts at once, and returns the first failure when each has been tried.
    fn stop(&self, components: &[Component]) -> anyhow::Result<()> {
        let stop = |component: &Component| process::stop(self.folders, component.name(), GRACE);
        thread::scope(|scope| {
            let threads: Vec<_> =
                components.iter().map(|component| scope.spawn(move || stop(component))).collect();
            let results: Vec<anyhow::Result<()>> = threads
                .into_iter()
                .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect();
            results.into_iter().collect()
        })
    }

    /// Lets pods end by themselves, as long as the parts that this takes are there.
    #[allow(clippy::disallowed_methods, reason = "the step that bounds how long pods are waited for")]
    fn end_pods(&self) -> anyhow::Result<()> {
        let can_end = [Component::ApiServer, Component::Kubelet, Component::Containerd]
            .iter()
            .all(|component| process::find(self.folders, component.name()).is_some());
        if !can_end || self.cluster.end_all_pods().is_err() {
            // Without them the containers are ended one by one, later.
            return Ok(());
        }
        let end = Instant::now() + PODS_END;
        while !leftovers::running_containers(&self.paths).is_empty() && Instant::now() < end {
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    fn parts(&self) -> Vec<Part> {
        Component::ALL.into_iter().map(|component| self.part(component)).collect()
    }

    fn part(&self, component: Component) -> Part {
        let running = process::find(self.folders, component.name());
        let health = match running {
            // Whatever answers on its port then is a stranger.
            None => Err("it does not run".to_owned()),
            Some(_) => component
                .check(&self.paths, &self.cluster, &self.options)
                .map_err(|error| format!("{:#}", anyhow::Error::new(error))),
        };
        Part {
            name: component.name().to_owned(),
            version: component.version(),
            address: component.address(&self.paths, &self.options),
            pid: running.map(|process| process.pid),
            log: process::log(self.folders, component.name()),
            health,
        }
    }
}
