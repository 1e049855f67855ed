//! Running other programs: what is run is shown, and a failure says what failed.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::failure::Failure;

pub(crate) use chaperone_tests::{root, target_dir};

/// Bytes of a failed program's own words that are shown; the whole of them stays in its file.
const SHOWN_BYTES_MAX: u64 = 4096;

/// A command in the workspace's root.
pub(crate) fn command(words: &[&str]) -> Command {
    let (program, arguments) = words.split_first().unwrap_or((&"true", &[]));
    let mut command = Command::new(program);
    command.args(arguments).current_dir(root());
    command
}

/// Show the command, run it with this terminal, and wait. What it prints is progress, never this program's answer (which may be
/// JSON), so that it goes to the standard error.
///
/// # Errors
/// It cannot be started, or ends with anything but 0.
pub(crate) fn show(mut command: Command) -> Result<(), Failure> {
    let line = line_of(&command);
    eprintln!("$ {line}");
    let status = command.stdout(std::io::stderr()).status();
    let status = status.map_err(|error| Failure::new(format!("cannot run `{line}`: {error}")))?;
    if status.success() { Ok(()) } else { Err(Failure::new(format!("`{line}` ended with {status}"))) }
}

/// As [`show`], with both of its streams in a file instead of on this terminal.
///
/// # Errors
/// The file cannot be made, or the command cannot be started or ends with anything but 0; the message names the file.
pub(crate) fn show_in(mut command: Command, file: &Path) -> Result<(), Failure> {
    let line = line_of(&command);
    eprintln!("$ {line}");
    let cannot = |error: std::io::Error| Failure::new(format!("cannot run `{line}`: {error}"));
    let out = File::create(file).map_err(cannot)?;
    let error = out.try_clone().map_err(cannot)?;
    let status = command.stdout(out).stderr(error).status().map_err(cannot)?;
    if status.success() {
        Ok(())
    } else {
        Err(Failure::new(format!("`{line}` ended with {status}; all that it said is in {}", file.display())))
    }
}

/// The end of what a program printed into a file.
pub(crate) fn end_of(path: &Path) -> String {
    let read = || -> std::io::Result<String> {
        let mut file = File::open(path)?;
        let from = file.metadata()?.len().saturating_sub(SHOWN_BYTES_MAX);
        file.seek(SeekFrom::Start(from))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    read().unwrap_or_else(|error| format!("cannot read {}: {error}", path.display()))
}

/// As [`show`], and hand every line of its standard error to `each` as well as to the terminal.
///
/// # Errors
/// It cannot be started, or ends with anything but 0.
pub(crate) fn show_and_read(
    mut command: Command,
    stream: Stream,
    mut each: impl FnMut(&str),
) -> Result<(), Failure> {
    let line = line_of(&command);
    eprintln!("$ {line}");
    let cannot = |error: std::io::Error| Failure::new(format!("cannot run `{line}`: {error}"));
    match stream {
        Stream::Out => command.stdout(Stdio::piped()),
        Stream::Error => command.stderr(Stdio::piped()),
    };
    let mut child = command.spawn().map_err(cannot)?;
    let reader: Option<Box<dyn std::io::Read>> = match stream {
        Stream::Out => child.stdout.take().map(|pipe| Box::new(pipe) as _),
        Stream::Error => child.stderr.take().map(|pipe| Box::new(pipe) as _),
    };
    for text in reader.map(BufReader::new).into_iter().flat_map(BufReader::lines) {
        let text = text.map_err(cannot)?;
        eprintln!("{text}");
        each(&text);
    }
    let status = child.wait().map_err(cannot)?;
    if status.success() { Ok(()) } else { Err(Failure::new(format!("`{line}` ended with {status}"))) }
}

/// Which of a program's two streams is read.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Stream {
    Out,
    Error,
}

/// Run silently and hand back standard output as text.
///
/// # Errors
/// It cannot be started, ends with anything but 0 (the message carries its standard error), or prints no UTF-8.
pub(crate) fn capture(mut command: Command) -> Result<String, Failure> {
    let line = line_of(&command);
    let output = command.output().map_err(|error| Failure::new(format!("cannot run `{line}`: {error}")))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(Failure::new(format!("`{line}` ended with {}: {}", output.status, said.trim())));
    }
    String::from_utf8(output.stdout)
        .map_err(|_| Failure::new(format!("`{line}` printed text that is not UTF-8")))
}

/// Whether a command can be run and ends with 0; what it prints is dropped.
pub(crate) fn succeeds(words: &[&str]) -> bool {
    command(words).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

fn line_of(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
