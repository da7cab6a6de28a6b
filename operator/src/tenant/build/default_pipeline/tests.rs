use crds::AnalyticsTenant;

use super::{super::super::validate::validate, *};

fn tenant(default_pipeline: &str) -> ValidatedTenant {
    let manifest = format!(
        "{{apiVersion: analytics.millrace.dev/v1alpha1, kind: AnalyticsTenant, \
         metadata: {{name: acme, namespace: team, uid: u1}}, spec: {{defaultPipeline: {default_pipeline}}}}}"
    );
    let tenant: AnalyticsTenant = serde_saphyr::from_str(&manifest).unwrap();
    validate(&crate::plans::tests::plain(), &tenant).unwrap()
}

fn built() -> Value {
    match plan(&tenant("Managed"), None) {
        Plan::Apply(manifest) => manifest,
        other => panic!("{other:?}"),
    }
}

fn existing() -> Pipeline {
    serde_json::from_value(built()).unwrap()
}

#[test]
fn a_managed_pipeline_says_nothing_but_whose_it_is() {
    insta::assert_yaml_snapshot!(built());
}

#[test]
fn one_that_is_no_longer_wanted_is_removed_with_its_topics_kept() {
    match plan(&tenant("None"), Some(existing())) {
        Plan::Remove { keep_topics, .. } => {
            assert_eq!(keep_topics["spec"]["deletionPolicy"]["kafka"], "Retain")
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn one_that_somebody_made_by_hand_stays() {
    let mut by_hand = existing();
    by_hand.metadata.owner_references = None;
    assert!(matches!(plan(&tenant("None"), Some(by_hand)), Plan::Nothing));
    assert!(matches!(plan(&tenant("None"), None), Plan::Nothing));
}
