//! The operator: turns AnalyticsTenant and Pipeline resources into Kafka topics, ClickHouse databases, keys and pods.
//!
//! ```text
//! resource -> fetch* -> validate -> build -> apply* -> status*        deletion: cleanup*        (* = effect)
//! ```
//!
//! Invariants:
//! - Both controllers have the same six steps, and no step decides what another one should: validate and build are
//!   plain functions, the others do as they are told.
//! - What is true is read anew at each look. No step knows why it was called, or what an earlier one did.
//! - Any prefix of the writes is a state to go on from: a crash between two writes needs no repair.
//! - What is outside of Kubernetes is touched only when it names its owner: the database by the UID in its comment,
//!   a topic by the id in the Pipeline's status, a user by the hash of the UID in its name.
//! - Data is deleted only together with its resource, and only where the spec says Delete. A retention gets shorter,
//!   and a lost database is given up, only where an annotation names it; until then a condition says what to annotate.
//! - A resource that this version cannot read is left alone, with all that it has, and holds up no other. Nor does a
//!   watch that the operator may not have.
//! - No pod works with a topic or for a tenant that is somebody else's.
//! - Of several operators one works, the one that holds the Lease. Two at once, which a Lease cannot rule out, bring
//!   about the same. What is random, an API key or a password, only one of them makes: it is written to the version of
//!   its Secret in which it was seen to be missing.
//! - Keys and passwords stand in Secrets and nowhere else: no log, status, event, annotation or argument has them.
//!
//! It does not touch events: ingester and consumer go on without it.

pub mod args;

mod api_requests;
mod attempt;
mod clickhouse;
mod conditions;
mod context;
mod controllers;
mod expiry;
mod failure;
mod installation;
mod kubernetes;
mod labels;
mod leadership;
mod metrics;
#[cfg(test)]
mod perturbation;
mod pipeline;
mod plans;
mod progress;
#[cfg(test)]
mod properties;
mod protection;
mod retained;
mod retention;
mod retries;
mod scope;
mod tables;
mod tenant;
#[cfg(test)]
mod testing;
mod topics;
mod users;

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use crds::{AnalyticsTenant, Pipeline};
use futures::FutureExt as _;
use kube::{
    Client,
    runtime::reflector::{self, store::Writer},
};
use runtime::{
    health::{Health, router},
    server::{Limits, serve},
    shutdown::Shutdown,
    tasks::Tasks,
    telemetry,
};
use tokio::{net::TcpListener, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;

pub use api_requests::client;

use crate::{
    args::Options,
    clickhouse::{Connection, Server},
    context::{Backends, Context, Events},
    installation::Installation,
    kubernetes::Kubernetes,
    leadership::Candidate,
    retries::{Pace, Retries},
    tables::ClickHouseTables,
    topics::KafkaTopics,
    users::ClickHouseUsers,
};

/// How often the process says that its threads are not stuck, and how long it may not say so.
const HEARTBEAT: Duration = Duration::from_secs(5);
const HEARTBEAT_DEADLINE: Duration = Duration::from_secs(60);
/// Running reconciles may finish within this time after the request to stop.
const STOP_DEADLINE: Duration = Duration::from_secs(25);

/// The real Kafka and ClickHouse.
struct Live;

impl Backends for Live {
    type Topics = KafkaTopics;
    type Tables = ClickHouseTables;
    type Users = ClickHouseUsers;
}

/// What the controllers work with, made before it is known whether this operator leads.
struct Systems {
    client: Client,
    installation: Arc<Installation>,
    topics: Arc<KafkaTopics>,
    tables: Arc<ClickHouseTables>,
    users: Arc<ClickHouseUsers>,
    pace: Pace,
}

/// Runs the operator until the shutdown is requested. It works while it holds the Lease, and stands by before.
///
/// Kafka and ClickHouse may be away: conditions say so, and the operator goes on when they come back.
///
/// # Errors
/// When a file of the options cannot be read, the listening port is taken, a controller fails, or the Lease is lost.
pub async fn run(options: Options, client: Client, shutdown: Shutdown) -> anyhow::Result<()> {
    let systems = systems(&options, client.clone())?;
    let candidate = Candidate::new(client, &options.lease);
    let listener = TcpListener::bind(options.listen)
        .await
        .with_context(|| format!("failed to listen on {}", options.listen))?;

    let (health, token) = (Health::new(), shutdown.token());
    // Only the first operator of a process, which in tests has several, gets the recorder of all metrics.
    let metrics = telemetry::install_metrics().unwrap_or_else(|_| telemetry::MetricsHandle::detached());
    let mut tasks = Tasks::new(shutdown.clone());
    tasks.run("metrics", metrics.clone().upkeep(token.clone()));
    tasks.run("http", serve(listener, router(health.clone(), metrics), Limits::default(), token.clone()));
    tasks.run("heartbeat", beat(health.clone(), token.clone()));
    // Ready means that the Lease can be had or waited for, and of a leader that both kinds were listed. Kafka and
    // ClickHouse do not count: conditions tell of their absence.
    let stands = health.flag("lease");
    tasks.run("leadership", async move {
        let Some(term) = candidate.stand(&stands, &token).await else { return Ok(()) };
        term.lead(work(systems, &health, &shutdown)).await?
    });
    tasks.finish(STOP_DEADLINE).await
}

fn systems(options: &Options, client: Client) -> anyhow::Result<Systems> {
    let installation = Arc::new(Installation::load(options)?);
    let topics = KafkaTopics::new(&installation.kafka).context("failed to make the client of Kafka")?;
    let clickhouse = clickhouse(&installation).context("failed to make the client of ClickHouse")?;
    let users = Arc::new(ClickHouseUsers::new(clickhouse.clone()));
    let tables = Arc::new(ClickHouseTables::new(clickhouse));
    let pace = Pace { recheck: Duration::from_secs(options.recheck_seconds.into()), ..Pace::default() };
    Ok(Systems { client, installation, topics: Arc::new(topics), tables, users, pace })
}

/// Runs both controllers until the shutdown, and lets running reconciles finish. The end of one ends the other.
async fn work(systems: Systems, health: &Health, shutdown: &Shutdown) -> anyhow::Result<()> {
    let (tenants, tenant_writer) = reflector::store::<AnalyticsTenant>();
    let pipeline_writer = Writer::<Pipeline>::default();
    let client = &systems.client;
    let context = |manager: &'static str| {
        Arc::new(Context::<Live> {
            kubernetes: Kubernetes::new(client.clone(), manager),
            events: Events::new(client.clone(), manager),
            installation: Arc::clone(&systems.installation),
            topics: Arc::clone(&systems.topics),
            tables: Arc::clone(&systems.tables),
            users: Arc::clone(&systems.users),
            tenants: tenants.clone(),
            retries: Retries::at(systems.pace),
        })
    };
    let (of_tenants, of_pipelines) = (context(tenant::MANAGER), context(pipeline::MANAGER));
    let (has_tenants, has_pipelines) = (health.flag("tenants"), health.flag("pipelines"));
    let ended = |outcome: anyhow::Result<()>| {
        shutdown.request();
        outcome
    };
    let token = || shutdown.token();
    let (of_tenants, of_pipelines) = futures::join!(
        controllers::tenants(client.clone(), of_tenants, tenant_writer, has_tenants, token()).map(ended),
        controllers::pipelines(client.clone(), of_pipelines, pipeline_writer, has_pipelines, token())
            .map(ended),
    );
    of_tenants.and(of_pipelines)
}

fn clickhouse(installation: &Installation) -> Result<Connection, clickhouse::ConnectionError> {
    let access = &installation.clickhouse;
    Connection::new(&Server {
        url: access.url.clone(),
        user: access.user.clone(),
        password: access.password.clone(),
        ca_pem: access.ca_pem.clone(),
    })
}

/// Says that the process' threads are not stuck.
async fn beat(health: Health, shutdown: CancellationToken) -> anyhow::Result<()> {
    let heartbeat = health.heartbeat("threads", HEARTBEAT_DEADLINE);
    let mut ticks = tokio::time::interval(HEARTBEAT);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            _ = ticks.tick() => heartbeat.beat(),
        }
    }
}
