//! Servers that prove who they are before they show the tokens of others.

use chaperone_access::Source;
use chaperone_identity::{Exchange, Noted, TokenError, claimed_issuer, verify_assertion};
use chaperone_trail::{AuthenticationFailed, Body};

use super::{Answer, Disbelief, Identities, IdentityRefused, now_s};

/// The word for these failures in the record.
const METHOD: &str = "client_assertion";

impl Identities {
    /// Which registered server signed an assertion for one of `audiences`, each of which is this gateway. It is used with
    /// that: shown again, it proves nothing.
    pub(crate) async fn prove(
        &self,
        source: Source,
        assertion: &str,
        audiences: &[&str],
    ) -> Answer<(String, Exchange)> {
        let now = now_s();
        let clients = self.parts.identity.clients();
        let claimed = claimed_issuer(assertion);
        let meant = claimed.and_then(|name| clients.exchanging(&name).cloned().map(|known| (name, known)));
        let verified = match meant {
            Some((name, exchange)) => {
                let shown = verify_assertion(&name, &exchange.keys, audiences, assertion, now);
                // A good one is listened to although strangers share its address.
                shown.map(|shown| (name, exchange, shown))
            }
            None => Err(TokenError::Issuer),
        };
        if verified.is_err() && self.parts.identity.is_throttled(source) {
            return Err(IdentityRefused::Throttled);
        }
        let used = verified.and_then(|(name, exchange, shown)| {
            self.assertions.take(&name, &shown, now).map(|()| (name, exchange))
        });
        match used {
            Ok(proved) => Ok(proved),
            Err(error) => Err(self.unproved(METHOD, source, "", Disbelief::from(error)).await?),
        }
    }

    /// A failure on record, within the bounds that keep a stranger from filling it.
    pub(super) async fn unproved(
        &self,
        method: &str,
        source: Source,
        alias: &str,
        disbelief: Disbelief,
    ) -> Answer<IdentityRefused> {
        let Disbelief { word, why } = disbelief;
        tracing::warn!(%source, issuer = alias.chars().take(63).collect::<String>(), why, "a token was not believed");
        if self.parts.identity.note_failure(source) == Noted::Single {
            let body = Body::AuthenticationFailed(AuthenticationFailed {
                count: None,
                method: method.to_owned(),
                reason: word.to_owned(),
                source: source.to_string(),
                user: None,
                window_s: None,
            });
            self.parts.recorder.note(body).await?;
        }
        Ok(IdentityRefused::NotBelieved)
    }
}
