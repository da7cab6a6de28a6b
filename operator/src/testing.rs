//! A small world for tests: an API server, a Kafka and a ClickHouse in memory, with one log of what is changed.
//!
//! A fault can strike at a change, so that tests see what every prefix of the writes leaves behind. Whatever is destroyed
//! although it lives is noted.

mod api_server;
pub(crate) mod arbitrary;
mod backends;
mod clickhouse_users;
mod faults;
mod guard;
mod history;
mod log;
mod pause;
mod trouble;
mod vocabulary;
mod watches;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use crds::{AnalyticsTenant, Pipeline};
use jiff::SignedDuration;
use kube::{
    Client,
    runtime::{controller::Action, reflector, watcher},
};
use schema::{
    access::{Fact, Policy},
    retention::Retention,
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    args::{NetworkPolicies, SourceTopics},
    context::{Context, Events},
    installation::{self, AccessManagement},
    kubernetes::{Guarded, Kubernetes},
    pipeline,
    retries::{Pace, Retries},
    scope::Scope,
    tables::{Database, Difference},
    tenant,
    topics::Topic,
};

use backends::{FakeTables, FakeTopics};
use clickhouse_users::FakeUsers;
use faults::Faults;
use history::History;
use pause::Pause;
pub(crate) use {backends::Fakes, faults::Fault, log::Log, trouble::Trouble};

/// Everything outside of the operator. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct World {
    state: Arc<Mutex<State>>,
    pause: Arc<Pause>,
}

#[derive(Clone, Default)]
pub(crate) struct State {
    /// Kubernetes objects by `<plural>/<namespace>/<name>`.
    pub(crate) objects: BTreeMap<String, Value>,
    pub(crate) topics: BTreeMap<String, Topic>,
    pub(crate) databases: BTreeMap<String, Database>,
    /// How long each database keeps events.
    pub(crate) retentions: BTreeMap<String, Retention>,
    /// Databases of whose storage table somebody changed settings.
    pub(crate) changed_settings: BTreeSet<String>,
    /// How the storage table of each database differs.
    pub(crate) differences: BTreeMap<String, Vec<Difference>>,
    /// What ClickHouse shows of users.
    pub(crate) facts: BTreeSet<Fact>,
    /// What the operator was started with: users are made, and may take this.
    pub(crate) access: Option<Policy>,
    /// Every user of ClickHouse may read its system tables.
    pub(crate) are_system_tables_open: bool,
    /// How long each topic keeps records, in milliseconds.
    pub(crate) topic_retentions: BTreeMap<String, i64>,
    /// How many records each consumer group has not stored.
    pub(crate) unstored: BTreeMap<String, u64>,
    /// Every change that was tried, in order.
    pub(crate) log: Vec<String>,
    /// Every read of one thing, or of those of a namespace, that was tried, in order.
    pub(crate) reads: Vec<String>,
    /// Kinds whose watches tell of nothing that happens.
    pub(crate) silent: BTreeSet<&'static str>,
    /// Kinds whose next watch ends, since what it began with is too old.
    pub(crate) expired: BTreeSet<&'static str>,
    /// Every list and every watch of a kind that was tried, in order.
    pub(crate) looks: Vec<String>,
    /// The Events that were written.
    pub(crate) events: Vec<Value>,
    /// How often each object failed in a row.
    pub(crate) failures_before: u32,
    /// How long the operator waits.
    pub(crate) pace: Pace,
    /// For how long a topic may not be shown. At once, the second look decides.
    pub(crate) patience: SignedDuration,
    /// Changes whose line starts with this are answered with the HTTP status; outside of Kubernetes they fail.
    pub(crate) refusals: Vec<(String, u16)>,
    /// What requests of the API server meet that begin like this, and how often.
    pub(crate) troubles: Vec<(String, Trouble, usize)>,
    /// Requests of the API server, lists and watches of whole kinds left aside.
    pub(crate) requests: usize,
    /// How long a call of the API server may take, if not as long as always.
    pub(crate) deadline: Option<Duration>,
    pub(crate) is_kafka_away: bool,
    /// Whoever looks at a topic or a database panics.
    pub(crate) is_buggy: bool,
    /// As many looks at topics are answered by a broker that knows of none.
    pub(crate) lagging_looks: usize,
    /// Whoever waits for a topic to show waits for ever.
    pub(crate) are_searches_endless: bool,
    pub(crate) is_clickhouse_away: bool,
    /// Databases about which ClickHouse takes every statement and answers none.
    pub(crate) hanging: BTreeSet<String>,
    /// A listing of the topics shows none, as without the ACL for it.
    pub(crate) are_topics_hidden: bool,
    /// Pods never become ready.
    pub(crate) are_pods_stuck: bool,
    /// What the operator was started with.
    pub(crate) network_policies: Option<NetworkPolicies>,
    pub(crate) scope: Option<Scope>,
    pub(crate) source_topics: Option<SourceTopics>,
    /// What was destroyed although it lives.
    pub(crate) violations: Vec<String>,
    faults: Faults,
    history: History,
    /// Calls of the API server, and the one after which whoever made it stands still.
    calls: usize,
    pause_after: Option<usize>,
    next_number: u128,
}

impl State {
    /// Notes that a change is about to be made. An error is the status to answer with instead.
    fn begin(&mut self, line: String) -> Result<(), u16> {
        self.log.push(line.clone());
        self.history.note(&self.objects);
        if self.faults.has_crashed() {
            return Err(500);
        }
        if let Some((_, code)) = self.refusals.iter().find(|(start, _)| line.starts_with(start)) {
            return Err(*code);
        }
        if let Some(fault) = self.faults.before() {
            faults::strike(self, &line, fault)?;
        }
        // The API server looks first whether it is the object that is meant.
        if !line.starts_with("DELETE ") || line.starts_with("DELETE TOPIC ") {
            self.violations.extend(guard::objection(self, &line));
        }
        Ok(())
    }

    /// A read is no change; it can be refused all the same.
    fn may_read(&mut self, line: String) -> Result<(), u16> {
        self.reads.push(line.clone());
        if self.faults.fails_read() {
            return Err(500);
        }
        self.is_allowed(&line)
    }

    fn is_allowed(&self, line: &str) -> Result<(), u16> {
        self.refusals.iter().find(|(start, _)| line.starts_with(start)).map_or(Ok(()), |(_, code)| Err(*code))
    }

    /// Notes that a change was made. An error means that nobody hears of it.
    fn end(&mut self) -> Result<(), u16> {
        self.faults.after()
    }

    fn number(&mut self) -> u128 {
        self.next_number += 1;
        self.next_number
    }
}

impl World {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Panics if the test asks for it, and leaves the state usable.
    fn panic_if_buggy(&self) {
        let is_buggy = self.state().is_buggy;
        assert!(!is_buggy, "as the test asks");
    }

    /// Puts a resource of YAML into the world, as a user does.
    pub(crate) fn apply(&self, manifest: &str) {
        api_server::create(&mut self.state(), serde_saphyr::from_str(manifest).unwrap());
    }

    /// Asks for the deletion of an object, as a user does.
    pub(crate) fn delete(&self, key: &str) {
        api_server::delete(&mut self.state(), key);
    }

    /// Changes an object in place, as a user or another controller does.
    pub(crate) fn edit(&self, key: &str, edit: impl FnOnce(&mut Value)) {
        let mut state = self.state();
        let object = state.objects.get_mut(key).unwrap();
        api_server::edit(object, edit);
    }

    pub(crate) fn object(&self, key: &str) -> Option<Value> {
        self.state().objects.get(key).cloned()
    }

    /// How many topics and databases there are.
    pub(crate) fn stored(&self) -> (usize, usize) {
        let state = self.state();
        (state.topics.len(), state.databases.len())
    }

    /// The reason of a condition of a resource.
    pub(crate) fn reason(&self, key: &str, kind: &str) -> Option<String> {
        self.of_condition(key, kind, "reason")
    }

    /// The message of a condition of a resource.
    pub(crate) fn message(&self, key: &str, kind: &str) -> Option<String> {
        self.of_condition(key, kind, "message")
    }

    fn of_condition(&self, key: &str, kind: &str, field: &str) -> Option<String> {
        let object = self.object(key)?;
        let conditions = object["status"]["conditions"].as_array()?.clone();
        let condition = conditions.into_iter().find(|condition| condition["type"] == kind)?;
        Some(condition[field].as_str()?.to_owned())
    }

    /// Kafka has records that the consumer of a Pipeline did not store.
    pub(crate) fn leave_unstored(&self, pipeline: &str, records: u64) {
        let group = self.object(pipeline).unwrap()["status"]["consumerGroup"].as_str().unwrap().to_owned();
        self.state().unstored.insert(group, records);
    }

    /// The notes of the Events with this reason.
    pub(crate) fn told(&self, reason: &str) -> Vec<String> {
        let events = &self.state().events;
        let of_reason = events.iter().filter(|event| event["reason"] == reason);
        of_reason.map(|event| event["note"].as_str().unwrap().to_owned()).collect()
    }

    /// What was changed since the last time, without Events.
    pub(crate) fn take_log(&self) -> Vec<String> {
        let log = std::mem::take(&mut self.state().log);
        log.into_iter().filter(|line| !line.starts_with("POST events")).collect()
    }

    /// The objects of a kind that can be read.
    fn all<K: DeserializeOwned>(&self, plural: &str) -> Vec<Arc<K>> {
        let state = self.state();
        let ours = state.objects.iter().filter(|(key, _)| key.starts_with(&format!("{plural}/")));
        let guarded = ours.map(|(_, object)| serde_json::from_value::<Guarded<K>>(object.clone()).unwrap());
        guarded.filter_map(|object| object.0.ok().map(Arc::new)).collect()
    }

    /// Another world that is like this one now.
    pub(crate) fn fork(&self) -> Self {
        Self { state: Arc::new(Mutex::new(self.state().clone())), pause: Arc::default() }
    }

    pub(crate) fn client(&self) -> Client {
        api_server::client(self.clone())
    }

    pub(crate) fn context(&self, manager: &'static str) -> Arc<Context<Fakes>> {
        self.context_with(manager, &self.all("analyticstenants"))
    }

    /// As after the failures that there were before.
    fn retries(&self, pace: Pace) -> Retries {
        let (retries, state) = (Retries::at(pace), self.state());
        for uid in state.objects.values().filter_map(|object| object["metadata"]["uid"].as_str()) {
            for _ in 0..state.failures_before {
                let _ = retries.failed(uid);
            }
        }
        retries
    }

    /// What a controller works with whose cache has these tenants.
    fn context_with(&self, manager: &'static str, cached: &[Arc<AnalyticsTenant>]) -> Arc<Context<Fakes>> {
        let (tenants, mut writer) = reflector::store::<AnalyticsTenant>();
        writer.apply_watcher_event(&watcher::Event::Init);
        for tenant in cached {
            writer.apply_watcher_event(&watcher::Event::InitApply(tenant.as_ref().clone()));
        }
        writer.apply_watcher_event(&watcher::Event::InitDone);
        let (pace, deadline) = {
            let state = self.state();
            (Pace { gone: state.patience, ..state.pace }, state.deadline)
        };
        let client = self.client();
        let kubernetes = Kubernetes::new(client.clone(), manager);
        let mut installation = installation::tests::plain();
        installation.data_plane.network_policies = self.state().network_policies.clone();
        installation.source_topics = self.state().source_topics.clone();
        installation.scope = self.state().scope.clone().unwrap_or(Scope::Cluster);
        if let Some(policy) = self.state().access.clone() {
            installation.clickhouse.management = AccessManagement::Sql(policy);
        }
        Arc::new(Context {
            kubernetes: match deadline {
                Some(deadline) => kubernetes.within(deadline),
                None => kubernetes,
            },
            events: Events::new(client, manager),
            installation: Arc::new(installation),
            topics: Arc::new(FakeTopics(self.clone())),
            tables: Arc::new(FakeTables(self.clone())),
            users: Arc::new(FakeUsers(self.clone())),
            tenants,
            retries: self.retries(pace),
        })
    }

    /// One look at every tenant. The failures, if there are any.
    pub(crate) async fn reconcile_tenants(&self) -> Vec<tenant::Error> {
        let mut failures = Vec::new();
        for tenant in self.all::<AnalyticsTenant>("analyticstenants") {
            failures.extend(tenant::reconcile(tenant, self.context(tenant::MANAGER)).await.err());
        }
        failures
    }

    /// One look at resources as a cache has them, which may be late or of namesakes that are gone.
    pub(crate) async fn reconcile_cached(&self, tenants: &[Value], pipelines: &[Value]) {
        let tenants: Vec<Arc<AnalyticsTenant>> = tenants.iter().map(parsed).collect();
        for tenant in &tenants {
            let ctx = self.context_with(tenant::MANAGER, &tenants);
            // What it makes of a late cache is what the test looks at.
            let _ = tenant::reconcile(Arc::clone(tenant), ctx).await;
        }
        for pipeline in pipelines {
            let ctx = self.context_with(pipeline::MANAGER, &tenants);
            let _ = pipeline::reconcile(parsed(pipeline), ctx).await;
        }
    }

    /// One look at a tenant.
    pub(crate) async fn reconcile_tenant(&self, key: &str) -> Result<Action, tenant::Error> {
        let tenant = serde_json::from_value(self.object(key).unwrap()).unwrap();
        tenant::reconcile(Arc::new(tenant), self.context(tenant::MANAGER)).await
    }

    /// One look at every Pipeline. The failures, if there are any.
    pub(crate) async fn reconcile_pipelines(&self) -> Vec<pipeline::Error> {
        let mut failures = Vec::new();
        for pipeline in self.all::<Pipeline>("pipelines") {
            failures.extend(pipeline::reconcile(pipeline, self.context(pipeline::MANAGER)).await.err());
        }
        failures
    }

    /// One look at a Pipeline.
    pub(crate) async fn reconcile_pipeline(&self, key: &str) -> Result<Action, pipeline::Error> {
        pipeline::reconcile(parsed(&self.object(key).unwrap()), self.context(pipeline::MANAGER)).await
    }

    /// All that can be seen from outside.
    fn seen(&self) -> impl PartialEq + use<> {
        let state = self.state();
        (state.objects.clone(), state.topics.clone(), state.databases.clone(), state.facts.clone())
    }

    /// Looks at everything until nothing changes any more.
    pub(crate) async fn settle(&self) {
        for _ in 0..20 {
            let before = self.seen();
            self.reconcile_tenants().await;
            self.reconcile_pipelines().await;
            assert_eq!(self.state().violations, Vec::<String>::new());
            if self.seen() == before || self.has_crashed() {
                return;
            }
        }
        panic!("the operator never comes to rest: {:#?}", self.take_log());
    }
}

fn parsed<K: DeserializeOwned>(object: &Value) -> Arc<K> {
    Arc::new(serde_json::from_value(object.clone()).unwrap())
}

/// A tenant `acme` in `team` with one key.
pub(crate) const TENANT: &str = "
apiVersion: analytics.millrace.dev/v1alpha1
kind: AnalyticsTenant
metadata: {name: acme, namespace: team}
spec: {}
";

/// The same tenant, whose data goes with it.
pub(crate) const FLEETING_TENANT: &str = "
apiVersion: analytics.millrace.dev/v1alpha1
kind: AnalyticsTenant
metadata: {name: acme, namespace: team}
spec: {deletionPolicy: {kafka: Delete, clickhouse: Delete}}
";

/// Keys of objects of the tenant `acme`.
pub(crate) const ACME: &str = "analyticstenants/team/acme";
pub(crate) const ACME_KEYS: &str = "secrets/team/acme-api-keys";
pub(crate) const ACME_DEFAULT: &str = "pipelines/team/acme-default";

/// The names of the keys in the Secret of the tenant `acme`.
pub(crate) fn names_of_keys(world: &World) -> Vec<String> {
    let secret = world.object(ACME_KEYS).unwrap();
    secret["data"].as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect()
}
