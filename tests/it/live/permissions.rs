//! No verb too many: what happens without each right that the chart gives the operator, and which rights it uses.
//!
//! ```text
//! one operator, with one account -> namespace `whole`, with all rights of the chart's Role
//!                                -> a namespace for each right, with all rights but that one
//! ```
//! In each namespace a tenant lives, until the API server refuses the operator what is missing there. The audit log has
//! every request.

mod rights;
mod walk;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use futures::future::try_join_all;
use harness::chart::{NAMESPACE, RELEASE};
use harness::installed::{Requests, audit_policy, client, flags as places, install};
use harness::kubernetes::Ground;
use harness::operator::{Operator, flags as backends};
use harness::private::{PrivateClickHouse, PrivateKafka};
use harness::private_cluster::PrivateCluster;
use harness::stand_in::StandIn;
use harness::wait::{Look, until, within};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule, Role};
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::rendered::smallest;
use rights::{Right, granted, is_refused, used, without};
use walk::{Seen, Step, look};

const TEST: Duration = Duration::from_secs(480);
/// For all namespaces to get to where the operator's flags have to change, and from there to the end.
const HALF: Duration = Duration::from_secs(240);
const SEEN: Duration = Duration::from_secs(30);

/// The namespace in which nothing is missing.
const WHOLE: &str = "whole";
const PLACE: &str = "--watch-namespace=";
const POLICIES: &str = r#"--network-policies={"kafkaPorts":[9092],"clickhousePorts":[8123]}"#;

/// A namespace, and how far it is.
struct Place {
    ground: Ground,
    missing: Option<Right>,
    step: Step,
    has_begun: bool,
    is_refused: bool,
}

impl Place {
    /// Whether nothing more happens here before the operator's flags change, or at all.
    fn rests(&self, until: Step) -> bool {
        self.is_refused || (self.step == until && self.has_begun)
    }

    /// Whether it needs no tenant.
    fn is_of_a_watch(&self) -> bool {
        self.missing.as_ref().is_some_and(Right::is_of_a_watch)
    }

    /// Goes as far as the operator lets it.
    async fn go_on(&mut self, seen: &Seen, until: Step) -> anyhow::Result<()> {
        if self.has_begun && self.step != until && self.step.is_done(seen) {
            (self.step, self.has_begun) = (self.step.next(), false);
        }
        if !self.has_begun {
            self.step.begin(&self.ground).await?;
            self.has_begun = true;
        }
        Ok(())
    }

    fn told(&self, seen: &BTreeMap<String, Seen>) -> String {
        let missing = self.missing.as_ref().map_or_else(|| "nothing".to_owned(), ToString::to_string);
        let seen = seen.get(&self.ground.name).map(Seen::told).unwrap_or_default();
        format!("at {:?} without {missing}: {seen}", self.step)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_operator_needs_each_right_that_the_chart_gives_and_no_other() -> anyhow::Result<()> {
    within(TEST, async {
        let (cluster, kafka, clickhouse) = tokio::try_join!(
            PrivateCluster::start_audited(audit_policy()),
            PrivateKafka::start(),
            PrivateClickHouse::start()
        )?;
        let rules = rules_of_the_chart(&cluster).await?;
        let mut places = make_places(&cluster, &rules).await?;
        let folder = tempfile::TempDir::new()?;
        let mut flags = backends(&kafka.address(), &clickhouse, folder.path())?;
        flags.extend(self::places(&cluster).await?);
        let _stand_in = StandIn::start(&cluster.client().await?);
        let mut log = Log::of(&cluster);

        let with_policies = [flags.as_slice(), &[POLICIES.to_owned()]].concat();
        let operator = Operator::start(client(&cluster).await?, &with_policies)?;
        walk(&cluster, &mut log, &mut places, Step::Open).await?;
        operator.stop().await?;
        flags.retain(|flag| !flag.starts_with(PLACE));
        let left = places.iter().filter(|place| !place.is_refused);
        flags.extend(left.map(|place| format!("{PLACE}{}", place.ground.name)));
        let operator = Operator::start(client(&cluster).await?, &flags)?;
        walk(&cluster, &mut log, &mut places, Step::Done).await?;
        operator.stop().await?;

        let unneeded: Vec<String> = places
            .iter()
            .filter(|place| !place.is_refused)
            .filter_map(|place| Some(place.missing.as_ref()?.to_string()))
            .collect();
        assert!(unneeded.is_empty(), "a life goes on without these: {unneeded:?}");
        log.read()?;
        assert_used(&granted(&rules), log.whole.get(WHOLE));

        let rules = rules_of_the_lease(&cluster).await?;
        assert_used(&granted(&rules), log.whole.get(NAMESPACE));
        for missing in granted(&rules) {
            stand_without(&cluster, &rules, &missing, &flags, &mut log).await?;
        }
        Ok(())
    })
    .await
}

/// The rules as the chart gives them for the whole cluster. The right to use them is taken away again.
async fn rules_of_the_chart(cluster: &PrivateCluster) -> anyhow::Result<Vec<PolicyRule>> {
    install(cluster, &smallest()).await?;
    let (roles, name) = (Api::<ClusterRole>::all(cluster.client().await?), format!("{NAMESPACE}-{RELEASE}"));
    let rules = roles.get(&name).await?.rules.context("a role with rules")?;
    cluster.kubectl(&["delete", "clusterrolebinding,clusterrole", &name]).await?;
    Ok(rules)
}

/// The rules for the Lease, in the release's own namespace.
async fn rules_of_the_lease(cluster: &PrivateCluster) -> anyhow::Result<Vec<PolicyRule>> {
    let roles: Api<Role> = Api::namespaced(cluster.client().await?, NAMESPACE);
    roles.get(RELEASE).await?.rules.context("a role with rules")
}

/// An operator that lacks a right on the Lease is refused, and cannot lead. At the end it has the right again.
async fn stand_without(
    cluster: &PrivateCluster,
    rules: &[PolicyRule],
    missing: &Right,
    flags: &[String],
    log: &mut Log,
) -> anyhow::Result<()> {
    let roles: Api<Role> = Api::namespaced(cluster.client().await?, NAMESPACE);
    let give = async |rules: Vec<PolicyRule>| {
        roles.patch(RELEASE, &PatchParams::default(), &Patch::Merge(json!({"rules": rules}))).await
    };
    give(without(rules, missing)).await?;
    // It is made once, and found by all later ones.
    let leases: Api<Lease> = Api::namespaced(cluster.client().await?, NAMESPACE);
    if missing.verb == "create" {
        leases.delete(RELEASE, &DeleteParams::default()).await?;
    }
    let operator = Operator::start(client(cluster).await?, flags)?;
    let log = Mutex::new(log);
    until(SEEN, &format!("refusal to {missing}"), || async {
        let mut log = log.lock().await;
        log.read()?;
        Ok(Look::at(log.tells_of(NAMESPACE, missing), log.refusals.get(NAMESPACE)))
    })
    .await?;
    operator.stop().await?;
    give(rules.to_vec()).await?;
    Ok(())
}

/// A namespace for each right, with the chart's Role without it, and one with all of it.
async fn make_places(cluster: &PrivateCluster, rules: &[PolicyRule]) -> anyhow::Result<Vec<Place>> {
    let client = cluster.client().await?;
    let names = |(number, right): (usize, Right)| (format!("without-{number}"), Some(right));
    let mut wanted = vec![(WHOLE.to_owned(), None)];
    wanted.extend(granted(rules).into_iter().enumerate().map(names));
    let namespaces: Api<Namespace> = Api::all(client.clone());
    try_join_all(wanted.iter().map(async |(name, _)| {
        let manifest = serde_json::from_value(json!({"metadata": {"name": name}}))?;
        namespaces.create(&PostParams::default(), &manifest).await.map_err(anyhow::Error::from)
    }))
    .await?;
    let mut values = smallest();
    values["watchNamespaces"] = wanted.iter().map(|(name, _)| json!(name)).collect();
    install(cluster, &values).await?;
    let place = async |(name, missing): (String, Option<Right>)| {
        let ground = Ground { client: client.clone(), name };
        let roles = ground.api::<Role>();
        let role = format!("{NAMESPACE}-{RELEASE}");
        ensure!(
            roles.get(&role).await?.rules.as_deref() == Some(rules),
            "a Role has other rules than the ClusterRole"
        );
        if let Some(missing) = &missing {
            let patch = Patch::Merge(json!({"rules": without(rules, missing)}));
            roles.patch(&role, &PatchParams::default(), &patch).await?;
        }
        anyhow::Ok(Place { ground, missing, step: Step::Tenant, has_begun: false, is_refused: false })
    };
    try_join_all(wanted.into_iter().map(place)).await
}

/// Lets all namespaces live on, each until it was refused what is missing there, and to this step at most.
async fn walk(
    cluster: &PrivateCluster,
    log: &mut Log,
    places: &mut [Place],
    end: Step,
) -> anyhow::Result<()> {
    let client = cluster.client().await?;
    let (places, log) = (Mutex::new(places), Mutex::new(log));
    until(HALF, "end of all walks", || async {
        let (mut places, mut log) = (places.lock().await, log.lock().await);
        log.read()?;
        let seen = look(&client).await?;
        let nothing = Seen::default();
        for place in places.iter_mut().filter(|place| !place.rests(end)) {
            place.is_refused =
                place.missing.as_ref().is_some_and(|missing| log.tells_of(&place.ground.name, missing));
            if !place.is_refused && !place.is_of_a_watch() {
                place.go_on(seen.get(&place.ground.name).unwrap_or(&nothing), end).await?;
            }
        }
        let under_way = places.iter().filter(|place| !place.rests(end));
        let told: Vec<String> = under_way.map(|place| place.told(&seen)).collect();
        Ok(Look::at(told.is_empty(), told))
    })
    .await
}

/// What the operator asked for.
struct Log {
    requests: Requests,
    /// What was refused, by namespace.
    refusals: BTreeMap<String, Vec<Value>>,
    /// Every request about the namespaces in which nothing is missing.
    whole: BTreeMap<&'static str, Vec<Value>>,
}

impl Log {
    fn of(cluster: &PrivateCluster) -> Self {
        Self { requests: Requests::of(cluster), refusals: BTreeMap::new(), whole: BTreeMap::new() }
    }

    fn read(&mut self) -> anyhow::Result<()> {
        for entry in self.requests.more()? {
            let namespace = entry["objectRef"]["namespace"].as_str().unwrap_or_default();
            if is_refused(&entry) {
                self.refusals.entry(namespace.to_owned()).or_default().push(entry.clone());
            }
            if let Some(whole) = [WHOLE, NAMESPACE].into_iter().find(|whole| *whole == namespace) {
                self.whole.entry(whole).or_default().push(entry);
            }
        }
        Ok(())
    }

    fn tells_of(&self, namespace: &str, missing: &Right) -> bool {
        self.refusals.get(namespace).is_some_and(|all| all.iter().any(|entry| missing.is_missed(entry)))
    }
}

/// Nothing was refused, and all that was granted was used.
fn assert_used(granted: &BTreeSet<Right>, whole: Option<&Vec<Value>>) {
    let whole: Vec<&Value> = whole.into_iter().flatten().collect();
    let refused: Vec<&&Value> = whole.iter().filter(|entry| is_refused(entry)).collect();
    assert!(refused.is_empty(), "{refused:#?}");
    let used: BTreeSet<Right> = whole.iter().flat_map(|entry| used(entry)).collect();
    let ungranted: Vec<&Right> = used.difference(granted).collect();
    assert!(ungranted.is_empty(), "used, and not granted: {ungranted:?}");
    let unused: Vec<&Right> = granted.difference(&used).collect();
    assert!(unused.is_empty(), "granted, and not used: {unused:?}");
}
