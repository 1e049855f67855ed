//! `chaperone run TARGET COMMAND`: a declared command, with what it prints as it prints it and its exit code as ours.

use std::io::Write;
use std::process::ExitCode;

use chaperone_access::TargetName;
use chaperone_api::{CommandView, Page, Problem, RunCommand, RunEnd, RunLine, RunRefused};
use serde_json::{Map, Value};

use super::{Failure, block_on, ending, heard, remark, say, say_json};
use crate::person::asker::{Asker, Whom};
use crate::wiring::tls::{self, Trust};

/// Longest line of an answer, in bytes: a piece of output, with every byte escaped.
const LINE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// What timeout(1) exits with.
const TIME_OVER: u8 = 124;
/// Where nobody can say what the command did.
const OUTCOME_UNKNOWN: u8 = 125;
/// What a shell adds to the number of the signal that ended a program.
const BY_SIGNAL: i32 = 128;
/// How long it may take to reach the gateway.
const CONNECT: std::time::Duration = std::time::Duration::from_secs(20);

/// `chaperone run`
#[derive(Debug, clap::Args)]
pub(crate) struct Run {
    /// The target
    target: TargetName,
    /// The command; without it those that you may run are listed
    command: Option<String>,
    #[command(flatten)]
    whom: Whom,
    /// A parameter's value; may be given once for each
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = parameter, requires = "command")]
    parameters: Vec<(String, String)>,
    /// The software that acts for you, as registered at the gateway
    #[arg(long)]
    client: Option<String>,
    /// HL7 PurposeOfUse code, such as TREAT or HPAYMT
    #[arg(long, value_name = "CODE")]
    purpose: Option<String>,
    /// Print the answer's lines of JSON instead of what the command prints
    #[arg(long)]
    json: bool,
}

fn parameter(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("a parameter is given as NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

impl Run {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        block_on(self.asked())
    }

    async fn asked(self) -> Result<ExitCode, Failure> {
        let asker = Asker::open(&self.whom).await?;
        let Some(command) = &self.command else { return self.list(&asker).await };
        let mut parameters = Map::new();
        for (name, value) in &self.parameters {
            if parameters.insert(name.clone(), Value::String(value.clone())).is_some() {
                return Err(Failure::Usage(format!("`{name}` is given twice")));
            }
        }
        let body = RunCommand { parameters, client: self.client.clone(), purpose: self.purpose.clone() };
        let path = format!("/targets/{}/commands/{}/run", self.target, escaped(command));
        let kept = asker.again()?.keep();
        tokio::select! {
            failure = kept => Err(failure),
            ran = self.carried(&asker, &path, &body) => ran,
            // The connection ends with this program, and the command with the connection.
            ended = ending() => ended.map(|()| ExitCode::from(130)),
        }
    }

    async fn list(&self, asker: &Asker) -> Result<ExitCode, Failure> {
        let path = format!("/targets/{}/commands", self.target);
        let page: Page<CommandView> = asker.gateway().get(&path, asker.token()).await?;
        if self.json {
            say_json(&page.items)?;
            return Ok(ExitCode::SUCCESS);
        }
        if page.items.is_empty() {
            remark(&format!("there is no command at `{}` for you", self.target));
        }
        for command in &page.items {
            say(&described(command))?;
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn carried(&self, asker: &Asker, path: &str, body: &RunCommand) -> Result<ExitCode, Failure> {
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls::client(&asker.ca().map_or(Trust::System, Trust::Roots))?)
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT)
            .build()
            .map_err(Failure::failed)?;
        let url = format!("{}/api/v1{path}", asker.gateway().url().trim_end_matches('/'));
        let body = serde_json::to_vec(body).map_err(Failure::failed)?;
        let request = http
            .post(&url)
            .bearer_auth(asker.token())
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(body);
        let unreachable =
            |why: reqwest::Error| Failure::Failed(format!("the gateway does not answer: {why}"));
        let mut response = request.send().await.map_err(unreachable)?;
        let fine = response.status().is_success();
        let mut buffer = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(unreachable)? {
            buffer.extend_from_slice(&piece);
            while let Some(at) = buffer.iter().position(|byte| *byte == b'\n').filter(|_| fine) {
                let rest = buffer.split_off(at + 1);
                let line = std::mem::replace(&mut buffer, rest);
                if let Some(code) = self.told(&line)? {
                    return Ok(code);
                }
            }
            if buffer.len() > LINE_BYTES_MAX {
                return Err(Failure::Failed("the gateway's answer has too long a line".to_owned()));
            }
        }
        if fine {
            return Ok(unknown("the answer ended before the command did"));
        }
        let status = response.status();
        match serde_json::from_slice::<Problem>(&buffer) {
            Ok(problem) => Err(Failure::Refused(problem)),
            Err(_) => Err(Failure::Failed(format!("the gateway answered {status}"))),
        }
    }

    /// Pass a line of the answer on; the exit code where it is the last one.
    fn told(&self, line: &[u8]) -> Result<Option<ExitCode>, Failure> {
        let known: RunLine = serde_json::from_slice(line).map_err(Failure::failed)?;
        if self.json {
            let text = String::from_utf8_lossy(line);
            if !heard(text.trim_end())? {
                return Ok(Some(ExitCode::SUCCESS));
            }
        }
        let print = |text: &str, to: &mut dyn Write| to.write_all(text.as_bytes()).and_then(|()| to.flush());
        let printed = match &known {
            RunLine::Started(_) => Ok(()),
            RunLine::Out(_) | RunLine::Err(_) if self.json => Ok(()),
            RunLine::Out(text) => print(text, &mut std::io::stdout().lock()),
            RunLine::Err(text) => print(text, &mut std::io::stderr().lock()),
            RunLine::Ended(end) => return Ok(Some(self.ended(end))),
            RunLine::Refused(_) if self.json => return Ok(Some(ExitCode::FAILURE)),
            RunLine::Refused(refused) => return Err(refusal(refused)),
            RunLine::Unknown(_) if self.json => return Ok(Some(ExitCode::from(OUTCOME_UNKNOWN))),
            RunLine::Unknown(why) => return Ok(Some(unknown(&why.detail))),
        };
        match printed {
            Ok(()) => Ok(None),
            // Whoever read it has gone: so do we, and the command with us.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(Some(ExitCode::SUCCESS)),
            Err(error) => Err(Failure::io("cannot write what the command prints")(error)),
        }
    }

    fn ended(&self, end: &RunEnd) -> ExitCode {
        if !self.json {
            if !end.masked.is_empty() {
                let counts: Vec<String> =
                    end.masked.iter().map(|(tag, count)| format!("{count} x {tag}")).collect();
                remark(&format!("replaced in the output: {}", counts.join(", ")));
            }
            if end.ended_by != "itself" {
                remark(&format!("the command was ended: {}", end.ended_by));
            }
        }
        let code = match (end.ended_by.as_str(), end.exit_code, end.signal) {
            ("itself", Some(code), _) => code,
            ("itself", None, Some(signal)) => BY_SIGNAL + signal,
            ("time_limit", ..) => i32::from(TIME_OVER),
            _ => 1,
        };
        ExitCode::from(u8::try_from(code).unwrap_or(1))
    }
}

/// Nobody can say what the command did: neither that it was refused nor that it failed is said.
fn unknown(why: &str) -> ExitCode {
    remark(&format!(
        "outcome unknown: {why} (hint: it may have done its work: look before you run it again)"
    ));
    ExitCode::from(OUTCOME_UNKNOWN)
}

fn refusal(refused: &RunRefused) -> Failure {
    let hint = refused.hint.as_ref().map(|hint| format!(" (hint: {hint})")).unwrap_or_default();
    Failure::Failed(format!("{}{hint}", refused.detail))
}

/// A name as one part of a path.
fn escaped(name: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    name.bytes().map(byte).collect()
}

/// A command for people.
fn described(command: &CommandView) -> String {
    let mut out = format!("{}\n    {}", command.name, command.description);
    let properties = command.parameters.get("properties").and_then(Value::as_object).into_iter().flatten();
    let required = command.parameters.get("required").and_then(Value::as_array);
    for (name, property) in properties {
        let needed = required.is_some_and(|names| names.iter().any(|needed| needed == name));
        let needed = if needed { "" } else { ", may be left out" };
        let about = property.get("description").and_then(Value::as_str).unwrap_or_default();
        let mut rule = property.clone();
        if let Some(members) = rule.as_object_mut() {
            members.remove("description");
        }
        out.push_str(&format!("\n    --param {name}=...  {about} {rule}{needed}"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_is_split_once_and_a_name_stays_one_part_of_a_path() {
        assert_eq!(parameter("a=b=c").unwrap(), ("a".to_owned(), "b=c".to_owned()));
        assert_eq!(parameter("a=").unwrap(), ("a".to_owned(), String::new()));
        assert!(parameter("a").is_err());
        assert_eq!(escaped("../x?y"), "%2E%2E%2Fx%3Fy");
        assert_eq!(escaped("disk-usage_2"), "disk-usage_2");
    }
}
