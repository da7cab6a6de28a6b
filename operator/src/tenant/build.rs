//! The build step of the AnalyticsTenant controller. Pure: randomness is a parameter.

pub(crate) mod api_keys;
pub(crate) mod database;
pub(crate) mod default_pipeline;

use schema::api_key::ENTROPY_BYTES;

use super::{fetch::Fetched, validate::ValidatedTenant};
use crate::tables::TablesError;

/// What has to be there.
#[derive(Debug)]
pub(crate) struct Desired {
    pub(crate) keys: api_keys::ApiKeys,
    pub(crate) database: Result<database::Plan, TablesError>,
    pub(crate) pipeline: default_pipeline::Plan,
}

pub(crate) fn build(
    tenant: &ValidatedTenant,
    fetched: Fetched,
    entropy: impl FnMut() -> [u8; ENTROPY_BYTES],
) -> Desired {
    Desired {
        keys: api_keys::api_keys(tenant, fetched.keys.as_ref(), entropy),
        database: fetched.database.map(|found| database::plan(tenant, found)),
        pipeline: default_pipeline::plan(tenant, fetched.pipeline),
    }
}
