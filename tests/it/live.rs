//! The tests on real Kafka, ClickHouse and Kubernetes.

mod argocd;
mod audit;
mod bad_input;
mod broken_watches;
mod chart;
mod definitions;
mod drain;
mod examples;
mod faults;
mod foreign_topic;
mod keys;
mod kstatus;
mod leadership;
mod manifest;
mod network_policies;
mod operator_start;
mod poison;
mod private_cluster;
mod readme;
mod rendered;
mod roles;
mod rows;
mod rules;
mod secured_kafka;
mod tables;
mod walking_line;
