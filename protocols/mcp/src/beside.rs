//! What a server says beside the answer to a request: what it tells, and what it asks of its client. Read in one way, and written
//! for the era of whoever hears it; what nobody here knows is neither.

use serde_json::Value;
use serde_json::value::RawValue;

use crate::relay::{Members, RelayError, malformed};
use crate::stateless::meta;

/// Questions that one answer of a server may hold (`input_required`).
pub const QUESTIONS_MAX: usize = 16;
/// Longest name of such a question, in bytes.
const NAME_BYTES_MAX: usize = 128;
/// Longest state that a server may give away with them, in bytes.
pub const STATE_BYTES_MAX: usize = 256 * 1024;
/// How long a client may think about what it is asked, in seconds.
pub const THOUGHT_S: u64 = 120;
/// Longest token of a client's for what is told of one request, in bytes of JSON.
const TOKEN_BYTES_MAX: usize = 256;
/// Longest address that a person is sent to, in bytes.
pub const URL_BYTES_MAX: usize = 2048;

/// How much a message of a log matters (RFC 5424), least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the words of the protocol")]
pub enum Level {
    Debug,
    Info,
    Notice,
    Warning,
    Error,
    Critical,
    Alert,
    Emergency,
}

impl Level {
    const ALL: [(Self, &'static str); 8] = [
        (Self::Debug, "debug"),
        (Self::Info, "info"),
        (Self::Notice, "notice"),
        (Self::Warning, "warning"),
        (Self::Error, "error"),
        (Self::Critical, "critical"),
        (Self::Alert, "alert"),
        (Self::Emergency, "emergency"),
    ];

    /// Read its word.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(_, known)| *known == word).map(|(level, _)| level)
    }

    /// Its word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::ALL.into_iter().find(|(level, _)| *level == self).map_or("emergency", |(_, word)| word)
    }
}

/// Which list of a server's is another than it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum List {
    /// Of its tools.
    Tools,
    /// Of its prompts.
    Prompts,
    /// Of its resources.
    Resources,
}

impl List {
    /// All of them, with the notification and what subscribes to it.
    pub const ALL: [(Self, &'static str, &'static str); 3] = [
        (Self::Tools, "notifications/tools/list_changed", "toolsListChanged"),
        (Self::Prompts, "notifications/prompts/list_changed", "promptsListChanged"),
        (Self::Resources, "notifications/resources/list_changed", "resourcesListChanged"),
    ];

    /// Those that a request to listen names.
    #[must_use]
    pub fn named(params: Option<&RawValue>) -> Vec<Self> {
        let wanted = || Members::of(Members::of(params?.get()).ok()?.get("notifications")?.get()).ok();
        let Some(wanted) = wanted() else { return Vec::new() };
        let is_named = |key: &str| wanted.get(key).is_some_and(|raw| raw.get() == "true");
        Self::ALL.into_iter().filter(|(_, _, key)| is_named(key)).map(|(list, ..)| list).collect()
    }

    /// That it is another, to whoever listens under this id.
    #[must_use]
    pub fn written(self, subscription: &RawValue) -> String {
        let (method, meta) = (self.method(), subscribed(subscription));
        format!(r#"{{"jsonrpc":"2.0","method":"{method}","params":{{{meta}}}}}"#)
    }

    /// What somebody is told first who listens for these.
    #[must_use]
    pub fn acknowledged(lists: &[Self], subscription: &RawValue) -> String {
        let keys = Self::ALL.into_iter().filter(|(list, ..)| lists.contains(list));
        let all: Vec<String> = keys.map(|(_, _, key)| format!(r#""{key}":true"#)).collect();
        let (method, meta) = ("notifications/subscriptions/acknowledged", subscribed(subscription));
        let all = all.join(",");
        format!(r#"{{"jsonrpc":"2.0","method":"{method}","params":{{"notifications":{{{all}}},{meta}}}}}"#)
    }

    /// The notification.
    #[must_use]
    pub fn method(self) -> &'static str {
        Self::ALL.into_iter().find(|(list, ..)| *list == self).map_or("", |(_, method, _)| method)
    }
}

/// Names what somebody listens by.
fn subscribed(id: &RawValue) -> String {
    format!(r#""_meta":{{"io.modelcontextprotocol/subscriptionId":{}}}"#, id.get())
}

/// What came of listening, when it is over.
#[must_use]
pub fn listened(id: &RawValue) -> String {
    format!(r#"{{"resultType":"complete",{}}}"#, subscribed(id))
}

/// What a server tells.
#[derive(Debug, Clone)]
pub enum Told {
    /// How far a request is; with its parameters, but for the token.
    Progress(Box<RawValue>),
    /// A message of its log.
    Message(Level, Box<RawValue>),
    /// A list is another than it was.
    Changed(List),
}

impl Told {
    /// Read a notification of a server's while the request `number` is under way: none where nobody here knows it, where it is
    /// malformed, or where it tells of another request.
    #[must_use]
    pub fn of(method: &str, params: Option<&RawValue>, number: u64) -> Option<Self> {
        if let Some((list, ..)) = List::ALL.into_iter().find(|(_, known, _)| *known == method) {
            return Some(Self::Changed(list));
        }
        let members = Members::of(params?.get()).ok()?;
        let rest = |without: &[&str]| RawValue::from_string(members.written(without, &[])).ok();
        match method {
            "notifications/progress" => {
                let token: u64 = members.get("progressToken")?.get().parse().ok()?;
                let told = rest(&["progressToken", "_meta"])?;
                (token == number).then_some(Self::Progress(told))
            }
            "notifications/message" => {
                let level = Level::of(&members.text("level").ok()??)?;
                Some(Self::Message(level, rest(&["_meta"])?))
            }
            _ => None,
        }
    }

    /// The word of the record.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Progress(_) => "progress",
            Self::Message(..) => "message",
            Self::Changed(_) => "list_changed",
        }
    }

    /// What of it may hold anybody's words.
    #[must_use]
    pub fn words(&self) -> Option<&RawValue> {
        match self {
            Self::Progress(params) | Self::Message(_, params) => Some(params),
            Self::Changed(_) => None,
        }
    }

    /// The same with other words.
    #[must_use]
    pub fn with(self, words: Box<RawValue>) -> Self {
        match self {
            Self::Progress(_) => Self::Progress(words),
            Self::Message(level, _) => Self::Message(level, words),
            Self::Changed(list) => Self::Changed(list),
        }
    }

    /// As a client is told that gave this token; nothing where it gave none for it.
    #[must_use]
    pub fn written(&self, token: Option<&RawValue>) -> Option<String> {
        let (method, params) = match self {
            Self::Progress(params) => {
                let members = Members::of(params.get()).ok()?;
                ("notifications/progress", members.written(&[], &[("progressToken", token?.get())]))
            }
            Self::Message(_, params) => ("notifications/message", params.get().to_owned()),
            Self::Changed(list) => {
                return Some(format!(r#"{{"jsonrpc":"2.0","method":"{}"}}"#, list.method()));
            }
        };
        Some(format!(r#"{{"jsonrpc":"2.0","method":"{method}","params":{params}}}"#))
    }
}

/// The token that a client gives for what is told of its request.
#[must_use]
pub fn progress_token(params: Option<&RawValue>) -> Option<Box<RawValue>> {
    let meta = meta(params).ok()??;
    let token = meta.get("progressToken")?;
    let begins = token.get().bytes().next().unwrap_or_default();
    let plain = begins == b'"' || begins == b'-' || begins.is_ascii_digit();
    (plain && token.get().len() <= TOKEN_BYTES_MAX).then(|| token.to_owned())
}

/// What a server asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// A person's words.
    Form,
    /// That a person visits an address.
    Visit(String),
    /// A model's words; with tools, where it names some.
    Sampling {
        /// Whether it names tools.
        tools: bool,
    },
    /// Which files the client works on.
    Roots,
}

impl Wanted {
    /// The word of the record.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Form => "elicitation",
            Self::Visit(_) => "elicitation_url",
            Self::Sampling { .. } => "sampling",
            Self::Roots => "roots",
        }
    }

    fn method(&self) -> &'static str {
        match self {
            Self::Form | Self::Visit(_) => "elicitation/create",
            Self::Sampling { .. } => "sampling/createMessage",
            Self::Roots => "roots/list",
        }
    }
}

/// A question of a server's.
#[derive(Debug, Clone)]
pub struct Question {
    /// What for.
    pub wanted: Wanted,
    /// Its parameters, an object.
    pub params: Box<RawValue>,
}

impl Question {
    /// Read one; `None` where nobody here knows it.
    ///
    /// # Errors
    /// Its parameters are not those of such a question.
    pub fn of(method: &str, params: Option<&RawValue>) -> Result<Option<Self>, RelayError> {
        let members = Members::of(params.map_or("{}", RawValue::get))?;
        let wanted = match method {
            "elicitation/create" => match members.text("mode")?.as_deref() {
                None | Some("form") => Wanted::Form,
                Some("url") => {
                    let url = members.text("url")?.filter(|url| is_address(url));
                    Wanted::Visit(url.ok_or_else(|| malformed("its `url` is no plain http(s) address"))?)
                }
                Some(_) => return Ok(None),
            },
            "sampling/createMessage" => {
                let tools = ["tools", "toolChoice"].iter().any(|name| members.get(name).is_some());
                Wanted::Sampling { tools }
            }
            "roots/list" => Wanted::Roots,
            _ => return Ok(None),
        };
        // What belongs to a hop ends with it.
        let params = RawValue::from_string(members.written(&["_meta"], &[]))?;
        Ok(Some(Self { wanted, params }))
    }

    /// The question, as an object.
    #[must_use]
    pub fn written(&self) -> String {
        format!(r#"{{"method":"{}","params":{}}}"#, self.wanted.method(), self.params.get())
    }

    /// As a request of this id.
    #[must_use]
    pub fn request(&self, id: &str) -> String {
        let (method, params) = (self.wanted.method(), self.params.get());
        format!(r#"{{"jsonrpc":"2.0","id":{},"method":"{method}","params":{params}}}"#, Value::from(id))
    }

    /// What an answer says: a person's `accept`, `decline` or `cancel`, or `given`.
    ///
    /// # Errors
    /// It is no answer to such a question.
    pub fn action(&self, answer: &RawValue) -> Result<&'static str, RelayError> {
        let members = Members::of(answer.get())?;
        let lacks = |name: &str| malformed(&format!("an answer without `{name}`"));
        match &self.wanted {
            Wanted::Form | Wanted::Visit(_) => {
                let action = members.text("action")?;
                let known =
                    ["accept", "decline", "cancel"].into_iter().find(|one| Some(*one) == action.as_deref());
                known.ok_or_else(|| lacks("action"))
            }
            Wanted::Sampling { .. } => {
                members.get("content").map(|_| "given").ok_or_else(|| lacks("content"))
            }
            Wanted::Roots => members.get("roots").map(|_| "given").ok_or_else(|| lacks("roots")),
        }
    }
}

/// Plain enough to be shown to whoever reads the record, and to go nowhere but to a web page.
fn is_address(url: &str) -> bool {
    let plain = url.bytes().all(|byte| byte.is_ascii_graphic());
    plain && url.len() <= URL_BYTES_MAX && (url.starts_with("https://") || url.starts_with("http://"))
}

/// What a client can be asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[allow(clippy::struct_excessive_bools, reason = "each is one word of the protocol")]
pub struct Abilities {
    /// A person's words.
    pub form: bool,
    /// That a person visits an address.
    pub url: bool,
    /// A model's words.
    pub sampling: bool,
    /// A model's words, with tools.
    pub sampling_tools: bool,
    /// Which files it works on.
    pub roots: bool,
}

impl Abilities {
    /// Read what a client says that it can; what cannot be read it cannot.
    #[must_use]
    pub fn of(capabilities: Option<&RawValue>) -> Self {
        fn has<'a>(within: Option<&'a RawValue>, name: &str) -> Option<&'a RawValue> {
            let members = Members::of(within?.get()).ok()?;
            members.get(name).filter(|raw| raw.get().starts_with('{'))
        }
        let (elicitation, sampling) = (has(capabilities, "elicitation"), has(capabilities, "sampling"));
        let (form, url) = (has(elicitation, "form").is_some(), has(elicitation, "url").is_some());
        Self {
            // Before there were two ways, this was the one.
            form: form || (elicitation.is_some() && !url),
            url,
            sampling: sampling.is_some(),
            sampling_tools: has(sampling, "tools").is_some(),
            roots: has(capabilities, "roots").is_some(),
        }
    }

    /// What a client says of itself in a request without a handshake.
    #[must_use]
    pub fn of_request(params: Option<&RawValue>) -> Self {
        let meta = meta(params).ok().flatten();
        Self::of(meta.as_ref().and_then(|meta| meta.get(crate::stateless::CLIENT_CAPABILITIES)))
    }

    /// Whether that can be asked.
    #[must_use]
    pub fn can(self, wanted: &Wanted) -> bool {
        match wanted {
            Wanted::Form => self.form,
            Wanted::Visit(_) => self.url,
            Wanted::Sampling { tools } => self.sampling && (self.sampling_tools || !tools),
            Wanted::Roots => self.roots,
        }
    }

    /// As a client says it.
    #[must_use]
    pub fn written(self) -> String {
        let mut all = serde_json::Map::new();
        let mut put = |is: bool, path: &[&str]| {
            let mut at = &mut all;
            for name in path.iter().filter(|_| is) {
                let next = at.entry(*name).or_insert_with(|| Value::Object(serde_json::Map::new()));
                let Value::Object(next) = next else { return };
                at = next;
            }
        };
        put(self.form, &["elicitation", "form"]);
        put(self.url, &["elicitation", "url"]);
        put(self.sampling, &["sampling"]);
        put(self.sampling && self.sampling_tools, &["sampling", "tools"]);
        put(self.roots, &["roots"]);
        Value::Object(all).to_string()
    }
}

/// An answer of a server's that ends nothing yet.
#[derive(Debug)]
pub struct InputRequired {
    /// What it asks for, by the names that its answers will have.
    pub questions: Vec<(String, Question)>,
    /// What it wants to have back, as it stands.
    pub state: Option<Box<RawValue>>,
}

impl InputRequired {
    /// Read it; `None` where a result is none.
    ///
    /// # Errors
    /// Not such an answer, with questions that nobody here knows, or with too many.
    pub fn of(result: &RawValue) -> Result<Option<Self>, RelayError> {
        let members = Members::of(result.get())?;
        if members.text("resultType")?.as_deref() != Some("input_required") {
            return Ok(None);
        }
        let state = members.get("requestState").map(ToOwned::to_owned);
        if state
            .as_ref()
            .is_some_and(|state| state.get().len() > STATE_BYTES_MAX || !state.get().starts_with('"'))
        {
            return Err(malformed("a `requestState` that is no text, or too long"));
        }
        let mut questions = Vec::new();
        if let Some(requests) = members.get("inputRequests") {
            let all = Members::of(requests.get())?;
            if all.len() > QUESTIONS_MAX {
                return Err(malformed("too many questions at once"));
            }
            for (name, asked) in all.iter() {
                let asked = Members::of(asked.get())?;
                let method = asked.text("method")?.unwrap_or_default();
                let question = Question::of(&method, asked.get("params"))?;
                let question = question.filter(|_| name.len() <= NAME_BYTES_MAX);
                questions.push((
                    name.to_owned(),
                    question.ok_or_else(|| malformed("a question of no known kind"))?,
                ));
            }
        }
        if questions.is_empty() && state.is_none() {
            return Err(malformed("it asks for nothing"));
        }
        Ok(Some(Self { questions, state }))
    }
}

/// The answer to a client without a handshake that has to answer questions first; `state` is our own.
#[must_use]
pub fn input_required(questions: &[(&str, &Question)], state: &str) -> String {
    let all: Vec<String> = questions
        .iter()
        .map(|(name, question)| format!("{}:{}", Value::from(*name), question.written()))
        .collect();
    let state = Value::from(state);
    format!(
        r#"{{"resultType":"input_required","inputRequests":{{{}}},"requestState":{state}}}"#,
        all.join(",")
    )
}

/// The parameters of a request again, with answers to what its server asked and the state that it gave away.
///
/// # Errors
/// Not an object.
pub fn retried(
    params: Option<&RawValue>,
    answers: &[(String, Box<RawValue>)],
    state: Option<&RawValue>,
) -> Result<Box<RawValue>, RelayError> {
    let members = Members::of(params.map_or("{}", RawValue::get))?;
    let all: Vec<String> = answers
        .iter()
        .map(|(name, answer)| format!("{}:{}", Value::from(name.as_str()), answer.get()))
        .collect();
    let answers = format!("{{{}}}", all.join(","));
    let mut more = vec![("inputResponses", answers.as_str())];
    more.extend(state.map(|state| ("requestState", state.get())));
    Ok(RawValue::from_string(members.written(&OF_ANSWERS, &more))?)
}

/// Members of a request that answer what its server has asked for.
pub const OF_ANSWERS: [&str; 2] = ["inputResponses", "requestState"];

/// The answers that come with a request that begins a call: to what its server may ask.
#[must_use]
pub fn given(params: Option<&RawValue>) -> Vec<(String, Box<RawValue>)> {
    let answers = || Members::of(Members::of(params?.get()).ok()?.get("inputResponses")?.get()).ok();
    let Some(answers) = answers() else { return Vec::new() };
    answers.iter().take(QUESTIONS_MAX).map(|(name, answer)| (name.to_owned(), answer.to_owned())).collect()
}

/// A request without its answers.
///
/// # Errors
/// Not an object.
pub fn begun(params: &RawValue) -> Result<Box<RawValue>, RelayError> {
    Ok(RawValue::from_string(Members::of(params.get())?.written(&OF_ANSWERS, &[]))?)
}

/// What a client sends to go on with a request: the state that it was given, and its answers by name.
pub type Resumed<'a> = (String, Vec<(String, &'a RawValue)>);

/// Read what goes on with a request; `None` where it begins one.
///
/// # Errors
/// It is malformed.
pub fn resumed(params: &RawValue) -> Result<Option<Resumed<'_>>, RelayError> {
    let members = Members::of(params.get())?;
    let (answers, state) = (members.get("inputResponses"), members.text("requestState")?);
    match (answers, state) {
        (_, None) => Ok(None),
        (answers, Some(state)) => {
            let all = Members::of(answers.map_or("{}", RawValue::get))?;
            let all = all.iter().map(|(name, answer)| (name.to_owned(), answer)).collect();
            Ok(Some((state, all)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> &RawValue {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn what_is_told_is_of_the_request_under_way_and_goes_to_whoever_gave_a_token() {
        let params = raw(r#"{"progressToken":7,"progress":1.50,"message":"half","later":[ ]}"#);
        let told = Told::of("notifications/progress", Some(params), 7).unwrap();
        assert_eq!(
            told.written(Some(raw("\"t\""))).unwrap(),
            r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progress":1.50,"message":"half","later":[ ],"progressToken":"t"}}"#
        );
        assert!(told.written(None).is_none());
        for other in
            [r#"{"progressToken":8,"progress":1}"#, r#"{"progressToken":"7","progress":1}"#, "{}", "[]"]
        {
            assert!(Told::of("notifications/progress", Some(raw(other)), 7).is_none(), "{other}");
        }
        let message = raw(r#"{"level":"warning","data":{"x":1},"_meta":{"a":1}}"#);
        let told = Told::of("notifications/message", Some(message), 1).unwrap();
        assert!(matches!(told, Told::Message(level, _) if level > Level::Info && level < Level::Error));
        assert!(told.written(None).unwrap().ends_with(r#""params":{"level":"warning","data":{"x":1}}}"#));
        assert!(Told::of("notifications/message", Some(raw(r#"{"level":"loud"}"#)), 1).is_none());
        let changed = Told::of("notifications/tools/list_changed", Some(raw(r#"{"words":1}"#)), 1).unwrap();
        assert_eq!(
            changed.written(None).unwrap(),
            r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#
        );
        assert!(Told::of("notifications/cancelled", Some(message), 1).is_none());
        let with = |meta: &str| progress_token(Some(raw(&format!(r#"{{"_meta":{meta}}}"#)))).is_some();
        assert!(with(r#"{"progressToken":"a"}"#) && with(r#"{"progressToken":-1}"#));
        assert!(!with("{}") && !with(r#"{"progressToken":{}}"#) && !with(r#"{"progressToken":true}"#));
        assert!(!with(&format!(r#"{{"progressToken":"{}"}}"#, "x".repeat(TOKEN_BYTES_MAX))));
    }

    #[test]
    fn whoever_listens_is_told_what_for_and_by_which_request() {
        let wanted =
            raw(r#"{"notifications":{"toolsListChanged":true,"promptsListChanged":false,"other":true}}"#);
        let lists = List::named(Some(wanted));
        assert_eq!((lists.as_slice(), List::named(None).len()), (&[List::Tools][..], 0));
        assert_eq!(
            List::acknowledged(&lists, raw("7")),
            r#"{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{"notifications":{"toolsListChanged":true},"_meta":{"io.modelcontextprotocol/subscriptionId":7}}}"#
        );
        assert_eq!(
            List::Tools.written(raw("7")),
            r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":7}}}"#
        );
    }

    #[test]
    fn a_question_is_of_a_kind_that_is_known_or_none() {
        let of = |method: &str, params: &str| Question::of(method, Some(raw(params)));
        let kind =
            |method: &str, params: &str| of(method, params).unwrap().map(|question| question.wanted.kind());
        assert_eq!(kind("elicitation/create", r#"{"message":"m"}"#), Some("elicitation"));
        assert_eq!(kind("elicitation/create", r#"{"mode":"form"}"#), Some("elicitation"));
        let visit = r#"{"mode":"url","url":"https://x.example/a"}"#;
        assert_eq!(kind("elicitation/create", visit), Some("elicitation_url"));
        assert_eq!(kind("elicitation/create", r#"{"mode":"voice"}"#), None);
        assert_eq!(kind("sampling/createMessage", "{}"), Some("sampling"));
        assert_eq!(kind("roots/list", "{}"), Some("roots"));
        assert_eq!(kind("tasks/get", "{}"), None);
        for url in ["javascript:alert(1)", "https://x.example/\u{1b}[2J", "", "https://a b"] {
            let params = serde_json::json!({"mode": "url", "url": url}).to_string();
            assert!(of("elicitation/create", &params).is_err(), "{url}");
        }
        let asked =
            of("elicitation/create", r#"{"message":"m","_meta":{"progressToken":1}}"#).unwrap().unwrap();
        assert_eq!(
            asked.request("a"),
            r#"{"jsonrpc":"2.0","id":"a","method":"elicitation/create","params":{"message":"m"}}"#
        );
        assert_eq!(asked.action(raw(r#"{"action":"decline"}"#)).unwrap(), "decline");
        assert!(asked.action(raw(r#"{"action":"yes"}"#)).is_err() && asked.action(raw("{}")).is_err());
        let roots = of("roots/list", "{}").unwrap().unwrap();
        assert!(roots.action(raw(r#"{"roots":[]}"#)).is_ok() && roots.action(raw("{}")).is_err());
    }

    #[test]
    fn a_client_can_what_it_says_and_nothing_else() {
        for (said, can) in [
            ("{}", "{}"),
            (r#"{"elicitation":{}}"#, r#"{"elicitation":{"form":{}}}"#),
            (
                r#"{"elicitation":{"url":{}},"sampling":{"tools":{}}}"#,
                r#"{"elicitation":{"url":{}},"sampling":{"tools":{}}}"#,
            ),
            (r#"{"elicitation":true,"roots":{"listChanged":true},"tasks":{}}"#, r#"{"roots":{}}"#),
            (r#"{"sampling":{}}"#, r#"{"sampling":{}}"#),
        ] {
            let able = Abilities::of(Some(raw(said)));
            assert_eq!(able.written(), can);
            assert_eq!(Abilities::of(Some(raw(&able.written()))), able);
        }
        let able = Abilities { sampling: true, ..Abilities::default() };
        assert!(able.can(&Wanted::Sampling { tools: false }) && !able.can(&Wanted::Sampling { tools: true }));
        assert!(!able.can(&Wanted::Form) && !able.can(&Wanted::Roots));
    }

    #[test]
    fn questions_and_answers_pass_and_the_state_of_a_server_goes_to_nobody_else() {
        let asked = r#"{"resultType":"input_required","inputRequests":{"n":{"method":"elicitation/create","params":{"message":"m"}},"r":{"method":"roots/list"}},"requestState":"secret"}"#;
        let asked = InputRequired::of(raw(asked)).unwrap().unwrap();
        let all: Vec<(&str, &Question)> =
            asked.questions.iter().map(|(name, one)| (name.as_str(), one)).collect();
        let told = input_required(&all, "ours");
        assert_eq!(
            told,
            r#"{"resultType":"input_required","inputRequests":{"n":{"method":"elicitation/create","params":{"message":"m"}},"r":{"method":"roots/list","params":{}}},"requestState":"ours"}"#
        );
        let params = raw(r#"{"name":"t","requestState":"ours","inputResponses":{"n":{"action":"cancel"}}}"#);
        let (state, answers) = resumed(params).unwrap().unwrap();
        assert_eq!((state.as_str(), answers[0].0.as_str()), ("ours", "n"));
        let answers = [("n".to_owned(), answers[0].1.to_owned())];
        assert_eq!(
            retried(Some(params), &answers, asked.state.as_deref()).unwrap().get(),
            r#"{"name":"t","inputResponses":{"n":{"action":"cancel"}},"requestState":"secret"}"#
        );
        assert!(resumed(raw(r#"{"name":"t"}"#)).unwrap().is_none());
        let early = raw(r#"{"name":"t","inputResponses":{"n":{"action":"cancel"}}}"#);
        assert!(resumed(early).unwrap().is_none());
        assert_eq!((given(Some(early))[0].0.as_str(), given(None).len()), ("n", 0));
        assert_eq!(begun(early).unwrap().get(), r#"{"name":"t"}"#);
        assert!(InputRequired::of(raw(r#"{"content":[]}"#)).unwrap().is_none());
        let many: Vec<String> =
            (0..=QUESTIONS_MAX).map(|n| format!(r#""{n}":{{"method":"roots/list"}}"#)).collect();
        for bad in [
            r#"{"resultType":"input_required"}"#.to_owned(),
            r#"{"resultType":"input_required","requestState":{}}"#.to_owned(),
            r#"{"resultType":"input_required","inputRequests":{"a":{"method":"other/thing"}}}"#.to_owned(),
            format!(r#"{{"resultType":"input_required","requestState":"{}"}}"#, "x".repeat(STATE_BYTES_MAX)),
            format!(r#"{{"resultType":"input_required","inputRequests":{{{}}}}}"#, many.join(",")),
        ] {
            assert!(InputRequired::of(raw(&bad)).is_err(), "{bad:.80}");
        }
    }
}
