//! What a StartupMessage asks for, and which of it is granted. Pure.

use std::sync::Arc;

use chaperone_access::{Refusal, RefusalCode};
use chaperone_wire::limits::USER_BYTES_MAX;

use crate::codec::NAME_BYTES_MAX;
use crate::codec::startup::{ProtocolVersion, SessionRequest};

/// Settings that a client may begin with. Each changes how its own session reads and prints, or makes it give up
/// sooner; none changes who it is or what it may see. Lower case.
pub const SETTINGS: [&str; 15] = [
    "bytea_output",
    "client_min_messages",
    "datestyle",
    "default_transaction_isolation",
    "default_transaction_read_only",
    "extra_float_digits",
    "geqo",
    "idle_in_transaction_session_timeout",
    "intervalstyle",
    "jit",
    "lock_timeout",
    "search_path",
    "statement_timeout",
    "timezone",
    "work_mem",
];

/// Where the target keeps what the client calls itself; `chaperone_scope::APPLICATION` reads it.
const APPLICATION: &str = "chaperone.application_name";

/// A session as it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wishes {
    pub(crate) user: Arc<str>,
    pub(crate) target: Arc<str>,
    pub(crate) application: Option<Arc<str>>,
    /// The version that will be spoken.
    pub(crate) version: ProtocolVersion,
    /// Whether the client must be told so.
    pub(crate) negotiate: bool,
    /// Protocol options that nobody here knows.
    pub(crate) unknown_options: Vec<String>,
    /// Settings for the target, each on the list.
    pub(crate) settings: Vec<(String, String)>,
    /// The value of `search_path` among them, read.
    pub(crate) path: Option<Vec<Arc<str>>>,
}

fn unsupported(message: String, hint: &str) -> Refusal {
    Refusal::new(RefusalCode::Unsupported, message).hint(hint)
}

/// Judge a StartupMessage.
pub(crate) fn judge(request: &SessionRequest) -> Result<Wishes, Refusal> {
    let asked = request.version;
    if asked.major != 3 {
        return Err(unsupported(
            format!("protocol version {asked} is not supported"),
            "use protocol 3.0 or 3.2",
        ));
    }
    let version = if asked.minor >= 2 { ProtocolVersion::V3_2 } else { ProtocolVersion::V3_0 };
    let user = request.parameter("user").filter(|user| !user.is_empty()).ok_or_else(|| {
        Refusal::new(RefusalCode::ProtocolViolation, "no user name given")
            .hint("use the user name of your connection string")
    })?;
    if user.len() > USER_BYTES_MAX {
        return Err(Refusal::new(
            RefusalCode::TooLarge,
            format!("the user name is longer than {USER_BYTES_MAX} bytes"),
        ));
    }
    let target = request.parameter("database").filter(|name| !name.is_empty()).ok_or_else(|| {
        Refusal::new(RefusalCode::UndefinedTarget, "no target named")
            .hint("give the name of a target as the database name")
    })?;
    let mut wishes = Wishes {
        user: user.into(),
        target: target.into(),
        application: None,
        version,
        negotiate: version != asked,
        unknown_options: Vec::new(),
        settings: Vec::new(),
        path: None,
    };
    for (name, value) in &request.parameters {
        match name.as_str() {
            "user" | "database" => {}
            "replication" => replication(value)?,
            "options" => {
                for (name, value) in options(value)? {
                    wishes.set(&name, &value)?;
                }
            }
            _ if name.starts_with("_pq_.") => {
                wishes.negotiate = true;
                wishes.unknown_options.push(name.clone());
            }
            _ => wishes.set(name, value)?,
        }
    }
    Ok(wishes)
}

fn replication(value: &str) -> Result<(), Refusal> {
    if ["off", "false", "no", "0"].contains(&value.to_ascii_lowercase().as_str()) {
        return Ok(());
    }
    Err(unsupported(
        "replication is not supported".to_owned(),
        "replication reads everything at once, so it cannot be decided by statement: connect to the database itself",
    ))
}

impl Wishes {
    fn set(&mut self, name: &str, value: &str) -> Result<(), Refusal> {
        let lower = name.to_ascii_lowercase();
        match lower.as_str() {
            "application_name" => {
                // The target knows the session by another name; its own setting keeps this one, for SHOW.
                self.application = Some(value.into());
                self.settings.retain(|(earlier, _)| earlier != APPLICATION);
                self.settings.push((APPLICATION.to_owned(), value.to_owned()));
            }
            "client_encoding" => encoding(value)?,
            "standard_conforming_strings" if value.eq_ignore_ascii_case("on") => {}
            "role" | "session_authorization" => {
                return Err(unsupported(
                    format!("`{lower}` cannot be set at the boundary"),
                    "who you are follows from your credential; ask for one with the rights that you need",
                ));
            }
            "default_transaction_isolation" if value.eq_ignore_ascii_case("serializable") => {
                return Err(unsupported(
                    "a session cannot begin with SERIALIZABLE for all of its transactions".to_owned(),
                    "name the level where a transaction begins; it is not carried for who is seen in part",
                ));
            }
            known if SETTINGS.contains(&known) => {
                if known == "search_path" {
                    self.path = Some(schemas(value)?);
                }
                self.settings.retain(|(earlier, _)| *earlier != lower);
                self.settings.push((lower, value.to_owned()));
            }
            _ => {
                return Err(unsupported(
                    format!("the setting `{name}` cannot be given when connecting"),
                    "remove it from the connection's options, or use SET in the session",
                ));
            }
        }
        Ok(())
    }
}

fn encoding(value: &str) -> Result<(), Refusal> {
    let plain: String = value.chars().filter(char::is_ascii_alphanumeric).collect();
    if ["utf8", "unicode"].contains(&plain.to_ascii_lowercase().as_str()) {
        return Ok(());
    }
    Err(unsupported(format!("client encoding `{value}` is not supported"), "set PGCLIENTENCODING=UTF8"))
}

/// `-c name=value`, `-cname=value` and `--name=value`, separated by blanks; a backslash takes the next character as
/// it is (`pg_split_opts`).
fn options(text: &str) -> Result<Vec<(String, String)>, Refusal> {
    let mut words = vec![String::new()];
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        let word = if character.is_ascii_whitespace() {
            words.push(String::new());
            None
        } else {
            words.last_mut()
        };
        let Some(word) = word else { continue };
        word.extend(if character == '\\' { characters.next() } else { Some(character) });
    }
    let mut words = words.into_iter().filter(|word| !word.is_empty());
    let mut settings = Vec::new();
    while let Some(word) = words.next() {
        let setting = if word == "-c" {
            words.next()
        } else {
            word.strip_prefix("-c").or_else(|| word.strip_prefix("--")).map(str::to_owned)
        };
        let pair = setting.as_deref().and_then(|setting| setting.split_once('='));
        let (name, value) = pair.ok_or_else(|| {
            unsupported(format!("connection option `{word}` is not supported"), "only `-c name=value` is")
        })?;
        // The server too reads `-` in a name as `_`.
        settings.push((name.replace('-', "_"), value.to_owned()));
    }
    Ok(settings)
}

/// What PostgreSQL takes for space between identifiers (`scanner_isspace`), whatever else is one elsewhere.
const SPACES: [char; 5] = [' ', '\t', '\n', '\r', '\u{c}'];

/// The schemas of a `search_path`, as PostgreSQL reads them; what could be read in two ways is refused.
fn schemas(value: &str) -> Result<Vec<Arc<str>>, Refusal> {
    let refuse = || {
        unsupported(
            format!("search_path `{value}` is not supported when connecting"),
            "name schemas, separated by commas, without `$user`",
        )
    };
    let mut schemas: Vec<Arc<str>> = Vec::new();
    for part in value.split(',').map(|part| part.trim_matches(SPACES)) {
        let quoted = part.strip_prefix('"').and_then(|part| part.strip_suffix('"'));
        let name = quoted.map_or_else(|| part.to_ascii_lowercase(), str::to_owned);
        let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
        let plain = plain && (quoted.is_some() || !name.contains('-'));
        if name.is_empty() || !plain || name.len() > NAME_BYTES_MAX {
            return Err(refuse());
        }
        schemas.push(name.into());
    }
    Ok(schemas)
}

/// The statement that applies settings at the target, whose strings take backslashes as they are.
pub(crate) fn apply(settings: &[(String, String)]) -> Option<String> {
    let literal = |text: &str| format!("'{}'", text.replace('\'', "''"));
    let calls: Vec<String> = settings
        .iter()
        .map(|(name, value)| format!("pg_catalog.set_config({}, {}, false)", literal(name), literal(value)))
        .collect();
    (!calls.is_empty()).then(|| format!("select {}", calls.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(pairs: &[(&str, &str)]) -> SessionRequest {
        let base = [("user", "u"), ("database", "d")];
        let all = base.iter().chain(pairs).map(|(a, b)| ((*a).to_owned(), (*b).to_owned()));
        SessionRequest { version: ProtocolVersion::V3_0, parameters: all.collect() }
    }

    #[test]
    fn options_are_read_as_the_server_reads_them() {
        let wishes = judge(&request(&[(
            "options",
            r#"-c statement-timeout=5 --DateStyle=ISO,\ MDY -csearch_path=A,\ "B""#,
        )]));
        let wishes = wishes.unwrap();
        assert_eq!(wishes.settings[0], ("statement_timeout".into(), "5".into()));
        assert_eq!(wishes.settings[1], ("datestyle".into(), "ISO, MDY".into()));
        assert_eq!(wishes.path, Some(vec!["a".into(), "B".into()]));
        assert!(apply(&wishes.settings).unwrap().contains("set_config('datestyle', 'ISO, MDY', false)"));
    }

    #[test]
    fn nobody_becomes_somebody_else_when_connecting() {
        for bad in [
            ("options", "-c role=postgres"),
            ("options", "-c ROLE=postgres"),
            ("options", "--session-authorization=postgres"),
            ("options", "-crole=postgres"),
            ("options", r"-c r\ole=postgres"),
            ("role", "postgres"),
            ("replication", "database"),
            ("replication", "true"),
            ("options", "-d 5"),
            ("options", "-c"),
            ("row_security", "off"),
            ("search_path", "\"$user\", public"),
            ("search_path", "a\"b"),
            // A space elsewhere, and a part of the name at the server.
            ("search_path", "\u{a0}a,public"),
            ("search_path", "a,\u{2003}public"),
            ("search_path", "a\u{b},public"),
            ("search_path", "\u{85}a"),
            ("client_encoding", "LATIN1"),
            ("standard_conforming_strings", "off"),
            ("options", "-c default_transaction_isolation=SERIALIZABLE"),
        ] {
            let refusal = judge(&request(&[bad])).unwrap_err();
            assert_eq!(refusal.code, RefusalCode::Unsupported, "{bad:?}");
            assert!(refusal.hint.is_some(), "{bad:?}");
        }
        assert!(judge(&request(&[("default_transaction_isolation", "repeatable read")])).is_ok());
    }

    #[test]
    fn versions_are_negotiated() {
        let mut asked = request(&[("_pq_.novelty", "1")]);
        let wishes = judge(&asked).unwrap();
        assert!(wishes.negotiate && wishes.unknown_options == ["_pq_.novelty"]);
        asked.parameters.pop();
        for (minor, spoken, negotiate) in [(0, 0, false), (1, 0, true), (2, 2, false), (9999, 2, true)] {
            asked.version.minor = minor;
            let wishes = judge(&asked).unwrap();
            assert_eq!((wishes.version.minor, wishes.negotiate), (spoken, negotiate));
        }
        asked.version.major = 2;
        assert_eq!(judge(&asked).unwrap_err().code, RefusalCode::Unsupported);
    }

    #[test]
    fn quotes_stay_inside_their_literal() {
        let text = apply(&[("datestyle".into(), "x'; drop table t; --".into())]).unwrap();
        assert_eq!(text, "select pg_catalog.set_config('datestyle', 'x''; drop table t; --', false)");
    }
}
