//! Labels, annotations and finalizers of ours, and the labels of what the operator makes.

use std::collections::BTreeMap;

/// Holds a resource until its topics and database were dealt with.
pub(crate) const FINALIZER: &str = "analytics.millrace.dev/cleanup";
/// The AnalyticsTenant that an object serves.
pub(crate) const TENANT: &str = "analytics.millrace.dev/tenant";
/// The Pipeline that an object serves.
pub(crate) const PIPELINE: &str = "analytics.millrace.dev/pipeline";
/// `true` on a Secret of somebody's own says that tenants may take keys from it.
pub(crate) const API_KEY: &str = "analytics.millrace.dev/api-key";
/// Selects the Secrets that tenants may take keys from.
pub(crate) const BROUGHT_KEYS: &str = "analytics.millrace.dev/api-key=true";
/// On a pod: the salted hash of its settings without keys, so that a change of anything else rolls the pods.
pub(crate) const SETTINGS_HASH: &str = "analytics.millrace.dev/settings-hash";
/// `true` on a resource that is being deleted lets it go although Kafka or ClickHouse cannot be reached.
pub(crate) const ABANDON_EXTERNAL: &str = "analytics.millrace.dev/abandon-external";
/// The hours from which and to which the retention of a resource's data may be shortened once, which deletes data.
pub(crate) const ALLOW_RETENTION_HOURS: &str = "analytics.millrace.dev/allow-retention-hours";
/// The id of a lost database: the tenant goes on with a new one, or with the one that bears the name by now.
pub(crate) const RECREATE_DATABASE: &str = "analytics.millrace.dev/recreate-database";
/// Any text that was not used yet: the passwords of the tenant's users in ClickHouse are replaced.
pub(crate) const ROTATE_CREDENTIALS: &str = "analytics.millrace.dev/rotate-credentials";
/// On the Secret of a user in ClickHouse: the text for which its password was replaced last.
pub(crate) const ROTATED_FOR: &str = "analytics.millrace.dev/rotated-for";
/// Selects what the operator made; watches are narrowed to it.
pub(crate) const OURS: &str = "app.kubernetes.io/managed-by=millrace-operator";

const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
const NAME: &str = "app.kubernetes.io/name";
const INSTANCE: &str = "app.kubernetes.io/instance";
const OPERATOR: &str = "millrace-operator";

/// What an object of a Pipeline is part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Component {
    Ingester,
    Consumer,
    Settings,
}

impl Component {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Ingester => "ingester",
            Self::Consumer => "consumer",
            Self::Settings => "settings",
        }
    }
}

/// The labels of an object that belongs to a tenant.
pub(crate) fn of_tenant(tenant: &str) -> BTreeMap<String, String> {
    owned([
        (NAME, "millrace-tenant"),
        (INSTANCE, tenant),
        ("app.kubernetes.io/part-of", "millrace"),
        (MANAGED_BY, OPERATOR),
        (TENANT, tenant),
    ])
}

/// The labels of an object that belongs to a Pipeline. No version among them: it would roll pods for nothing.
pub(crate) fn of_pipeline(tenant: &str, pipeline: &str, component: Component) -> BTreeMap<String, String> {
    let mut labels = selector(pipeline, component);
    labels.extend(owned([
        ("app.kubernetes.io/component", component.as_str()),
        ("app.kubernetes.io/part-of", "millrace"),
        (MANAGED_BY, OPERATOR),
        (TENANT, tenant),
        (PIPELINE, pipeline),
    ]));
    labels
}

/// The labels that select the pods of a Pipeline. A Deployment's selector cannot be changed, so they never are.
pub(crate) fn selector(pipeline: &str, component: Component) -> BTreeMap<String, String> {
    let name = match component {
        Component::Ingester => "millrace-ingester",
        Component::Consumer => "millrace-consumer",
        Component::Settings => "millrace-settings",
    };
    owned([(NAME, name), (INSTANCE, pipeline)])
}

/// Whether the labels say that the operator made the object.
pub(crate) fn are_ours(labels: Option<&BTreeMap<String, String>>) -> bool {
    labels.and_then(|labels| labels.get(MANAGED_BY)).is_some_and(|by| by == OPERATOR)
}

fn owned<const N: usize>(labels: [(&str, &str); N]) -> BTreeMap<String, String> {
    labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selector_is_part_of_the_labels() {
        let labels = of_pipeline("acme", "web", Component::Ingester);
        assert!(
            selector("web", Component::Ingester).iter().all(|(key, value)| labels.get(key) == Some(value))
        );
    }

    #[test]
    fn what_the_operator_made_is_told_by_its_labels() {
        assert!(are_ours(Some(&of_tenant("acme"))));
        assert!(are_ours(Some(&of_pipeline("acme", "web", Component::Settings))));
        assert!(!are_ours(Some(&selector("web", Component::Ingester))));
        assert!(!are_ours(None));
    }

    #[test]
    fn the_watched_selector_matches_the_labels() {
        assert_eq!(BROUGHT_KEYS.split_once('='), Some((API_KEY, "true")));
        let (key, value) = OURS.split_once('=').unwrap();
        assert_eq!(of_tenant("acme").get(key).map(String::as_str), Some(value));
    }
}
