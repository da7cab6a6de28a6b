use schema::names::TopicName;
use uuid::Uuid;

use super::*;

fn id(number: u128) -> TopicId {
    TopicId(Uuid::from_u128(number))
}

fn found(number: u128) -> Option<Topic> {
    let name = TopicName::parse("millrace.acme.web").unwrap();
    Some(Topic { name, id: id(number), partitions: 6, replication_factor: 1 })
}

#[test]
fn the_recorded_incarnation_decides() {
    let keep = |number| Plan::Keep(found(number).unwrap());
    let name = || found(1).unwrap().name;
    let cases = [
        (Recorded::Nothing, None, Plan::Create),
        (Recorded::Intended, None, Plan::Create),
        (Recorded::Incarnation(id(1)), None, Plan::Recreate { lost: id(1) }),
        (Recorded::Incarnation(id(1)), found(1), keep(1)),
        (
            Recorded::Incarnation(id(1)),
            found(2),
            Plan::Refuse(Refusal::Replaced { topic: name(), recorded: id(1), found: id(2) }),
        ),
        (Recorded::Intended, found(2), keep(2)),
        (Recorded::Nothing, found(9), Plan::Adopt(found(9).unwrap())),
        (Recorded::Nothing, found(2), Plan::Refuse(Refusal::Foreign { topic: name(), found: id(2) })),
        // As after Kafka's address was wrong for a while, and a topic was made at the wrong one.
        (Recorded::Incarnation(id(1)), found(9), Plan::Adopt(found(9).unwrap())),
    ];
    for (recorded, found, expected) in cases {
        assert_eq!(decided(recorded, found.clone(), &[id(9)]), expected, "{recorded:?} {found:?}");
    }
}
