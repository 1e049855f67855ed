//! Which agents there are, and what becomes of their certificates. The rules are here; where the roster is kept is
//! behind a trait.

use std::io;

use chaperone_access::{AgentName, TargetName};
use serde::{Deserialize, Serialize};

/// One agent, as the gateway knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentRecord {
    /// Its name.
    pub agent: AgentName,
    /// The targets that it is authorised for, sorted.
    pub targets: Vec<TargetName>,
    /// Its public key (uncompressed P-256 point); the same over all renewals.
    pub public_key: Vec<u8>,
    /// Generation of the newest certificate.
    pub generation: u64,
    /// How the newest certificate came about, unless by enrolment.
    pub renewal: Option<Renewal>,
    /// Why the identity was locked, if it was.
    pub locked: Option<String>,
}

/// The newest renewal: repeated for whoever repeats the same request, since its answer may have been lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Renewal {
    /// SHA-256 of the signing request.
    pub request: [u8; 32],
    /// The certificate, DER.
    pub certificate: Vec<u8>,
}

/// An enrolment token that nobody has used yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenRecord {
    /// Its id.
    pub id: String,
    /// SHA-256 of its secret.
    pub secret: [u8; 32],
    /// The agent that it enrols.
    pub agent: AgentName,
    /// What that agent will be authorised for, sorted.
    pub targets: Vec<TargetName>,
    /// Until when, in seconds since the Unix epoch.
    pub not_after_s: u64,
    /// Who made it.
    pub by: String,
}

/// Where agents and tokens are kept. Calls block; what they have written is durable when they return. Only one gateway
/// uses a roster at a time, and it makes one change at a time.
pub trait Roster: Send + Sync {
    /// One agent.
    ///
    /// # Errors
    /// The disk, or a file that is not ours.
    fn agent(&self, name: &AgentName) -> io::Result<Option<AgentRecord>>;
    /// All agents, by name.
    ///
    /// # Errors
    /// As [`Roster::agent`].
    fn agents(&self) -> io::Result<Vec<AgentRecord>>;
    /// Write one, in the place of what was there.
    ///
    /// # Errors
    /// The disk; the old record is whole then.
    fn put_agent(&self, record: &AgentRecord) -> io::Result<()>;
    /// Forget one. `false` where there is none.
    ///
    /// # Errors
    /// The disk; the agent may still be there.
    fn remove_agent(&self, name: &AgentName) -> io::Result<bool>;
    /// A token by its id.
    ///
    /// # Errors
    /// As [`Roster::agent`].
    fn token(&self, id: &str) -> io::Result<Option<TokenRecord>>;
    /// Keep a new token.
    ///
    /// # Errors
    /// The disk.
    fn put_token(&self, token: &TokenRecord) -> io::Result<()>;
    /// Forget a token. `true` for the one call that did it.
    ///
    /// # Errors
    /// The disk; the token may still be there.
    fn remove_token(&self, id: &str) -> io::Result<bool>;
    /// Forget every token for an agent.
    ///
    /// # Errors
    /// As [`Roster::remove_token`].
    fn remove_tokens_of(&self, agent: &AgentName) -> io::Result<()>;
}

/// What a request for renewal comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Sign for the next generation.
    Sign {
        /// The next generation.
        generation: u64,
    },
    /// The same request again: the same certificate.
    Repeat(Vec<u8>),
    /// Two holders of one identity: nobody is served any more.
    Lock(&'static str),
    /// Locked before.
    Locked,
}

impl AgentRecord {
    /// Judge a renewal by the generation of the certificate it was asked with, and the digest of the request. The key
    /// is one over all generations, so two requests from one generation mean two holders of that key.
    pub(crate) fn renewal(&self, presented: u64, request: &[u8; 32]) -> Verdict {
        if self.locked.is_some() {
            return Verdict::Locked;
        }
        if presented == self.generation {
            return Verdict::Sign { generation: self.generation + 1 };
        }
        match &self.renewal {
            Some(renewal) if presented + 1 == self.generation && renewal.request == *request => {
                Verdict::Repeat(renewal.certificate.clone())
            }
            Some(_) | None => Verdict::Lock("a certificate was renewed twice: its key is in two hands"),
        }
    }

    /// Whether a certificate of that generation and key may still link: the newest, or the one before it, whose
    /// successor may have been lost on the way.
    pub(crate) fn admits(&self, generation: u64, public_key: &[u8]) -> bool {
        self.locked.is_none()
            && self.public_key == public_key
            && generation <= self.generation
            && generation + 1 >= self.generation
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> AgentRecord {
        AgentRecord {
            agent: "a".parse().unwrap(),
            targets: Vec::new(),
            public_key: vec![4; 65],
            generation: 5,
            renewal: Some(Renewal { request: [1; 32], certificate: vec![9] }),
            locked: None,
        }
    }

    #[test]
    fn one_generation_is_renewed_once() {
        let record = record();
        assert_eq!(record.renewal(5, &[2; 32]), Verdict::Sign { generation: 6 });
        assert_eq!(record.renewal(4, &[1; 32]), Verdict::Repeat(vec![9]));
        assert!(matches!(record.renewal(4, &[2; 32]), Verdict::Lock(_)));
        assert!(matches!(record.renewal(3, &[1; 32]), Verdict::Lock(_)));
        assert!(matches!(record.renewal(6, &[1; 32]), Verdict::Lock(_)));
        let enrolled = AgentRecord { renewal: None, ..record.clone() };
        assert!(matches!(enrolled.renewal(4, &[1; 32]), Verdict::Lock(_)));
        let locked = AgentRecord { locked: Some("lost".into()), ..record };
        assert_eq!(locked.renewal(5, &[2; 32]), Verdict::Locked);
    }

    #[test]
    fn an_old_certificate_another_key_and_a_locked_identity_do_not_link() {
        let record = record();
        assert!(record.admits(5, &[4; 65]) && record.admits(4, &[4; 65]));
        assert!(!record.admits(3, &[4; 65]) && !record.admits(6, &[4; 65]));
        assert!(!record.admits(5, &[5; 65]));
        let locked = AgentRecord { locked: Some("lost".into()), ..record };
        assert!(!locked.admits(5, &[4; 65]));
    }
}
