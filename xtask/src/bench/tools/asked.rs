//! Two ways to call a tool: at a gateway, and of the server itself.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::failed;
use crate::failure::Failure;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Longest answer, in bytes.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// Something that has tools.
pub(super) trait Asked {
    /// The answer to one request, as JSON.
    fn ask(&mut self, request: &Value) -> Result<Value, Failure>;

    /// Call a tool: what it says, and how long that took.
    fn call(&mut self, tool: &str, arguments: &Value) -> Result<(String, Duration), Failure> {
        let params = json!({"name": tool, "arguments": arguments});
        let request = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params});
        let begun = Instant::now();
        let answer = self.ask(&request)?;
        let took = begun.elapsed();
        let text = answer.pointer("/result/content/0/text").and_then(Value::as_str);
        let text = text.ok_or_else(|| Failure::new(format!("`{tool}` has no answer: {answer}")))?;
        Ok((text.to_owned(), took))
    }

    /// As [`Asked::call`], and a refusal is a failure.
    fn answered(&mut self, tool: &str, arguments: &Value) -> Result<(String, Duration), Failure> {
        let (text, took) = self.call(tool, arguments)?;
        match text.starts_with("refused: ") || text.starts_with("outcome unknown: ") {
            true => Err(Failure::new(format!("`{tool}` was not carried: {text}"))),
            false => Ok((text, took)),
        }
    }
}

/// One connection to a gateway that stays open.
pub(super) struct AtGateway {
    stream: BufReader<TcpStream>,
    head: String,
}

impl AtGateway {
    /// `url` is the API's, `at` a target's or server's name.
    pub(super) fn new(url: &str, at: &str, token: &str) -> Result<Self, Failure> {
        let address = url.trim_start_matches("http://");
        let stream = TcpStream::connect(address).map_err(failed("reach the gateway"))?;
        stream.set_nodelay(true).map_err(failed("reach the gateway"))?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(failed("reach the gateway"))?;
        let head = format!(
            "POST /mcp/{at} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\n\
             content-type: application/json\r\naccept: application/json, text/event-stream\r\n"
        );
        Ok(Self { stream: BufReader::new(stream), head })
    }
}

impl Asked for AtGateway {
    fn ask(&mut self, request: &Value) -> Result<Value, Failure> {
        let body = request.to_string();
        let sent = format!("{}content-length: {}\r\n\r\n{body}", self.head, body.len());
        self.stream.get_mut().write_all(sent.as_bytes()).map_err(failed("ask the gateway"))?;
        let (mut head, mut length) = (String::new(), None);
        loop {
            let mut line = String::new();
            let read = self.stream.read_line(&mut line).map_err(failed("hear the gateway"))?;
            if read == 0 || line == "\r\n" {
                break;
            }
            let field = line.split_once(':').filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
            length = field.and_then(|(_, value)| value.trim().parse().ok()).or(length);
            head.push_str(&line);
        }
        let length: usize = length
            .filter(|length| *length <= ANSWER_BYTES_MAX)
            .ok_or_else(|| Failure::new(format!("the gateway's answer has no length: {head}")))?;
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).map_err(failed("hear the gateway"))?;
        let parsed = head.starts_with("HTTP/1.1 200 ").then(|| serde_json::from_slice(&body).ok()).flatten();
        parsed.ok_or_else(|| {
            Failure::new(format!("the gateway says:\n{head}{}", String::from_utf8_lossy(&body)))
        })
    }
}

/// The server itself, as a client starts one on its own machine.
pub(super) struct Direct {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Direct {
    pub(super) fn new(words: &[&Path]) -> Result<Self, Failure> {
        let (program, arguments) = words.split_first().ok_or_else(|| Failure::new("no server"))?;
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(failed("start the server"))?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Failure::new("the server has no standard streams"));
        };
        let mut this = Self { child, input, output: BufReader::new(output) };
        let params = json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "figures", "version": "1"}});
        this.ask(&json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}))?;
        Ok(this)
    }
}

impl Asked for Direct {
    fn ask(&mut self, request: &Value) -> Result<Value, Failure> {
        self.input.write_all(format!("{request}\n").as_bytes()).map_err(failed("ask the server"))?;
        let mut line = String::new();
        self.output.read_line(&mut line).map_err(failed("hear the server"))?;
        serde_json::from_str(&line)
            .map_err(|error| Failure::new(format!("the server says `{line}`: {error}")))
    }
}

impl Drop for Direct {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
