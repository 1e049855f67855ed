//! `chaperone session replay ID`: what a command printed, as its caller got it, in the time that it took; or as an asciicast
//! (docs.asciinema.org/manual/asciicast), which other programs play.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chaperone_access::SessionId;
use chaperone_api::{ReadGrant, SessionDetail};
use serde_json::{Value, json};

use super::reach::Reach;
use super::session::{granted, whole};
use super::{Failure, block_on, remark};
use crate::wiring::installation::{Opener, reader_key};

/// The terminal that an export is for: commands print to none, so that they know no size.
const COLUMNS: u16 = 120;
const ROWS: u16 = 40;
/// Longest pause of a replay on a terminal.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// `chaperone session replay`
#[derive(Debug, clap::Args)]
pub(crate) struct Replay {
    #[command(flatten)]
    reach: Reach,
    /// Which session
    session: SessionId,
    /// Private key file of a reader: the transcript is opened with it, here, after the gateway has recorded that it is read
    #[arg(long, value_name = "FILE")]
    reader_key: PathBuf,
    /// Write an asciicast instead; `-` is standard output
    #[arg(long, value_name = "FILE")]
    export: Option<PathBuf>,
    /// Which format of asciicast
    #[arg(long, value_enum, default_value = "v2", requires = "export")]
    format: Format,
    /// Print all of it at once, with standard error apart
    #[arg(long, conflicts_with = "export")]
    at_once: bool,
}

/// An asciicast's version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// Times count from the beginning
    V2,
    /// Times count from the event before; the exit code is told
    V3,
}

/// One piece of a transcript.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Piece {
    at_us: u64,
    is_error: bool,
    text: String,
}

/// What a command printed, and how it ended.
#[derive(Debug, Default)]
struct Transcript {
    command: String,
    target: String,
    began_s: u64,
    duration_us: u64,
    pieces: Vec<Piece>,
    exit_code: Option<u64>,
}

impl Replay {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        if let Some(file) = self.export.as_ref().filter(|file| file.exists()) {
            // Said before the reading is on record.
            return Err(Failure::Usage(format!("`{}` is there already", file.display())));
        }
        let ask = block_on(self.reach.ask())?;
        let detail = block_on(whole(&ask, self.session))?;
        let key = reader_key(&self.reader_key)?;
        let grant = block_on(granted(&ask, self.session, key.public_text()))?;
        let opener = Opener::new(&key, self.session, &grant.wrapped_key)?;
        let transcript = read(&detail, &grant, &opener)?;
        match (&self.export, self.at_once) {
            (Some(file), _) => export(&transcript, self.format, file)?,
            (None, true) => play(&transcript, |_| {})?,
            (None, false) => play(&transcript, |wait| std::thread::sleep(wait.min(PAUSE_MAX)))?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The transcript of a session's command: its parts stand in the entries that cover them, in order.
fn read(detail: &SessionDetail, grant: &ReadGrant, opener: &Opener) -> Result<Transcript, Failure> {
    let mut transcript = Transcript { target: detail.summary.target.clone(), ..Transcript::default() };
    let mut found = false;
    for entry in &detail.entries {
        let text = |name: &str| entry.get(name).and_then(Value::as_str);
        if let Some(command) = text("command").filter(|_| text("kind") == Some("operation.intent")) {
            found = true;
            transcript.command = command.to_owned();
            transcript.began_s = entry.get("at").and_then(Value::as_u64).unwrap_or_default() / 1_000_000;
        }
        if text("kind") == Some("operation.outcome") {
            transcript.exit_code = entry.get("exit_code").and_then(Value::as_u64);
            transcript.duration_us = entry.get("duration_us").and_then(Value::as_u64).unwrap_or_default();
        }
        let Some(hash) = entry.pointer("/transcript/object").and_then(Value::as_str) else { continue };
        let object = grant.objects.get(hash).ok_or_else(|| {
            Failure::Failed(format!("a part of the transcript is not in the trail's segments: {hash}"))
        })?;
        let frame = STANDARD.decode(object).map_err(Failure::failed)?;
        transcript.pieces.extend(pieces(&opener.open(&frame)?)?);
    }
    if found {
        return Ok(transcript);
    }
    Err(Failure::Failed(
        "the session ran no declared command, so that it has no transcript (hint: `chaperone session show` shows its statements)"
            .to_owned(),
    ))
}

/// The pieces of one part.
fn pieces(plain: &[u8]) -> Result<Vec<Piece>, Failure> {
    let lines = plain.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let piece = |line: &[u8]| {
        let (at_us, printed, text): (u64, String, String) =
            serde_json::from_slice(line).map_err(Failure::failed)?;
        Ok(Piece { at_us, is_error: printed == "e", text })
    };
    lines.map(piece).collect()
}

fn play(transcript: &Transcript, mut wait: impl FnMut(Duration)) -> Result<(), Failure> {
    let mut before_us = 0;
    for piece in &transcript.pieces {
        wait(Duration::from_micros(piece.at_us.saturating_sub(before_us)));
        before_us = piece.at_us;
        let mut to: Box<dyn Write> =
            if piece.is_error { Box::new(std::io::stderr()) } else { Box::new(std::io::stdout()) };
        match to.write_all(piece.text.as_bytes()).and_then(|()| to.flush()) {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(()),
            other => other.map_err(Failure::io("cannot write the transcript"))?,
        }
    }
    match transcript.exit_code {
        Some(code) => remark(&format!("`{}` ended with {code}", transcript.command)),
        None => remark(&format!("`{}` did not end by itself", transcript.command)),
    }
    Ok(())
}

fn export(transcript: &Transcript, format: Format, file: &std::path::Path) -> Result<(), Failure> {
    let cast = cast(transcript, format);
    if file.as_os_str() == "-" {
        return super::say(cast.trim_end());
    }
    use std::os::unix::fs::OpenOptionsExt;
    let failed = || Failure::io(format!("cannot write `{}`", file.display()));
    // What was printed may be about patients: it is nobody else's to read, and no other file is written over.
    let made = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
    made.map_err(failed())?.write_all(cast.as_bytes()).map_err(failed())
}

/// Seconds with microseconds, as JSON.
fn seconds(us: u64) -> Value {
    let text = format!("{}.{:06}", us / 1_000_000, us % 1_000_000);
    serde_json::from_str(&text).unwrap_or(Value::Null)
}

/// A line feed goes to the beginning of a line only where a terminal is told so.
fn lines(text: &str, after_return: &mut bool) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if character == '\n' && !*after_return {
            out.push('\r');
        }
        out.push(character);
        *after_return = character == '\r';
    }
    out
}

fn cast(transcript: &Transcript, format: Format) -> String {
    let title = format!("{}/{}", transcript.target, transcript.command);
    let header = match format {
        Format::V2 => json!({"version": 2, "width": COLUMNS, "height": ROWS, "timestamp": transcript.began_s,
            "duration": seconds(transcript.duration_us), "title": title}),
        Format::V3 => json!({"version": 3, "term": {"cols": COLUMNS, "rows": ROWS},
            "timestamp": transcript.began_s, "title": title}),
    };
    let mut out = format!("{header}\n");
    let (mut before_us, mut after_return) = (0, false);
    let mut event = |at_us: u64, code: &str, text: &str| {
        // The order is that of the record; a clock that is read twice may not go back.
        let at_us = at_us.max(before_us);
        let time = match format {
            Format::V2 => seconds(at_us),
            Format::V3 => seconds(at_us - before_us),
        };
        before_us = at_us;
        out.push_str(&format!("{}\n", json!([time, code, text])));
    };
    for piece in &transcript.pieces {
        event(piece.at_us, "o", &lines(&piece.text, &mut after_return));
    }
    if let (Format::V3, Some(code)) = (format, transcript.exit_code) {
        event(transcript.duration_us, "x", &code.to_string());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transcript() -> Transcript {
        let plain = "[1500000,\"o\",\"one\\n\"]\n[1600000,\"e\",\"two\\r\"]\n[2000001,\"o\",\"\\nthr\\u001b[1mee é\"]\n";
        Transcript {
            command: "report".to_owned(),
            target: "ops".to_owned(),
            began_s: 1_795_000_000,
            duration_us: 2_500_000,
            pieces: pieces(plain.as_bytes()).unwrap(),
            exit_code: Some(3),
        }
    }

    fn read(cast: &str) -> Vec<Value> {
        cast.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// docs.asciinema.org/manual/asciicast/v2: required attributes, event arrays of three, absolute times that do not go back.
    #[test]
    fn the_second_version_counts_from_the_beginning() {
        let lines = read(&cast(&transcript(), Format::V2));
        assert_eq!(
            (&lines[0]["version"], &lines[0]["width"], &lines[0]["height"]),
            (&json!(2), &json!(120), &json!(40))
        );
        assert_eq!((&lines[0]["timestamp"], &lines[0]["duration"]), (&json!(1_795_000_000), &json!(2.5)));
        assert_eq!(
            lines[1..],
            [
                json!([1.5, "o", "one\r\n"]),
                json!([1.6, "o", "two\r"]),
                json!([2.000001, "o", "\nthr\u{1b}[1mee é"])
            ]
        );
    }

    /// docs.asciinema.org/manual/asciicast/v3: `term`, intervals, the exit status as text.
    #[test]
    fn the_third_version_counts_from_the_event_before() {
        let lines = read(&cast(&transcript(), Format::V3));
        assert_eq!((&lines[0]["version"], &lines[0]["term"]), (&json!(3), &json!({"cols": 120, "rows": 40})));
        assert!(lines[0].get("width").is_none());
        assert_eq!(
            lines[1..],
            [
                json!([1.5, "o", "one\r\n"]),
                json!([0.1, "o", "two\r"]),
                json!([0.400001, "o", "\nthr\u{1b}[1mee é"]),
                json!([0.499999, "x", "3"])
            ]
        );
    }

    #[test]
    fn a_part_that_is_no_transcript_is_refused() {
        for bad in ["[1,\"o\"]", "[-1,\"o\",\"x\"]", "{}", "[1,\"o\",7]"] {
            assert!(pieces(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
