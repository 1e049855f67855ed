//! One run of a server for one caller: launched with a credential of its own, and reached by nobody else.

use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use chaperone_access::{Delegation, ProcessId, Refusal, RefusalCode, TargetName};
use chaperone_identity::{Caveat, CredentialId, Grant, narrow};
use chaperone_mcp::relay::{self, Listing, TOOLS_MAX};
use chaperone_mcp::request::USER;
use chaperone_mcp::stateless::{Beside, Era, Repeated, has, repeats, towards};
use chaperone_postgres::opening::{First, accept};
use chaperone_recording::{Lease, LinkFacts, ServerOpening, ServerRun};
use chaperone_trail::Digest;
use chaperone_tunnel::{Accept, Access, Host, HostFacts, Hosted, Launch, Reach};
use serde_json::json;
use serde_json::value::RawValue;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use zeroize::Zeroizing;

use super::Known;
use super::begin::{Begun, Manner};
use super::pool::Place;
use super::talk::{Answered, Broken, Came, Talk};
use crate::wiring::installation::{now_us, random};
use crate::wiring::manifests::Manifests;
use crate::wiring::mcp::query::CALL;
use crate::wiring::mcp::seen::fault;
use crate::wiring::mcp::{Mcp, Shower};

/// Longest life of a run, in seconds: its credential ends then.
const RUN_S: u64 = 3600;
/// What has to be left of it for one more call, in seconds: the call's own time, and a moment for its end.
const LEFT_S: u64 = CALL.as_secs() + 5;
/// How long a run that says that its tools are others may take to list them.
const LIST: Duration = Duration::from_secs(10);
/// After which a server elsewhere is asked for its tools again before a call: it says nothing of its own accord, neither that
/// they are others nor that it has ended the session.
const LISTED: Duration = Duration::from_secs(10);
/// Bytes of all that one run says that it has, over all pages of its lists.
const MANIFESTS_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Connections of one run at a time; more wait at the agent.
const CONNECTIONS_MAX: usize = 8;

/// Something that a run says that it has.
pub(super) struct Offered {
    pub(super) listing: Listing,
    pub(super) name: String,
    pub(super) manifest: Box<RawValue>,
    /// SHA-256 of the manifest's canonical form (RFC 8785).
    pub(super) digest: [u8; 32],
    /// Arguments of a tool that clients of the newest revision repeat in headers.
    pub(super) repeats: Vec<Repeated>,
}

/// A run.
pub(super) struct Process {
    talk: Talk,
    pub(super) era: Era,
    pub(super) lease: Lease,
    pub(super) offered: Vec<Offered>,
    /// When that was heard.
    listed: Instant,
    /// Its answer to `initialize` or `server/discover`.
    pub(super) information: Box<RawValue>,
    /// What it logs in with: user and password, and the words that stand for them where it tells them.
    told: Vec<(&'static str, Zeroizing<String>)>,
    expires_s: u64,
    run: ServerRun,
    _entrance: Option<Entrance>,
    _place: Place,
}

/// Takes what the run connects, until it is dropped. Sessions end with their connections, so that their records are sealed.
struct Entrance(JoinHandle<()>);

impl Drop for Entrance {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// When the credential of a run that begins now ends, in seconds since the Unix epoch.
pub(super) fn end_of_a_run(shower: &Shower) -> u64 {
    let now = now_us() / 1_000_000;
    (now + RUN_S).min(shower.bearer.not_after).max(now + 1)
}

/// Whether a credential that ends then leaves time for one more call. Where a new one would end no later, as much as there is has
/// to do: the caller's own token ends.
fn leaves_time(now_s: u64, expires_s: u64, fresh_s: u64) -> bool {
    now_s + 1 < expires_s && (now_s + LEFT_S <= expires_s || fresh_s <= expires_s)
}

/// The refusal of whoever called, where a run is no good.
pub(super) fn broken(server: &Known, error: &Broken) -> Refusal {
    tracing::warn!(server = %server.name, %error, "a run of a server was ended");
    let (code, hint) = match error {
        Broken::Elsewhere(fault) if fault.is_undone() => (RefusalCode::TargetUnavailable, fault.hint()),
        Broken::Elsewhere(fault) => (RefusalCode::TargetLost, fault.hint()),
        Broken::Gone | Broken::Message(_) | Broken::Unasked | Broken::TooLong | Broken::TooMuch => {
            (RefusalCode::TargetLost, "call again; if it happens again, tell whoever answers for the server")
        }
    };
    Refusal::new(code, format!("server `{}`: {error}", server.name)).hint(hint)
}

/// What a run begins with, once it is on record.
struct Opened {
    talk: Talk,
    /// What is run or reached.
    command: Digest,
    lease: Lease,
    told: Vec<(&'static str, Zeroizing<String>)>,
    run: ServerRun,
    entrance: Option<Entrance>,
}

impl Process {
    /// Launch a server for a caller, or reach it, and hear what it has.
    pub(super) async fn begin(
        mcp: &Arc<Mcp>,
        shower: &Shower,
        server: &Known,
        delegation: &Delegation,
        manner: Manner,
        place: Place,
    ) -> Result<Self, Refusal> {
        let expires_s = end_of_a_run(shower);
        let opened = match &server.target {
            Some(target) => Self::launch(mcp, shower, server, target, delegation, expires_s).await?,
            None => Self::reach(mcp, server, delegation).await?,
        };
        let Opened { mut talk, command, lease, told, run, entrance } = opened;
        let begun = server.eras.begin(&mut talk, command, server.is_elsewhere(), manner).await;
        let begun = begun.map_err(|error| broken(server, &error))?;
        let Begun { era, information } = begun.map_err(|why| {
            Refusal::new(RefusalCode::TargetUnavailable, format!("server `{}`: {why}", server.name))
        })?;
        let information = untold(information, &told);
        let (offered, _entrance, _place) = (Vec::new(), entrance, place);
        let listed = Instant::now();
        let mut this =
            Self { talk, era, lease, offered, listed, information, told, expires_s, run, _entrance, _place };
        this.list(server, &mcp.managed.manifests).await?;
        Ok(this)
    }

    /// A session with a server elsewhere: it gets nothing to log in with, and nothing of the caller's.
    async fn reach(mcp: &Arc<Mcp>, server: &Known, delegation: &Delegation) -> Result<Opened, Refusal> {
        let process = ProcessId::from_parts(now_us() / 1000, random());
        let reach = Host::Reach(Reach { server: server.name.clone(), process });
        let (hosted, command, run) = Self::host(mcp, reach, process, delegation, None).await?;
        let talk = Talk::new(hosted.stream, true);
        Ok(Opened { talk, command, lease: Lease::default(), told: Vec::new(), run, entrance: None })
    }

    /// Have an agent begin, and put it on record; `opens` is its credential, with the target that this opens.
    async fn host(
        mcp: &Mcp,
        host: Host,
        process: ProcessId,
        delegation: &Delegation,
        opens: Option<(CredentialId, &TargetName)>,
    ) -> Result<(Hosted, Digest, ServerRun), Refusal> {
        let server = host.server().clone();
        let hosted = mcp.managed.dialer.host(host).await.map_err(|error| error.refusal())?;
        let command = command(&hosted.facts)?;
        let opening = ServerOpening {
            process,
            server: &server,
            agent: &hosted.agent,
            command,
            apart: hosted.facts.apart,
            delegation,
            credential: opens.map(|(credential, _)| credential),
            target: opens.map(|(_, target)| target),
        };
        let run = mcp.managed.recorder.begin_server(opening).await?;
        Ok((hosted, command, run))
    }

    async fn launch(
        mcp: &Arc<Mcp>,
        shower: &Shower,
        server: &Known,
        target: &TargetName,
        delegation: &Delegation,
        expires_s: u64,
    ) -> Result<Opened, Refusal> {
        let process = ProcessId::from_parts(now_us() / 1000, random());
        let now = now_us() / 1_000_000;
        let grant = Grant {
            who: shower.bearer.who.clone(),
            client: delegation.client.as_deref().map(str::to_owned),
            target: target.clone(),
            purpose: delegation.purpose.as_deref().map(str::to_owned),
            not_before: now,
            not_after: expires_s,
        };
        let made = mcp.managed.identity.issue(&grant).map_err(|error| fault(&error))?;
        let tool = Caveat::Tool(server.name.to_string());
        let (user, password) = narrow(&made.user, &made.password, &tool).map_err(|error| fault(&error))?;
        let access = Access::new(&user, &password, target.clone()).map_err(|error| fault(&error))?;
        let launch = Host::Launch(Launch { server: server.name.clone(), process, access });
        let opens = Some((made.id, target));
        let (hosted, command, run) = Self::host(mcp, launch, process, delegation, opens).await?;
        let Hosted { stream, agent, .. } = hosted;
        let lease = Lease::default();
        let accept = Accept { agent, server: server.name.clone(), process };
        let entrance = Some(entrance(mcp.clone(), shower, accept, made.id, lease.clone()));
        let told = vec![(USER, Zeroizing::new(user)), ("{password}", password)];
        Ok(Opened { talk: Talk::new(stream, false), command, lease, told, run, entrance })
    }

    /// Why it will have ended.
    pub(super) fn over(&mut self, reason: &'static str) {
        self.run.over(reason);
    }

    /// Whether its credential has ended.
    pub(super) fn has_expired(&self) -> bool {
        now_us() / 1_000_000 >= self.expires_s
    }

    /// Whether it can carry one more call, where a new run would live until `fresh_s`; its tools are heard again where it
    /// says that they are others, or may not say so.
    pub(super) async fn is_good(&mut self, server: &Known, manifests: &Manifests, fresh_s: u64) -> bool {
        if !leaves_time(now_us() / 1_000_000, self.expires_s, fresh_s) {
            self.over("expired");
            return false;
        }
        if let Err(error) = self.talk.is_sound().await {
            self.over("broken");
            tracing::warn!(server = %server.name, %error, "a run of a server was ended");
            return false;
        }
        let is_old = server.is_elsewhere() && self.listed.elapsed() > LISTED;
        if !self.talk.take_changed() && !is_old {
            return true;
        }
        match tokio::time::timeout(LIST, self.list(server, manifests)).await {
            Ok(listed) => listed.is_ok(),
            Err(_elapsed) => {
                self.over("broken");
                tracing::warn!(server = %server.name, "a run that does not list its tools was ended");
                false
            }
        }
    }

    /// Ask it.
    pub(super) async fn ask(&mut self, method: &str, params: Option<&RawValue>) -> Result<Answered, Broken> {
        let answered = match towards(self.era, params, Beside::default()) {
            Ok(params) => self.talk.ask(method, &params).await,
            Err(error) => Err(error.into()),
        };
        if answered.is_err() {
            self.over("broken");
        }
        answered
    }

    /// What it has of that name.
    pub(super) fn find(&self, listing: Listing, name: &str) -> Option<&Offered> {
        self.of(listing).find(|known| known.name == name)
    }

    /// What it has of a kind.
    pub(super) fn of(&self, listing: Listing) -> impl Iterator<Item = &Offered> {
        self.offered.iter().filter(move |known| known.listing == listing)
    }

    /// Whether it says that it can that. One that says nothing has tools: it would have nothing to be there for.
    pub(super) fn can(&self, part: &str) -> bool {
        let can = |part: &str| has(&self.information, part);
        can(part) || (part == Listing::Tools.capability() && !can("prompts") && !can("resources"))
    }

    /// A URI in its own words: it was told with a word in the place of the user that this run logs in as.
    pub(super) fn in_its_words(&self, uri: &str) -> String {
        let user = self.told.iter().find(|(word, _)| *word == USER);
        user.map_or_else(|| uri.to_owned(), |(word, user)| uri.replace(word, user))
    }

    /// What it says, without what it logs in with.
    pub(super) fn untold(&self, said: Box<RawValue>) -> Box<RawValue> {
        untold(said, &self.told)
    }

    /// Begin to ask it; the number of what it is asked, which is also its token for what is told of it.
    pub(super) fn begin_request(
        &mut self,
        method: &str,
        params: Option<&RawValue>,
        beside: Beside,
    ) -> Result<u64, Broken> {
        let beside = Beside { token: Some(self.talk.next_number()), ..beside };
        Ok(self.talk.begin(method, &towards(self.era, params, beside)?))
    }

    /// What comes next of it. Cancel safe.
    pub(super) async fn come(&mut self, number: u64) -> Result<Came, Broken> {
        let came = self.talk.come(number).await;
        if came.is_err() {
            self.over("broken");
        }
        came
    }

    /// Answer what it asked.
    pub(super) fn reply(&mut self, id: &str, what: &str, raw: &str) -> Result<(), Broken> {
        self.talk.reply(id, what, raw)
    }

    /// Hear what it has.
    async fn list(&mut self, server: &Known, manifests: &Manifests) -> Result<(), Refusal> {
        let mut offered = Vec::new();
        for listing in Listing::ALL {
            if self.can(listing.capability()) {
                self.hear(server, listing, &mut offered).await?;
            }
        }
        let names: Vec<String> = offered.iter().map(|one| one.listing.known_as(&one.name)).collect();
        let heard = offered.iter().zip(&names);
        let heard: Vec<_> =
            heard.map(|(one, name)| (name.as_str(), one.digest, one.manifest.get())).collect();
        manifests.heard(&server.name, &heard).await?;
        self.offered = offered;
        self.listed = Instant::now();
        Ok(())
    }

    /// Hear one of its lists to the end.
    async fn hear(
        &mut self,
        server: &Known,
        listing: Listing,
        offered: &mut Vec<Offered>,
    ) -> Result<(), Refusal> {
        let unlisted = |why: &str| {
            let what = format!("server `{}`: what it answers to `{}`: {why}", server.name, listing.method());
            Refusal::new(RefusalCode::TargetUnavailable, what)
                .hint("call again; if it happens again, tell whoever answers for the server")
        };
        let (mut cursor, mut many): (Option<String>, usize) = (None, 0);
        for _ in 0..TOOLS_MAX {
            let params =
                cursor.as_ref().map(|cursor| serde_json::value::to_raw_value(&json!({"cursor": cursor})));
            let params = params.transpose().map_err(|error| fault(&error))?;
            let came = self.ask(listing.method(), params.as_deref()).await;
            let result = match came.map_err(|error| broken(server, &error))? {
                Answered::Result(result) => result,
                Answered::Error(_) if listing == Listing::Tools => return Err(unlisted("an error")),
                // It has some things of a kind and not others, and says so in this way.
                Answered::Error(_) => return Ok(()),
            };
            let (page, next) =
                relay::listed(listing, &result).map_err(|error| unlisted(&error.to_string()))?;
            for one in page {
                let known = offered.iter().any(|known| known.listing == listing && known.name == one.name);
                many += 1;
                if known || many > TOOLS_MAX {
                    return Err(unlisted("too many, or one twice"));
                }
                let manifest = untold(one.manifest.to_owned(), &self.told);
                let bytes: usize = offered.iter().map(|known| known.manifest.get().len()).sum();
                if bytes + manifest.get().len() > MANIFESTS_BYTES_MAX {
                    return Err(unlisted("its descriptions are too long"));
                }
                let value: serde_json::Value =
                    serde_json::from_str(manifest.get()).map_err(|error| unlisted(&relay::unread(&error)))?;
                let canonical = serde_json_canonicalizer::to_vec(&value).map_err(|error| fault(&error))?;
                let digest = digest(&SHA256, &canonical).as_ref().try_into().unwrap_or_default();
                // A template's name is a URI, in which a user may stand.
                let told = self.told.iter();
                let name = told.fold(one.name, |name, (word, value)| name.replace(value.as_str(), word));
                offered.push(Offered { listing, name, manifest, digest, repeats: repeats(&value) });
            }
            cursor = next;
            if cursor.is_none() {
                return Ok(());
            }
        }
        Err(unlisted("a list that does not end"))
    }
}

/// What is run or reached, by its agent's word.
fn command(facts: &HostFacts) -> Result<Digest, Refusal> {
    let mut command = [0; 32];
    hex::decode_to_slice(&facts.command, &mut command)
        .map_err(|_| Refusal::new(RefusalCode::TargetUnavailable, "the agent does not say what it runs"))?;
    Ok(Digest(command))
}

/// What a server says of itself, without what it logs in with: some tell whom they are connected as. The words are another
/// run's in the next one, whose tools would not be the accepted ones, and nobody else's in any case.
fn untold(said: Box<RawValue>, told: &[(&'static str, Zeroizing<String>)]) -> Box<RawValue> {
    if !told.iter().any(|(_, value)| said.get().contains(value.as_str())) {
        return said;
    }
    let text =
        told.iter().fold(said.get().to_owned(), |text, (word, value)| text.replace(value.as_str(), word));
    // Neither side of it needs an escape in JSON, so a text stays one.
    RawValue::from_string(text).unwrap_or(said)
}

/// Take what a run connects, one connection after the other: each is a client of the boundary like any other, with the
/// run's own credential and no other.
fn entrance(
    mcp: Arc<Mcp>,
    shower: &Shower,
    accept_words: Accept,
    only: CredentialId,
    lease: Lease,
) -> Entrance {
    let source = shower.source;
    let tool: Arc<str> = Arc::from(accept_words.server.as_str());
    Entrance(tokio::spawn(async move {
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        while let Ok(place) = places.clone().acquire_owned().await {
            let stream = match mcp.managed.dialer.host(Host::Accept(accept_words.clone())).await {
                Ok(hosted) => hosted.stream,
                Err(error) => {
                    tracing::debug!(%error, "no more connections of a run");
                    return;
                }
            };
            mcp.managed.counters.session();
            let link =
                LinkFacts { tls: None, tool: Some(tool.clone()), lease: lease.clone(), only: Some(only) };
            let mcp = mcp.clone();
            tokio::spawn(async move {
                match accept(Box::new(stream), source, &mcp.options).await {
                    Ok(First::Session(arrival)) => {
                        let ended = chaperone_session::run(arrival, &mcp.boundary, source, link, ()).await;
                        tracing::debug!(?ended, "a hosted server's session ended");
                    }
                    Ok(First::Cancel { pid, key }) => {
                        let id = u32::from_ne_bytes(pid.to_ne_bytes());
                        mcp.managed.sessions.cancel(id, &key).await;
                    }
                    Ok(First::Nothing) => {}
                    Err(fault) => tracing::warn!(%fault, "a hosted server's connection was refused"),
                }
                drop(place);
            });
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_used_while_its_credential_outlives_a_call() {
        let fresh = 1000 + RUN_S;
        for (expires_s, good) in [
            (1000 + RUN_S, true),
            (1000 + LEFT_S, true),
            (1000 + LEFT_S - 1, false),
            (1002, false),
            (1000, false),
            (900, false),
        ] {
            assert_eq!(leaves_time(1000, expires_s, fresh), good, "{expires_s}");
        }
        // Whoever shows a token that ends soon does not begin a run for every call.
        assert!(leaves_time(1000, 1030, 1030) && !leaves_time(1000, 1030, 1031));
        assert!(!leaves_time(1000, 1001, 1001));
    }
}
