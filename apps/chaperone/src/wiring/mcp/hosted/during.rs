//! A call while its server works at it: what the server tells is put on record, looked through and passed on, and what it asks
//! is judged by policy, put on record, and answered by the client, until it has its own answer.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chaperone_access::{Called, Delegation, Refusal, RefusalCode};
use chaperone_mcp::beside::{Abilities, InputRequired, Question, Told, Wanted, begun, given, retried};
use chaperone_mcp::relay::{self, RelayError};
use chaperone_mcp::stateless::{Beside, Era};
use chaperone_policy::Asking;
use chaperone_recording::{Telling, ToolCall};
use serde_json::json;
use serde_json::value::RawValue;
use tokio::time::{Instant, timeout_at};

use super::Asked;
use super::looked::Looked;
use super::process::Process;
use super::sessions::{Owner, Reply};
use super::talk::{Answered, Broken, Came, Words};
use super::voice::Event;
use crate::wiring::installation::now_us;
use crate::wiring::mcp::query::CALL;

/// What a server tells is counted at most this often, so that a server that tells much writes no entry for each.
const TOLD_EVERY: Duration = Duration::from_millis(100);
/// Messages that are counted together.
const TOLD_TOGETHER_MAX: usize = 64;
/// The tag of what a question is about that sends a person somewhere.
const ADDRESS: &str = "phi.url";
/// Questions of one call.
const ASKS_MAX: u64 = 16;
/// How often a server without a handshake may answer one call by asking for more.
const ROUNDS_MAX: usize = 16;
/// How often a client that goes on without an answer is asked again.
const AGAIN_MAX: usize = 2;

/// What a server is told of a question that has no answer (JSON-RPC 2.0, section 5.1, and its own).
const NO_METHOD: i32 = -32601;
const INVALID_PARAMS: i32 = -32602;
const UNANSWERED: i32 = -32000;

/// Why a call has no answer of its server's.
pub(super) enum Unanswered {
    Broken(Broken),
    Late,
}

impl From<RelayError> for Unanswered {
    fn from(error: RelayError) -> Self {
        Self::Broken(error.into())
    }
}

impl From<Broken> for Unanswered {
    fn from(broken: Broken) -> Self {
        Self::Broken(broken)
    }
}

/// A call that is on record.
pub(super) struct Under<'a> {
    pub(super) call: &'a mut ToolCall,
    pub(super) delegation: &'a Delegation,
    /// What is called; where that is no tool, its server asks for nothing.
    pub(super) called: &'a Called,
    /// When the server has to have answered: time in which its client was waited for is not its own.
    until: Instant,
    asks: u64,
    /// Answers that came with the request, to what is asked by these names.
    given: Vec<(String, Box<RawValue>)>,
}

impl<'a> Under<'a> {
    pub(super) fn new(call: &'a mut ToolCall, delegation: &'a Delegation, called: &'a Called) -> Self {
        Self { call, delegation, called, until: Instant::now() + CALL, asks: 0, given: Vec::new() }
    }

    fn tool(&self) -> Option<&'a str> {
        self.called.as_tool().map(|tool| &**tool)
    }
}

fn action(wanted: &Wanted) -> Asking {
    match wanted {
        Wanted::Form | Wanted::Visit(_) => Asking::Elicit,
        Wanted::Sampling { .. } => Asking::Sample,
        Wanted::Roots => Asking::ListRoots,
    }
}

/// What a server gets for a question: a result of its client's, or an error.
type Got = Result<Box<RawValue>, String>;

fn error(code: i32, message: &str) -> String {
    json!({"code": code, "message": message}).to_string()
}

fn refused(refusal: &Refusal) -> String {
    let hint = refusal.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
    error(UNANSWERED, &format!("{}{hint}", refusal.message))
}

/// The answers that came with the request, where they are ones to all that is asked; each is taken once.
fn answered_early(
    said: &[(&str, &Question)],
    given: &mut Vec<(String, Box<RawValue>)>,
) -> Option<Vec<Reply>> {
    let fits = |(name, question): &(&str, &Question)| {
        given.iter().position(|(known, answer)| known == name && question.action(answer).is_ok())
    };
    let places: Vec<usize> = said.iter().map(fits).collect::<Option<_>>()?;
    let replies =
        places.iter().filter_map(|place| given.get(*place)).map(|(_, answer)| Reply::Given(answer.clone()));
    let replies = replies.collect();
    given.clear();
    Some(replies)
}

impl Asked<'_> {
    /// Ask a run, and let it tell and ask, until its answer.
    pub(super) async fn during(
        &self,
        process: &mut Process,
        method: &str,
        params: Option<&RawValue>,
        under: &mut Under<'_>,
    ) -> Result<Answered, Unanswered> {
        let beside = Beside {
            abilities: self.able(under),
            token: None,
            level: self.voice.level(self.era, params).filter(|_| self.voice.hears()),
        };
        under.given = given(params);
        let mut params = match params {
            Some(raw) if !under.given.is_empty() => Some(Cow::Owned(begun(raw)?)),
            other => other.map(Cow::Borrowed),
        };
        for _ in 0..ROUNDS_MAX {
            let answered = self.round(process, method, params.as_deref(), beside, under).await?;
            let Answered::Result(raw) = &answered else { return Ok(answered) };
            let asks = match (process.era, under.tool()) {
                (Era::Stateless, Some(_)) => InputRequired::of(raw)?,
                (Era::Handshake, _) | (Era::Stateless, None) => None,
            };
            let Some(InputRequired { questions, state }) = asks else { return Ok(answered) };
            let Some(answers) = self.answered(&questions, under).await else { return Ok(answered) };
            params = Some(Cow::Owned(retried(params.as_deref(), &answers, state.as_deref())?));
        }
        Err(Unanswered::Broken(Broken::TooMuch))
    }

    /// What may be asked in a call: what its client can, where policy lets the tool ask for it.
    fn able(&self, under: &Under<'_>) -> Abilities {
        let Some(tool) = under.tool().filter(|_| self.voice.answers(self.era)) else {
            return Abilities::default();
        };
        let may = |asking| {
            let policies = &self.mcp.managed.policies;
            policies.may_ask(under.delegation, &self.server.name, tool, asking, now_us()).is_ok()
        };
        let Abilities { form, url, sampling, sampling_tools, roots } = self.abilities;
        let (elicit, sample) = ((form || url) && may(Asking::Elicit), sampling && may(Asking::Sample));
        Abilities {
            form: form && elicit,
            url: url && elicit,
            sampling: sample,
            sampling_tools: sampling_tools && sample,
            roots: roots && may(Asking::ListRoots),
        }
    }

    /// One request to a run, until its answer.
    async fn round(
        &self,
        process: &mut Process,
        method: &str,
        params: Option<&RawValue>,
        beside: Beside,
        under: &mut Under<'_>,
    ) -> Result<Answered, Unanswered> {
        let number = process.begin_request(method, params, beside)?;
        let (mut told, mut last, mut due): (Vec<Told>, Option<Instant>, Option<Instant>) =
            (Vec::new(), None, None);
        loop {
            let is_due = due.is_some_and(|due| due < under.until);
            let until = due.filter(|_| is_due).unwrap_or(under.until);
            match timeout_at(until, process.come(number)).await {
                Err(_elapsed) if is_due => {
                    self.tell(&mut told, under).await?;
                    (last, due) = (Some(Instant::now()), None);
                }
                Err(_elapsed) => return Err(Unanswered::Late),
                Ok(came) => match came? {
                    Came::Answer(answered) => {
                        self.tell(&mut told, under).await?;
                        return Ok(answered);
                    }
                    Came::Tells(Words { method, params }) => {
                        let one = Told::of(&method, params.as_deref(), number);
                        told.extend(one.filter(|one| self.wants(one, beside)));
                        if told.len() >= TOLD_TOGETHER_MAX {
                            self.tell(&mut told, under).await?;
                            (last, due) = (Some(Instant::now()), None);
                        } else if !told.is_empty() && due.is_none() {
                            let now = Instant::now();
                            due = Some(last.map_or(now, |last| now.max(last + TOLD_EVERY)));
                        }
                    }
                    Came::Asks(id, words) => {
                        self.tell(&mut told, under).await?;
                        match self.asked_by(&words, under).await {
                            Ok(result) => process.reply(&id, "result", result.get())?,
                            Err(error) => process.reply(&id, "error", &error)?,
                        }
                    }
                },
            }
        }
    }

    /// Whether the client wants to hear it.
    fn wants(&self, told: &Told, beside: Beside) -> bool {
        let hears = match told {
            Told::Progress(_) => true,
            Told::Message(level, _) => beside.level.is_some_and(|least| *level >= least),
            Told::Changed(list) => {
                let owner = Owner::of(self.shower, self.server);
                return self.is_told_here(told) || self.mcp.hosted.listeners.are_there(&owner, *list);
            }
        };
        hears && self.voice.hears()
    }

    /// Whether the client is told it in its call: that a list is another only with a handshake; without one whoever listens is.
    fn is_told_here(&self, told: &Told) -> bool {
        let here = match told {
            Told::Progress(_) | Told::Message(..) => true,
            Told::Changed(_) => self.era == Era::Handshake,
        };
        here && self.voice.hears()
    }

    /// What policy reveals of a call's words.
    fn stays(&self, under: &Under<'_>) -> BTreeSet<&'static str> {
        if self.server.refuses_findings {
            return BTreeSet::new();
        }
        let policies = &self.mcp.managed.policies;
        policies.stays_in(under.delegation, &self.server.name, under.called, now_us())
    }

    /// Pass on what was told, once it is on record. Where it cannot be recorded, it stays untold.
    async fn tell(&self, told: &mut Vec<Told>, under: &mut Under<'_>) -> Result<(), Unanswered> {
        if told.is_empty() {
            return Ok(());
        }
        let stays = self.stays(under);
        let (mut telling, mut leaving) = (Telling::default(), Vec::with_capacity(told.len()));
        for one in told.drain(..) {
            *telling.kinds.entry(one.kind().to_owned()).or_default() += 1;
            let one = match one.words().map(ToOwned::to_owned) {
                Some(words) => {
                    let looked = match self.look(words, stays.clone()).await {
                        Ok(looked) => looked,
                        Err(refusal) => {
                            tracing::warn!(%refusal, "what a server told is not passed on");
                            return Ok(());
                        }
                    };
                    if looked.found > 0 && self.server.refuses_findings {
                        telling.withheld += 1;
                        continue;
                    }
                    for (tag, count) in looked.masked {
                        *telling.masked.entry(tag).or_default() += count;
                    }
                    telling.bytes += looked.raw.len() as u64;
                    one.with(RawValue::from_string(looked.raw).map_err(RelayError::from)?)
                }
                None => one,
            };
            leaving.push(one);
        }
        if let Err(refusal) = under.call.told(&telling).await {
            tracing::warn!(%refusal, "what a server told is not passed on");
            return Ok(());
        }
        for one in leaving {
            if let Told::Changed(list) = one {
                self.mcp.hosted.listeners.tell(&Owner::of(self.shower, self.server), list);
            }
            if !self.is_told_here(&one) {
                continue;
            }
            // A client that takes nothing more has until the call's own time is over.
            timeout_at(under.until, self.voice.say(Event::Told(one))).await.map_err(|_| Unanswered::Late)?;
        }
        Ok(())
    }

    /// What a run with a handshake gets for a request of its own.
    async fn asked_by(&self, Words { method, params }: &Words, under: &mut Under<'_>) -> Got {
        let question = match Question::of(method, params.as_deref()) {
            Ok(Some(question)) => question,
            Ok(None) => return Err(error(NO_METHOD, "the gateway carries no such request of a server")),
            Err(wrong) => return Err(error(INVALID_PARAMS, &wrong.to_string())),
        };
        let mut questions = [(String::from("question"), question)];
        for _ in 0..=AGAIN_MAX {
            if let Some(Some(got)) = self.put(&questions, under).await.pop() {
                return got;
            }
            // Its client goes on without an answer, or answers what it was not asked.
            let [(name, _)] = &mut questions;
            name.push('_');
        }
        Err(error(UNANSWERED, "the client does not answer"))
    }

    /// The answers to what a run without a handshake asks for. None where one of it may not be asked.
    async fn answered(
        &self,
        questions: &[(String, Question)],
        under: &mut Under<'_>,
    ) -> Option<Vec<(String, Box<RawValue>)>> {
        let mut answers = Vec::with_capacity(questions.len());
        for ((name, _), got) in questions.iter().zip(self.put(questions, under).await) {
            match got {
                Some(Ok(answer)) => answers.push((name.clone(), answer)),
                Some(Err(_)) => return None,
                // The server says itself whether it can do without.
                None => {}
            }
        }
        Some(answers)
    }

    /// Put questions to the client, all at once; those that may not be asked are on record too. What each comes to; nothing
    /// where the client goes on without an answer.
    async fn put(&self, questions: &[(String, Question)], under: &mut Under<'_>) -> Vec<Option<Got>> {
        let mut all: Vec<Option<Got>> = Vec::with_capacity(questions.len());
        let mut asked: Vec<(usize, u64, &str, Question)> = Vec::new();
        // Nobody is asked for a part of what a server wants all of.
        let hindrance = questions.iter().find_map(|(_, question)| self.may_be_asked(question, under).err());
        for (place, (name, question)) in questions.iter().enumerate() {
            match self.recorded(question, hindrance.as_ref(), under).await {
                Ok((number, question)) => {
                    asked.push((place, number, name, question));
                    all.push(None);
                }
                Err(refusal) => all.push(Some(Err(refused(&refusal)))),
            }
        }
        if asked.is_empty() {
            return all;
        }
        let began = Instant::now();
        let said: Vec<(&str, &Question)> =
            asked.iter().map(|(_, _, name, question)| (*name, question)).collect();
        let replies = match answered_early(&said, &mut under.given) {
            Some(replies) => replies,
            None => self.voice.ask(self.era, &said).await,
        };
        under.until += began.elapsed();
        for ((place, number, _, question), reply) in asked.iter().zip(replies) {
            let got = self.replied(question, *number, reply, under).await;
            if let Some(slot) = all.get_mut(*place) {
                *slot = got;
            }
        }
        all
    }

    /// Judge a question, and put it on record. Its number, and as it goes to the client.
    async fn recorded(
        &self,
        question: &Question,
        hindrance: Option<&Refusal>,
        under: &mut Under<'_>,
    ) -> Result<(u64, Question), Refusal> {
        let said = canonical(&question.params)?;
        let (mut judged, mut masked) = (hindrance.cloned().map_or(Ok(()), Err), BTreeMap::new());
        under.asks += 1;
        let mut leaving = question.clone();
        if judged.is_ok() {
            let mut stays = self.stays(under);
            let within = match &question.wanted {
                // The address itself is what is asked about, and stands on record; what stands in it is looked at by itself.
                Wanted::Visit(url) => {
                    stays.insert(ADDRESS);
                    self.look(parts(url)?, stays.clone()).await?.masked.len()
                }
                Wanted::Form | Wanted::Sampling { .. } | Wanted::Roots => 0,
            };
            let Looked { raw, found, masked: replaced, unread: _ } =
                self.look(question.params.clone(), stays).await?;
            let is_found = match &question.wanted {
                Wanted::Visit(_) => within + replaced.len() > 0,
                Wanted::Form | Wanted::Sampling { .. } | Wanted::Roots => {
                    found > 0 && self.server.refuses_findings
                }
            };
            if is_found {
                let what = "the question holds identifiers of people".to_owned();
                judged = Err(Refusal::new(RefusalCode::NotAttributable, what).hint("ask without them"));
            } else {
                leaving.params = RawValue::from_string(raw).map_err(|error| unread(&error.into()))?;
                masked = replaced;
            }
        }
        let url = match &question.wanted {
            Wanted::Visit(url) if judged.is_ok() => Some(url.clone()),
            Wanted::Visit(_) | Wanted::Form | Wanted::Sampling { .. } | Wanted::Roots => None,
        };
        let on_record = chaperone_recording::Question {
            for_what: question.wanted.kind(),
            said: &said,
            code: judged.as_ref().err().map(|refusal| refusal.code),
            masked,
            url,
        };
        let number = under.call.asked(on_record).await?;
        judged.map(|()| (number, leaving))
    }

    /// Whether the client may be asked that: by policy, and by what it says that it can.
    fn may_be_asked(&self, question: &Question, under: &Under<'_>) -> Result<(), Refusal> {
        let refusal = |code, what: &str| {
            Err(Refusal::new(code, what.to_owned()).hint("take what you need as arguments of the tool"))
        };
        let Some(tool) = under.tool() else {
            return refusal(RefusalCode::Unsupported, "only a call of a tool may ask for something");
        };
        let policies = &self.mcp.managed.policies;
        let wanted = &question.wanted;
        policies.may_ask(under.delegation, &self.server.name, tool, action(wanted), now_us())?;
        if !self.voice.answers(self.era) || !self.abilities.can(wanted) {
            return refusal(
                RefusalCode::Unsupported,
                "the client does not say that it can be asked for this",
            );
        }
        if under.asks >= ASKS_MAX {
            return refusal(RefusalCode::TooMuch, "this call has asked for too much");
        }
        Ok(())
    }

    /// What a reply comes to, once it is on record.
    async fn replied(
        &self,
        question: &Question,
        number: u64,
        reply: Reply,
        under: &mut Under<'_>,
    ) -> Option<Got> {
        let (action, said, got) = match reply {
            Reply::Missing => ("missing", None, None),
            Reply::Late => ("late", None, Some(Err(error(UNANSWERED, "the client did not answer in time")))),
            // A client's words about itself are its own; that it cannot is all that the server hears.
            Reply::Error(raw) => {
                let said = canonical(&raw).ok();
                ("error", said, Some(Err(error(UNANSWERED, "the client cannot answer this"))))
            }
            Reply::Given(raw) => match (question.action(&raw), canonical(&raw)) {
                (Ok(action), Ok(said)) => match self.may_leave(Some(&raw)).await {
                    Ok(()) => (action, Some(said), Some(Ok(raw))),
                    Err(refusal) => ("withheld", Some(said), Some(Err(refused(&refusal)))),
                },
                (_, _) => {
                    let wrong = error(UNANSWERED, "the client's answer is none to this question");
                    ("error", None, Some(Err(wrong)))
                }
            },
        };
        match under.call.answered(number, action, said.as_deref()).await {
            Ok(()) => got,
            Err(refusal) => Some(Err(refused(&refusal))),
        }
    }
}

/// The words of an address, as a text of JSON.
fn parts(url: &str) -> Result<Box<RawValue>, Refusal> {
    let words: Vec<&str> = url.split(|one: char| "/?&=#:;".contains(one)).collect();
    let text = serde_json::Value::from(words.join(" ")).to_string();
    RawValue::from_string(text).map_err(|error| unread(&error.into()))
}

fn unread(wrong: &RelayError) -> Refusal {
    Refusal::new(RefusalCode::ProtocolViolation, format!("the question cannot be used: {wrong}"))
}

/// The canonical form of a message's part (RFC 8785), which is read in one way.
fn canonical(raw: &RawValue) -> Result<Vec<u8>, Refusal> {
    let value = relay::plain(raw).map_err(|wrong| unread(&wrong))?;
    serde_json_canonicalizer::to_vec(&value).map_err(|error| unread(&error.into()))
}
