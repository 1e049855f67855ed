//! The closed list of kinds. Fields stand in sorted order: the declaration is the canonical form.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chaperone_access::{Assurance, Attributes, Delegation, Effect, RefusalCode, Subject, Verb};
use serde::Deserialize;
use serde::de::value::MapDeserializer;
use serde_json::value::RawValue;

use super::canonical::Fields;
use super::{
    Backend, CallOutcome, ColumnsOf, Decision, Digest, EntryError, FreeTextCount, ObjectRef, Parameters,
    Position, Refused, SignedCumulative, SignedTally, Status, SubjectCount, Tls, Touched,
};

kinds! {
    /// The gateway began.
    GatewayStarted = "gateway.started" {
        /// Digest of the configuration in force.
        configuration: Digest,
        /// Seconds between heartbeats.
        heartbeat_s: u64,
        /// The program's version.
        version: String,
    }
    /// The gateway ended in order.
    GatewayStopped = "gateway.stopped" {
        /// Why.
        reason: String,
    }
    /// The log was opened after an end without `gateway.stopped`.
    GatewayRecovered = "gateway.recovered" {
        /// Operations closed as lost.
        operations: u64,
        /// Sessions closed as lost.
        sessions: u64,
        /// Bytes of an unacknowledged batch that were cut off.
        torn_bytes: u64,
    }
    /// A sign of life at a fixed interval.
    GatewayHeartbeat = "gateway.heartbeat" {
        /// What each live agent that answered counted since it started, signed by it.
        agents: Vec<SignedCumulative>,
        /// Entries that were durable.
        durable: u64,
        /// Seconds until the next.
        interval_s: u64,
        /// Sessions open.
        sessions: u64,
    }
    /// A time in which nothing could be written.
    Gap = "gap" {
        /// Why.
        cause: String,
        /// Since when, in microseconds since the Unix epoch.
        from: u64,
        /// What was turned away meanwhile, by kind.
        refused: Vec<Refused>,
        /// Until when, in microseconds since the Unix epoch.
        until: u64,
    }
    /// The wall clock and the monotonic clock parted.
    ClockStepped = "clock.stepped" {
        /// Whether the wall clock went back.
        back: bool,
        /// How far, in microseconds.
        by_us: u64,
    }
    /// A key was made.
    KeyCreated = "key.created" {
        /// Its id.
        key: String,
        /// What for.
        purpose: String,
    }
    /// A key took the place of another.
    KeyRotated = "key.rotated" {
        /// The new one's id.
        key: String,
        /// The old one's id.
        previous: String,
        /// The old one's public part: of a log key its verifier key, of an authority the SHA-256 of its public key.
        previous_public: Option<String>,
        /// The new one's public part, likewise.
        public: Option<String>,
        /// What for.
        purpose: String,
    }
    /// A set of policies came into force.
    PolicyLoaded = "policy.loaded" {
        /// By whom: `start`, `signal`, or `issuer/subject` over the API; absent in older trails.
        by: Option<String>,
        /// How many policies.
        count: u64,
        /// Digest of the set; its text is kept under it.
        policy: Digest,
    }
    /// Policies or classifications were not loaded: those before stay in force.
    PolicyRefused = "policy.refused" {
        /// By whom, as for one that is loaded.
        by: String,
        /// How many errors it has.
        errors: u64,
        /// The first of them, with file, line and column.
        first: Vec<String>,
        /// Digest of the refused files; absent where they could not be read.
        policy: Option<Digest>,
    }
    /// A target's classification came into force.
    ClassificationLoaded = "classification.loaded" {
        /// By whom: `start`, `signal`, or `issuer/subject` over the API.
        by: String,
        /// Digest of the file; absent where the target is not classified any more.
        classification: Option<Digest>,
        /// How many columns it says something of.
        columns: u64,
        /// How many relations it says something of.
        relations: u64,
        /// The target.
        target: String,
    }
    /// The gateway is about to ask a target about its catalog, in a session of its own that its agent counts.
    CatalogAsked = "catalog.asked" {
        /// The session's id.
        session: String,
        /// The target.
        target: String,
    }
    /// That session is over.
    CatalogAnswered = "catalog.answered" {
        /// What the agent counted, signed; absent where the agent was lost.
        agent: Option<SignedTally>,
        /// The session's id.
        session: String,
        /// Through which agent; absent where it reached none.
        through: Option<String>,
        /// Agents that were asked before it and gave no answer, which may have opened a stream as well; absent where none was.
        tried: Option<Vec<String>>,
    }
    /// A target's catalog was read.
    CatalogLoaded = "catalog.loaded" {
        /// Digest of it.
        catalog: Digest,
        /// How many relations.
        relations: u64,
        /// The target.
        target: String,
    }
    /// A setting changed.
    ConfigurationChanged = "configuration.changed" {
        /// By whom.
        by: String,
        /// Digest of the configuration now.
        configuration: Digest,
        /// Digest of the configuration before.
        previous: Option<Digest>,
    }
    /// An agent was enrolled.
    AgentEnrolled = "agent.enrolled" {
        /// Its name.
        agent: String,
        /// By whom.
        by: String,
        /// Id of its key.
        key: String,
        /// Its public key: the uncompressed P-256 point (SEC 1), in hexadecimal.
        public_key: String,
        /// The targets that it may serve, sorted.
        targets: Vec<String>,
    }
    /// An agent's link is up.
    AgentConnected = "agent.connected" {
        /// Its name.
        agent: String,
        /// Id of its key.
        key: String,
        /// Where it comes from.
        source: String,
        /// The link's encryption; absent inside the gateway's own process.
        tls: Option<Tls>,
    }
    /// An agent's link is down.
    AgentDisconnected = "agent.disconnected" {
        /// Its name.
        agent: String,
        /// Why.
        reason: String,
    }
    /// A one-time token for an agent was made.
    AgentInvited = "agent.invited" {
        /// Whom it enrols.
        agent: String,
        /// By whom it was made.
        by: String,
        /// When it is void, in seconds since the Unix epoch.
        not_after: u64,
        /// What the agent may serve with it, sorted.
        targets: Vec<String>,
    }
    /// An agent's identity was locked.
    AgentLocked = "agent.locked" {
        /// Its name.
        agent: String,
        /// By whom; absent where the gateway locked it itself, for a key in two hands.
        by: Option<String>,
        /// Why.
        reason: String,
    }
    /// An agent is no agent here any more: its identity and its tokens are gone.
    AgentRemoved = "agent.removed" {
        /// Its name.
        agent: String,
        /// By whom.
        by: String,
        /// Why.
        reason: String,
    }
    /// Somebody proved an identity.
    AuthenticationSucceeded = "authentication.succeeded" {
        /// What the exchange was bound to.
        channel_binding: Option<String>,
        /// Id of the credential.
        credential: String,
        /// Who, through what.
        delegation: Delegation,
        /// How.
        method: String,
        /// The session that follows.
        session: String,
        /// Where from.
        source: String,
    }
    /// Somebody did not.
    AuthenticationFailed = "authentication.failed" {
        /// How many, where it is counted.
        count: Option<u64>,
        /// How; `none` where a connection broke the protocol before it said who it is.
        method: String,
        /// The class of the reason; `counted` where it is a count.
        reason: String,
        /// Where from.
        source: String,
        /// Commitment to the user name as typed, which may be anything.
        user: Option<Digest>,
        /// The time that the count covers, in seconds.
        window_s: Option<u64>,
    }
    /// A session was admitted: the record is open, the target not yet dialled.
    SessionOpened = "session.opened" {
        /// What the client calls itself: a claim.
        application: Option<String>,
        /// What the exchange was bound to.
        channel_binding: Option<String>,
        /// Id of the credential.
        credential: String,
        /// The decision that admitted it.
        decision: Decision,
        /// Who, through what.
        delegation: Delegation,
        /// Its id.
        session: String,
        /// Where from.
        source: String,
        /// The target.
        target: String,
        /// The client's hop; absent on a local socket or a permitted plain one.
        tls: Option<Tls>,
    }
    /// The session reached its target.
    SessionJoined = "session.joined" {
        /// Through which agent.
        agent: String,
        /// The database's own process; where commands are run, the agent's, and whether they are kept `apart`.
        backend: Backend,
        /// Its id.
        session: String,
        /// The agent's hop to the target.
        tls: Option<Tls>,
        /// Agents that were asked before it and gave no answer, which may have opened a stream as well; absent where none was.
        tried: Option<Vec<String>>,
    }
    /// The session ended.
    SessionClosed = "session.closed" {
        /// What the agent counted, signed; absent where the agent was lost.
        agent: Option<SignedTally>,
        /// Bytes from the target.
        bytes_from_target: u64,
        /// Bytes to the target.
        bytes_to_target: u64,
        /// How long it lasted, in microseconds.
        duration_us: u64,
        /// From when the gateway learnt that it had to end until this entry, in microseconds; absent where nobody told it to.
        ended_after_us: Option<u64>,
        /// Operations permitted.
        operations: u64,
        /// Why it ended.
        reason: String,
        /// Operations refused.
        refusals: u64,
        /// Result rows.
        rows: u64,
        /// Its id.
        session: String,
    }
    /// A server of others was launched, or is reached, for somebody: nothing is asked of it before this is durable.
    ServerStarted = "server.started" {
        /// The agent that runs or reaches it.
        agent: String,
        /// Whether it is kept apart from every network but the agent's listener, by the agent's word.
        apart: bool,
        /// What it is, by the agent's word: SHA-256 over the launch line and what that names, or over where it is reached.
        command: Digest,
        /// The one credential that its connections show: their `session.opened` names it too. A server elsewhere has none.
        credential: Option<String>,
        /// Whose it is, through what.
        delegation: Delegation,
        /// The run's id.
        process: String,
        /// The server.
        server: String,
        /// The target that it may reach. A server elsewhere has none here: its connections are its own.
        target: Option<String>,
    }
    /// A server's run is over. One that has no such entry ended with the gateway.
    ServerEnded = "server.ended" {
        /// The run's id.
        process: String,
        /// Why: `idle`, `stopped`, `abandoned`, `expired`, `broken` or `ended`.
        reason: String,
    }
    /// Tools of a server were accepted as they are described: all that it had at its first use, or one that was held.
    ToolsAccepted = "tools.accepted" {
        /// By whom, as `issuer/subject`; `first use` for what a server says first.
        by: String,
        /// The server.
        server: String,
        /// SHA-256 of each tool's manifest (RFC 8785), by the tool's name; of a prompt by `prompt:NAME`, of a template of
        /// resources by `template:URI`.
        tools: BTreeMap<String, Digest>,
    }
    /// A server describes a tool otherwise than was accepted: nobody is shown it, and nobody may call it.
    ToolHeld = "tool.held" {
        /// SHA-256 of the manifest that was accepted; absent for a tool that is new.
        accepted: Option<Digest>,
        /// SHA-256 of the manifest that was found.
        found: Digest,
        /// The server.
        server: String,
        /// The tool; a prompt as `prompt:NAME`, a template of resources as `template:URI`.
        tool: String,
    }
    /// A tool was called, or something else of a server: nothing is done for it before this is durable.
    ToolcallStarted = "toolcall.started" {
        /// What the client calls itself: a claim.
        application: Option<String>,
        /// Commitment to the arguments: the canonical form (RFC 8785) of their JSON.
        arguments: Digest,
        /// Its id.
        call: String,
        /// The OAuth client that the token was made for, where an issuer said so.
        client: Option<String>,
        /// Who, through what.
        delegation: Delegation,
        /// What was asked of a server, as the protocol names it: `resources/read`. Absent where a tool was called.
        method: Option<String>,
        /// The prompt that was used; what was read stands in `arguments`.
        prompt: Option<String>,
        /// Where from.
        source: String,
        /// The target.
        target: String,
        /// The tool. Absent where none was called.
        tool: Option<String>,
    }
    /// The call ended. Its answer leaves after this is durable.
    ToolcallEnded = "toolcall.ended" {
        /// Bytes of the answer.
        bytes: u64,
        /// Its id.
        call: String,
        /// Why it was refused, where it was.
        code: Option<RefusalCode>,
        /// How long it took, in microseconds.
        duration_us: u64,
        /// Identifiers that were replaced in a server's answer, by tag.
        masked: Option<BTreeMap<String, u64>>,
        /// Bytes of data in a server's answer that are no text, and that nobody looked through. Absent where there are none.
        not_looked_through: Option<u64>,
        /// How.
        outcome: CallOutcome,
        /// Identifiers in a server's answer to a call that read nothing of a target's. Absent where there are none.
        phi_without_statement: Option<u64>,
        /// Rows in the answer.
        rows: u64,
    }
    /// A server told something in a call. It reaches the client after this is durable; what comes together is counted so.
    ToolcallTold = "toolcall.told" {
        /// Bytes of what went to the client.
        bytes: u64,
        /// The call.
        call: String,
        /// How many messages there were, by kind: `progress`, `message`, `list_changed`.
        kinds: BTreeMap<String, u64>,
        /// Identifiers that were replaced in them, by tag. Absent where there were none.
        masked: Option<BTreeMap<String, u64>>,
        /// How many of them did not go to the client, for the identifiers in them. Absent where all went.
        withheld: Option<u64>,
    }
    /// A server asked for something in a call. The client hears of it after this is durable, or not at all.
    ToolcallAsked = "toolcall.asked" {
        /// The question's number in its call, from 1 on.
        ask: u64,
        /// Bytes of the question.
        bytes: u64,
        /// The call.
        call: String,
        /// Why the client was not asked; absent where it was.
        code: Option<RefusalCode>,
        /// What for: `elicitation`, `elicitation_url`, `sampling` or `roots`.
        for_what: String,
        /// Identifiers that were replaced in it, by tag. Absent where there were none.
        masked: Option<BTreeMap<String, u64>>,
        /// Commitment to the question: the canonical form (RFC 8785) of its parameters, as the server sent them.
        question: Digest,
        /// Where it sends a person (`elicitation_url`).
        url: Option<String>,
    }
    /// What came of it. The server hears of it after this is durable.
    ToolcallAnswered = "toolcall.answered" {
        /// `accept`, `decline`, `cancel` (of a person); `given`; `missing` (the client goes on without one); `error` (it cannot);
        /// `late` (nothing in time); `withheld` (it holds identifiers, and the server is elsewhere).
        action: String,
        /// Commitment to the answer: the canonical form (RFC 8785) of its JSON. Absent where there is none.
        answer: Option<Digest>,
        /// The question's number.
        ask: u64,
        /// Bytes of the answer.
        bytes: u64,
        /// The call.
        call: String,
    }
    /// An operation is permitted and about to run.
    OperationIntent = "operation.intent" {
        /// The tool call that it belongs to; absent where it is no call's.
        call: Option<String>,
        /// The columns that it uses, by relation, sorted; absent where it uses none, or they are sealed.
        columns: Option<Arc<[ColumnsOf]>>,
        /// The same where they are too many for an entry: a JSON array, sealed.
        columns_sealed: Option<ObjectRef>,
        /// The declared command that runs, where it is no statement.
        command: Option<String>,
        /// The decision.
        decision: Decision,
        /// Whether it is provably read-only.
        effect: Effect,
        /// Its number in the session, from 1.
        operation: u64,
        /// Values that travelled apart from the text.
        parameters: Option<Parameters>,
        /// Its place in a string of several.
        position: Option<Position>,
        /// Whether the target gets other words than the client's.
        rewritten: bool,
        /// Digest of what the caller sees of the relations that it touches; absent for whoever sees everything.
        scope: Option<Digest>,
        /// The session.
        session: String,
        /// The sealed text.
        statement: Option<ObjectRef>,
        /// The command's name.
        tag: String,
        /// SHA-256 of the statement without its literals.
        template: Digest,
        /// What it touches, sorted by relation.
        touches: Vec<Touched>,
        /// How many more it touches, which are too many for an entry; the sealed statement names them. Absent where all are here.
        touches_left_out: Option<u64>,
        /// Verbs on the target as a whole.
        whole: Vec<Verb>,
    }
    /// How far an operation has come: rows up to here may have left.
    OperationProgress = "operation.progress" {
        /// Result bytes so far.
        bytes: u64,
        /// The tool call that it belongs to; absent where it is no call's.
        call: Option<String>,
        /// Its number.
        operation: u64,
        /// Result rows so far.
        rows: u64,
        /// The session.
        session: String,
        /// What a program printed since the progress before, sealed; absent where it is no program's.
        transcript: Option<ObjectRef>,
    }
    /// How an operation ended.
    OperationOutcome = "operation.outcome" {
        /// Result bytes.
        bytes: u64,
        /// The tool call that it belongs to; absent where it is no call's.
        call: Option<String>,
        /// How long it took, in microseconds.
        duration_us: u64,
        /// Who ended a program: `itself`, `time_limit`, `output_limit`, `cancelled`, `agent_stopping`, or `not_started`;
        /// absent where it was none.
        ended_by: Option<String>,
        /// A program's exit code; absent where a signal ended it.
        exit_code: Option<u64>,
        /// What came of looking through free text in its rows or output; absent where nothing was to be looked through.
        free_text: Option<FreeTextCount>,
        /// Its number.
        operation: u64,
        /// Rows.
        rows: u64,
        /// The session.
        session: String,
        /// The signal that ended a program.
        signal: Option<u64>,
        /// The target's error code.
        sqlstate: Option<String>,
        /// How.
        status: Status,
        /// The patients that its rows are about; absent where no relation that it reads has a column that tells.
        subjects: Option<SubjectCount>,
        /// What a program printed since the last progress, sealed; absent where it is no program's.
        transcript: Option<ObjectRef>,
        /// The decision that took its permission away while it ran, for which it was stopped; absent where none did.
        withdrawn: Option<Decision>,
    }
    /// An operation was refused; it never ran.
    OperationRefused = "operation.refused" {
        /// The tool call that it belongs to; absent where it is no call's.
        call: Option<String>,
        /// Why.
        code: RefusalCode,
        /// The declared command, where it was one.
        command: Option<String>,
        /// The decision.
        decision: Decision,
        /// Its number.
        operation: u64,
        /// Values that travelled apart from the text.
        parameters: Option<Parameters>,
        /// The session.
        session: String,
        /// The sealed text.
        statement: Option<ObjectRef>,
        /// The command's name.
        tag: String,
        /// SHA-256 of the statement without its literals.
        template: Digest,
        /// What it would have touched, sorted by relation.
        touches: Vec<Touched>,
        /// How many more that would have been, which are too many for an entry. Absent where all are here.
        touches_left_out: Option<u64>,
    }
    /// An operation waits for somebody's yes. Nothing writes it yet: what needs one is refused.
    OperationHeld = "operation.held" {
        /// The tool call that it belongs to; absent where it is no call's.
        call: Option<String>,
        /// The decision.
        decision: Decision,
        /// Its number.
        operation: u64,
        /// The session.
        session: String,
    }
    /// What had ended well since the session's last commit did not stay: the target failed when it committed, after the
    /// last of these operations had ended (a deferred constraint at the end of a pipeline).
    OperationsUndone = "operations.undone" {
        /// The last operation that had ended.
        operation: u64,
        /// The session.
        session: String,
        /// The target's error code.
        sqlstate: String,
    }
    /// A limit was reached: something was refused, cut off or ended for it.
    LimitHit = "limit.hit" {
        /// Which limit.
        limit: String,
        /// What it allows, in the unit of its name.
        maximum: u64,
        /// The operation that reached it, where it was one.
        operation: Option<u64>,
        /// The session.
        session: String,
        /// What it would have come to, in the same unit.
        value: u64,
    }
    /// A subject, target or client was locked: nobody gets past it from here on.
    LockPlaced = "lock.placed" {
        /// By whom.
        by: String,
        /// Id of the lock.
        lock: String,
        /// The name of what is locked.
        name: String,
        /// `subject`, `target` or `client`.
        on: String,
        /// Why.
        reason: String,
    }
    /// A lock was lifted.
    LockLifted = "lock.lifted" {
        /// By whom.
        by: String,
        /// Id of the lock.
        lock: String,
    }
    /// A credential was taken back, with everything that it was narrowed to.
    CredentialRevoked = "credential.revoked" {
        /// By whom.
        by: String,
        /// Id of the credential.
        credential: String,
        /// When the gateway learned of it, in microseconds since the Unix epoch.
        learned_at: u64,
        /// Why.
        reason: String,
    }
    /// A server of others had the token of its caller exchanged for a credential (RFC 8693). The credential is told after this
    /// is durable.
    CredentialExchanged = "credential.exchanged" {
        /// Commitment to the digest of the tool call's arguments, as the server told it.
        arguments: Option<Digest>,
        /// The tool call that the credential is for, by an id of ours; absent where the server asked for none.
        call: Option<String>,
        /// Id of the credential.
        credential: String,
        /// Who, through what: the server stands in it.
        delegation: Delegation,
        /// The server's own id of the call: a claim.
        named: Option<String>,
        /// Void from, in seconds since the Unix epoch.
        not_after: u64,
        /// The relations, and columns of them, that are left of its subject's rights; absent where all are.
        only: Option<BTreeSet<String>>,
        /// Most rows that a statement may return.
        rows: Option<u64>,
        /// Where from.
        source: String,
        /// The one target that it opens.
        target: String,
        /// The tool that was called: a claim of the server.
        tool: Option<String>,
        /// The verbs that are left; absent where all are.
        verbs: Option<BTreeSet<Verb>>,
    }
    /// Something that an open session rests on changed, and it stays open: what it may do is what holds now.
    SessionFollowed = "session.followed" {
        /// From when the gateway learnt of the change until the session was held to it, in microseconds.
        after_us: u64,
        /// What changed: `policy`, or `identity` for groups, attributes and assurance of the subject.
        changed: String,
        /// Digest of the set of policies that is in force for it.
        policy: Digest,
        /// Which session.
        session: String,
    }
    /// The target said something to a session beside its operations: why a statement could not be made ready, a notice at
    /// a commit, what another session lets everybody know.
    SessionTold = "session.told" {
        /// How much, in bytes; since the last such entry, where it was said in pieces.
        bytes: u64,
        /// The tool call under way; absent where there is none.
        call: Option<String>,
        /// The session.
        session: String,
        /// The target's error code, where it was an error.
        sqlstate: Option<String>,
        /// The sealed text of the statement that it is about, where there is one.
        statement: Option<ObjectRef>,
    }
    /// Somebody is about to end a session.
    SessionKilled = "session.killed" {
        /// By whom.
        by: String,
        /// Why.
        reason: String,
        /// Which session.
        session: String,
    }
    /// A subject proved itself by an issuer's token: what the issuer vouches for.
    LoginMade = "login.made" {
        /// How it authenticated there, where the issuer says so.
        assurance: Option<Assurance>,
        /// Declared attributes.
        attributes: Attributes,
        /// The OAuth client that the token was made for.
        client: Option<String>,
        /// Groups, sorted.
        groups: BTreeSet<String>,
        /// Id of the login.
        login: String,
        /// Void from, in seconds since the Unix epoch.
        not_after: u64,
        /// Where from.
        source: String,
        /// Who.
        subject: Subject,
    }
    /// The issuer vouches for other groups, attributes or assurance: open sessions follow.
    LoginRefreshed = "login.refreshed" {
        /// How it authenticated there.
        assurance: Option<Assurance>,
        /// Declared attributes.
        attributes: Attributes,
        /// The OAuth client that the token was made for.
        client: Option<String>,
        /// Groups, sorted.
        groups: BTreeSet<String>,
        /// Id of the login.
        login: String,
        /// Who.
        subject: Subject,
    }
    /// A login is over.
    LoginEnded = "login.ended" {
        /// By whom, where it was somebody here.
        by: Option<String>,
        /// When the gateway learned of the reason, in microseconds since the Unix epoch.
        learned_at: u64,
        /// Id of the login.
        login: String,
        /// Why.
        reason: String,
        /// Whose.
        subject: Subject,
    }
    /// A service was made, with its first key.
    ServiceCreated = "service.created" {
        /// By whom.
        by: String,
        /// Its groups, sorted.
        groups: BTreeSet<String>,
        /// Id of its key.
        key: String,
        /// Void from, in seconds since the Unix epoch.
        not_after: u64,
        /// The person who answers for it.
        owner: Subject,
        /// Its name.
        service: String,
    }
    /// A service has a new key.
    ServiceRotated = "service.rotated" {
        /// By whom.
        by: String,
        /// Id of the new key.
        key: String,
        /// The new key is void from, in seconds since the Unix epoch.
        not_after: u64,
        /// The older keys are void from, in seconds since the Unix epoch, if not earlier.
        previous_until: u64,
        /// Its name.
        service: String,
    }
    /// A service and all its keys are over.
    ServiceRevoked = "service.revoked" {
        /// By whom.
        by: String,
        /// When the gateway learned of it, in microseconds since the Unix epoch.
        learned_at: u64,
        /// Why.
        reason: String,
        /// Its name.
        service: String,
    }
    /// Somebody may do nothing any more, and neither may the services that he owns.
    SubjectDisabled = "subject.disabled" {
        /// By whom.
        by: String,
        /// Why.
        reason: String,
        /// Who.
        subject: Subject,
    }
    /// Somebody may do again what policies permit.
    SubjectEnabled = "subject.enabled" {
        /// By whom.
        by: String,
        /// Who.
        subject: Subject,
    }
    /// Somebody is about to read a sealed object.
    RecordingRead = "recording.read" {
        /// Who asked for it, as `issuer/subject`.
        by: String,
        /// SHA-256 of the ciphertext; absent for a listing.
        object: Option<Digest>,
        /// Why.
        purpose: Option<String>,
        /// The public key whose holder can open it.
        reader: Option<String>,
        /// Whose recording.
        session: String,
    }
}
