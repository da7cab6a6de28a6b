use super::*;

fn list(cpu: Option<&str>, memory: Option<&str>) -> Option<ResourceList> {
    Some(ResourceList { cpu: cpu.map(str::to_owned), memory: memory.map(str::to_owned) })
}

#[track_caller]
fn check(chosen: Resources, requests: &[(&str, &str)], limits: &[(&str, &str)]) {
    let built = resources(Some(&chosen), "256Mi");
    let expected = |pairs: &[(&str, &str)]| {
        Some(pairs.iter().map(|(name, value)| ((*name).to_owned(), Quantity((*value).to_owned()))).collect())
    };
    assert_eq!((built.requests, built.limits), (expected(requests), expected(limits)));
}

#[test]
fn without_a_word_there_are_small_defaults() {
    check(Resources::default(), &[("cpu", "50m"), ("memory", "64Mi")], &[("memory", "256Mi")]);
}

#[test]
fn a_chosen_limit_below_the_default_request_drops_that_request() {
    let chosen = Resources { requests: None, limits: list(None, Some("32Mi")) };
    check(chosen, &[("cpu", "50m")], &[("memory", "32Mi")]);
}

#[test]
fn a_chosen_request_above_the_default_limit_drops_that_limit() {
    let chosen = Resources { requests: list(Some("2"), Some("1Gi")), limits: None };
    check(chosen, &[("cpu", "2"), ("memory", "1Gi")], &[]);
}

#[test]
fn the_mounted_file_is_where_the_binaries_look() {
    assert_eq!(settings_path(), ("/etc/millrace", "settings.json"));
}
