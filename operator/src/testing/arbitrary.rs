//! Valid specs of both kinds, as users write them: what is left out has its default, and every rule of the definitions
//! is kept.

use proptest::{
    collection::{btree_map, vec},
    option,
    prelude::*,
    sample::{select, subsequence},
};
use serde_json::{Map, Value, json};

/// The Secret that keys are brought along in, and its entry.
pub(crate) const BROUGHT: (&str, &str) = ("own", "token");

const LONG_AGO: &str = "2020-01-01T00:00:00Z";
const FAR_AWAY: &str = "2999-12-31T23:59:59.5+01:00";

/// The spec of an AnalyticsTenant.
pub(crate) fn tenant_spec() -> impl Strategy<Value = Value> {
    let policy = [("kafka", option::of(policy()).boxed()), ("clickhouse", option::of(policy()).boxed())];
    (
        tier_and_retention(),
        object([
            ("displayName", option::of(select(vec![json!("Acme"), json!("Äcme & Söhne")])).boxed()),
            ("apiKeys", option::of(api_keys()).boxed()),
            ("suspend", option::weighted(0.2, words(["None", "Ingest", "All"])).boxed()),
            ("deletionPolicy", option::of(object(policy)).boxed()),
            ("defaultPipeline", option::weighted(0.3, words(["Managed", "None"])).boxed()),
        ]),
    )
        .prop_map(|(plan, rest)| merged(plan, rest))
}

/// Both together, since a tier bounds the retention.
fn tier_and_retention() -> impl Strategy<Value = Value> {
    let days = |longest: i32| (1..=longest).prop_map(|days| json!({"days": days}));
    let hours = |longest: i32| (1..=longest).prop_map(|hours| json!({"hours": hours}));
    prop_oneof![
        Just(json!({})),
        days(18_250).prop_map(|retention| json!({"retention": retention})),
        hours(438_000).prop_map(|retention| json!({"retention": retention})),
        option::of(hours(24)).prop_map(|retention| tiered("Free", retention)),
        option::of(days(90)).prop_map(|retention| tiered("Paid", retention)),
        hours(5_000).prop_map(|retention| tiered("Enterprise", Some(retention))),
    ]
}

fn tiered(tier: &str, retention: Option<Value>) -> Value {
    let mut spec = json!({ "tier": tier });
    retention.into_iter().for_each(|retention| spec["retention"] = retention);
    spec
}

fn api_keys() -> impl Strategy<Value = Value> {
    let key = object([
        (
            "scopes",
            subsequence(vec!["Ingest", "Query"], 1..=2).prop_map(|scopes| Some(json!(scopes))).boxed(),
        ),
        ("expiresAt", option::weighted(0.3, words([LONG_AGO, FAR_AWAY])).boxed()),
        ("secretRef", option::weighted(0.2, Just(json!({"name": BROUGHT.0, "key": BROUGHT.1}))).boxed()),
    ]);
    btree_map(select(vec!["default", "web", "reports"]), key, 0..=3).prop_map(|keys| {
        keys.into_iter().map(|(name, key)| merged(json!({ "name": name }), key)).collect::<Value>()
    })
}

/// The spec of a Pipeline of this tenant, with events over HTTP.
pub(crate) fn pipeline_spec(tenant: &'static str) -> impl Strategy<Value = Value> {
    (1..=12_i32).prop_flat_map(move |partitions| {
        object([
            ("tenantRef", Just(Some(json!({ "name": tenant }))).boxed()),
            ("source", option::weighted(0.3, Just(json!({"http": {}}))).boxed()),
            ("topic", topic(partitions).prop_map(Some).boxed()),
            ("ingester", option::of(ingester()).boxed()),
            ("consumer", option::of(consumer(partitions)).boxed()),
            ("batch", option::of(batch()).boxed()),
            ("state", option::weighted(0.4, words(["Running", "Paused", "Stopped"])).boxed()),
            ("drainTimeoutSeconds", option::weighted(0.3, select(vec![json!(0), json!(3600)])).boxed()),
            ("deletionPolicy", option::of(object([("kafka", option::of(policy()).boxed())])).boxed()),
        ])
    })
}

fn topic(partitions: i32) -> impl Strategy<Value = Value> {
    object([
        ("partitions", Just(Some(json!(partitions))).boxed()),
        ("minInsyncReplicas", option::weighted(0.2, Just(json!(1))).boxed()),
        ("retentionHours", option::of((1..=2_000).prop_map(Value::from)).boxed()),
    ])
}

fn ingester() -> impl Strategy<Value = Value> {
    let service = object([
        ("type", option::of(words(["ClusterIP", "NodePort", "LoadBalancer"])).boxed()),
        ("annotations", option::of(annotations()).boxed()),
    ]);
    let ingress = object([
        ("hostname", words(["events.example.com", "e.example.org"]).prop_map(Some).boxed()),
        ("className", option::of(words(["nginx", "traefik"])).boxed()),
        ("tlsSecretName", option::of(words(["tls"])).boxed()),
        ("annotations", option::of(annotations()).boxed()),
    ]);
    object([
        ("replicas", option::of((0..=4).prop_map(Value::from)).boxed()),
        ("resources", option::weighted(0.3, resources()).boxed()),
        ("service", option::weighted(0.3, service).boxed()),
        ("ingress", option::weighted(0.4, ingress).boxed()),
    ])
}

fn consumer(partitions: i32) -> impl Strategy<Value = Value> {
    let audit = object([("sharePerMille", option::of((0..=1_000).prop_map(Value::from)).boxed())]);
    object([
        ("replicas", option::of((0..=partitions).prop_map(Value::from)).boxed()),
        ("resources", option::weighted(0.3, resources()).boxed()),
        ("audit", option::weighted(0.3, audit).boxed()),
    ])
}

fn batch() -> impl Strategy<Value = Value> {
    object([
        ("maxRows", option::of((1..=1_000_000).prop_map(Value::from)).boxed()),
        ("maxBytes", option::of((1_048_576..=268_435_456_i64).prop_map(Value::from)).boxed()),
        ("maxDelayMs", option::of((10..=60_000).prop_map(Value::from)).boxed()),
    ])
}

fn annotations() -> impl Strategy<Value = Value> {
    vec(select(vec![("example.com/a", "1"), ("example.com/a", "2"), ("example.com/b", "")]), 0..=2)
        .prop_map(|pairs| pairs.into_iter().map(|(name, value)| (name.to_owned(), json!(value))).collect())
}

fn resources() -> impl Strategy<Value = Value> {
    let amounts = || {
        object([
            ("cpu", option::of(words(["250m", "2"])).boxed()),
            ("memory", option::of(words(["128Mi", "1Gi"])).boxed()),
        ])
    };
    // A request that is greater than its limit is refused.
    amounts().prop_map(|amounts| json!({ "requests": amounts.clone(), "limits": amounts }))
}

fn policy() -> impl Strategy<Value = Value> {
    words(["Retain", "Delete"])
}

fn words<const N: usize>(words: [&'static str; N]) -> impl Strategy<Value = Value> {
    select(words.map(Value::from).to_vec())
}

/// An object of those fields that have a value.
fn object<const N: usize>(
    fields: [(&'static str, BoxedStrategy<Option<Value>>); N],
) -> impl Strategy<Value = Value> {
    let (names, values): (Vec<_>, Vec<_>) = fields.into_iter().unzip();
    values.prop_map(move |values| {
        let fields = names.iter().zip(values);
        let given = fields.filter_map(|(name, value)| Some(((*name).to_owned(), value?)));
        given.collect::<Map<_, _>>().into()
    })
}

fn merged(mut one: Value, other: Value) -> Value {
    let (Some(fields), Value::Object(other)) = (one.as_object_mut(), other) else { return one };
    fields.extend(other);
    one
}

/// The spec as it may follow another: what cannot be changed later stays, and partitions only grow.
pub(crate) fn following(before: &Value, mut spec: Value) -> Value {
    for field in ["source", "tenantRef"] {
        match before.get(field) {
            Some(value) => spec[field] = value.clone(),
            None => drop(spec.as_object_mut().and_then(|spec| spec.remove(field))),
        }
    }
    let partitions = |spec: &Value| spec["topic"]["partitions"].as_i64();
    if let Some(has) = partitions(before).filter(|has| Some(*has) > partitions(&spec)) {
        spec["topic"]["partitions"] = json!(has);
    }
    spec
}
