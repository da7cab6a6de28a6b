use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time as KubernetesTime;

use super::*;

fn pipeline() -> Pipeline {
    let manifest = "{apiVersion: analytics.millrace.dev/v1alpha1, kind: Pipeline, \
                    metadata: {name: web, namespace: team}, spec: {tenantRef: {name: acme}}}";
    serde_saphyr::from_str(manifest).unwrap()
}

fn tenant() -> AnalyticsTenant {
    let manifest = "{apiVersion: analytics.millrace.dev/v1alpha1, kind: AnalyticsTenant, \
                    metadata: {name: acme, namespace: team}, spec: {}}";
    serde_saphyr::from_str(manifest).unwrap()
}

#[test]
fn pods_are_not_waited_for_for_ever() {
    let pods = |deleted: Option<&str>, replicas: i32| {
        let mut deployment = Deployment::default();
        deployment.metadata.deletion_timestamp = deleted.map(|text| KubernetesTime(text.parse().unwrap()));
        deployment.spec.get_or_insert_default().replicas = Some(replicas);
        pods_of(&deployment, "2026-01-01T01:00:00Z".parse().unwrap())
    };
    assert_eq!((pods(None, 1), pods(None, 0)), (Pods::Running, Pods::Idle));
    assert_eq!(pods(Some("2026-01-01T00:58:00Z"), 1), Pods::Stopping);
    assert_eq!(pods(Some("2026-01-01T00:50:00Z"), 1), Pods::Gone);
}

#[test]
fn the_group_is_that_of_the_table_that_the_consumer_writes_to() {
    let of = |known: Option<u128>, tenant_has: Option<u128>| {
        let mut written = pipeline();
        written.status.get_or_insert_default().table = known.map(|id| crds::pipeline::TableStatus {
            database: "t_acme".to_owned(),
            name: "events_raw".to_owned(),
            uuid: Uuid::from_u128(id).to_string(),
        });
        let mut owner = tenant();
        owner.status.get_or_insert_default().database = tenant_has.map(|id| {
            let uuid = Uuid::from_u128(id).to_string();
            serde_json::from_value(serde_json::json!({"name": "t_acme", "uuid": uuid, "tableUuid": uuid}))
                .unwrap()
        });
        generation(&written, Some(&owner)).0.as_u128()
    };
    assert_eq!((of(Some(1), Some(2)), of(None, Some(2)), of(None, None)), (1, 2, 0));
}

#[test]
fn a_topic_has_the_name_of_its_pipeline_or_the_given_one() {
    let prefix = TopicPrefix::parse("millrace").unwrap();
    let may = |given: Option<&str>, tenant_id: Option<&str>, name: &str| {
        let mut pipeline = pipeline();
        pipeline.spec.topic.name = given.map(str::to_owned);
        let mut owner = tenant();
        owner.status.get_or_insert_default().tenant_id = tenant_id.map(str::to_owned);
        can_be_named(&prefix, &pipeline, Some(&owner), &TopicName::parse(name).unwrap())
    };
    let (web, orders) = ("millrace.acme.web", "millrace.acme.orders.eu");
    for tenant_id in [None, Some("acme")] {
        assert!(may(None, tenant_id, web) && may(None, tenant_id, "millrace.acme.web.dlq"));
        assert!(may(Some(orders), tenant_id, orders));
        assert!(may(Some(orders), tenant_id, "millrace.acme.orders.eu.dlq"));
        assert!(!may(None, tenant_id, orders) && !may(Some(orders), tenant_id, web));
        assert!(!may(Some("elsewhere.orders"), tenant_id, "elsewhere.orders"));
    }
    assert!(!may(None, Some("other"), web) && !may(Some(orders), Some("other"), orders));
}
