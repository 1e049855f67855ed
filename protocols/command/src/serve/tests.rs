//! An agent's side with real programs, and with a gateway that asks for what it likes.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tokio::io::DuplexStream;

use super::*;
use crate::codec::Refused;

/// Becomes the program as the launching verb does, without giving anything up.
const LAUNCHER: &str = "#!/bin/sh\nwhile [ \"$1\" != -- ]; do shift; done\nshift\nexec \"$@\" </dev/null\n";

const DECLARED: &str = r#"{"commands":{
    "say":{"description":"Say","time_s_max":20,"output_bytes_max":100,
        "parameters":{"what":{"type":"text","pattern":"[ -~]*","bytes_max":200}}},
    "wait":{"description":"Wait","time_s_max":20,"output_bytes_max":100}}}"#;

struct Agent {
    commands: Arc<Commands>,
    folder: tempfile::TempDir,
    stop: watch::Sender<bool>,
    cancelled: Arc<Notify>,
}

fn script(folder: &Path, name: &str, text: &str) -> PathBuf {
    let file = folder.join(name);
    std::fs::write(&file, text).unwrap();
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o700)).unwrap();
    file
}

impl Agent {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let declaration = Declaration::read(DECLARED.as_bytes()).unwrap();
        let waits = "#!/bin/sh\nsleep 60 &\necho $$ $! > \"$OUT/ids\"\necho ready\nwait\n";
        let secret = |program: PathBuf, arguments: &[&str], name: &str| {
            let parameters = &declaration.commands[name].parameters;
            let arguments = arguments.iter().map(|text| Template::parse(text, parameters).unwrap()).collect();
            (name.to_owned(), Secret { program, arguments, memory_bytes_max: 1 << 30 })
        };
        let secrets = BTreeMap::from([
            secret("/bin/echo".into(), &["--", "{what}"], "say"),
            secret(script(folder.path(), "wait", waits), &[], "wait"),
        ]);
        let surroundings = Surroundings {
            run_as: None,
            folder: "/".into(),
            environment: [
                ("OUT".to_owned(), folder.path().display().to_string()),
                ("PATH".to_owned(), "/usr/bin:/bin".to_owned()),
            ]
            .into(),
            through: Through::Other(script(folder.path(), "launcher", LAUNCHER)),
        };
        let running = Arc::new(Semaphore::new(1));
        let commands =
            Commands::new("ops".parse().unwrap(), declaration, secrets, surroundings, running).unwrap();
        Self {
            commands: Arc::new(commands),
            folder,
            stop: watch::Sender::new(false),
            cancelled: Arc::new(Notify::new()),
        }
    }

    fn session(&self) -> DuplexStream {
        let (ours, theirs) = tokio::io::duplex(4096);
        let ends = Ends { cancelled: self.cancelled.clone(), stopping: self.stop.subscribe() };
        let commands = self.commands.clone();
        tokio::spawn(async move { commands.serve(theirs, ends).await });
        ours
    }

    async fn ask(&self, command: &str, parameters: &[(&str, &str)]) -> DuplexStream {
        let mut stream = self.session();
        let parameters =
            parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let mut out = BytesMut::new();
        codec::put_json(Tag::Run, &Run { command: command.to_owned(), parameters }, &mut out);
        stream.write_all(&out).await.unwrap();
        stream
    }

    /// The numbers of a waiting program and of what it started.
    async fn ids(&self) -> Vec<u32> {
        let file = self.folder.path().join("ids");
        for _ in 0..200 {
            let ids: Vec<u32> = std::fs::read_to_string(&file)
                .unwrap_or_default()
                .split_whitespace()
                .filter_map(|id| id.parse().ok())
                .collect();
            if ids.len() == 2 {
                return ids;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("it does not begin");
    }
}

/// Everything that an agent says: output, and the last frame.
async fn heard(mut stream: DuplexStream) -> (String, Option<Frame>) {
    let (mut input, mut text) = (BytesMut::new(), String::new());
    loop {
        while let Some(frame) = codec::take(&mut input).unwrap() {
            match frame.tag {
                Tag::Out | Tag::Err => text.push_str(std::str::from_utf8(&frame.body).unwrap()),
                Tag::Ended | Tag::Refused | Tag::Run => return (text, Some(frame)),
            }
        }
        if stream.read_buf(&mut input).await.unwrap() == 0 {
            return (text, None);
        }
    }
}

async fn ended(stream: DuplexStream) -> (String, Exit) {
    let (text, last) = heard(stream).await;
    let ended: Ended = last.unwrap().json().unwrap();
    (text, ended.exit().unwrap())
}

async fn gone(ids: &[u32]) {
    for id in ids {
        let lives = || {
            let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
            stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
        };
        for _ in 0..300 {
            if !lives() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(!lives(), "{id} goes on");
    }
}

#[tokio::test]
async fn a_gateway_gets_what_is_declared_and_nothing_else() {
    let agent = Agent::new();
    let (text, exit) = ended(agent.ask("say", &[("what", "$(id); `id` | id > /x")]).await).await;
    assert_eq!(text, "-- $(id); `id` | id > /x\n");
    assert_eq!(exit, Exit { code: Some(0), signal: None, by: ExitBy::Itself });
    for (command, parameters) in [
        ("sh", &[("what", "x")][..]),
        ("/bin/sh", &[]),
        ("say", &[]),
        ("say", &[("what", "x"), ("program", "/bin/sh")]),
        ("say", &[("what", "-n")]),
        ("say", &[("what", "a\nb")]),
        ("say", &[("what", "a\0b")]),
        ("say", &[("what", "é")]),
        ("say", &[("what", &*"x".repeat(201))]),
    ] {
        let (text, last) = heard(agent.ask(command, parameters).await).await;
        assert!(text.is_empty());
        let refused: Refused = last.unwrap().json().unwrap();
        assert!(
            matches!(refused.code, RefusalCode::NotPermitted | RefusalCode::ProtocolViolation),
            "{command} {parameters:?}"
        );
    }
    for bytes in
        [&b"R\0\0\0\x02{}"[..], b"o\0\0\0\0", b"R\xff\xff\xff\xff", b"GET / HTTP/1.1\r\n\r\n", b"R\0\0"]
    {
        let mut stream = agent.session();
        stream.write_all(bytes).await.unwrap();
        stream.shutdown().await.unwrap();
        assert_eq!(heard(stream).await, (String::new(), None));
    }
}

#[tokio::test]
async fn output_stops_at_its_limit() {
    let agent = Agent::new();
    let (text, exit) = ended(agent.ask("say", &[("what", &"x".repeat(200))]).await).await;
    assert_eq!((text.len(), exit.by), (100, ExitBy::OutputLimit));
}

#[tokio::test]
async fn whoever_leaves_leaves_nothing_behind() {
    let agent = Agent::new();
    let stream = agent.ask("wait", &[]).await;
    let ids = agent.ids().await;
    // As many as may run do.
    let (_, busy) = heard(agent.ask("say", &[("what", "x")]).await).await;
    assert_eq!(busy.unwrap().json::<Refused>().unwrap().code, RefusalCode::Busy);
    drop(stream);
    gone(&ids).await;
    std::fs::remove_file(agent.folder.path().join("ids")).unwrap();
    // What is cancelled, or runs where the agent stops, says so.
    for by in [ExitBy::Cancelled, ExitBy::AgentStopping] {
        let stream = agent.ask("wait", &[]).await;
        let ids = agent.ids().await;
        if by == ExitBy::Cancelled {
            agent.cancelled.notify_one();
        } else {
            agent.stop.send_replace(true);
        }
        let (text, exit) = ended(stream).await;
        assert_eq!((&*text, exit.by), ("ready\n", by));
        gone(&ids).await;
        std::fs::remove_file(agent.folder.path().join("ids")).unwrap();
    }
}

#[test]
fn a_parameter_that_no_argument_mentions_is_a_mistake() {
    let declaration = Declaration::read(DECLARED.as_bytes()).unwrap();
    let secret = |arguments: Vec<Template>| Secret {
        program: "/bin/echo".into(),
        arguments,
        memory_bytes_max: 1 << 30,
    };
    let say = &declaration.commands["say"].parameters;
    let made = |arguments: Vec<Template>, wait: Option<Secret>| {
        let mut secrets = BTreeMap::from([("say".to_owned(), secret(arguments))]);
        secrets.extend(wait.map(|wait| ("wait".to_owned(), wait)));
        let surroundings = Surroundings {
            run_as: None,
            folder: "/".into(),
            environment: BTreeMap::new(),
            through: Through::Own,
        };
        let running = Arc::new(Semaphore::new(1));
        Commands::new("ops".parse().unwrap(), declaration.clone(), secrets, surroundings, running)
            .err()
            .map(|error| error.to_string())
    };
    let what = || vec![Template::parse("{what}", say).unwrap()];
    assert_eq!(made(what(), Some(secret(Vec::new()))), None);
    assert!(made(Vec::new(), Some(secret(Vec::new()))).unwrap().contains("`what`"));
    assert!(made(what(), None).unwrap().contains("no program"));
    let relative = Secret { program: "echo".into(), ..secret(Vec::new()) };
    assert!(made(what(), Some(relative)).unwrap().contains("absolute"));
    let small = Secret { memory_bytes_max: 1, ..secret(Vec::new()) };
    assert!(made(what(), Some(small)).unwrap().contains("memory_bytes_max"));
}
