//! `demo`: the whole line on this machine, from one YAML file to events read back.
//!
//! ```text
//! up -> images -> chart -> examples/quickstart.yaml -> Ready -> two loads over HTTP -> read back -> verdict
//! ```
//!
//! Invariants:
//! - The verdict compares the sender's ledger with what a reader finds that shares no code with the consumer.
//! - The webhook deliveries have the same ids each time, the shop's visits have new ones each time;
//!   so a second demo on the same stack ends as the first one did, and shows that a second delivery doubles nothing.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::runtime::Runtime;

use self::cluster::Cluster;
use self::install::Site;
use self::ledger::{Balance, Ledger};
use self::read::Reader;
use self::report::Summary;
use self::send::Target;
use self::tenant::Tenant;
use crate::console::Console;
use crate::folders::Folders;
use crate::{Stack, images, up};

mod batch;
mod cluster;
mod diagnosis;
mod event;
mod install;
mod ledger;
mod loads;
mod package;
mod read;
mod report;
mod send;
mod shop;
mod tenant;
mod webhooks;

/// Time until all that was acknowledged is readable. The consumer closes a batch after a second or so;
/// a ClickHouse that was restarted in the middle of the load needs the rest.
const STORED: Duration = Duration::from_secs(120);

/// Pause between two looks at what is stored.
const LOOK: Duration = Duration::from_millis(500);

/// What a person can choose.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// How many events of the shop are sent.
    pub events: u64,
}

/// Runs the demo and returns its report; the last line is the verdict.
///
/// # Errors
/// When a part fails, or when not every event is stored once. What was seen and what to look at is printed before.
pub fn run(folders: &Folders, console: &Console, options: Options) -> anyhow::Result<String> {
    up::up(folders, console)?;
    let stack = Stack::running()?;
    let cluster = Cluster {
        kubectl: stack.kubectl.clone(),
        helm: stack.helm.clone(),
        kubeconfig: stack.kubeconfig.clone(),
    };
    show(folders, console, options, &stack, &cluster).inspect_err(|_| {
        for text in diagnosis::of(&cluster) {
            console.say(&format!("\n{text}"));
        }
    })
}

fn show(
    folders: &Folders,
    console: &Console,
    options: Options,
    stack: &Stack,
    cluster: &Cluster,
) -> anyhow::Result<String> {
    let runtime = Runtime::new().context("failed to start the runtime")?;
    let site = site(stack, images::compile_and_build(folders, console)?);
    let deliveries = webhooks::events(&package::fetch(folders, console)?)?;

    let tenant = onboard(folders, console, &site, cluster)?;
    let target = Target::new(tenant.ingester.clone(), &format!("{}:{}", tenant.id, tenant.key));
    let (mut ledger, webhooks) = loads::webhooks(console, &runtime, &target, &deliveries)?;
    let (visits, shop) = loads::shop(console, &runtime, &target, options.events)?;
    ledger.absorb(visits);

    let reader =
        Reader::new(&site.clickhouse_url, &site.clickhouse_user, &site.clickhouse_password, &tenant.database);
    let (balance, behind) = wait_until_stored(console, &runtime, &reader, &ledger)?;
    let report = report::text(&Summary {
        balance,
        ledger: &ledger,
        loads: &[webhooks, shop],
        behind,
        frequencies: &runtime.block_on(reader.most_frequent())?,
        hours: &runtime.block_on(reader.hours())?,
        tenant: &tenant,
        cluster,
        clickhouse_url: &site.clickhouse_url,
    });
    if balance.is_even() {
        return Ok(format!("\n{report}\n\n{balance}"));
    }
    console.say(&format!("\n{report}\n\n{balance}"));
    anyhow::bail!("failed to find every event stored exactly once")
}

/// What the chart has to know of the local stack.
fn site(stack: &Stack, images: Vec<images::ImageRef>) -> Site {
    Site {
        kafka: stack.kafka.clone(),
        clickhouse_url: stack.clickhouse_url.clone(),
        clickhouse_user: stack.clickhouse_user.clone(),
        clickhouse_password: stack.clickhouse_password.clone(),
        images,
    }
}

/// The chart, the tenant, and what a sender has to know of it.
fn onboard(folders: &Folders, console: &Console, site: &Site, cluster: &Cluster) -> anyhow::Result<Tenant> {
    console.step("helm upgrade --install millrace charts/millrace", || {
        install::install(
            cluster,
            &folders.checkout.join("charts/millrace"),
            &folders.state.join("demo"),
            site,
        )
    })?;
    console.step("kubectl apply -f examples/quickstart.yaml, and wait until Ready", || {
        tenant::apply(cluster, &folders.checkout.join("examples/quickstart.yaml"))?;
        tenant::wait(cluster)
    })?;
    Ok(tenant::read(cluster)?)
}

/// Looks until everything is readable once, or the deadline passes; then it tells what there is.
#[allow(clippy::disallowed_methods, reason = "bounds how long a real consumer may take")]
fn wait_until_stored(
    console: &Console,
    runtime: &Runtime,
    reader: &Reader,
    ledger: &Ledger,
) -> Result<(Balance, Duration), read::Error> {
    let begin = Instant::now();
    console.progress("read the events back", |progress| {
        loop {
            let balance = Balance::new(ledger.sent(), runtime.block_on(reader.find(ledger.ids()))?);
            if balance.is_even() || begin.elapsed() > STORED {
                return Ok((balance, begin.elapsed()));
            }
            progress.detail(report::bar(balance.stored, balance.sent, begin.elapsed()));
            std::thread::sleep(LOOK);
        }
    })
}
