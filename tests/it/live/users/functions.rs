//! The table functions of the engine: those that reach nothing, and how it refuses the others to tenants' users.

use super::ACCESS_DENIED;

/// They read what the query itself has, or nothing.
pub(super) const HARMLESS: [&str; 16] = [
    "SQLStandardValues",
    "format",
    "fuzzJSON",
    "fuzzQuery",
    "generateRandom",
    "generateSeries",
    "generate_series",
    "input",
    "null",
    "numbers",
    "numbers_mt",
    "primes",
    "values",
    "viewIfPermitted",
    "zeros",
    "zeros_mt",
];

/// The engine of the local stack has no cluster, so none is reached through one.
const NO_SUCH_CLUSTER: u32 = 701;
/// The tables of a tenant have no time series.
const NOT_A_TIME_SERIES: u32 = 727;
const SWITCHED_OFF: u32 = 344;
const NO_TABLE_OF_THE_NAME: u32 = 636;
const UNKNOWN_TABLE: u32 = 60;
const NO_SUCH_PROJECTION: u32 = 582;
const NO_SUCH_INDEX: u32 = 36;

/// A call of a table function that a tenant's user may not make, and the code with which it is refused.
pub(super) fn refused(function: &str) -> Option<(&'static str, u32)> {
    CALLS.iter().find(|(name, _, _)| *name == function).map(|(_, call, code)| (*call, *code))
}

const CALLS: [(&str, &str, u32); 73] = [
    (
        "azureBlobStorage",
        "azureBlobStorage('http://127.0.0.1:1/acc','c','x','acc','a2V5','CSV','none','a String')",
        ACCESS_DENIED,
    ),
    (
        "azureBlobStorageCluster",
        "azureBlobStorageCluster('default','http://127.0.0.1:1/acc','c','x','acc','a2V5','CSV','none','a String')",
        NO_SUCH_CLUSTER,
    ),
    ("cluster", "cluster('default','t_team_other','events')", NO_SUCH_CLUSTER),
    ("clusterAllReplicas", "clusterAllReplicas('default','t_team_other','events')", NO_SUCH_CLUSTER),
    ("cosn", "cosn('http://127.0.0.1:1/bucket/x','CSV','a String')", ACCESS_DENIED),
    ("deltaLake", "deltaLake('http://127.0.0.1:1/bucket/x','CSV','a String')", ACCESS_DENIED),
    ("deltaLakeAzure", "deltaLakeAzure('http://127.0.0.1:1/acc','c','x','acc','a2V5')", ACCESS_DENIED),
    (
        "deltaLakeAzureCluster",
        "deltaLakeAzureCluster('default','http://127.0.0.1:1/acc','c','x','acc','a2V5')",
        NO_SUCH_CLUSTER,
    ),
    (
        "deltaLakeCluster",
        "deltaLakeCluster('default','http://127.0.0.1:1/bucket/x','CSV','a String')",
        NO_SUCH_CLUSTER,
    ),
    ("deltaLakeLocal", "deltaLakeLocal('/etc/x','Parquet','a String')", ACCESS_DENIED),
    ("deltaLakeS3", "deltaLakeS3('http://127.0.0.1:1/bucket/x','CSV','a String')", ACCESS_DENIED),
    (
        "deltaLakeS3Cluster",
        "deltaLakeS3Cluster('default','http://127.0.0.1:1/bucket/x','CSV','a String')",
        NO_SUCH_CLUSTER,
    ),
    ("dictionary", "dictionary('t_team_other.d')", ACCESS_DENIED),
    ("eval", "eval('SELECT 1 FROM t_team_other.events')", SWITCHED_OFF),
    ("executable", "executable('x.sh','CSV','a String')", ACCESS_DENIED),
    ("file", "file('/etc/passwd','CSV','a String')", ACCESS_DENIED),
    ("fileCluster", "fileCluster('default','/etc/passwd','CSV','a String')", NO_SUCH_CLUSTER),
    ("filesystem", "filesystem('/etc')", ACCESS_DENIED),
    ("gcs", "gcs('http://127.0.0.1:1/bucket/x','CSV','a String')", ACCESS_DENIED),
    ("hdfs", "hdfs('hdfs://127.0.0.1:1/x','CSV','a String')", ACCESS_DENIED),
    ("hdfsCluster", "hdfsCluster('default','hdfs://127.0.0.1:1/x','CSV','a String')", NO_SUCH_CLUSTER),
    ("hudi", "hudi('http://127.0.0.1:1/bucket/x','CSV','a String')", ACCESS_DENIED),
    ("hudiCluster", "hudiCluster('default','http://127.0.0.1:1/bucket/x','CSV','a String')", NO_SUCH_CLUSTER),
    ("iceberg", "iceberg('http://127.0.0.1:1/bucket/x','CSV','a String')", ACCESS_DENIED),
    ("icebergAzure", "icebergAzure('http://127.0.0.1:1/acc','c','x','acc','a2V5')", ACCESS_DENIED),
    (
        "icebergAzureCluster",
        "icebergAzureCluster('default','http://127.0.0.1:1/acc','c','x','acc','a2V5')",
        NO_SUCH_CLUSTER,
    ),
    (
        "icebergCluster",
        "icebergCluster('default','http://127.0.0.1:1/bucket/x','CSV','a String')",
        NO_SUCH_CLUSTER,
    ),
    ("icebergHDFS", "icebergHDFS('hdfs://127.0.0.1:1/x','CSV','a String')", ACCESS_DENIED),
    (
        "icebergHDFSCluster",
        "icebergHDFSCluster('default','hdfs://127.0.0.1:1/x','CSV','a String')",
        NO_SUCH_CLUSTER,
    ),
    ("icebergLocal", "icebergLocal('/etc/x','Parquet','a String')", ACCESS_DENIED),
    ("icebergLocalCluster", "icebergLocalCluster('default','/etc/x','Parquet','a String')", NO_SUCH_CLUSTER),
    ("icebergS3", "icebergS3('http://127.0.0.1:1/bucket/x','CSV','a String')", ACCESS_DENIED),
    (
        "icebergS3Cluster",
        "icebergS3Cluster('default','http://127.0.0.1:1/bucket/x','CSV','a String')",
        NO_SUCH_CLUSTER,
    ),
    ("jdbc", "jdbc('x','y','z')", ACCESS_DENIED),
    ("loop", "loop('t_team_other','events')", ACCESS_DENIED),
    ("merge", "merge('t_team_other','events')", NO_TABLE_OF_THE_NAME),
    ("mergeTreeAnalyzeIndexes", "mergeTreeAnalyzeIndexes('t_team_other','events_raw')", ACCESS_DENIED),
    (
        "mergeTreeAnalyzeIndexesUUID",
        "mergeTreeAnalyzeIndexesUUID('00000000-0000-0000-0000-000000000001')",
        UNKNOWN_TABLE,
    ),
    ("mergeTreeIndex", "mergeTreeIndex('t_team_other','events_raw')", ACCESS_DENIED),
    ("mergeTreeProjection", "mergeTreeProjection('t_team_other','events_raw','p')", NO_SUCH_PROJECTION),
    ("mergeTreeTextIndex", "mergeTreeTextIndex('t_team_other','events_raw','i')", NO_SUCH_INDEX),
    ("mongodb", "mongodb('127.0.0.1:1','d','c','u','p','a String')", ACCESS_DENIED),
    ("mysql", "mysql('127.0.0.1:1','d','t','u','p')", ACCESS_DENIED),
    ("odbc", "odbc('x','y','z')", ACCESS_DENIED),
    ("oss", "oss('http://127.0.0.1:1/bucket/x','CSV','a String')", ACCESS_DENIED),
    ("paimon", "paimon('http://127.0.0.1:1/bucket/x','CSV','a String')", ACCESS_DENIED),
    ("paimonAzure", "paimonAzure('http://127.0.0.1:1/acc','c','x','acc','a2V5')", ACCESS_DENIED),
    (
        "paimonAzureCluster",
        "paimonAzureCluster('default','http://127.0.0.1:1/acc','c','x','acc','a2V5')",
        NO_SUCH_CLUSTER,
    ),
    (
        "paimonCluster",
        "paimonCluster('default','http://127.0.0.1:1/bucket/x','CSV','a String')",
        NO_SUCH_CLUSTER,
    ),
    ("paimonHDFS", "paimonHDFS('hdfs://127.0.0.1:1/x','CSV','a String')", ACCESS_DENIED),
    (
        "paimonHDFSCluster",
        "paimonHDFSCluster('default','hdfs://127.0.0.1:1/x','CSV','a String')",
        NO_SUCH_CLUSTER,
    ),
    ("paimonLocal", "paimonLocal('/etc/x')", ACCESS_DENIED),
    ("paimonS3", "paimonS3('http://127.0.0.1:1/bucket/x','CSV','a String')", ACCESS_DENIED),
    (
        "paimonS3Cluster",
        "paimonS3Cluster('default','http://127.0.0.1:1/bucket/x','CSV','a String')",
        NO_SUCH_CLUSTER,
    ),
    ("postgresql", "postgresql('127.0.0.1:1','d','t','u','p')", ACCESS_DENIED),
    ("prometheusQuery", "prometheusQuery('t_team_other','events','up',now())", NOT_A_TIME_SERIES),
    (
        "prometheusQueryRange",
        "prometheusQueryRange('t_team_other','events','up',now(),now(),1)",
        NOT_A_TIME_SERIES,
    ),
    ("redis", "redis('127.0.0.1:1','k','k String, v String')", ACCESS_DENIED),
    ("remote", "remote('127.0.0.1:1','t_team_other','events')", ACCESS_DENIED),
    ("remoteSecure", "remoteSecure('127.0.0.1:1','t_team_other','events')", ACCESS_DENIED),
    ("s3", "s3('http://127.0.0.1:1/bucket/x','CSV','a String')", ACCESS_DENIED),
    ("s3Cluster", "s3Cluster('default','http://127.0.0.1:1/bucket/x','CSV','a String')", NO_SUCH_CLUSTER),
    ("sqlite", "sqlite('/etc/x','t')", ACCESS_DENIED),
    ("timeSeriesData", "timeSeriesData('t_team_other','events')", NOT_A_TIME_SERIES),
    ("timeSeriesMetrics", "timeSeriesMetrics('t_team_other','events')", NOT_A_TIME_SERIES),
    ("timeSeriesSamples", "timeSeriesSamples('t_team_other','events')", NOT_A_TIME_SERIES),
    ("timeSeriesSelector", "timeSeriesSelector('t_team_other','events','up',now(),now())", NOT_A_TIME_SERIES),
    ("timeSeriesTags", "timeSeriesTags('t_team_other','events')", NOT_A_TIME_SERIES),
    ("url", "url('http://127.0.0.1:1/','CSV','a String')", ACCESS_DENIED),
    ("urlCluster", "urlCluster('default','http://127.0.0.1:1/','CSV','a String')", NO_SUCH_CLUSTER),
    ("view", "view(SELECT 1 FROM t_team_other.events)", ACCESS_DENIED),
    ("viewExplain", "viewExplain('EXPLAIN','',(SELECT 1 FROM t_team_other.events))", ACCESS_DENIED),
    ("ytsaurus", "ytsaurus('http://127.0.0.1:1','//x','t','a String')", ACCESS_DENIED),
];
