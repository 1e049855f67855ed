//! The gateway's side before a session is open. Its client is in the same process, so nothing is read to know what it claims:
//! it proves its credential as every client does, by SCRAM (RFC 5802), without the exchange's messages.

use std::num::NonZeroU32;
use std::sync::Arc;

use aws_lc_rs::{digest, hmac, pbkdf2, rand};
use chaperone_access::{ChannelBinding, Claim, Refusal, RefusalCode, ScramClaim, Source};
use chaperone_wire::{Challenger, Company, Fault, Known, Opening, Stream, TargetEnd};
use zeroize::Zeroizing;

use crate::conversation::{Conversation, Pipe};
use crate::declare::Declaration;

/// What a client in this process begins with.
pub struct Entrance {
    /// The credential's user name.
    pub user: Arc<str>,
    /// Its password.
    pub password: Zeroizing<String>,
    /// The target.
    pub target: Arc<str>,
    /// What the client calls itself: a claim.
    pub application: Option<Arc<str>>,
    /// Where the client's own client is.
    pub source: Source,
}

/// A client that has claimed nothing yet.
pub struct Arrival {
    client: Box<dyn Stream>,
    entrance: Entrance,
}

/// One that has.
pub struct Waiting {
    client: Box<dyn Stream>,
}

impl Arrival {
    /// A client at the other end of a stream that stays in this process.
    #[must_use]
    pub fn new(client: Box<dyn Stream>, entrance: Entrance) -> Self {
        Self { client, entrance }
    }
}

fn mac(key: &[u8], message: &[u8]) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message)
}

/// ClientProof over an AuthMessage (RFC 5802, section 3).
fn proof(password: &str, salt: &[u8], iterations: NonZeroU32, message: &[u8]) -> [u8; 32] {
    let mut salted = Zeroizing::new([0; 32]);
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, salt, password.as_bytes(), &mut *salted);
    let client_key = mac(&*salted, b"Client Key");
    let stored_key = digest::digest(&digest::SHA256, client_key.as_ref());
    let signature = mac(stored_key.as_ref(), message);
    let mut proof = [0; 32];
    for ((to, key), mask) in proof.iter_mut().zip(client_key.as_ref()).zip(signature.as_ref()) {
        *to = key ^ mask;
    }
    proof
}

impl Opening for Arrival {
    type Known = Waiting;

    async fn claim(self, challenger: &dyn Challenger) -> Result<(Claim, Waiting), Fault> {
        let Self { client, entrance } = self;
        let internal = |what: &str| Fault::Client(Refusal::new(RefusalCode::Internal, what));
        let (salt, iterations) = challenger.challenge(&entrance.user);
        // Both nonces are ours; what makes the message one of its own is that it never comes again.
        let mut nonce = vec![0; 32];
        rand::fill(&mut nonce).map_err(|_| internal("no randomness from the system"))?;
        let rounds = NonZeroU32::new(iterations).ok_or_else(|| internal("no iterations"))?;
        let (password, seasoned, message) = (entrance.password, salt.clone(), nonce.clone());
        let made = tokio::task::spawn_blocking(move || proof(&password, &seasoned, rounds, &message));
        let proof = made.await.map_err(|_| internal("the proof was not made"))?;
        let claim = ScramClaim {
            user: entrance.user,
            target: entrance.target,
            channel_binding: ChannelBinding::None,
            auth_message: nonce,
            proof,
            salt,
            iterations,
            source: entrance.source,
            application: entrance.application,
        };
        Ok((Claim::Scram(claim), Waiting { client }))
    }
}

impl Known for Waiting {
    type Conversation = Conversation;

    const SPEAKS: &'static str = "command";

    async fn refuse(self, refusal: &Refusal) {
        let mut pipe = Pipe::new(self.client);
        pipe.refuse(refusal, false);
        std::future::poll_fn(|cx| pipe.poll_flush(cx)).await.ok();
    }

    async fn join(self, _: [u8; 32], target: TargetEnd, company: Company) -> Result<Conversation, Fault> {
        let declaration = Declaration::read(&target.greeting).map_err(|error| {
            tracing::warn!(%error, target = %target.target, "an agent's declaration of commands cannot be used");
            Refusal::new(RefusalCode::TargetUnavailable, "the agent's declaration of commands cannot be used")
                .hint("ask whoever runs the gateway to look at its log")
        });
        match declaration {
            Ok(declaration) => Ok(Conversation::new(
                Pipe::new(self.client),
                Pipe::new(target.stream),
                target.target,
                declaration,
                company.analyst.detectors(),
            )),
            Err(refusal) => {
                self.refuse(&refusal).await;
                Err(Fault::Target(refusal))
            }
        }
    }
}
