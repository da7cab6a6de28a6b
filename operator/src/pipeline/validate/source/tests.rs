use clap::Parser as _;
use crds::Reason;
use schema::names::TopicId;
use uuid::Uuid;

use super::*;
use crate::args::Options;
use crate::pipeline::{
    fetch::Fetched,
    validate::{
        Obstacle,
        tests::{fetched, pipeline, validated},
    },
};

fn foreign(pipeline: &Pipeline) -> Result<ForeignSource, Obstacle> {
    match validated(pipeline, &fetched())?.source {
        Source::Http(_) => panic!("events come from a topic here"),
        Source::Kafka(kafka) => Ok(*kafka),
    }
}

fn of(source: &str) -> Pipeline {
    pipeline(&format!("source: {{kafka: {{topic: octane.events, {source}}}}}"))
}

#[test]
fn a_topic_of_others_is_read_from_the_earliest_with_the_map_of_its_defaults() {
    let source = foreign(&of("")).unwrap();
    assert_eq!((source.topic.name.as_str(), source.topic.recorded), ("octane.events", Recorded::Nothing));
    assert_eq!((source.format, source.start_at), (RecordFormat::Json(Box::default()), None));
}

#[test]
fn every_member_of_the_map_reaches_the_consumer() {
    let fields = "id: a, eventName: b, type: c, userId: d, anonymousId: e, sessionId: f, appId: g, timestamp: h, properties: i";
    let source = foreign(&of(&format!("fieldMap: {{{fields}}}"))).unwrap();
    let written = serde_json::to_value(source.format).unwrap();
    let expected = serde_json::json!({"json": {
        "id": "a", "event_name": "b", "type": "c", "user_id": "d", "anonymous_id": "e", "session_id": "f",
        "app_id": "g", "timestamp": "h", "properties": "i"
    }});
    assert_eq!(written, expected);
}

#[test]
fn the_latest_is_what_comes_after_the_creation_of_the_pipeline() {
    let source = foreign(&of("startFrom: Latest")).unwrap();
    assert_eq!(source.start_at.unwrap().to_string(), "2026-02-02T12:00:00.000Z");
}

#[test]
fn topics_of_any_tenant_and_names_that_are_none_are_refused() {
    let topic = |name: &str| foreign(&pipeline(&format!("source: {{kafka: {{topic: {name}}}}}")));
    for name in ["millrace.team-acme.web", "millrace.globex.web", "millrace.globex.web.dlq"] {
        let refused = topic(name);
        assert!(matches!(refused, Err(Obstacle::Invalid(Invalid::OwnTopic { .. }))), "{name}: {refused:?}");
    }
    let refused = topic("'no name'");
    assert!(matches!(refused, Err(Obstacle::Invalid(Invalid::SourceName { .. }))), "{refused:?}");
    assert!(topic("millrace").is_ok() && topic("millrace-of-others.events").is_ok());
}

#[test]
fn the_dead_letters_are_the_pipelines_own_and_need_no_key() {
    let without_keys = Fetched { keys: None, ..fetched() };
    let validated = validated(&of(""), &without_keys).unwrap();
    assert_eq!(validated.dead_letter.spec.name.as_str(), "millrace.team-acme.web.dlq");
}

#[test]
fn what_the_status_says_of_another_topic_says_nothing() {
    let recorded = |name: &str| {
        let id = Uuid::from_u128(5).to_string();
        let mut pipeline = of("");
        let topic = TopicStatus { name: name.to_owned(), id, partitions: 6, missing_since: None };
        pipeline.status.get_or_insert_default().topic = Some(topic);
        foreign(&pipeline).unwrap().topic.recorded
    };
    assert_eq!(recorded("octane.events"), Recorded::Incarnation(TopicId(Uuid::from_u128(5))));
    assert_eq!(recorded("another"), Recorded::Nothing);
}

#[test]
fn another_topic_prefix_is_refused_while_dead_letters_are_recorded() {
    let mut pipeline = of("");
    let name = "before.team-acme.web.dlq".to_owned();
    pipeline.status.get_or_insert_default().dead_letter_topic =
        Some(TopicStatus { name, id: String::new(), partitions: 1, missing_since: None });
    assert!(matches!(foreign(&pipeline), Err(Obstacle::Invalid(Invalid::TopicRenamed { .. }))));
}

#[test]
fn a_topic_that_the_installation_does_not_allow_is_refused_with_where_to_allow_it() {
    let read = |topics: &str| {
        let options = ["operator", "--kafka-bootstrap-servers=k:9092", "--clickhouse-url=http://c:8123"];
        let images = ["--ingester-image=i:1", "--consumer-image=c:1"];
        let flag = format!("--source-topics={topics}");
        let options = Options::parse_from(options.into_iter().chain(images).chain([flag.as_str()]));
        let installation = Installation::load(&options).unwrap();
        let pipeline = of("");
        kafka(&installation, pipeline.spec.source.kafka.as_ref().unwrap(), &pipeline)
    };
    assert!(read(r#"["shop.*","octane.events"]"#).is_ok() && read(r#"["*"]"#).is_ok());
    for none in ["[]", r#"["shop.*"]"#] {
        let refused = read(none).unwrap_err();
        assert_eq!(refused.reason(), Reason::SourceTopicNotAllowed);
        assert!(
            refused.to_string().contains("`octane.events`") && refused.to_string().contains("sourceTopics")
        );
    }
}
