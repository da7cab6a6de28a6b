//! As whom a Pipeline's consumer comes to ClickHouse. Pure.

use crds::AnalyticsTenant;
use k8s_openapi::api::core::v1::Secret as SecretObject;
use kube::ResourceExt as _;
use schema::{access::PasswordHash, names::DatabaseName, secret::Secret, settings::ClickHouseSettings};

use super::{super::fetch::Fetched, not_ready};
use crate::{
    installation::{AccessManagement, Installation},
    kubernetes::is_controlled_by,
    progress::Waiting,
    tenant::credentials::{PASSWORD, USERNAME},
};

/// As whom a consumer comes to ClickHouse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Access {
    pub(crate) settings: ClickHouseSettings,
    /// Which password of the tenant's writer this is; none with the installation's credential.
    pub(crate) fingerprint: Option<String>,
}

/// The installation's user, or the tenant's writer as its Secret has it.
pub(super) fn of(
    installation: &Installation,
    tenant: &AnalyticsTenant,
    database: &DatabaseName,
    fetched: &Fetched,
) -> Result<Access, Waiting> {
    let clickhouse = &installation.clickhouse;
    match clickhouse.management {
        AccessManagement::Shared => Ok(Access { settings: clickhouse.shared(database), fingerprint: None }),
        AccessManagement::Sql(_) => {
            let (user, password) = writer(tenant, fetched)
                .ok_or_else(|| not_ready(tenant, "has no Secret with its user in ClickHouse yet"))?;
            let fingerprint = Some(PasswordHash::of(&password).fingerprint());
            Ok(Access { settings: clickhouse.of_user(user, password, database), fingerprint })
        }
    }
}

/// The writer and its password, once ClickHouse takes them: until then the Secret has no name of a user.
fn writer(tenant: &AnalyticsTenant, fetched: &Fetched) -> Option<(String, Secret)> {
    let is_the_tenants =
        |secret: &&SecretObject| is_controlled_by(&secret.metadata, &tenant.uid().unwrap_or_default());
    let secret = fetched.writer.as_ref().filter(is_the_tenants)?;
    let entry = |name: &str| {
        let bytes = &secret.data.as_ref()?.get(name)?.0;
        String::from_utf8(bytes.clone()).ok().filter(|text| !text.is_empty())
    };
    Some((entry(USERNAME)?, Secret::new(entry(PASSWORD)?)))
}
