//! Servers of others that have their callers' tokens exchanged for credentials.

use std::collections::{BTreeMap, BTreeSet};

use chaperone_access::{Recipient, TargetName};
use chaperone_identity::{Exchange, KeySet};
use serde::Deserialize;

use super::gateway::GatewayConfig;

/// Longest resource, in bytes.
const RESOURCE_BYTES_MAX: usize = 512;

/// Where tokens are exchanged, and for whom.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExchangeSection {
    pub(crate) address: Option<String>,
    #[serde(default)]
    pub(crate) servers: BTreeMap<String, ExchangingServer>,
}

/// One registered server.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExchangingServer {
    owner: String,
    recipient: Option<String>,
    agreement: Option<String>,
    resource: String,
    issuers: BTreeSet<String>,
    #[serde(default)]
    oauth_clients: BTreeSet<String>,
    jwks: String,
}

impl ExchangingServer {
    fn exchange(&self, name: &str) -> Result<Exchange, String> {
        let recipient = match (&self.recipient, &self.agreement) {
            (None, Some(agreement)) => {
                return Err(format!(
                    "it has the agreement `{agreement}` with nobody (hint: set its `recipient`)"
                ));
            }
            (recipient, agreement) => {
                recipient.clone().map(|name| Recipient { agreement: agreement.clone(), name })
            }
        };
        let plain = |text: &str| !text.is_empty() && !text.chars().any(char::is_control);
        if !plain(&self.resource) || self.resource.len() > RESOURCE_BYTES_MAX {
            return Err(format!("`resource` has 1 to {RESOURCE_BYTES_MAX} bytes without control characters"));
        }
        let mut known_as = self.oauth_clients.clone();
        known_as.insert(name.to_owned());
        Ok(Exchange {
            owner: self.owner.clone(),
            recipient,
            resource: self.resource.clone(),
            issuers: self.issuers.clone(),
            keys: KeySet::parse(self.jwks.as_bytes()).map_err(|error| format!("`jwks`: {error}"))?,
            known_as,
        })
    }
}

impl GatewayConfig {
    /// The registered servers that have tokens exchanged, as identity knows them.
    ///
    /// # Errors
    /// A name that policies cannot write or that is taken, a key set that is none, or a resource that two of them claim.
    pub(crate) fn exchanging(&self) -> Result<BTreeMap<String, Exchange>, String> {
        let mut claimed: BTreeMap<&str, &str> = BTreeMap::new();
        let mut all = BTreeMap::new();
        for (name, server) in self.exchange.iter().flat_map(|section| &section.servers) {
            let wrong = |why: String| format!("`exchange.servers.{name}`: {why}");
            let target = TargetName::new(name.as_str()).map_err(|error| wrong(error.to_string()))?;
            if self.servers.contains_key(&target) {
                return Err(wrong("a server of `[servers]` has that name".to_owned()));
            }
            if let Some(other) = claimed.insert(&server.resource, name) {
                return Err(wrong(format!("`{other}` has the same `resource`")));
            }
            all.insert(name.clone(), server.exchange(name).map_err(wrong)?);
        }
        Ok(all)
    }

    /// Check them against the issuers whose tokens they may show.
    ///
    /// # Errors
    /// An issuer that there is not, or a resource that is the gateway's own.
    pub(crate) fn check_exchanging(&self) -> Result<(), String> {
        for (name, server) in self.exchange.iter().flat_map(|section| &section.servers) {
            let wrong = |why: String| Err(format!("`exchange.servers.{name}`: {why}"));
            if server.issuers.is_empty() {
                return wrong("`issuers` names none, so that it can show no token".to_owned());
            }
            for alias in &server.issuers {
                let Some(issuer) = self.issuers.get(alias) else {
                    return wrong(format!("`{alias}` is none of `[issuers]`"));
                };
                let ours = [&issuer.audiences, &issuer.access_audiences, &issuer.mcp_audiences];
                let client = issuer.client_id.as_ref() == Some(&server.resource);
                if client || ours.into_iter().any(|ours| ours.contains(&server.resource)) {
                    return wrong(format!(
                        "its `resource` is an audience by which `{alias}` means this gateway"
                    ));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str =
        r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

    fn config(text: &str) -> GatewayConfig {
        let starter = crate::config::keys::gateway_starter();
        let issuers = "[issuers.org]\nurl = \"https://id.example\"\nclient_id = \"cli\"\nmcp_audiences = [\"https://gw/mcp\"]\n";
        toml::from_str(&format!("{starter}\n{issuers}{text}")).unwrap()
    }

    fn server(name: &str, resource: &str, more: &str) -> String {
        format!(
            "[exchange.servers.{name}]\nowner = \"it\"\nresource = \"{resource}\"\nissuers = [\"org\"]\njwks = '{KEY}'\n{more}\n"
        )
    }

    #[test]
    fn a_server_is_registered_with_who_sees_what_it_reads() {
        let text = server("tools", "https://tools/mcp", "recipient = \"Tool Inc\"\noauth_clients = [\"x\"]");
        let config = config(&text);
        config.check_exchanging().unwrap();
        let found = config.exchanging().unwrap().remove("tools").unwrap();
        assert_eq!(found.recipient, Some(Recipient { agreement: None, name: "Tool Inc".into() }));
        assert_eq!(found.known_as, BTreeSet::from(["tools".to_owned(), "x".to_owned()]));
    }

    #[test]
    fn what_would_be_no_server_or_the_gateway_is_refused() {
        let one = server("a", "https://tools/mcp", "");
        for (text, word) in [
            (format!("{one}{}", server("b", "https://tools/mcp", "")), "the same `resource`"),
            (server("a", "https://tools/mcp", "agreement = \"x\""), "with nobody"),
            (server("a", "", ""), "`resource`"),
            (one.replace(KEY, "{}"), "`jwks`"),
            (one.replace("servers.a]", "servers.\"A b\"]"), "`exchange.servers.A b`"),
            (format!("[servers.a]\ntarget = \"ehr\"\nowner = \"it\"\n{one}"), "of `[servers]`"),
            (one.replace("[\"org\"]", "[\"other\"]"), "none of `[issuers]`"),
            (one.replace("[\"org\"]", "[]"), "names none"),
            (server("a", "https://gw/mcp", ""), "means this gateway"),
            (server("a", "cli", ""), "means this gateway"),
        ] {
            let config = config(&text);
            let why = config.exchanging().map(drop).and_then(|()| config.check_exchanging()).unwrap_err();
            assert!(why.contains(word), "{text}: {why}");
        }
    }
}
