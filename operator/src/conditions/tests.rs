use super::*;

#[derive(Debug, thiserror::Error)]
#[error("out of paper")]
struct Jam(Failure);

impl Problem for Jam {
    fn failure(&self) -> Failure {
        self.0
    }
    fn reason(&self) -> Reason {
        Reason::TopicReplaced
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn merged(previous: &[Condition], aspects: &[Observed], now: i64) -> Vec<Condition> {
    conditions(previous, aspects.to_vec(), ready(aspects.iter(), Reason::Ready, "all is well"), 3, at(now))
}

fn kinds(conditions: &[Condition]) -> Vec<&str> {
    conditions.iter().map(|condition| condition.kind.as_str()).collect()
}

fn true_aspect() -> Observed {
    Observed::holds(ConditionType::SpecValid, Reason::Valid, String::new())
}

#[test]
fn ready_is_true_when_every_aspect_is() {
    let conditions = merged(&[], &[true_aspect()], 1);
    assert_eq!(kinds(&conditions), ["Ready", "SpecValid"]);
    assert_eq!(conditions[0].status, ConditionStatus::True);
    assert_eq!(conditions[0].message, "all is well");
}

#[test]
fn ready_names_the_first_failure() {
    let transient = Observed::failed(ConditionType::DatabaseReady, &Jam(Failure::Transient));
    let aspects = [true_aspect(), Observed::unknown(ConditionType::SchemaInSync), transient];
    let conditions = merged(&[], &aspects, 1);
    assert_eq!(
        (conditions[0].status, conditions[0].reason.as_str()),
        (ConditionStatus::False, "TopicReplaced")
    );
    assert_eq!(kinds(&conditions)[1], "Reconciling");
}

#[test]
fn a_failure_that_waiting_does_not_mend_is_stalled_and_not_reconciling() {
    for (failure, second) in [
        (Failure::Refused, "Stalled"),
        (Failure::Conflict, "Stalled"),
        (Failure::Transient, "Reconciling"),
        (Failure::Permission, "Reconciling"),
    ] {
        let conditions = merged(&[], &[Observed::failed(ConditionType::TopicReady, &Jam(failure))], 1);
        assert_eq!(kinds(&conditions), ["Ready", second, "TopicReady"], "{failure:?}");
    }
}

#[test]
fn a_transition_time_changes_only_with_the_status() {
    let unknown = merged(&[], &[Observed::unknown(ConditionType::SpecValid)], 1);
    let valid = merged(&unknown, &[true_aspect()], 2);
    let still_valid = merged(&valid, &[true_aspect()], 3);
    assert_eq!(find(&valid, ConditionType::SpecValid).unwrap().last_transition_time, Time(at(2)));
    assert_eq!(still_valid, valid);
}

#[test]
fn before_work_everything_is_unknown() {
    let conditions = initial(&[ConditionType::SpecValid, ConditionType::TopicReady], 1, at(1));
    assert_eq!(kinds(&conditions), ["Ready", "Reconciling", "SpecValid", "TopicReady"]);
    assert_eq!(conditions[0].status, ConditionStatus::Unknown);
    assert!(conditions.iter().all(|condition| condition.observed_generation == 1));
}

#[test]
fn a_blocked_deletion_says_so_beside_what_was_known() {
    let before = merged(&[], &[true_aspect()], 1);
    let blocked =
        Observed::holds(ConditionType::DeletionBlocked, Reason::PipelinesExist, "2 left".to_owned());
    let conditions = of_deletion(&before, Some(blocked), 4, at(2));
    assert_eq!(kinds(&conditions), ["Ready", "Reconciling", "DeletionBlocked", "SpecValid"]);
    assert_eq!((conditions[0].reason.as_str(), conditions[0].status), ("Deleting", ConditionStatus::False));
    let free = of_deletion(&conditions, None, 4, at(3));
    assert_eq!(kinds(&free), ["Ready", "Reconciling", "SpecValid"]);
    let going = of_going(&conditions, "5 records left".to_owned(), 4, at(3));
    assert_eq!((kinds(&going), going[0].message.as_str()), (kinds(&free), "5 records left"));
}

#[test]
fn after_an_early_failure_nobody_knows_whether_the_rest_still_holds() {
    let before = merged(&[], &[true_aspect()], 1);
    for (failure, second) in [(Failure::Transient, "Reconciling"), (Failure::Bug, "Stalled")] {
        let after = of_failure(&before, &Jam(failure), 4, at(2));
        assert_eq!(kinds(&after), ["Ready", second, "SpecValid"]);
        assert_eq!((after[0].status, after[0].reason.as_str()), (ConditionStatus::Unknown, "TopicReplaced"));
        assert_eq!(of_failure(&after, &Jam(failure), 4, at(3)), after, "the same failure says the same");
    }
}

#[test]
fn a_change_of_ready_is_told_once() {
    let unknown = merged(&[], &[Observed::unknown(ConditionType::SpecValid)], 1);
    let ready = merged(&unknown, &[true_aspect()], 2);
    assert_eq!(new_state(&[], &unknown).as_deref(), Some("not ready: Pending"));
    assert_eq!(new_state(&unknown, &ready).as_deref(), Some("ready"));
    assert_eq!(new_state(&ready, &ready), None);
}

#[test]
fn an_obstacle_is_told_once() {
    let ready = merged(&[], &[true_aspect()], 1);
    let stalled = merged(&ready, &[Observed::failed(ConditionType::TopicReady, &Jam(Failure::Conflict))], 2);
    assert_eq!(new_obstacle(&ready, &stalled).unwrap().reason, "TopicReplaced");
    assert_eq!(new_obstacle(&stalled, &stalled), None);
    assert_eq!(new_obstacle(&stalled, &ready), None);
}

#[test]
fn an_endless_message_is_cut_at_a_character() {
    let long =
        Observed::fails(ConditionType::TopicReady, Reason::TopicMissing, "é".repeat(MAX_MESSAGE_BYTES));
    let conditions = merged(&[], &[long], 1);
    assert!(conditions[0].message.len() <= MAX_MESSAGE_BYTES);
}

#[test]
fn an_aspect_that_met_a_change_is_as_it_is_known_of_the_same_generation() {
    let table = |reason| Observed::fails(ConditionType::TableReady, reason, String::new());
    let topic = Observed::holds(ConditionType::TopicReady, Reason::Ready, "there".to_owned());
    let known = conditions(&[], vec![topic.clone()], topic.clone(), 2, Timestamp::UNIX_EPOCH);
    let met = Observed::fails(ConditionType::TopicReady, Reason::KubernetesChanged, "changed".to_owned());
    let seen = |known: &[Condition], generation, changes| {
        over_changes(vec![table(Reason::TenantNotReady), met.clone()], known, generation, changes)
    };
    let other = table(Reason::TenantNotReady);
    assert_eq!(seen(&known, 2, Changes::Pass), [other.clone(), topic], "another failure is told");
    for (known, generation, changes) in
        [(&known[..], 3, Changes::Pass), (&known[..], 2, Changes::Last), (&[][..], 2, Changes::Pass)]
    {
        assert_eq!(
            seen(known, generation, changes),
            [other.clone(), met.clone()],
            "{generation} {changes:?}"
        );
    }
}
