//! One call of a server, on record from its beginning to its end.

use std::collections::{BTreeMap, BTreeSet};

use axum::http::StatusCode;
use axum::response::Response;
use chaperone_access::{CallId, Called, Delegation, Refusal, RefusalCode};
use chaperone_mcp::relay::{self, RelayError, Said};
use chaperone_mcp::request::{Method, Request};
use chaperone_mcp::stateless::{self, Era};
use chaperone_recording::{CallEnd, CallOpening, Lease};
use chaperone_trail::CallOutcome;
use serde_json::value::RawValue;

use super::done::{Done, Words};
use super::during::{Unanswered, Under};
use super::looked::{Looked, look};
use super::pool::Taken;
use super::talk::Answered;
use super::{Asked, INVALID_PARAMS, answer, error};
use crate::wiring::installation::{now_us, random};
use crate::wiring::mcp::query::CALL;
use crate::wiring::mcp::seen::fault;

impl Asked<'_> {
    /// A call: its place among the calls, then the record, then the server.
    pub(super) async fn call(&self, id: &RawValue, method: Method, said: &Said<'_>) -> Response {
        let request = match Request::read(method, said.params) {
            Ok(request) => request,
            Err(wrong) => return error(id, INVALID_PARAMS, &wrong.to_string()),
        };
        // What goes on with a call is taken before; here is one that begins.
        let names_a_state = |params: &RawValue| !matches!(relay::member(params, "requestState"), Ok(None));
        if request.params.is_some_and(names_a_state) {
            return error(id, INVALID_PARAMS, "`requestState` is none that was given for this call");
        }
        let calls = self.mcp.managed.commands.calls();
        let came = match calls.enter(&self.shower.bearer.standing.facts().subject) {
            Ok(_place) => self.carried(&request).await,
            Err(busy) => Err(busy),
        };
        // Where there is no place, or no record of its beginning, nothing was begun.
        let done = came.unwrap_or_else(Done::refused);
        let (what, raw) = done.written(method, self.era);
        let mut response = answer(id.get(), what, &raw);
        *response.status_mut() = done.status;
        response
    }

    async fn carried(&self, request: &Request<'_>) -> Result<Done, Refusal> {
        let arguments = canonical(request)?;
        let Request { called, params, .. } = request;
        let delegation = self.chained(called);
        // Nothing is launched for a call that may not be made; it is on record all the same.
        let may = match self.may(called) {
            Ok(()) => self.may_leave(*params).await,
            Err(refusal) => Err(refusal),
        };
        let taken = match may {
            Ok(()) => self.taken().await.and_then(|taken| self.offered(taken, called)),
            Err(refusal) => Err(refusal),
        };
        let lease = taken.as_ref().map(|taken| taken.process.lease.clone()).unwrap_or_default();
        let opening = CallOpening {
            call: CallId::from_parts(now_us() / 1000, random()),
            delegation: &delegation,
            source: self.shower.source,
            target: &self.server.name,
            tool: called.as_tool().map_or("", |tool| &**tool),
            arguments: &arguments,
            application: stateless::application(*params),
            client: self.shower.bearer.oauth_client.clone(),
        };
        let mut call = self.mcp.managed.recorder.begin_call(opening, lease.clone()).await?;
        let (done, taken) = match taken {
            Ok(taken) => match self.agree(&taken, request) {
                Ok(()) => {
                    let under = Under::new(&mut call, &delegation, called);
                    self.asked(taken, request, &lease, under).await
                }
                Err(why) => (Done::mismatch(why), Some(taken)),
            },
            Err(refusal) => (Done::refused(refusal), None),
        };
        let (done, masked, found) = match self.looked_through(done, &delegation, called).await {
            Ok(looked) => looked,
            Err(refusal) => (Done::unanswered(refusal, &lease), BTreeMap::new(), 0),
        };
        // The server has it from elsewhere, whether it says that it did well or that it failed.
        let phi_without_statement = Some(found).filter(|found| *found > 0 && lease.touching() == 0);
        let bytes = done.written(request.method, self.era).1.len() as u64;
        let (outcome, code) = (done.outcome, done.code);
        let end = CallEnd { outcome, code, masked, phi_without_statement, rows: 0, bytes };
        if let Err(refusal) = call.end(end).await {
            // Nothing of the server's leaves; but that it was refused may be no truth.
            return Ok(Done::unanswered(refusal, &lease));
        }
        // Only now may another call have it: nothing of this one is under way any more.
        if let Some(taken) = taken {
            taken.give_back();
        }
        Ok(done)
    }

    /// Look through the server's own words: what detectors find is replaced, unless policy reveals it to the caller in what is
    /// called. What was replaced, by tag, and how many were found.
    async fn looked_through(
        &self,
        done: Done,
        delegation: &Delegation,
        called: &Called,
    ) -> Result<(Done, BTreeMap<String, u64>, u64), Refusal> {
        let Words::OfServer(what, raw) = done.words else { return Ok((done, BTreeMap::new(), 0)) };
        let stays = if self.server.refuses_findings {
            // Policy reveals what its subjects may see, and nobody can say for whom this was read.
            BTreeSet::new()
        } else {
            self.mcp.managed.policies.stays_in(delegation, &self.server.name, called, now_us())
        };
        let raw = RawValue::from_string(raw).map_err(|error| fault(&relay::unread(&error)))?;
        let Looked { raw, found, masked } = self.look(raw, stays).await?;
        if self.server.refuses_findings && found > 0 {
            // It was carried out, so what it came to stands.
            return Ok((Done::withheld(self.withheld(&masked), done.outcome), BTreeMap::new(), found));
        }
        Ok((Done { words: Words::OfServer(what, raw), ..done }, masked, found))
    }

    pub(super) async fn look(
        &self,
        raw: Box<RawValue>,
        stays: BTreeSet<&'static str>,
    ) -> Result<Looked, Refusal> {
        let detectors = self.server.detectors.clone();
        let looking = tokio::task::spawn_blocking(move || look(&raw, &detectors, &stays));
        looking.await.map_err(|error| fault(&error))
    }

    /// Whether what a call says may go to its server: identifiers go to none that is elsewhere.
    pub(super) async fn may_leave(&self, params: Option<&RawValue>) -> Result<(), Refusal> {
        let Some(params) = params.filter(|_| self.server.refuses_findings) else { return Ok(()) };
        let Looked { found, masked, .. } = self.look(params.to_owned(), BTreeSet::new()).await?;
        if found == 0 {
            return Ok(());
        }
        let what = format!(
            "the arguments hold identifiers of people{}, and server `{}` is elsewhere: what becomes of them there is on no record",
            tags(&masked),
            self.server.name
        );
        Err(Refusal::new(RefusalCode::NotAttributable, what).hint("nothing was sent: ask without them"))
    }

    /// What is said in the place of an answer that would show whose data nobody can tell to whom.
    fn withheld(&self, masked: &BTreeMap<String, u64>) -> Refusal {
        let what = format!(
            "server `{}` has answered, and its answer is withheld: it holds identifiers of people{}, read over connections \
             of its own, so that nobody can say on whose behalf",
            self.server.name,
            tags(masked)
        );
        Refusal::new(RefusalCode::NotAttributable, what).hint(
            "the call was carried out, so do not repeat it; ask whoever runs the gateway to host the server with its agent, which \
             runs it for each caller, or to let it exchange its callers' tokens for credentials of theirs",
        )
    }

    /// Whether the server has it.
    fn offered(&self, taken: Taken, called: &Called) -> Result<Taken, Refusal> {
        let Some(tool) = called.as_tool() else { return Ok(taken) };
        let known = taken.process.tools.iter().find(|known| known.name == **tool);
        let accepted = known.map(|known| self.is_accepted(known));
        if accepted == Some(true) {
            return Ok(taken);
        }
        taken.give_back();
        if accepted == Some(false) {
            let what = format!(
                "`{}/{tool}` is described otherwise than was accepted, so it is held",
                self.server.name
            );
            return Err(Refusal::new(RefusalCode::NotPermitted, what)
                .hint("ask an administrator to look at it and to accept it (`chaperone server show`)"));
        }
        Err(Refusal::new(
            RefusalCode::NotPermitted,
            format!("server `{}` has no tool `{tool}`", self.server.name),
        )
        .hint("`tools/list` names them"))
    }

    /// Whether a client's headers repeat what stands in its arguments, where the tool's description says so.
    fn agree(&self, taken: &Taken, request: &Request<'_>) -> Result<(), String> {
        let tool = request.called.as_tool();
        let known = tool.and_then(|tool| taken.process.tools.iter().find(|known| known.name == **tool));
        match (self.era, known) {
            (Era::Stateless, Some(known)) => {
                let arguments = request.params.map(|params| relay::member(params, "arguments"));
                let arguments = arguments.transpose().map_err(|error| error.to_string())?.flatten();
                stateless::agree(&known.repeats, self.headers, arguments)
            }
            (Era::Handshake, _) | (Era::Stateless, None) => Ok(()),
        }
    }

    /// Let the server answer. A run whose answer did not come in time is not used again.
    async fn asked(
        &self,
        mut taken: Taken,
        request: &Request<'_>,
        lease: &Lease,
        mut under: Under<'_>,
    ) -> (Done, Option<Taken>) {
        // Unless it comes to an answer: whoever leaves takes the run with him.
        taken.process.over("abandoned");
        if self.server.is_elsewhere() {
            lease.goes_elsewhere();
        }
        let during = self.during(&mut taken.process, request.method.as_str(), request.params, &mut under);
        let answered = match during.await {
            Ok(answered) => answered,
            Err(Unanswered::Broken(error)) => {
                let refusal = super::process::broken(self.server, &error);
                // Nobody wonders what became of it where it was never taken.
                let done =
                    if error.is_undone() { Done::refused(refusal) } else { Done::unanswered(refusal, lease) };
                return (done, None);
            }
            Err(Unanswered::Late) => {
                let why = format!("the call took longer than {} s", CALL.as_secs());
                let refusal = Refusal::new(RefusalCode::TooMuch, why).hint("ask for less at a time");
                return (Done::unanswered(refusal, lease), None);
            }
        };
        taken.process.over("ended");
        match self.understood(answered, taken.process.era, request, lease) {
            Ok(done) => (done, Some(taken)),
            Err(error) => {
                let refusal = super::process::broken(self.server, &error.into());
                (Done::unanswered(refusal, lease), None)
            }
        }
    }

    /// What a server's answer comes to.
    fn understood(
        &self,
        answered: Answered,
        of_server: Era,
        request: &Request<'_>,
        lease: &Lease,
    ) -> Result<Done, RelayError> {
        let raw = match answered {
            Answered::Error(raw) if stateless::code(&raw) == Some(stateless::MISSING_CAPABILITY.into()) => {
                // To a server no client of ours can do anything. One that cannot hears so from the server.
                if self.era == Era::Handshake || stateless::can(request.params, &raw) {
                    return Ok(Done::unanswered(self.asks(), lease));
                }
                let done = Done::of_server("error", raw.get(), CallOutcome::Failed, None);
                return Ok(Done { status: StatusCode::BAD_REQUEST, ..done });
            }
            Answered::Error(raw) => {
                return Ok(Done::of_server("error", raw.get(), CallOutcome::Failed, None));
            }
            Answered::Result(raw) => raw,
        };
        if !stateless::is_complete(&raw)? {
            return Ok(Done::unanswered(self.asks(), lease));
        }
        let failed = match request.method {
            Method::CallTool => relay::is_error(&raw)?,
        };
        let code = failed.then(|| lease.refused()).flatten();
        let outcome = match (failed, code) {
            (false, _) => CallOutcome::Ok,
            (true, Some(_)) => CallOutcome::Refused,
            (true, None) => CallOutcome::Failed,
        };
        let raw = stateless::result(self.era, of_server, &raw)?;
        Ok(Done::of_server("result", &raw, outcome, code))
    }

    /// A server wants something before it ends a call.
    fn asks(&self) -> Refusal {
        let what = format!(
            "server `{}` asks for more before it ends the call: a person's or a model's words, files, or another call",
            self.server.name
        );
        let hint = "policy or your client does not let it ask (`elicit`, `sample`, `listRoots`), or it had no answer: \
                    give what it needs as arguments, where the tool takes them";
        Refusal::new(RefusalCode::Unsupported, what).hint(hint)
    }
}

/// Which kinds were found, as part of a sentence.
fn tags(found: &BTreeMap<String, u64>) -> String {
    let tags: Vec<&str> = found.keys().map(String::as_str).collect();
    if tags.is_empty() { String::new() } else { format!(" ({})", tags.join(", ")) }
}

/// What is asked for in the canonical form of its JSON (RFC 8785). It goes to the server as it stands, so what is judged and
/// recorded of it has to be all that it says.
fn canonical(request: &Request<'_>) -> Result<Vec<u8>, Refusal> {
    let unread = |error: RelayError| {
        Refusal::new(RefusalCode::ProtocolViolation, format!("the arguments cannot be used: {error}"))
    };
    serde_json_canonicalizer::to_vec(&request.arguments().map_err(unread)?).map_err(|error| fault(&error))
}
