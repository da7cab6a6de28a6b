//! What the live tests share: the parts they talk to, ways to break them, and a ledger of what was sent.
//!
//! ```text
//! test -> Ingester, Consumer, Operator (processes of ours)  -> real Kafka, ClickHouse, Kubernetes
//!   |---> PrivateCluster (a real API server), StandIn (calls Deployments available, for want of nodes)
//!   |---> installed (the chart on a PrivateCluster, and the rights of its operator)
//!   |---> ControlPlane (an operator on a PrivateCluster, Kafka and ClickHouse), Recording (a watch), kstatus
//!   \---> Ledger <- Reader (plain HTTP, shares no code with the consumer)
//! ```
//!
//! Invariants:
//! - Everything waits with a deadline, and what it waited for is in the error.
//! - Names are unique per test, so that tests on the shared stack run beside each other.
//! - A test that breaks Kafka or ClickHouse starts private ones; the shared ones stay whole for its neighbours.
//! - A test with an operator of its own that needs no pods starts a private API server; the shared operator stays.
//!
//! It decides nothing about Millrace: what is expected stands in the tests.

pub mod chart;
pub mod clickhouse;
pub mod control_plane;
pub mod disturbance;
pub mod http;
pub mod installed;
pub mod kafka;
pub mod kstatus;
pub mod kubernetes;
pub mod ledger;
pub mod line;
pub mod load;
pub mod names;
pub mod operator;
pub mod private;
pub mod private_cluster;
pub mod process;
pub mod proxy;
pub mod recording;
pub mod shared;
pub mod stand_in;
pub mod wait;
