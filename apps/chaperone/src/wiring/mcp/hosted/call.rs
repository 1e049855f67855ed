//! One call of a server, on record from its beginning to its end.

use std::collections::{BTreeMap, BTreeSet};

use axum::http::StatusCode;
use axum::response::Response;
use chaperone_access::{CallId, Called, Delegation, Refusal, RefusalCode};
use chaperone_mcp::relay::{self, Listing, RelayError, Said};
use chaperone_mcp::request::{Method, Request};
use chaperone_mcp::stateless::{self, Beside, Era};
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

/// What the second net has caught in an answer.
#[derive(Default)]
struct Net {
    /// What was replaced, by tag.
    masked: BTreeMap<String, u64>,
    /// Identifiers that were found.
    found: u64,
    /// Bytes that are no text.
    unread: u64,
}

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
        let may = match self.permitted(request) {
            Ok(()) => self.may_leave(*params).await,
            Err(refusal) => Err(refusal),
        };
        let taken = match may {
            Ok(()) => self.taken().await.and_then(|taken| self.offered(taken, request)),
            Err(refusal) => Err(refusal),
        };
        let lease = taken.as_ref().map(|taken| taken.process.lease.clone()).unwrap_or_default();
        let opening = CallOpening {
            call: CallId::from_parts(now_us() / 1000, random()),
            delegation: &delegation,
            source: self.shower.source,
            target: &self.server.name,
            called,
            method: Some(request.method.as_str()).filter(|_| request.method != Method::CallTool),
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
            Err(refusal) => (self.turned_away(called, refusal), None),
        };
        let (done, net) = match self.looked_through(done, &delegation, called).await {
            Ok(looked) => looked,
            Err(refusal) => (Done::unanswered(refusal, &lease), Net::default()),
        };
        let Net { masked, found, unread } = net;
        // The server has it from elsewhere, whether it says that it did well or that it failed.
        let phi_without_statement = Some(found).filter(|found| *found > 0 && lease.touching() == 0);
        let not_looked_through = Some(unread).filter(|unread| *unread > 0);
        let bytes = done.written(request.method, self.era).1.len() as u64;
        let (outcome, code) = (done.outcome, done.code);
        let end =
            CallEnd { outcome, code, masked, phi_without_statement, not_looked_through, rows: 0, bytes };
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
    /// called.
    async fn looked_through(
        &self,
        done: Done,
        delegation: &Delegation,
        called: &Called,
    ) -> Result<(Done, Net), Refusal> {
        let Words::OfServer(what, raw) = done.words else { return Ok((done, Net::default())) };
        let stays = if self.server.refuses_findings {
            // Policy reveals what its subjects may see, and nobody can say for whom this was read.
            BTreeSet::new()
        } else {
            self.mcp.managed.policies.stays_in(delegation, &self.server.name, called, now_us())
        };
        let raw = RawValue::from_string(raw).map_err(|error| fault(&relay::unread(&error)))?;
        let Looked { raw, found, masked, unread } = self.look(raw, stays).await?;
        if self.server.refuses_findings && found > 0 {
            // It was carried out, so what it came to stands.
            let done = Done::withheld(self.withheld(&masked), done.outcome);
            return Ok((done, Net { found, ..Net::default() }));
        }
        Ok((Done { words: Words::OfServer(what, raw), ..done }, Net { masked, found, unread }))
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
        // What is between the client and us (its revision looks like a date) goes to no server.
        let own = stateless::towards(Era::Handshake, Some(params), Beside::default());
        let own = own.ok().and_then(|own| RawValue::from_string(own.into_owned()).ok());
        let own = own.unwrap_or_else(|| params.to_owned());
        let Looked { found, masked, .. } = self.look(own, BTreeSet::new()).await?;
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

    /// Whether the caller may ask that.
    fn permitted(&self, request: &Request<'_>) -> Result<(), Refusal> {
        // Where policy looks at URIs, a list has those that it permits.
        if request.method == Method::ListResources && self.may_some(&request.called) {
            return Ok(());
        }
        self.may(&request.called)
    }

    /// What is said to whom something is not permitted, or is not there: a method of which a caller may have nothing is to him
    /// as if the server had none.
    fn turned_away(&self, called: &Called, refusal: Refusal) -> Done {
        let any = match called {
            Called::Tool(_) => return Done::refused(refusal),
            Called::Resource(_) => Called::Resource(None),
            Called::Prompt(_) => Called::Prompt(None),
        };
        let is_hidden = refusal.code == RefusalCode::NotPermitted && !self.may_some(&any);
        if is_hidden || refusal.code == RefusalCode::Unsupported {
            return Done::no_method(self.era, refusal.code);
        }
        Done::refused(refusal)
    }

    /// Whether the server has it.
    fn offered(&self, taken: Taken, request: &Request<'_>) -> Result<Taken, Refusal> {
        let Request { method, called, .. } = request;
        let both_older = (self.era, taken.process.era) == (Era::Handshake, Era::Handshake);
        let is_spoken = both_older || !method.is_older();
        if *method != Method::CallTool && !(is_spoken && taken.process.can(method.capability())) {
            taken.give_back();
            let what = format!("server `{}` has no `{}`", self.server.name, method.as_str());
            return Err(Refusal::new(RefusalCode::Unsupported, what));
        }
        let (listing, name) = match (method, called) {
            (_, Called::Tool(name)) => (Listing::Tools, name),
            (_, Called::Prompt(Some(name))) => (Listing::Prompts, name),
            (Method::Complete, Called::Resource(Some(name))) => (Listing::Templates, name),
            (_, Called::Resource(_) | Called::Prompt(None)) => return Ok(taken),
        };
        let accepted = taken.process.find(listing, name).map(|known| self.is_accepted(known));
        if accepted == Some(true) {
            return Ok(taken);
        }
        taken.give_back();
        if accepted == Some(false) {
            let what = format!(
                "`{}/{name}` is described otherwise than was accepted, so it is held",
                self.server.name
            );
            return Err(Refusal::new(RefusalCode::NotPermitted, what)
                .hint("ask an administrator to look at it and to accept it (`chaperone server show`)"));
        }
        Err(Refusal::new(RefusalCode::NotPermitted, format!("server `{}` has no {called}", self.server.name))
            .hint(format!("`{}` names them", listing.method())))
    }

    /// Whether a client's headers repeat what stands in its arguments, where the tool's description says so.
    fn agree(&self, taken: &Taken, request: &Request<'_>) -> Result<(), String> {
        let tool = request.called.as_tool();
        let known = tool.and_then(|tool| taken.process.find(Listing::Tools, tool));
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
        let name = request.called.name();
        let own = name.map(|name| taken.process.in_its_words(name));
        let own = own.filter(|own| name.is_some_and(|name| **own != **name));
        let own = own.map(|uri| request.with_uri(&uri)).transpose();
        let own = match own {
            Ok(own) => own.flatten(),
            Err(error) => return (Done::refused(unread(&error)), Some(taken)),
        };
        let params = own.as_deref().or(request.params);
        let during = self.during(&mut taken.process, request.method.as_str(), params, &mut under);
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
        let answered = match (request.method, answered) {
            (Method::CallTool, answered) => answered,
            // A client keeps and names again what stands there; what a run logs in with is another run's in the next one.
            (_, Answered::Result(raw)) => Answered::Result(taken.process.untold(raw)),
            (_, Answered::Error(raw)) => Answered::Error(taken.process.untold(raw)),
        };
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
        let raw = match request.method {
            Method::ListResources => self.of_list(raw)?,
            Method::CallTool
            | Method::ReadResource
            | Method::Subscribe
            | Method::Unsubscribe
            | Method::GetPrompt
            | Method::Complete => raw,
        };
        let failed = request.method == Method::CallTool && relay::is_error(&raw)?;
        let code = failed.then(|| lease.refused()).flatten();
        let outcome = match (failed, code) {
            (false, _) => CallOutcome::Ok,
            (true, Some(_)) => CallOutcome::Refused,
            (true, None) => CallOutcome::Failed,
        };
        let raw = stateless::result(self.era, of_server, request.method, &raw)?;
        Ok(Done::of_server("result", &raw, outcome, code))
    }

    /// A list of resources, with those only that the caller may read.
    fn of_list(&self, raw: Box<RawValue>) -> Result<Box<RawValue>, RelayError> {
        let found = relay::resources(&raw)?;
        let uris: Vec<&str> = found.iter().map(|(uri, _)| uri.as_str()).collect();
        let may = self.may_read(&uris);
        if may.iter().all(|may| *may) {
            return Ok(raw);
        }
        let kept: Vec<&RawValue> =
            found.iter().zip(may).filter(|(_, may)| *may).map(|((_, resource), _)| *resource).collect();
        Ok(RawValue::from_string(relay::with_resources(&raw, &kept)?)?)
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
    let arguments = request.arguments().map_err(|error| unread(&error))?;
    serde_json_canonicalizer::to_vec(&arguments).map_err(|error| fault(&error))
}

fn unread(error: &RelayError) -> Refusal {
    Refusal::new(RefusalCode::ProtocolViolation, format!("the arguments cannot be used: {error}"))
}
