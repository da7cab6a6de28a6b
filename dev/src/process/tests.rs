use super::*;

const GRACE: Duration = Duration::from_secs(5);

struct Sandbox {
    folders: Folders,
    _state: tempfile::TempDir,
}

fn sandbox() -> Sandbox {
    let state = tempfile::tempdir().unwrap();
    let path = state.path().to_owned();
    Sandbox { folders: Folders { state: path.clone(), cache: path.clone(), checkout: path }, _state: state }
}

fn shell(name: &str, script: &str) -> Spec {
    Spec {
        name: name.to_owned(),
        program: "sh".into(),
        args: vec!["-c".to_owned(), script.to_owned()],
        env: vec![("GREETING".to_owned(), "hello".to_owned())],
        working_folder: None,
    }
}

#[test]
fn a_running_process_is_found_and_not_started_twice() {
    let here = sandbox();
    let spec = shell("sleeper", "exec sleep 600");
    let first = start_bound(&here.folders, &spec).unwrap();
    assert_eq!(start_bound(&here.folders, &spec).unwrap(), first);
    assert_eq!(find(&here.folders, "sleeper"), Some(first.clone()));
    assert_eq!(all(&here.folders), vec![first]);
    stop(&here.folders, "sleeper", GRACE).unwrap();
}

#[test]
fn a_process_with_another_command_line_replaces_the_running_one() {
    let here = sandbox();
    let first = start_bound(&here.folders, &shell("sleeper", "exec sleep 600")).unwrap();
    let second = start_bound(&here.folders, &shell("sleeper", "exec sleep 601")).unwrap();
    assert!(!first.is_running() && second.is_running());
    stop(&here.folders, "sleeper", GRACE).unwrap();
}

#[test]
fn a_stopped_process_is_gone_and_forgotten() {
    let here = sandbox();
    let process = start_bound(&here.folders, &shell("sleeper", "exec sleep 600")).unwrap();
    stop(&here.folders, "sleeper", GRACE).unwrap();
    assert!(!process.is_running());
    assert!(Record::names(&here.folders.processes()).is_empty());
}

#[test]
fn a_process_that_ignores_the_order_to_end_is_killed() {
    let here = sandbox();
    let script = "trap '' TERM; echo deaf; while :; do sleep 600; done";
    let process = start_bound(&here.folders, &shell("deaf", script)).unwrap();
    until_log_has(&here, &process, "deaf");
    stop(&here.folders, "deaf", Duration::from_millis(50)).unwrap();
    assert!(!process.is_running());
}

#[test]
fn a_killed_process_leaves_its_record_and_is_not_found() {
    let here = sandbox();
    start_bound(&here.folders, &shell("sleeper", "exec sleep 600")).unwrap();
    kill(&here.folders, "sleeper").unwrap();
    assert_eq!(find(&here.folders, "sleeper"), None);
    assert_eq!(Record::names(&here.folders.processes()), ["sleeper"]);
}

#[test]
fn an_id_that_another_process_has_now_is_not_ours() {
    let here = sandbox();
    folders::create(&here.folders.processes()).unwrap();
    let stranger = std::process::id();
    let stale = format!(r#"{{"pid":{stranger},"start_ticks":1,"boot_id":"x","spec_hash":0}}"#);
    fs::write(here.folders.processes().join("stale.json"), stale).unwrap();
    assert_eq!(find(&here.folders, "stale"), None);
    stop(&here.folders, "stale", GRACE).unwrap();
}

#[test]
fn a_missing_program_is_named() {
    let here = sandbox();
    let spec = Spec { program: "no-such-program".into(), ..shell("none", "") };
    assert!(matches!(start_bound(&here.folders, &spec), Err(Error::NoProgram { .. })));
}

#[test]
fn both_outputs_are_appended_to_the_log() {
    let here = sandbox();
    for round in ["first", "second"] {
        let spec = shell("talker", &format!("echo $GREETING; echo {round} >&2; exec sleep 600"));
        let process = start_bound(&here.folders, &spec).unwrap();
        until_log_has(&here, &process, round);
        stop(&here.folders, "talker", GRACE).unwrap();
    }
    let log = fs::read_to_string(here.folders.log("talker")).unwrap();
    assert_eq!(log, "hello\nfirst\nhello\nsecond\n");
}

#[test]
fn a_process_runs_in_a_session_of_its_own() {
    let here = sandbox();
    let process = start_bound(&here.folders, &shell("leader", "exec sleep 600")).unwrap();
    let session = || {
        let stat = fs::read_to_string(format!("/proc/{}/stat", process.pid)).unwrap();
        stat.rsplit_once(") ").unwrap().1.split(' ').nth(3).unwrap().to_owned()
    };
    until(&here.folders, "leader", GRACE, || {
        anyhow::ensure!(session() == process.pid.to_string(), "still in our session");
        Ok::<(), anyhow::Error>(())
    })
    .unwrap();
    stop(&here.folders, "leader", GRACE).unwrap();
}

#[test]
fn a_process_that_ended_is_noticed_before_the_deadline_with_its_last_lines() {
    let here = sandbox();
    let process = start_bound(&here.folders, &shell("brief", "echo the reason; exec sleep 0.1")).unwrap();
    let error =
        until(&here.folders, "brief", Duration::from_secs(3600), || Err(anyhow::anyhow!("no answer")));
    let text = error.unwrap_err().to_string();
    assert!(text.contains("it ended") && text.contains("| the reason"), "{text}");
    assert!(text.contains(&process.log.display().to_string()), "{text}");
}

#[test]
fn a_passed_deadline_names_the_last_answer() {
    let here = sandbox();
    start_bound(&here.folders, &shell("mute", "exec sleep 600")).unwrap();
    let error = until(&here.folders, "mute", Duration::ZERO, || Err(anyhow::anyhow!("connection refused")));
    let text = error.unwrap_err().to_string();
    assert!(text.starts_with("failed to see `mute` ready within 0 s: connection refused"), "{text}");
    stop(&here.folders, "mute", GRACE).unwrap();
}

fn until_log_has(here: &Sandbox, process: &Process, text: &str) {
    until(&here.folders, &process.name, GRACE, || {
        let log = fs::read_to_string(&process.log).unwrap();
        anyhow::ensure!(log.contains(text), "no `{text}` in the log");
        Ok::<(), anyhow::Error>(())
    })
    .unwrap();
}
