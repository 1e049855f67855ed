//! A psql that stays open, asked one statement after the other.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use crate::{Failure, Result};

/// How long an answer may take.
const ANSWER_PATIENCE: Duration = Duration::from_secs(30);

/// An open session.
#[derive(Debug)]
pub struct Talk {
    child: Child,
    input: ChildStdin,
    lines: Receiver<String>,
    asked: usize,
}

impl Talk {
    /// Start a command that is, or becomes, `psql` reading its standard input (`-XAtq`), and wait for its first answer.
    ///
    /// # Errors
    /// It cannot be started, or gives no session.
    pub fn start(command: &Command) -> Result<Self> {
        // What psql says of errors belongs between its answers.
        let mut shell = Command::new("sh");
        shell.args(["-c", "exec \"$0\" \"$@\" 2>&1"]).arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        shell.stdin(Stdio::piped()).stdout(Stdio::piped());
        let cannot = |error: std::io::Error| Failure::new(format!("cannot start psql: {error}"));
        let mut child = shell.spawn().map_err(cannot)?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Failure::new("psql has no standard streams"));
        };
        let (give, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(std::result::Result::ok) {
                if give.send(line).is_err() {
                    break;
                }
            }
        });
        let mut this = Self { child, input, lines, asked: 0 };
        let first = this.ask("select 'open'")?;
        if first == "open" { Ok(this) } else { Err(Failure::new(first)) }
    }

    /// What psql prints for a statement, errors included. A session that has ended is an error with what was said.
    ///
    /// # Errors
    /// The session has ended, or no answer came.
    pub fn ask(&mut self, statement: &str) -> Result<String> {
        self.asked += 1;
        let mark = format!("--answered {}--", self.asked);
        let mut said = Vec::new();
        // A psql that has ended does not read any more: what it said last is still there.
        let sent = writeln!(self.input, "{statement};\n\\echo {mark}").and_then(|()| self.input.flush());
        let begun = Instant::now();
        loop {
            match self.lines.recv_timeout(ANSWER_PATIENCE.saturating_sub(begun.elapsed())) {
                Ok(line) if line == mark => return Ok(said.join("\n")),
                Ok(line) => said.push(line),
                Err(RecvTimeoutError::Disconnected) => {
                    let broken = sent.err().map(|error| format!(" ({error})")).unwrap_or_default();
                    return Err(Failure::new(format!("the session has ended{broken}: {}", said.join("\n"))));
                }
                Err(RecvTimeoutError::Timeout) => {
                    return Err(Failure::new(format!("no answer to `{statement}`: {}", said.join("\n"))));
                }
            }
        }
    }

    /// Ask again and again until the answer, or the session's end, is as wanted; how long that took.
    ///
    /// # Errors
    /// It does not come in time.
    pub fn until(
        &mut self,
        patience: Duration,
        statement: &str,
        mut wanted: impl FnMut(&Result<String>) -> bool,
    ) -> Result<Duration> {
        let begun = Instant::now();
        loop {
            let answer = self.ask(statement);
            if wanted(&answer) {
                return Ok(begun.elapsed());
            }
            if begun.elapsed() > patience {
                return Err(Failure::new(format!("after {patience:?} still: {answer:?}")));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
