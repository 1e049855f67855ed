//! Who may manage the installation: the actions of the management API, decided by the same policies.

use std::collections::BTreeSet;
use std::sync::Arc;

use chaperone_access::{Called, Delegation, Refusal, RefusalCode, TargetName};

use crate::admission::{Policies, locked_out, nowhere};
use crate::ask::Asked;
use crate::permit::Decided;

/// What the management API is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ManagementAction {
    /// Everything that has no action of its own; as `in Action::"administer"` also every other but reading recordings.
    Administer,
    /// List sessions and read their entries.
    ReadSessions,
    /// End a session.
    EndSession,
    /// Place, list and lift locks.
    Lock,
    /// Make, rotate and revoke service keys.
    ManageServices,
    /// Read, explain and load policies.
    ManagePolicy,
    /// Enrol, list and lock agents.
    ManageAgents,
    /// Ask for the keys of recorded content. Not part of `administer`: whoever runs the gateway need not read what
    /// passed through it.
    ReadRecording,
}

impl ManagementAction {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Administer,
        Self::ReadSessions,
        Self::EndSession,
        Self::Lock,
        Self::ManageServices,
        Self::ManagePolicy,
        Self::ManageAgents,
        Self::ReadRecording,
    ];

    /// The word in policies.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Administer => "administer",
            Self::ReadSessions => "readSessions",
            Self::EndSession => "endSession",
            Self::Lock => "lock",
            Self::ManageServices => "manageServices",
            Self::ManagePolicy => "managePolicy",
            Self::ManageAgents => "manageAgents",
            Self::ReadRecording => "readRecording",
        }
    }

    /// Whether policies may say `in Action::"administer"` for it (as the schema has it).
    pub(crate) fn within_administer(self) -> bool {
        !matches!(self, Self::ReadRecording | Self::Administer)
    }
}

/// Somebody may manage something, now. Only policy makes one.
///
/// ```compile_fail
/// let forged = chaperone_policy::Allowance { action: todo!(), decided: todo!() };
/// ```
///
/// ```compile_fail
/// fn twice(allowance: chaperone_policy::Allowance) { let _again = allowance.clone(); }
/// ```
#[derive(Debug)]
pub struct Allowance {
    action: ManagementAction,
    decided: Arc<Decided>,
}

impl Allowance {
    /// What is allowed.
    #[must_use]
    pub fn action(&self) -> ManagementAction {
        self.action
    }

    /// The policies that allowed it; none for the installation's administrator.
    #[must_use]
    pub fn decided(&self) -> &Arc<Decided> {
        &self.decided
    }
}

impl Policies {
    /// Whether somebody may manage this installation in one way. `now_us` is in microseconds since the Unix epoch.
    ///
    /// # Errors
    /// He may not; what that depended on.
    pub fn may(
        &self,
        delegation: &Delegation,
        action: ManagementAction,
        installation: &str,
        now_us: u64,
    ) -> Result<Allowance, Arc<Decided>> {
        let set = self.now();
        let who = set.who(delegation);
        let asked = Asked::new(&set, delegation, &who, now_us, now_us);
        let answer = asked.ask(&asked.manage(action, installation));
        let decided = Arc::new(Decided {
            policies: answer.policies.into(),
            set_digest: set.digest(),
            unrestricted: false,
        });
        let locked = self.locked_subject(delegation).is_some();
        if answer.allowed && !locked { Ok(Allowance { action, decided }) } else { Err(decided) }
    }

    /// Whether somebody could connect to a target now, through no client: for lists, which name to nobody what he may
    /// not reach. It admits nobody.
    #[must_use]
    pub fn shows(&self, delegation: &Delegation, target: &TargetName, now_us: u64) -> bool {
        let set = self.now();
        let who = set.who(delegation);
        let asked = Asked::new(&set, delegation, &who, now_us, now_us);
        asked.ask(&asked.connect(target)).allowed && self.lock_against(delegation, target).is_none()
    }

    /// Whether somebody may call a tool of a target now, locks included. What the call does is decided by itself.
    ///
    /// # Errors
    /// He may not; the words for the client.
    pub fn may_invoke(
        &self,
        delegation: &Delegation,
        target: &TargetName,
        tool: &str,
        now_us: u64,
    ) -> Result<(), Refusal> {
        self.may_call(delegation, target, &Called::tool(tool), now_us)
    }

    /// The same of anything that can be called.
    ///
    /// # Errors
    /// He may not; the words for the client.
    pub fn may_call(
        &self,
        delegation: &Delegation,
        target: &TargetName,
        called: &Called,
        now_us: u64,
    ) -> Result<(), Refusal> {
        let set = self.now();
        let who = set.who(delegation);
        let asked = Asked::new(&set, delegation, &who, now_us, now_us);
        if !asked.ask(&asked.connect(target)).allowed {
            return Err(nowhere(target));
        }
        if let Some(lock) = self.lock_against(delegation, target) {
            return Err(locked_out(&lock));
        }
        if asked.ask(&asked.call(target, called)).allowed {
            return Ok(());
        }
        let on = match called {
            Called::Tool(tool) => format!("{target}/{tool}"),
            Called::Resource(_) | Called::Prompt(_) => target.to_string(),
        };
        let what = format!("you have no permission to `{}` `{on}`", called.action());
        Err(Refusal::new(RefusalCode::NotPermitted, what)
            .hint("ask an administrator for it, naming this permission"))
    }

    /// Kinds of identifiers, by their tags, that stay in what a server answers to somebody now who calls that: those that policy
    /// reveals there, as in what a command prints.
    #[must_use]
    pub fn stays_in(
        &self,
        delegation: &Delegation,
        server: &TargetName,
        called: &Called,
        now_us: u64,
    ) -> BTreeSet<&'static str> {
        let set = self.now();
        let who = set.who(delegation);
        let asked = Asked::new(&set, delegation, &who, now_us, now_us);
        asked.stays_in(server, called, drop)
    }

    /// The allowance of whoever holds the administrator's token, who needs no policy: a set that locks everybody out
    /// can be mended. To be called by the one place that has compared that token.
    #[must_use]
    pub fn administrator(&self, action: ManagementAction) -> Allowance {
        let decided =
            Decided { policies: Arc::from([]), set_digest: self.now().digest(), unrestricted: false };
        Allowance { action, decided: Arc::new(decided) }
    }
}
