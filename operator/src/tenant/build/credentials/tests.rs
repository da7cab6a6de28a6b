use super::*;

fn made(entropy: u8) -> [u8; ENTROPY_BYTES] {
    [entropy; ENTROPY_BYTES]
}

fn never() -> [u8; ENTROPY_BYTES] {
    panic!("a password was made")
}

fn waiting() -> Consumers {
    Consumers::Waiting(vec!["web".to_owned()])
}

/// Which of current, next and previous there is, by the byte that each is made of.
fn shape(passwords: &Passwords) -> [Option<String>; 3] {
    let byte = |password: &Option<Secret>| password.as_ref().map(|text| text.expose()[..2].to_owned());
    [byte(&passwords.current), byte(&passwords.next), byte(&passwords.previous)]
}

#[track_caller]
fn check(passwords: &Passwords, expected: [Option<&str>; 3]) {
    assert_eq!(shape(passwords), expected.map(|byte| byte.map(str::to_owned)));
}

fn settled() -> Passwords {
    Passwords::default().prepared(None, &Consumers::AllHaveIt, || made(1)).promoted()
}

#[test]
fn a_password_is_current_only_after_clickhouse_took_it() {
    let prepared = Passwords::default().prepared(None, &Consumers::AllHaveIt, || made(1));
    check(&prepared, [None, Some("01"), None]);
    assert_eq!(prepared.accepted().len(), 1);
    check(&prepared.promoted(), [Some("01"), None, None]);
}

#[test]
fn a_password_that_is_there_is_kept() {
    assert_eq!(settled().prepared(None, &waiting(), never), settled());
}

#[test]
fn while_a_password_is_replaced_both_are_taken() {
    let asked = settled().prepared(Some("monday"), &Consumers::AllHaveIt, || made(2));
    check(&asked, [Some("01"), Some("02"), None]);
    assert_eq!(asked.accepted().len(), 2);
    let promoted = asked.promoted();
    check(&promoted, [Some("02"), None, Some("01")]);
    assert_eq!(promoted.accepted().len(), 2);
    let held = promoted.prepared(Some("monday"), &waiting(), never);
    check(&held, [Some("02"), None, Some("01")]);
    let done = held.prepared(Some("monday"), &Consumers::AllHaveIt, never);
    check(&done, [Some("02"), None, None]);
    assert_eq!(done.served.as_deref(), Some("monday"));
}

/// Consumers have the current one, and the next one is about to be told to ClickHouse: nothing ends yet.
#[test]
fn a_new_request_waits_until_the_one_before_is_served() {
    let first = settled().prepared(Some("monday"), &Consumers::AllHaveIt, || made(2));
    check(
        &first.clone().prepared(Some("tuesday"), &Consumers::AllHaveIt, never),
        [Some("01"), Some("02"), None],
    );
    let rolling = first.promoted().prepared(Some("tuesday"), &waiting(), never);
    check(&rolling, [Some("02"), None, Some("01")]);
    let second = rolling.prepared(Some("tuesday"), &Consumers::AllHaveIt, || made(3));
    check(&second, [Some("02"), Some("03"), None]);
    assert_eq!(second.served.as_deref(), Some("tuesday"));
}

#[test]
fn a_request_counts_once_until_it_is_removed() {
    let served = settled().prepared(Some("monday"), &Consumers::AllHaveIt, || made(2)).promoted();
    let served = served.prepared(Some("monday"), &Consumers::AllHaveIt, never);
    let removed = served.prepared(None, &Consumers::AllHaveIt, never);
    assert_eq!(removed.served, None);
    let again = removed.prepared(Some("monday"), &Consumers::AllHaveIt, || made(3));
    check(&again, [Some("02"), Some("03"), None]);
}

#[test]
fn a_lost_password_is_made_anew_and_serves_the_request_as_well() {
    let lost = Passwords::default().prepared(Some("monday"), &waiting(), || made(9));
    check(&lost, [None, Some("09"), None]);
    assert_eq!(lost.served.as_deref(), Some("monday"));
    let previous_alone = Passwords { current: None, ..settled().promoted() };
    assert!(previous_alone.are_lost());
}

#[test]
fn no_password_is_told() {
    let password = settled().current.unwrap();
    assert!(!format!("{:?}", settled()).contains(password.expose()));
}
