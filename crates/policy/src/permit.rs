//! What a decision can be. Three arms, no default.

use std::sync::Arc;

use chaperone_access::{Analysis, Confined, Refusal, RefusalCode, Scope, Words};

/// What a decision depended on, for the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// Names of the policies that decided, sorted.
    pub policies: Arc<[Arc<str>]>,
    /// SHA-256 of the whole set in force.
    pub set_digest: [u8; 32],
    /// Whether the caller has every verb on the whole target.
    pub unrestricted: bool,
}

/// It may run, once.
///
/// ```compile_fail
/// let forged = chaperone_policy::Permit { analysis: todo!(), text: None, scope: None, decided: todo!() };
/// ```
///
/// ```compile_fail
/// fn twice(permit: chaperone_policy::Permit) { let _again = permit.clone(); }
/// ```
#[derive(Debug)]
pub struct Permit {
    pub(crate) analysis: Arc<Analysis>,
    pub(crate) text: Option<Arc<str>>,
    pub(crate) scope: Option<Arc<Scope>>,
    pub(crate) decided: Arc<Decided>,
}

impl Permit {
    /// What was permitted.
    #[must_use]
    pub fn analysis(&self) -> &Arc<Analysis> {
        &self.analysis
    }

    /// What is sent in the place of the client's own words; `None` for whoever may send his own.
    #[must_use]
    pub fn text(&self) -> Option<&Arc<str>> {
        self.text.as_ref()
    }

    /// What the caller sees of the relations that it touches; `None` for whoever sees everything.
    #[must_use]
    pub fn scope(&self) -> Option<&Arc<Scope>> {
        self.scope.as_ref()
    }

    /// What it depended on.
    #[must_use]
    pub fn decided(&self) -> &Arc<Decided> {
        &self.decided
    }

    /// Use it for making something ready that is decided again when it is run.
    #[must_use]
    pub fn prepare(self) -> Words {
        Words { text: self.text, scope: self.scope }
    }

    /// The words to send, once the intent has its place in the record.
    #[must_use]
    pub fn into_words(self) -> Words {
        Words { text: self.text, scope: self.scope }
    }

    /// Whether what was sent earlier is what it permits now.
    #[must_use]
    pub fn says(&self, earlier: &Words) -> bool {
        self.text == earlier.text
    }

    /// Whether its caller sees the same as when that was sent.
    #[must_use]
    pub fn sees(&self, earlier: &Words) -> bool {
        match (&self.scope, &earlier.scope) {
            (Some(now), Some(then)) => Arc::ptr_eq(now, then) || now == then,
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        }
    }

    /// A limit does not let it run now.
    #[must_use]
    pub fn limited(self, refusal: Refusal) -> Denied {
        Denied { refusal, member: 0, decided: Decided::clone(&self.decided) }
    }

    /// It goes on with something that was made when the caller could see something else.
    #[must_use]
    pub fn outdated(self) -> Denied {
        let refusal = Refusal::new(
            RefusalCode::UndefinedStatement,
            "the cursor, portal or prepared statement was made under other permissions",
        )
        .hint("close it and make it again");
        Denied { refusal, member: 0, decided: Decided::clone(&self.decided) }
    }
}

/// Words for somebody who sees a part, which have not been made yet: on most threads making them means to wait for
/// another one. They prove nothing to anybody.
#[derive(Debug)]
pub struct Unwritten {
    pub(crate) confined: Confined,
    pub(crate) scope: Scope,
}

impl Unwritten {
    /// None where they are known.
    pub(crate) fn of(confined: &Confined, scope: &Scope) -> Option<Self> {
        let unknown = confined.known(scope).is_none();
        unknown.then(|| Self { confined: confined.clone(), scope: scope.clone() })
    }

    /// Make them, so that a decision finds them. To be called on a thread with a deep stack.
    pub fn write(self) {
        // A refusal is found like words.
        drop(self.confined.get(&self.scope));
    }
}

/// Somebody has to say yes first.
#[derive(Debug)]
pub struct Question {
    pub(crate) denied: Denied,
}

impl Question {
    /// The refusal where nobody can be asked.
    #[must_use]
    pub fn denied(self) -> Denied {
        self.denied
    }
}

/// It may not run.
#[derive(Debug, Clone)]
pub struct Denied {
    /// What the client is told.
    pub refusal: Refusal,
    /// Which statement of the string was the reason, from 0.
    pub member: usize,
    /// What it depended on.
    pub decided: Decided,
}

impl Denied {
    /// Refused by the protocol or its limits, before anybody was asked.
    #[must_use]
    pub fn by_protocol(refusal: Refusal) -> Self {
        let decided = Decided { policies: Arc::from([]), set_digest: [0; 32], unrestricted: false };
        Self { refusal, member: 0, decided }
    }
}

/// The three arms.
#[derive(Debug)]
pub enum Decision {
    /// It may run.
    Allow(Permit),
    /// Somebody has to say yes first.
    Hold(Question),
    /// It may not run.
    Refuse(Denied),
}

/// A reply as this caller may see it. Only an admission makes one.
///
/// ```compile_fail
/// let forged = chaperone_policy::Masked { reply: () };
/// ```
#[derive(Debug)]
pub struct Masked<R> {
    pub(crate) reply: R,
}

impl<R> Masked<R> {
    /// The reply, to be released.
    pub fn into_inner(self) -> R {
        self.reply
    }
}
