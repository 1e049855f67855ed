use super::*;

fn source(text: &str) -> Result<SecretSource, serde_json::Error> {
    serde_json::from_str(text)
}

fn written(mode: u32, content: &[u8]) -> (tempfile::TempDir, SecretSource) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("secret");
    std::fs::write(&path, content).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    (directory, SecretSource::File(path))
}

fn command(words: &[&str], timeout_s: u64) -> SecretSource {
    let text = serde_json::json!({ "command": words, "timeout_s": timeout_s }).to_string();
    source(&text).unwrap()
}

#[test]
fn a_secret_does_not_print() {
    assert_eq!(format!("{:?}", Secret::new(b"hunter2".to_vec())), "Secret(..)");
}

#[test]
fn a_source_is_exactly_one_thing() {
    assert_eq!(source(r#"{"env":"X"}"#).unwrap(), SecretSource::Env("X".into()));
    for bad in [
        "{}",
        r#"{"env":"X","file":"/x"}"#,
        r#"{"env":""}"#,
        r#"{"env":"A=B"}"#,
        r#"{"file":"relative"}"#,
        r#"{"file":"/x","timeout_s":1}"#,
        r#"{"command":[]}"#,
        r#"{"command":[""]}"#,
        r#"{"command":["x"],"timeout_s":0}"#,
        r#"{"command":["x"],"timeout_s":61}"#,
        r#"{"command":["x"],"shell":true}"#,
    ] {
        assert!(source(bad).is_err(), "{bad}");
    }
}

#[tokio::test]
async fn a_file_gives_its_first_line() {
    let (_directory, source) = written(0o600, b"first\r\nsecond\n");
    assert_eq!(source.fetch().await.unwrap().expose(), b"first");
}

#[tokio::test]
async fn a_file_that_others_can_read_is_refused() {
    for mode in [0o640, 0o604, 0o644, 0o620, 0o601] {
        let (_directory, source) = written(mode, b"first\n");
        let error = source.fetch().await.unwrap_err();
        assert!(matches!(error.reason(), Reason::Exposed(found) if *found == mode), "{error}");
        assert!(!error.to_string().contains("first"));
    }
}

#[tokio::test]
async fn a_secret_has_a_size() {
    let most = vec![b'x'; limits::SECRET_BYTES_MAX];
    let (_directory, source) = written(0o600, &most);
    assert_eq!(source.fetch().await.unwrap().expose().len(), most.len());
    let (_directory, source) = written(0o600, &vec![b'x'; limits::SECRET_BYTES_MAX + 1]);
    assert!(matches!(source.fetch().await.unwrap_err().reason(), Reason::TooLarge));
    let endless = command(&["cat", "/dev/zero"], 30);
    assert!(matches!(endless.fetch().await.unwrap_err().reason(), Reason::TooLarge));
}

#[tokio::test]
async fn what_is_not_a_file_or_is_empty_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let folder = SecretSource::File(directory.path().to_owned());
    assert!(matches!(folder.fetch().await.unwrap_err().reason(), Reason::NotRegular));
    let missing = SecretSource::File(directory.path().join("none"));
    assert!(matches!(missing.fetch().await.unwrap_err().reason(), Reason::Io(_)));
    let (_directory, empty) = written(0o600, b"\nsecond");
    assert!(matches!(empty.fetch().await.unwrap_err().reason(), Reason::Empty));
    let unset = SecretSource::Env("CHAPERONE_VAULT_IS_NEVER_SET".into());
    assert!(matches!(unset.fetch().await.unwrap_err().reason(), Reason::Unset));
}

#[tokio::test]
async fn a_command_runs_without_a_shell() {
    let echo = command(&["echo", "$HOME; echo two"], 30);
    assert_eq!(echo.fetch().await.unwrap().expose(), b"$HOME; echo two");
}

#[tokio::test]
async fn a_command_that_fails_or_hangs_gives_nothing() {
    let failing = command(&["sh", "-c", "echo hunter2; echo hunter2 >&2; exit 3"], 30);
    let error = failing.fetch().await.unwrap_err();
    assert!(matches!(error.reason(), Reason::Failed(status) if status.code() == Some(3)), "{error}");
    assert!(!format!("{error} {error:?}").contains("hunter2"));
    let hanging = command(&["sleep", "600"], 1);
    assert!(matches!(hanging.fetch().await.unwrap_err().reason(), Reason::TimedOut(_)));
}

#[tokio::test]
async fn it_is_read_anew_each_time() {
    let (_directory, source) = written(0o600, b"old");
    assert_eq!(source.fetch().await.unwrap().expose(), b"old");
    let SecretSource::File(path) = &source else { unreachable!() };
    std::fs::write(path, b"new").unwrap();
    assert_eq!(source.fetch().await.unwrap().expose(), b"new");
}
