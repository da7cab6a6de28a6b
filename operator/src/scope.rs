//! Where the operator works: in the whole cluster, or in the namespaces that it was given and nowhere else.

use std::{collections::BTreeSet, fmt};

use kube::{Api, Client, Resource, core::NamespaceResourceScope};

/// Each namespace costs a watch per kind. Whoever serves more of them watches the cluster.
const MAX_NAMESPACES: usize = 64;

/// Where the operator works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Scope {
    Cluster,
    /// These alone. They need not exist.
    Namespaces(BTreeSet<String>),
}

/// What one watch is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    Cluster,
    Namespace(String),
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    #[error(
        "failed to take {count} namespaces: {MAX_NAMESPACES} are watched at most, and without any the cluster"
    )]
    TooMany { count: usize },
}

impl Scope {
    /// These namespaces, or the cluster if there are none.
    pub(crate) fn of(namespaces: &[String]) -> Result<Self, Error> {
        let namespaces: BTreeSet<String> = namespaces.iter().cloned().collect();
        match namespaces.len() {
            0 => Ok(Self::Cluster),
            1..=MAX_NAMESPACES => Ok(Self::Namespaces(namespaces)),
            count => Err(Error::TooMany { count }),
        }
    }

    /// What has to be watched. There is at least one.
    pub(crate) fn places(&self) -> Vec<Place> {
        match self {
            Self::Cluster => vec![Place::Cluster],
            Self::Namespaces(namespaces) => namespaces.iter().cloned().map(Place::Namespace).collect(),
        }
    }
}

impl Place {
    pub(crate) fn api<K>(&self, client: Client) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        match self {
            Self::Cluster => Api::all(client),
            Self::Namespace(name) => Api::namespaced(client, name),
        }
    }

    /// Whether what lies in a namespace is part of it.
    pub(crate) fn holds(&self, namespace: Option<&str>) -> bool {
        match self {
            Self::Cluster => true,
            Self::Namespace(name) => namespace == Some(name),
        }
    }

    /// The name of the namespace, if it is one.
    pub(crate) fn namespace(&self) -> Option<&str> {
        match self {
            Self::Cluster => None,
            Self::Namespace(name) => Some(name),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cluster => f.write_str("the cluster"),
            Self::Namespace(name) => write!(f, "namespace `{name}`"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|number| format!("team-{number}")).collect()
    }

    #[test]
    fn no_namespace_means_the_cluster_and_each_counts_once() {
        assert_eq!(Scope::of(&[]).unwrap().places(), [Place::Cluster]);
        let twice = ["b".to_owned(), "a".to_owned(), "b".to_owned()];
        let once = [Place::Namespace("a".to_owned()), Place::Namespace("b".to_owned())];
        assert_eq!(Scope::of(&twice).unwrap().places(), once);
    }

    #[test]
    fn more_namespaces_than_can_be_watched_are_refused() {
        assert_eq!(Scope::of(&names(MAX_NAMESPACES)).unwrap().places().len(), MAX_NAMESPACES);
        assert_eq!(Scope::of(&names(MAX_NAMESPACES + 1)), Err(Error::TooMany { count: MAX_NAMESPACES + 1 }));
    }

    #[test]
    fn a_namespace_holds_what_lies_in_it() {
        let place = Place::Namespace("team".to_owned());
        assert!(place.holds(Some("team")) && !place.holds(Some("far")) && !place.holds(None));
        assert!(Place::Cluster.holds(Some("far")));
    }
}
