//! The build step of the AnalyticsTenant controller. Pure: time and randomness are parameters.

pub(crate) mod api_keys;
pub(crate) mod brought_keys;
pub(crate) mod credentials;
pub(crate) mod database;
pub(crate) mod default_pipeline;

use crds::Pipeline;

use super::validate::ValidatedTenant;
use crate::{
    kubernetes,
    tables::{Database, TablesError},
};

/// What has to be there besides the keys, which do not wait for ClickHouse.
#[derive(Debug)]
pub(crate) struct Desired {
    pub(crate) database: Result<database::Plan, TablesError>,
    pub(crate) pipeline: Result<default_pipeline::Plan, kubernetes::Error>,
}

pub(crate) fn build(
    tenant: &ValidatedTenant,
    database: Result<Option<Database>, TablesError>,
    pipeline: Result<Option<Pipeline>, kubernetes::Error>,
) -> Desired {
    Desired {
        database: database.map(|found| database::plan(tenant, found)),
        pipeline: pipeline.map(|found| default_pipeline::plan(tenant, found)),
    }
}
