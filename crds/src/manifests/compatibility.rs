//! What a resource of the first chart may hold is still accepted: its definitions against those of now.

use serde_json::{Value, json};

use super::definitions;

const FIRST_CHART: [&str; 2] = [
    include_str!("../../../tests/fixtures/first-chart/files/crds/analyticstenant.yaml"),
    include_str!("../../../tests/fixtures/first-chart/files/crds/pipeline.yaml"),
];

/// Something that was accepted and may not be any longer.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Narrowing {
    path: String,
    change: String,
}

/// Why a change at these paths may be.
struct Exception {
    change: &'static str,
    paths: &'static [&'static str],
    reason: &'static str,
}

const EXCEPTIONS: &[Exception] = &[
    Exception {
        change: "rule: retention must be set when tier is 'Enterprise': that plan has none of its own",
        paths: &["AnalyticsTenant.spec"],
        reason: "The first chart has no tier.",
    },
    Exception {
        change: "rule: topic.name must not be set with source.kafka: the topic is the one that source.kafka.topic names",
        paths: &["Pipeline.spec"],
        reason: "The first chart has no topic.name.",
    },
    Exception {
        change: "rule: topic.name must not end with '.dlq': the dead-letter topic is called so",
        paths: &["Pipeline.spec.topic"],
        reason: "The first chart has no topic.name.",
    },
    Exception {
        change: "rule: topic.name cannot be changed, added or removed later: the records lie in the topic of that name; make another Pipeline",
        paths: &["Pipeline.spec.topic"],
        reason: "The first chart has no topic.name.",
    },
    Exception {
        change: "rule: consumer.replicas must not be greater than topic.partitions: a partition has one consumer, and further ones would idle",
        paths: &["Pipeline.spec"],
        reason: "The consumers above had nothing to do; docs/operations/upgrade.md finds them.",
    },
    Exception {
        change: "rule: limits.memory must be 0, which is no limit, or at least 32Mi",
        paths: &["Pipeline.spec.consumer.resources", "Pipeline.spec.ingester.resources"],
        reason: "A pod without an event had 12 MiB (docs/benchmarks.md): less leaves no room for a batch.",
    },
    Exception {
        change: "rule: requests.memory must not be greater than limits.memory",
        paths: &["Pipeline.spec.consumer.resources", "Pipeline.spec.ingester.resources"],
        reason: "Kubernetes refused the Deployment.",
    },
    Exception {
        change: "rule: requests.cpu must not be greater than limits.cpu",
        paths: &["Pipeline.spec.consumer.resources", "Pipeline.spec.ingester.resources"],
        reason: "Kubernetes refused the Deployment.",
    },
    Exception {
        change: "rule: a key of annotations must be a name of at most 63 letters, digits, '-', '_' and '.' that begins and ends with a letter or digit, or a DNS name of at most 253 characters, '/' and such a name",
        paths: &["Pipeline.spec.ingester.ingress.annotations", "Pipeline.spec.ingester.service.annotations"],
        reason: "Kubernetes refused the Service or the Ingress.",
    },
    Exception {
        change: "maxProperties",
        paths: &["Pipeline.spec.ingester.ingress.annotations", "Pipeline.spec.ingester.service.annotations"],
        reason: "It bounds the cost of the rule about keys.",
    },
    Exception {
        change: "maxLength",
        paths: &[
            "Pipeline.spec.ingester.ingress.annotations[]",
            "Pipeline.spec.ingester.service.annotations[]",
        ],
        reason: "Kubernetes takes 256 KiB of annotations in all, and what has no bound cannot have a rule.",
    },
    Exception {
        change: "pattern",
        paths: &[
            "Pipeline.spec.ingester.ingress.className",
            "Pipeline.spec.ingester.ingress.hostname",
            "Pipeline.spec.ingester.ingress.tlsSecretName",
        ],
        reason: "Kubernetes refused the Ingress.",
    },
    Exception {
        change: "format",
        paths: &[
            "AnalyticsTenant.status.conditions[].lastTransitionTime",
            "Pipeline.status.conditions[].lastTransitionTime",
        ],
        reason: "The operator alone writes it, and never wrote anything but a time.",
    },
    Exception {
        change: "maxLength",
        paths: &[
            "AnalyticsTenant.status.conditions[].lastTransitionTime",
            "Pipeline.status.conditions[].lastTransitionTime",
        ],
        reason: "The operator alone writes it, and a time has fewer characters.",
    },
    Exception {
        change: "maximum",
        paths: &[
            "AnalyticsTenant.status.conditions[].observedGeneration",
            "AnalyticsTenant.status.observedGeneration",
            "Pipeline.status.conditions[].observedGeneration",
            "Pipeline.status.observedGeneration",
        ],
        reason: "No resource is edited so often.",
    },
    Exception {
        change: "maximum",
        paths: &["Pipeline.status.deadLetterTopic.partitions", "Pipeline.status.topic.partitions"],
        reason: "The operator alone writes it, and no topic has so many.",
    },
];

#[test]
fn what_the_first_chart_accepts_is_accepted_but_for_the_exceptions() {
    let now = definitions().map(|definition| serde_json::to_value(definition).unwrap());
    let mut found = Vec::new();
    for then in FIRST_CHART {
        let then: Value = serde_saphyr::from_str(then).unwrap();
        let same = |now: &&Value| now["metadata"]["name"] == then["metadata"]["name"];
        collect_of_definition(&then, now.iter().find(same).unwrap_or(&Value::Null), &mut found);
    }
    assert_eq!(objections(&found, EXCEPTIONS), Vec::<String>::new());
}

/// What no exception allows, and the exceptions that allow nothing.
fn objections(found: &[Narrowing], exceptions: &[Exception]) -> Vec<String> {
    let excepted: Vec<Narrowing> = exceptions.iter().flat_map(Exception::narrowings).collect();
    let is_new = |narrowing: &&Narrowing| !excepted.contains(narrowing);
    let is_idle = |exception: &&Narrowing| !found.contains(exception);
    let unexplained = exceptions.iter().filter(|exception| exception.reason.is_empty());
    let new = found.iter().filter(is_new).map(|new| format!("{} is narrower: {}", new.path, new.change));
    new.chain(excepted.iter().filter(is_idle).map(|idle| format!("{}: nothing to except", idle.path)))
        .chain(unexplained.map(|exception| format!("{}: an exception without a reason", exception.change)))
        .collect()
}

impl Exception {
    fn narrowings(&self) -> impl Iterator<Item = Narrowing> {
        self.paths.iter().map(|path| Narrowing { path: (*path).to_owned(), change: self.change.to_owned() })
    }
}

fn collect_of_definition(then: &Value, now: &Value, found: &mut Vec<Narrowing>) {
    let kind = then["spec"]["names"]["kind"].as_str().unwrap();
    for version in elements(&then["spec"]["versions"]) {
        let same = |now: &&Value| now["name"] == version["name"] && now["served"] == json!(true);
        let now = elements(&now["spec"]["versions"]).iter().find(same).unwrap_or(&Value::Null);
        let [then, now] = [version, now].map(|version| &version["schema"]["openAPIV3Schema"]);
        collect(kind, then, now, found);
    }
}

/// Compares all that a schema of then has with the schema of now, whose further fields do not matter.
fn collect(path: &str, then: &Value, now: &Value, found: &mut Vec<Narrowing>) {
    if now.is_null() {
        found.push(Narrowing { path: path.to_owned(), change: "gone".to_owned() });
        return;
    }
    found.extend(changes(then, now).into_iter().map(|change| Narrowing { path: path.to_owned(), change }));
    for (name, property) in then["properties"].as_object().into_iter().flatten() {
        collect(&format!("{path}.{name}"), property, &now["properties"][name], found);
    }
    for below in ["items", "additionalProperties"].into_iter().filter(|below| then[below].is_object()) {
        collect(&format!("{path}[]"), &then[below], &now[below], found);
    }
}

/// What a schema refuses that it took before, apart from what is below it.
fn changes(then: &Value, now: &Value) -> Vec<String> {
    let lost_words = elements(&then["enum"])
        .iter()
        .filter(|word| now["enum"].is_array() && !elements(&now["enum"]).contains(word))
        .map(|word| format!("no word {word}"));
    let required = elements(&now["required"])
        .iter()
        .filter(|name| !elements(&then["required"]).contains(name))
        .filter(|name| now["properties"][name.as_str().unwrap()]["default"].is_null())
        .map(|name| format!("required {name}"));
    let rules = elements(&now["x-kubernetes-validations"])
        .iter()
        .filter(|new| {
            !elements(&then["x-kubernetes-validations"]).iter().any(|old| old["rule"] == new["rule"])
        })
        .map(|new| format!("rule: {}", new["message"].as_str().unwrap_or("without a message")));
    forms(then, now)
        .chain(bounds(then, now))
        .map(str::to_owned)
        .chain(lost_words)
        .chain(required)
        .chain(rules)
        .collect()
}

/// The forms that a value has to have now and had not then.
fn forms(then: &Value, now: &Value) -> impl Iterator<Item = &'static str> {
    let is_new = move |key: &&str| !now[key].is_null() && now[key] != then[key];
    let type_changed = (then["type"] != now["type"]).then_some("type");
    let null = (then["nullable"] == json!(true) && now["nullable"] != json!(true)).then_some("no null");
    let words = (then["enum"].is_null() && !now["enum"].is_null()).then_some("enum");
    let forms = ["pattern", "format", "x-kubernetes-list-type", "x-kubernetes-list-map-keys"];
    type_changed.into_iter().chain(null).chain(words).chain(forms.into_iter().filter(is_new))
}

/// The bounds that are narrower now, or are only there now.
fn bounds(then: &Value, now: &Value) -> impl Iterator<Item = &'static str> {
    let lower = ["minimum", "minLength", "minItems", "minProperties"].into_iter().filter(move |bound| {
        let [then, now] = [then, now].map(|schema| schema[bound].as_f64().unwrap_or(f64::NEG_INFINITY));
        now > then
    });
    let upper = ["maximum", "maxLength", "maxItems", "maxProperties"].into_iter().filter(move |bound| {
        let [then, now] = [then, now].map(|schema| schema[bound].as_f64().unwrap_or(f64::INFINITY));
        now < then
    });
    lower.chain(upper)
}

fn elements(list: &Value) -> &[Value] {
    list.as_array().map_or(&[], Vec::as_slice)
}

/// Compares two synthetic schemas in both directions: what narrows one way, widens the other.
#[track_caller]
fn check(wide: &Value, narrow: &Value, expected: &[(&str, &str)]) {
    let narrowing =
        |(path, change): &(&str, &str)| Narrowing { path: (*path).to_owned(), change: (*change).to_owned() };
    let mut found = Vec::new();
    collect("spec", wide, narrow, &mut found);
    assert_eq!(found, expected.iter().map(narrowing).collect::<Vec<_>>(), "from {wide} to {narrow}");
    found.clear();
    collect("spec", narrow, wide, &mut found);
    assert_eq!(found, [], "from {narrow} to {wide}");
}

fn object(properties: &Value) -> Value {
    json!({"type": "object", "properties": properties})
}

#[test]
fn a_field_must_not_go() {
    let text = json!({"type": "string"});
    check(&object(&json!({"a": text})), &object(&json!({})), &[("spec.a", "gone")]);
    let deep = |properties: Value| object(&json!({"list": {"type": "array", "items": object(&properties)}}));
    check(&deep(json!({"a": text})), &deep(json!({})), &[("spec.list[].a", "gone")]);
    let map = json!({"type": "object", "additionalProperties": text});
    check(&map, &json!({"type": "object"}), &[("spec[]", "gone")]);
}

#[test]
fn a_definition_or_a_version_must_not_go() {
    let definition = |served: bool| {
        let version =
            json!({"name": "v1", "served": served, "schema": {"openAPIV3Schema": object(&json!({}))}});
        json!({"spec": {"names": {"kind": "Pipeline"}, "versions": [version]}})
    };
    let gone = Narrowing { path: "Pipeline".to_owned(), change: "gone".to_owned() };
    for (now, expected) in
        [(definition(true), vec![]), (definition(false), vec![gone.clone()]), (Value::Null, vec![gone])]
    {
        let mut found = Vec::new();
        collect_of_definition(&definition(true), &now, &mut found);
        assert_eq!(found, expected, "{now}");
    }
}

#[test]
fn a_type_must_not_change() {
    let mut found = Vec::new();
    collect("spec", &json!({"type": "integer"}), &json!({"type": "string"}), &mut found);
    assert_eq!(found, [Narrowing { path: "spec".to_owned(), change: "type".to_owned() }]);
    let text = json!({"type": "string", "nullable": true});
    check(&text, &json!({"type": "string"}), &[("spec", "no null")]);
}

#[test]
fn a_word_must_not_go() {
    let words = |words: &[&str]| json!({"type": "string", "enum": words});
    check(&words(&["A", "B"]), &words(&["B"]), &[("spec", "no word \"A\"")]);
    check(&json!({"type": "string"}), &words(&["A"]), &[("spec", "enum")]);
}

#[test]
fn nothing_may_be_required_that_was_not_unless_it_has_a_default() {
    let with = |field: Value, required: &[&str]| json!({"type": "object", "properties": {"a": field}, "required": required});
    let plain = json!({"type": "string"});
    check(&with(plain.clone(), &[]), &with(plain.clone(), &["a"]), &[("spec", "required \"a\"")]);
    let defaulted = json!({"type": "string", "default": "b"});
    check(&with(defaulted.clone(), &[]), &with(defaulted, &["a"]), &[]);
}

#[test]
fn no_bound_may_be_narrower() {
    let lower = ["minimum", "minLength", "minItems", "minProperties"].map(|bound| (bound, 1, 2));
    let upper = ["maximum", "maxLength", "maxItems", "maxProperties"].map(|bound| (bound, 2, 1));
    for (bound, wide, narrow) in lower.into_iter().chain(upper) {
        check(&json!({bound: wide}), &json!({bound: narrow}), &[("spec", bound)]);
        check(&json!({}), &json!({bound: wide}), &[("spec", bound)]);
    }
}

#[test]
fn a_new_form_or_rule_is_narrower() {
    for form in ["pattern", "format", "x-kubernetes-list-type"] {
        check(&json!({}), &json!({form: "a"}), &[("spec", form)]);
    }
    let mut found = Vec::new();
    collect("spec", &json!({"pattern": "a"}), &json!({"pattern": "b"}), &mut found);
    assert_eq!(found, [Narrowing { path: "spec".to_owned(), change: "pattern".to_owned() }]);
    let ruled = |rules: Value| json!({"x-kubernetes-validations": rules});
    let [old, new] = ["a", "b"].map(|rule| json!({"rule": rule, "message": format!("must be {rule}")}));
    check(&ruled(json!([old])), &ruled(json!([old, new])), &[("spec", "rule: must be b")]);
    let reworded = json!({"rule": "a", "message": "has to be a"});
    check(&ruled(json!([old])), &ruled(json!([reworded])), &[]);
}

#[test]
fn an_exception_allows_its_paths_alone_and_has_to_be_needed() {
    let found =
        ["spec.a", "spec.b"].map(|path| Narrowing { path: path.to_owned(), change: "pattern".to_owned() });
    let of = |change, paths, reason| [Exception { change, paths, reason }];
    assert_eq!(objections(&found, &of("pattern", &["spec.a", "spec.b"], "Why.")), Vec::<String>::new());
    assert_eq!(objections(&found, &of("pattern", &["spec.a"], "Why.")), ["spec.b is narrower: pattern"]);
    assert_eq!(
        objections(&found[..1], &of("pattern", &["spec.a", "spec.b"], "Why.")),
        ["spec.b: nothing to except"]
    );
    assert_eq!(objections(&found[..1], &of("format", &["spec.a"], "Why.")).len(), 2);
    assert_eq!(
        objections(&found[..1], &of("pattern", &["spec.a"], "")),
        ["pattern: an exception without a reason"]
    );
}
