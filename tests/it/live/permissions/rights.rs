//! Rights as Kubernetes' roles give them, one by one.

use std::collections::BTreeSet;
use std::fmt;

use k8s_openapi::api::rbac::v1::PolicyRule;
use serde_json::Value;

/// One verb on one kind of object, or on a part of it such as `pipelines/status`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Right {
    pub(super) group: String,
    pub(super) resource: String,
    pub(super) verb: String,
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb, self.resource)
    }
}

impl Right {
    /// Whether the operator asks for it as soon as it starts, tenants or none.
    pub(super) fn is_of_a_watch(&self) -> bool {
        ["list", "watch"].contains(&self.verb.as_str())
    }

    /// Whether a request of the audit log was refused for want of it. Of a refused server-side apply the message
    /// says whether it would have made the object or changed it; of a refused list of metadata there is no message.
    pub(super) fn is_missed(&self, entry: &Value) -> bool {
        let said = entry["responseStatus"]["message"].as_str().unwrap_or_default();
        let named =
            format!("cannot {} resource \"{}\" in API group \"{}\"", self.verb, self.resource, self.group);
        is_refused(entry) && (said.contains(&named) || said.is_empty() && used(entry).contains(self))
    }
}

pub(super) fn is_refused(entry: &Value) -> bool {
    entry["responseStatus"]["code"] == 403
}

/// Every right of these rules.
pub(super) fn granted(rules: &[PolicyRule]) -> BTreeSet<Right> {
    let of_rule = |rule: &PolicyRule| {
        let (groups, resources) =
            (rule.api_groups.clone().unwrap_or_default(), rule.resources.clone().unwrap_or_default());
        let mut rights = Vec::new();
        for group in &groups {
            for resource in &resources {
                rights.extend(rule.verbs.iter().map(|verb| Right {
                    group: group.clone(),
                    resource: resource.clone(),
                    verb: verb.clone(),
                }));
            }
        }
        rights
    };
    rules.iter().flat_map(of_rule).collect()
}

/// The rules without one right.
pub(super) fn without(rules: &[PolicyRule], taken: &Right) -> Vec<PolicyRule> {
    let mut left = Vec::new();
    for rule in rules {
        for resource in rule.resources.iter().flatten() {
            let is_meant = *resource == taken.resource
                && rule.api_groups.iter().flatten().any(|group| *group == taken.group);
            let verbs: Vec<String> =
                rule.verbs.iter().filter(|verb| !(is_meant && **verb == taken.verb)).cloned().collect();
            if !verbs.is_empty() {
                left.push(PolicyRule { resources: Some(vec![resource.clone()]), verbs, ..rule.clone() });
            }
        }
    }
    left
}

/// The rights that a request of the audit log needed. Server-side apply of what is not there yet makes it, which the
/// log calls a patch.
pub(super) fn used(entry: &Value) -> Vec<Right> {
    let object = &entry["objectRef"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let resource = match object["subresource"].as_str() {
        Some(part) => format!("{}/{part}", text(&object["resource"])),
        None => text(&object["resource"]),
    };
    let right = |verb: &str| Right {
        group: text(&object["apiGroup"]),
        resource: resource.clone(),
        verb: verb.to_owned(),
    };
    let verb = text(&entry["verb"]);
    let made = verb == "patch" && entry["responseStatus"]["code"] == 201;
    [right(&verb)].into_iter().chain(made.then(|| right("create"))).collect()
}
