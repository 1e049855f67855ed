//! What a server asks for: the form of RFC 8693, section 2.1, with RFC 9396's details of what the credential is left.

use std::collections::{BTreeMap, BTreeSet};

use axum::http::StatusCode;
use chaperone_access::{CallId, PURPOSE_BYTES_MAX, TargetName, Verb, is_purpose};
use chaperone_recording::CallElsewhere;
use oauth2::url::form_urlencoded;
use serde::Deserialize;

use super::Fault;
use crate::wiring::installation::{now_us, random};

/// The one way of getting something here.
pub(super) const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
/// How a server proves who it is (RFC 7523, section 2.2).
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// What a caller's token may be called.
const SUBJECT_TYPES: [&str; 2] =
    ["urn:ietf:params:oauth:token-type:access_token", "urn:ietf:params:oauth:token-type:jwt"];
/// What comes of it: a user name and a password in a connection string.
pub(super) const ISSUED_TYPE: &str = "urn:chaperone:token-type:database-credential";
/// How details of that are called.
pub(super) const DETAILS_TYPE: &str = "database_credential";
/// Longest text of details, in bytes: with the chain it fits an entry.
const DETAILS_BYTES_MAX: usize = 16 * 1024;
/// Longest life of what comes of it, in seconds, and what it has where nothing is said.
pub(super) const EXCHANGED_S_MAX: u64 = 3600;
const EXCHANGED_S: u64 = 300;
/// Longest name of a tool and of a call, in bytes.
const NAME_BYTES_MAX: usize = 128;

/// A form in which every field stands once.
pub(super) struct Form(BTreeMap<String, String>);

impl Form {
    /// Fields without a value count as left out (RFC 6749, section 3.2).
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Fault> {
        let mut fields = BTreeMap::new();
        for (name, value) in form_urlencoded::parse(bytes).filter(|(_, value)| !value.is_empty()) {
            if fields.insert(name.to_string(), value.into_owned()).is_some() {
                let name: String = name.chars().take(NAME_BYTES_MAX / 4).collect();
                return Err(Fault::request(format!("`{name}` stands more than once")));
            }
        }
        Ok(Self(fields))
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    fn needed(&self, name: &str) -> Result<&str, Fault> {
        self.get(name).ok_or_else(|| Fault::request(format!("`{name}` is missing")))
    }

    /// That it is an exchange at all.
    pub(super) fn is_exchange(&self) -> Result<(), Fault> {
        match self.needed("grant_type")? {
            GRANT_TYPE => Ok(()),
            _ => Err(Fault::bad("unsupported_grant_type", format!("only `{GRANT_TYPE}` is granted here"))),
        }
    }

    /// The server's proof of who it is.
    pub(super) fn assertion(&self) -> Option<&str> {
        let meant = self.get("client_assertion_type") == Some(ASSERTION_TYPE);
        self.get("client_assertion").filter(|_| meant)
    }

    /// The token of whom the server acts for.
    pub(super) fn subject_token(&self) -> Result<&str, Fault> {
        if ["actor_token", "actor_token_type"].into_iter().any(|name| self.get(name).is_some()) {
            return Err(Fault::request("no `actor_token` is taken: whoever signs the assertion acts"));
        }
        if !SUBJECT_TYPES.contains(&self.needed("subject_token_type")?) {
            return Err(Fault::request("`subject_token_type` is an access token's"));
        }
        self.needed("subject_token")
    }

    /// What is asked for.
    pub(super) fn wish(&self) -> Result<Wish, Fault> {
        if self.get("requested_token_type").is_some_and(|asked| asked != ISSUED_TYPE) {
            return Err(Fault::request(format!("only `{ISSUED_TYPE}` is made here")));
        }
        if self.get("scope").is_some() {
            let hint = "there are no scopes here: `authorization_details` say what is left";
            return Err(Fault::bad("invalid_scope", hint));
        }
        let target = self.get("audience").and_then(|name| TargetName::new(name).ok());
        let target = match (target, self.get("resource")) {
            (Some(target), None) => target,
            (Some(_) | None, _) => {
                let hint = "`audience` names one target, and nothing else does";
                return Err(Fault::bad("invalid_target", hint));
            }
        };
        let details = match self.get("authorization_details") {
            Some(text) => Details::read(text)?,
            None => Details::default(),
        };
        details.wish(target)
    }
}

/// What a credential is asked to be, checked.
#[derive(Debug)]
pub(super) struct Wish {
    pub(super) target: TargetName,
    pub(super) ttl_s: u64,
    pub(super) purpose: Option<String>,
    /// Empty: all that are permitted.
    pub(super) only: BTreeSet<String>,
    pub(super) verbs: BTreeSet<Verb>,
    pub(super) rows: Option<u64>,
    pub(super) call: Option<CallElsewhere>,
}

/// One element of `authorization_details`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Details {
    #[serde(rename = "type")]
    kind: String,
    relations: Option<BTreeSet<String>>,
    verbs: Option<BTreeSet<Verb>>,
    rows: Option<u64>,
    purpose: Option<String>,
    ttl_s: Option<u64>,
    call: Option<CallDetails>,
}

/// The call of a tool that it is for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CallDetails {
    tool: String,
    id: Option<String>,
    arguments_sha256: Option<String>,
}

fn wrong(what: impl Into<String>) -> Fault {
    // RFC 9396, section 5.
    Fault::bad("invalid_authorization_details", what)
}

impl Details {
    fn read(text: &str) -> Result<Self, Fault> {
        if text.len() > DETAILS_BYTES_MAX {
            return Err(wrong(format!("they have {DETAILS_BYTES_MAX} bytes at most")));
        }
        // What the parser says of them repeats what was sent.
        let read = serde_json::from_str::<[Self; 1]>(text);
        let [details] = read.map_err(|error| {
            let place = format!("line {}, column {}", error.line(), error.column());
            wrong(format!("they are one element of members that are known; not so at {place}"))
        })?;
        if details.kind != DETAILS_TYPE {
            return Err(wrong(format!("their `type` is `{DETAILS_TYPE}`")));
        }
        Ok(details)
    }

    fn wish(self, target: TargetName) -> Result<Wish, Fault> {
        // What lists nothing leaves nothing, and such a credential opens nothing.
        if self.relations.as_ref().is_some_and(BTreeSet::is_empty)
            || self.verbs.as_ref().is_some_and(BTreeSet::is_empty)
        {
            return Err(wrong("`relations` and `verbs` list something where they are there"));
        }
        let ttl_s = self.ttl_s.unwrap_or(EXCHANGED_S);
        if !(1..=EXCHANGED_S_MAX).contains(&ttl_s) {
            return Err(wrong(format!("`ttl_s` is 1 to {EXCHANGED_S_MAX}")));
        }
        if !self.purpose.as_deref().is_none_or(is_purpose) {
            return Err(wrong(format!("`purpose` is 1 to {PURPOSE_BYTES_MAX} bytes of a code")));
        }
        Ok(Wish {
            target,
            ttl_s,
            purpose: self.purpose,
            only: self.relations.unwrap_or_default(),
            verbs: self.verbs.unwrap_or_default(),
            rows: self.rows,
            call: self.call.map(CallDetails::elsewhere).transpose()?,
        })
    }
}

impl CallDetails {
    fn elsewhere(self) -> Result<CallElsewhere, Fault> {
        let is_name = |text: &str| {
            (1..=NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
        };
        if !is_name(&self.tool) || !self.id.as_deref().is_none_or(is_name) {
            return Err(wrong(format!(
                "`tool` and `id` of a call are 1 to {NAME_BYTES_MAX} visible ASCII characters"
            )));
        }
        let digest = |text: &String| hex::decode(text).ok().and_then(|bytes| bytes.try_into().ok());
        let arguments = match &self.arguments_sha256 {
            Some(text) => Some(
                digest(text)
                    .ok_or_else(|| wrong("`arguments_sha256` of a call is a SHA-256 in hexadecimal"))?,
            ),
            None => None,
        };
        let call = CallId::from_parts(now_us() / 1000, random());
        Ok(CallElsewhere { call, tool: self.tool, named: self.id, arguments })
    }
}

impl Fault {
    pub(super) fn bad(error: &'static str, description: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, error, description: description.into() }
    }

    pub(super) fn request(description: impl Into<String>) -> Self {
        Self::bad("invalid_request", description)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(more: &str) -> Result<Wish, (&'static str, String)> {
        let form = Form::read(more.as_bytes()).map_err(|fault| (fault.error, fault.description))?;
        form.wish().map_err(|fault| (fault.error, fault.description))
    }

    fn detailed(details: &str) -> Result<Wish, (&'static str, String)> {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("audience", "clinic").append_pair("authorization_details", details);
        wish(&form.finish())
    }

    #[test]
    fn a_wish_is_one_target_and_what_is_left_there() {
        let plain = wish("audience=clinic&scope=").unwrap();
        assert_eq!((plain.target.as_str(), plain.ttl_s, plain.only.len()), ("clinic", EXCHANGED_S, 0));
        let digest = "ab".repeat(32);
        let narrow = detailed(&format!(
            r#"[{{"type":"database_credential","relations":["clinic.visits(day)"],"verbs":["read"],"rows":3,"ttl_s":9,
                "purpose":"TREAT","call":{{"tool":"visits","id":"7","arguments_sha256":"{digest}"}}}}]"#
        ));
        let Wish { ttl_s, purpose, only, verbs, rows, call, .. } = narrow.unwrap();
        assert_eq!((ttl_s, rows, purpose.as_deref()), (9, Some(3), Some("TREAT")));
        assert_eq!((only.len(), verbs), (1, BTreeSet::from([Verb::Read])));
        let call = call.unwrap();
        assert_eq!((call.tool.as_str(), call.named.as_deref()), ("visits", Some("7")));
        assert_eq!(call.arguments, Some([0xab; 32]));
    }

    #[test]
    fn what_is_not_understood_is_refused_and_never_ignored() {
        for (form, error) in [
            ("", "invalid_target"),
            ("audience=a&audience=b", "invalid_request"),
            ("audience=../x", "invalid_target"),
            ("audience=clinic&resource=https%3A%2F%2Fgw", "invalid_target"),
            ("audience=clinic&scope=read", "invalid_scope"),
            ("audience=clinic&requested_token_type=x", "invalid_request"),
        ] {
            assert_eq!(wish(form).unwrap_err().0, error, "{form}");
        }
        let one = |members: &str| format!(r#"[{{"type":"database_credential"{members}}}]"#);
        for details in [
            "{}".to_owned(),
            "[]".to_owned(),
            format!("[{0},{0}]", r#"{"type":"database_credential"}"#),
            r#"[{"type":"other"}]"#.to_owned(),
            one(r#","relation":["a.b"]"#),
            one(r#","relations":[]"#),
            one(r#","verbs":[]"#),
            one(r#","verbs":["own"]"#),
            one(r#","ttl_s":0"#),
            one(&format!(r#","ttl_s":{}"#, EXCHANGED_S_MAX + 1)),
            one(r#","purpose":"a,b""#),
            one(r#","call":{}"#),
            one(r#","call":{"tool":"a b"}"#),
            one(r#","call":{"tool":"t","arguments_sha256":"ab"}"#),
            one(&format!(r#","purpose":"{}""#, "x".repeat(DETAILS_BYTES_MAX))),
        ] {
            let (error, told) = detailed(&details).unwrap_err();
            assert_eq!(error, "invalid_authorization_details", "{details}");
            assert!(told.len() < 200, "{told}");
        }
    }
}
