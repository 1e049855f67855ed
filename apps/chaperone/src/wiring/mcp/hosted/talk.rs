//! What is said with a run of a server over its input and output: one message a line, one request at a time.

use std::time::Duration;

use bytes::{Buf, BytesMut};
use chaperone_mcp::relay::{self, FRAME_BYTES_MAX, Heard, RelayError, heard};
use chaperone_mcp::remote::Fault;
use chaperone_tunnel::Stream;
use serde_json::value::RawValue;
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};

/// By which a run says that what it has is another now.
const CHANGES: [&str; 3] = [
    "notifications/tools/list_changed",
    "notifications/prompts/list_changed",
    "notifications/resources/list_changed",
];
/// Messages that a run may send while one answer is waited for, or between two.
const ASIDES_MAX: usize = 1000;
/// Bytes of these.
const ASIDE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Bytes that wait to be read by it, beside one request.
const UNREAD_BYTES_MAX: usize = 64 * 1024;

/// Why nothing more is asked of a run. In each case it is ended.
#[derive(Debug, Error)]
pub(super) enum Broken {
    /// It is over.
    #[error("it ended by itself")]
    Gone,
    /// Its message is none.
    #[error("it broke the protocol: {0}")]
    Message(#[from] RelayError),
    /// It answers what was not asked.
    #[error("it broke the protocol: an answer to nothing that is under way")]
    Unasked,
    /// A message without end.
    #[error("it sent a message of more than {FRAME_BYTES_MAX} bytes")]
    TooLong,
    /// Messages without end.
    #[error("it sent too much that nobody asked for")]
    TooMuch,
    /// What its agent says of a server elsewhere.
    #[error(transparent)]
    Elsewhere(#[from] Fault),
}

impl Broken {
    /// Whether what was asked last was certainly not carried out.
    pub(super) fn is_undone(&self) -> bool {
        match self {
            Self::Elsewhere(fault) => fault.is_undone(),
            Self::Gone | Self::Message(_) | Self::Unasked | Self::TooLong | Self::TooMuch => false,
        }
    }
}

/// What a request came to, kept as it stood.
pub(super) enum Answered {
    Result(Box<RawValue>),
    Error(Box<RawValue>),
}

/// One run's ends.
pub(super) struct Talk {
    reads: ReadHalf<Box<dyn Stream>>,
    writes: WriteHalf<Box<dyn Stream>>,
    input: BytesMut,
    /// How far `input` was looked through for the end of a line.
    seen: usize,
    output: BytesMut,
    next: u64,
    /// Requests whose answer, should it come, nobody waits for.
    unawaited: Vec<u64>,
    asides: (usize, usize),
    changed: bool,
    /// Whether its agent reaches it elsewhere, and says in a line of its own why no more comes.
    is_elsewhere: bool,
}

/// What came of one line.
enum Line {
    Answer(u64, Answered),
    /// It asks for something: its id, as it stands, and what for.
    Asks(String, Words),
    Tells(Words),
    Aside,
}

/// What a run says beside answers, as it stands.
pub(super) struct Words {
    pub(super) method: String,
    pub(super) params: Option<Box<RawValue>>,
}

/// What comes while an answer is waited for.
pub(super) enum Came {
    /// The answer.
    Answer(Answered),
    /// Something that is asked, under this id.
    Asks(String, Words),
    /// Something that is told.
    Tells(Words),
}

impl Talk {
    pub(super) fn new(stream: Box<dyn Stream>, is_elsewhere: bool) -> Self {
        let (reads, writes) = tokio::io::split(stream);
        let (input, output) = (BytesMut::new(), BytesMut::new());
        let (unawaited, asides, changed) = (Vec::new(), (0, 0), false);
        Self { reads, writes, input, seen: 0, output, next: 1, unawaited, asides, changed, is_elsewhere }
    }

    /// Whether it has said since that what it has is another now.
    pub(super) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// Say something that has no answer.
    pub(super) fn tell(&mut self, method: &str) {
        self.put(&[r#"{"jsonrpc":"2.0","method":""#, method, r#""}"#]);
    }

    fn put(&mut self, parts: &[&str]) {
        for part in parts {
            // A line's end may stand between the parts of a JSON text, and nowhere inside of them.
            self.output
                .extend(part.bytes().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { byte }));
        }
        self.output.extend_from_slice(b"\n");
    }

    /// Ask, and wait for the answer. Whoever gives up waiting has to give the run up too.
    pub(super) async fn ask(&mut self, method: &str, params: &str) -> Result<Answered, Broken> {
        let id = self.put_request(method, params);
        self.answer(id).await
    }

    /// Ask, and wait no longer than that; `None` where no answer came, and one that comes later is passed over.
    pub(super) async fn ask_within(
        &mut self,
        patience: Duration,
        method: &str,
        params: &str,
    ) -> Result<Option<Answered>, Broken> {
        let id = self.put_request(method, params);
        match tokio::time::timeout(patience, self.answer(id)).await {
            Ok(answered) => answered.map(Some),
            Err(_elapsed) => {
                self.unawaited.push(id);
                Ok(None)
            }
        }
    }

    /// Ask for what has its answer when it is over, or never: what comes of it meanwhile are asides.
    pub(super) fn subscribe(&mut self, method: &str, params: &str) {
        let id = self.put_request(method, params);
        self.unawaited.push(id);
    }

    /// The number that the next request will have.
    pub(super) fn next_number(&self) -> u64 {
        self.next
    }

    /// Ask; its number, by which its answer is known.
    pub(super) fn begin(&mut self, method: &str, params: &str) -> u64 {
        self.asides = (0, 0);
        self.put_request(method, params)
    }

    /// What comes next of a request, in the order in which it was said. Cancel safe.
    pub(super) async fn come(&mut self, id: u64) -> Result<Came, Broken> {
        loop {
            match self.turn().await? {
                Line::Answer(answered, came) if answered == id => return Ok(Came::Answer(came)),
                Line::Answer(..) => return Err(Broken::Unasked),
                Line::Asks(id, words) => return Ok(Came::Asks(id, words)),
                Line::Tells(words) => return Ok(Came::Tells(words)),
                Line::Aside => {}
            }
        }
    }

    /// Answer what it asked; `what` is `result` or `error`.
    pub(super) fn reply(&mut self, id: &str, what: &str, raw: &str) -> Result<(), Broken> {
        if self.output.len() > UNREAD_BYTES_MAX {
            return Err(Broken::TooMuch);
        }
        self.put(&[r#"{"jsonrpc":"2.0","id":"#, id, ",\"", what, "\":", raw, "}"]);
        Ok(())
    }

    fn put_request(&mut self, method: &str, params: &str) -> u64 {
        let id = self.next;
        self.next += 1;
        let number = id.to_string();
        let head = [
            r#"{"jsonrpc":"2.0","id":"#,
            number.as_str(),
            r#","method":""#,
            method,
            r#"","params":"#,
            params,
            "}",
        ];
        self.put(&head);
        id
    }

    async fn answer(&mut self, id: u64) -> Result<Answered, Broken> {
        self.asides = (0, 0);
        loop {
            match self.turn().await? {
                Line::Answer(answered, came) if answered == id => return Ok(came),
                Line::Answer(..) => return Err(Broken::Unasked),
                Line::Asks(id, _) => self.refuse(&id)?,
                Line::Tells(_) | Line::Aside => {}
            }
        }
    }

    /// It asks for something outside of a call.
    fn refuse(&mut self, id: &str) -> Result<(), Broken> {
        let error = r#"{"code":-32601,"message":"nothing is asked of a client but in a call of its own"}"#;
        self.reply(id, "error", error)
    }

    /// Look at what has come since the last answer: whether more can be asked.
    pub(super) async fn is_sound(&mut self) -> Result<(), Broken> {
        self.asides = (0, 0);
        loop {
            // No timer: the shortest ends at the next millisecond, and each call would wait for it.
            let line = tokio::select! {
                biased;
                line = self.turn() => line?,
                () = std::future::ready(()) => return Ok(()),
            };
            match line {
                Line::Asks(id, _) => self.refuse(&id)?,
                Line::Tells(_) | Line::Aside => {}
                Line::Answer(..) => return Err(Broken::Unasked),
            }
        }
    }

    /// Write what waits, and read one line. Cancel safe.
    async fn turn(&mut self) -> Result<Line, Broken> {
        loop {
            if let Some(line) = self.line()? {
                return self.understood(&line);
            }
            let waits = !self.output.is_empty();
            tokio::select! {
                wrote = self.writes.write(&self.output), if waits => match wrote {
                    Ok(length @ 1..) => {
                        self.output.advance(length);
                        if self.output.is_empty() {
                            drop(self.writes.flush().await);
                        }
                    }
                    // It takes nothing more. Whether it has said why is heard below, before its end is.
                    Ok(0) | Err(_) => self.output.clear(),
                },
                read = self.reads.read_buf(&mut self.input) => match read {
                    Ok(1..) => {}
                    Ok(0) | Err(_) => return Err(Broken::Gone),
                },
            }
        }
    }

    /// A whole line, where there is one.
    fn line(&mut self) -> Result<Option<BytesMut>, Broken> {
        let fresh = self.input.get(self.seen..).unwrap_or_default();
        let Some(end) = fresh.iter().position(|byte| *byte == b'\n').map(|place| self.seen + place) else {
            self.seen = self.input.len();
            return if self.seen > FRAME_BYTES_MAX { Err(Broken::TooLong) } else { Ok(None) };
        };
        if end > FRAME_BYTES_MAX {
            return Err(Broken::TooLong);
        }
        self.seen = 0;
        let line = self.input.split_to(end);
        self.input.advance(1);
        Ok(Some(line))
    }

    fn understood(&mut self, line: &[u8]) -> Result<Line, Broken> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            return self.aside(1);
        }
        if let Some(fault) = Fault::of_line(line).filter(|_| self.is_elsewhere) {
            return Err(fault.into());
        }
        match heard(line)? {
            Heard::Answer { id, .. } if self.unawaited.contains(&id) => {
                self.unawaited.retain(|known| *known != id);
                self.aside(line.len())
            }
            Heard::Answer { id, came: relay::Came::Result(result) } => {
                Ok(Line::Answer(id, Answered::Result(result.to_owned())))
            }
            Heard::Answer { id, came: relay::Came::Error(error) } => {
                Ok(Line::Answer(id, Answered::Error(error.to_owned())))
            }
            Heard::Asks { id, method, .. } if method == "ping" => {
                let id = id.get().to_owned();
                self.reply(&id, "result", "{}")?;
                self.aside(line.len())
            }
            Heard::Asks { id, method, params } => {
                let id = id.get().to_owned();
                let words = Words { method, params: params.map(ToOwned::to_owned) };
                self.aside(line.len()).map(|_| Line::Asks(id, words))
            }
            Heard::Tells { method, params } => {
                self.changed |= CHANGES.contains(&method.as_str());
                let words = Words { method, params: params.map(ToOwned::to_owned) };
                self.aside(line.len()).map(|_| Line::Tells(words))
            }
        }
    }

    fn aside(&mut self, bytes: usize) -> Result<Line, Broken> {
        self.asides = (self.asides.0 + 1, self.asides.1 + bytes);
        if self.asides.0 > ASIDES_MAX || self.asides.1 > ASIDE_BYTES_MAX {
            return Err(Broken::TooMuch);
        }
        Ok(Line::Aside)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncBufReadExt, BufReader, DuplexStream};

    use super::*;

    /// A run that answers each request with a script's lines; `ID` stands for the request's id.
    async fn run(stream: DuplexStream, lines: Vec<String>) -> Vec<String> {
        let (reads, mut writes) = tokio::io::split(stream);
        let mut heard = BufReader::new(reads).lines();
        let mut all = Vec::new();
        if let Ok(Some(first)) = heard.next_line().await {
            all.push(first);
        }
        for line in lines {
            // Whoever listens may have given up.
            drop(writes.write_all(format!("{line}\n").as_bytes()).await);
        }
        while let Ok(Some(line)) = heard.next_line().await {
            all.push(line);
        }
        all
    }

    async fn asked(lines: Vec<String>) -> (Result<Answered, Broken>, Vec<String>) {
        let (ours, theirs) = tokio::io::duplex(1024);
        let other = tokio::spawn(run(theirs, lines));
        let mut talk = Talk::new(Box::new(ours), false);
        let came = talk.ask("tools/call", "{\n \"x\": 1}").await;
        drop(talk);
        (came, other.await.unwrap())
    }

    #[tokio::test]
    async fn an_answer_is_found_among_asides_and_kept_as_it_stood() {
        let lines = [
            "",
            r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"data":"x"}}"#,
            r#"{"jsonrpc":"2.0","id":"s1","method":"sampling/createMessage","params":{}}"#,
            r#"{"jsonrpc":"2.0","id":9,"method":"ping"}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{"a": 1.0, "unknown":[ ]}}"#,
        ];
        let (came, heard) = asked(lines.map(str::to_owned).into()).await;
        let Ok(Answered::Result(result)) = came else { panic!("no result") };
        assert_eq!(result.get(), r#"{"a": 1.0, "unknown":[ ]}"#);
        assert_eq!(heard[0], r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{  "x": 1}}"#);
    }

    #[tokio::test]
    async fn a_run_that_breaks_the_protocol_is_found_out() {
        let deep = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"x":{}"#, "[".repeat(100_000));
        for (line, told) in [
            (r#"{"jsonrpc":"2.0","id":2,"result":{}}"#.to_owned(), "an answer to nothing"),
            (r#"{"jsonrpc":"2.0","id":"1","result":{}}"#.to_owned(), "id that was never given"),
            (r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{}}"#.to_owned(), "a result and an error"),
            ("[]".to_owned(), "a batch"),
            ("hello".to_owned(), "not one JSON-RPC"),
            (deep, "nested deeper"),
            ("x".repeat(FRAME_BYTES_MAX + 2), "more than"),
        ] {
            let (came, _) = asked(vec![line]).await;
            let error = came.err().unwrap().to_string();
            assert!(error.contains(told), "{error}");
        }
        let endless =
            vec![r#"{"jsonrpc":"2.0","method":"notifications/message"}"#.to_owned(); ASIDES_MAX + 1];
        assert!(matches!(asked(endless).await.0, Err(Broken::TooMuch)));
    }

    #[tokio::test]
    async fn a_second_answer_is_noticed_before_anything_else_is_asked() {
        let (ours, theirs) = tokio::io::duplex(1024);
        let answer = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#.to_owned();
        let other = tokio::spawn(run(theirs, vec![answer.clone(), answer]));
        let mut talk = Talk::new(Box::new(ours), false);
        assert!(talk.ask("tools/list", "{}").await.is_ok());
        // It may not have come yet; it has once the other end has written all of it.
        while talk.is_sound().await.is_ok() {
            tokio::task::yield_now().await;
        }
        drop(talk);
        other.await.unwrap();
    }

    #[tokio::test]
    async fn an_answer_that_nobody_waits_for_any_more_is_passed_over_once() {
        let (ours, theirs) = tokio::io::duplex(1024);
        let answers = [1, 2].map(|id| format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"n":{id}}}}}"#));
        let other = tokio::spawn(async move {
            let (reads, mut writes) = tokio::io::split(theirs);
            let mut heard = BufReader::new(reads).lines();
            for _ in 0..2 {
                heard.next_line().await.unwrap().unwrap();
            }
            for answer in answers.iter().chain([&answers[0]]) {
                writes.write_all(format!("{answer}\n").as_bytes()).await.unwrap();
            }
            while let Ok(Some(_)) = heard.next_line().await {}
        });
        let mut talk = Talk::new(Box::new(ours), false);
        let none = talk.ask_within(Duration::ZERO, "server/discover", "{}").await.unwrap();
        assert!(none.is_none());
        let Ok(Answered::Result(second)) = talk.ask("initialize", "{}").await else { panic!("no result") };
        assert_eq!(second.get(), r#"{"n":2}"#);
        // A second answer to it is one to nothing.
        let broken = loop {
            match talk.is_sound().await {
                Ok(()) => tokio::task::yield_now().await,
                Err(broken) => break broken,
            }
        };
        assert!(matches!(broken, Broken::Unasked));
        drop(talk);
        other.await.unwrap();
    }
}
