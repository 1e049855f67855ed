//! An OpenID provider as a public client sees it: discovery, authorization code with PKCE, device flow, refresh,
//! revocation. What comes back is checked here against what was asked; the signature is the gateway's to check, which
//! trusts nobody's word, and on this side TLS vouches for the token endpoint (OpenID Connect Core 3.1.3.7, 6).

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chaperone_api::IssuerView;
use oauth2::basic::{
    BasicErrorResponse, BasicRevocationErrorResponse, BasicTokenIntrospectionResponse, BasicTokenType,
};
use oauth2::url::Url;
use oauth2::{
    AuthUrl, AuthorizationCode, Client, ClientId, CsrfToken, DeviceAuthorizationUrl, EndpointNotSet,
    EndpointSet, ExtraTokenFields, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, RefreshToken,
    RequestTokenError, Scope, StandardDeviceAuthorizationResponse, StandardRevocableToken,
    StandardTokenResponse, TokenResponse, TokenUrl,
};
use serde::{Deserialize, Serialize};

use super::http::{Http, HttpError, address};
use crate::verbs::Failure;
use crate::wiring::installation::{now_us, random};

/// How far the issuer's clock may be ahead of or behind ours, in seconds.
const SKEW_S_MAX: u64 = 60;

/// What an issuer publishes of itself (OpenID Connect Discovery 1.0, 3; RFC 8414, 2).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Metadata {
    issuer: String,
    authorization_endpoint: Url,
    token_endpoint: Url,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    device_authorization_endpoint: Option<Url>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    revocation_endpoint: Option<Url>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

/// The ID token that comes beside the access token.
#[derive(Clone, Serialize, Deserialize)]
struct WithIdToken {
    id_token: Option<String>,
}

impl ExtraTokenFields for WithIdToken {}

impl std::fmt::Debug for WithIdToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WithIdToken").finish_non_exhaustive()
    }
}

type Answer = StandardTokenResponse<WithIdToken, BasicTokenType>;
type Endpoints<Auth, Device> = Client<
    BasicErrorResponse,
    Answer,
    BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
    Auth,
    Device,
    EndpointNotSet,
    EndpointNotSet,
    EndpointSet,
>;

/// What the issuer gave out. Secrets.
pub(crate) struct Tokens {
    pub(crate) id_token: Option<String>,
    pub(crate) access_token: String,
    pub(crate) refresh_token: Option<String>,
}

/// Why tokens were not refreshed.
pub(crate) enum RefreshError {
    /// The issuer will not have it any more: the person has to log in again.
    Ended(String),
    /// It did not answer, or not sensibly: another attempt may do better.
    Later(String),
}

/// A person who is asked in the browser, and what the answer has to fit.
pub(crate) struct Asking {
    /// What the person opens.
    pub(crate) url: Url,
    redirect: Url,
    state: String,
    nonce: String,
    verifier: PkceCodeVerifier,
}

/// The redirect's parameters (RFC 6749, 4.1.2; RFC 9207, 2).
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Redirected {
    code: Option<String>,
    state: Option<String>,
    iss: Option<String>,
    error: Option<String>,
    error_description: Option<String>,
}

/// The claims of an ID token that concern the one who asked for it (OpenID Connect Core 3.1.3.7).
#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: Audience,
    azp: Option<String>,
    exp: u64,
    nonce: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

/// An issuer and the client that we are there.
pub(crate) struct Issuer {
    metadata: Metadata,
    client_id: String,
    scopes: Vec<String>,
    acr: Vec<String>,
    http: Http,
}

impl Issuer {
    /// Read what it publishes.
    pub(crate) async fn discover(view: &IssuerView, http: Http) -> Result<Self, Failure> {
        let base = view.url.trim_end_matches('/');
        let url = address(&format!("{base}/.well-known/openid-configuration")).map_err(Failure::failed)?;
        let metadata: Metadata = http.document(&url).await?;
        // Otherwise one issuer could speak for another (Discovery 4.3).
        if metadata.issuer != view.url {
            return Err(Failure::Failed(format!(
                "the issuer at `{}` calls itself `{}` (hint: the gateway's `url` of `{}` has to be that)",
                view.url, metadata.issuer, view.name
            )));
        }
        Ok(Self::known(metadata, view.client_id.clone(), view.scopes.clone(), http).wanting(&view.acr))
    }

    /// From what was read before.
    pub(crate) fn known(metadata: Metadata, client_id: String, scopes: Vec<String>, http: Http) -> Self {
        Self { metadata, client_id, scopes, acr: Vec::new(), http }
    }

    fn wanting(mut self, acr: &[String]) -> Self {
        self.acr = acr.to_vec();
        self
    }

    pub(crate) fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    fn endpoints(&self) -> Endpoints<EndpointNotSet, EndpointNotSet> {
        Client::new(ClientId::new(self.client_id.clone()))
            .set_token_uri(TokenUrl::from_url(self.metadata.token_endpoint.clone()))
            // A public client names itself in the body (RFC 6749, 3.2.1).
            .set_auth_type(oauth2::AuthType::RequestBody)
    }

    fn send(
        &self,
    ) -> impl Fn(
        oauth2::HttpRequest,
    )
        -> std::pin::Pin<Box<dyn Future<Output = Result<oauth2::HttpResponse, HttpError>> + Send>>
    + use<> {
        let http = self.http.clone();
        move |request| {
            let http = http.clone();
            Box::pin(async move { http.send(request).await })
        }
    }

    /// The address that the person opens, and what the answer has to fit.
    pub(crate) fn ask(&self, redirect: Url) -> Asking {
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let nonce = URL_SAFE_NO_PAD.encode(random::<32>());
        let state = URL_SAFE_NO_PAD.encode(random::<32>());
        let endpoints = self.endpoints();
        let endpoints: Endpoints<EndpointSet, EndpointNotSet> = endpoints
            .set_auth_uri(AuthUrl::from_url(self.metadata.authorization_endpoint.clone()))
            .set_redirect_uri(RedirectUrl::from_url(redirect.clone()));
        let mut request = endpoints
            .authorize_url(|| CsrfToken::new(state.clone()))
            .add_scopes(self.scopes.iter().cloned().map(Scope::new))
            .add_extra_param("nonce", nonce.clone())
            .set_pkce_challenge(challenge);
        if !self.acr.is_empty() {
            request = request.add_extra_param("acr_values", self.acr.join(" "));
        }
        // Without a consent there is no offline access (OpenID Connect Core 11).
        if self.scopes.iter().any(|scope| scope == "offline_access") {
            request = request.add_extra_param("prompt", "consent");
        }
        let (url, _) = request.url();
        Asking { url, redirect, state, nonce, verifier }
    }

    /// Whether a redirect is the answer to this question: nobody else knows the state.
    pub(crate) fn answers(asking: &Asking, redirected: &Redirected) -> bool {
        let shown = redirected.state.as_deref().unwrap_or_default();
        aws_lc_rs::constant_time::verify_slices_are_equal(shown.as_bytes(), asking.state.as_bytes()).is_ok()
    }

    /// Take the code of a redirect to the token endpoint.
    pub(crate) async fn redeem(&self, asking: Asking, redirected: Redirected) -> Result<Tokens, Failure> {
        let code = self.code(&asking, redirected)?;
        let endpoints = self.endpoints().set_redirect_uri(RedirectUrl::from_url(asking.redirect));
        let answer = endpoints
            .exchange_code(AuthorizationCode::new(code))
            .set_pkce_verifier(asking.verifier)
            .request_async(&self.send())
            .await
            .map_err(|error| self.said(&told(&error)))?;
        let tokens = taken(&answer);
        self.check(&tokens, Some(&asking.nonce))?;
        Ok(tokens)
    }

    /// The code, if the redirect is this issuer's answer to this question.
    fn code(&self, asking: &Asking, redirected: Redirected) -> Result<String, Failure> {
        if !Self::answers(asking, &redirected) {
            return Err(self.said("the redirect does not belong to this login: its state differs"));
        }
        // Another issuer's code must not be taken to this one, nor ours to another (RFC 9207, 2.4).
        let promised = self.metadata.authorization_response_iss_parameter_supported;
        match &redirected.iss {
            Some(iss) if *iss != self.metadata.issuer => {
                return Err(self.said(&format!("the redirect comes from another issuer, `{iss}`")));
            }
            None if promised => return Err(self.said("the redirect does not name its issuer")),
            Some(_) | None => {}
        }
        if let Some(error) = redirected.error {
            let more = redirected.error_description.map(|text| format!(": {text}")).unwrap_or_default();
            return Err(self.said(&format!("{error}{more}")));
        }
        redirected.code.ok_or_else(|| self.said("the redirect carries no code"))
    }

    /// Begin a device flow (RFC 8628).
    pub(crate) async fn device(&self) -> Result<StandardDeviceAuthorizationResponse, Failure> {
        let url = self.metadata.device_authorization_endpoint.clone();
        let url = url.ok_or_else(|| self.said("it has no device flow (hint: log in without `--device`)"))?;
        let endpoints: Endpoints<EndpointNotSet, EndpointSet> =
            self.endpoints().set_device_authorization_url(DeviceAuthorizationUrl::from_url(url));
        endpoints
            .exchange_device_code()
            .add_scopes(self.scopes.iter().cloned().map(Scope::new))
            .request_async(&self.send())
            .await
            .map_err(|error| self.said(&told(&error)))
    }

    /// Wait until the person has agreed on another device.
    pub(crate) async fn poll(&self, device: &StandardDeviceAuthorizationResponse) -> Result<Tokens, Failure> {
        let answer = self
            .endpoints()
            .exchange_device_access_token(device)
            .request_async(&self.send(), tokio::time::sleep, None)
            .await
            .map_err(|error| self.said(&told(&error)))?;
        let tokens = taken(&answer);
        self.check(&tokens, None)?;
        Ok(tokens)
    }

    /// Fresh tokens. Where the issuer rotates refresh tokens the old one is spent, so keep the new one at once.
    pub(crate) async fn refresh(&self, refresh_token: &str) -> Result<Tokens, RefreshError> {
        let token = RefreshToken::new(refresh_token.to_owned());
        let answer = self.endpoints().exchange_refresh_token(&token).request_async(&self.send()).await;
        let tokens = match answer {
            Ok(answer) => taken(&answer),
            Err(error @ RequestTokenError::ServerResponse(_)) => {
                return Err(RefreshError::Ended(told(&error)));
            }
            Err(error) => return Err(RefreshError::Later(told(&error))),
        };
        // The answer to a refresh need not bring an ID token (OpenID Connect Core 12.2).
        if tokens.id_token.is_some() {
            self.check(&tokens, None).map_err(|error| RefreshError::Later(error.to_string()))?;
        }
        Ok(tokens)
    }

    /// Tell the issuer that a refresh token will not be used again (RFC 7009). `false` where it has no place for that.
    pub(crate) async fn revoke(&self, refresh_token: &str) -> Result<bool, Failure> {
        let Some(url) = &self.metadata.revocation_endpoint else { return Ok(false) };
        let mut form = oauth2::url::form_urlencoded::Serializer::new(String::new());
        form.append_pair("token", refresh_token)
            .append_pair("token_type_hint", "refresh_token")
            .append_pair("client_id", &self.client_id);
        let request = http::Request::post(url.as_str())
            .header(http::header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(form.finish().into_bytes())
            .map_err(Failure::failed)?;
        let answer = self.http.send(request).await.map_err(Failure::failed)?;
        if answer.status().is_success() { Ok(true) } else { Err(self.said(&answer.status().to_string())) }
    }

    /// Whether the ID token is for us, now, and the answer to what we asked.
    fn check(&self, tokens: &Tokens, nonce: Option<&str>) -> Result<(), Failure> {
        let token = tokens.id_token.as_deref().ok_or_else(|| {
            self.said("it gave no ID token (hint: `openid` has to be among the gateway's `scopes`)")
        })?;
        let claims = claims(token).ok_or_else(|| self.said("its ID token cannot be read"))?;
        let now = now_us() / 1_000_000;
        let ours = match &claims.aud {
            Audience::One(one) => *one == self.client_id,
            Audience::Several(several) => several.contains(&self.client_id) && claims.azp.is_some(),
        };
        let wrong = if claims.iss != self.metadata.issuer {
            "it names another issuer"
        } else if !ours || claims.azp.as_ref().is_some_and(|azp| *azp != self.client_id) {
            "it is for another client"
        } else if claims.exp.saturating_add(SKEW_S_MAX) <= now {
            "it has expired (hint: compare the clocks)"
        } else if nonce.is_some() && claims.nonce.as_deref() != nonce {
            "its nonce differs: it belongs to another login"
        } else if claims.sub.is_empty() {
            "it names nobody"
        } else {
            return Ok(());
        };
        Err(self.said(&format!("its ID token is not accepted: {wrong}")))
    }

    fn said(&self, what: &str) -> Failure {
        Failure::Failed(format!("issuer `{}`: {what}", self.metadata.issuer))
    }
}

fn claims(token: &str) -> Option<Claims> {
    let mut parts = token.split('.');
    let (_, payload, _) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
}

fn taken(answer: &Answer) -> Tokens {
    Tokens {
        id_token: answer.extra_fields().id_token.clone(),
        access_token: answer.access_token().secret().clone(),
        refresh_token: answer.refresh_token().map(|token| token.secret().clone()),
    }
}

/// What went wrong, without anything that was sent.
fn told<T>(error: &RequestTokenError<HttpError, T>) -> String
where
    T: oauth2::ErrorResponse + std::fmt::Display + 'static,
{
    match error {
        RequestTokenError::ServerResponse(said) => said.to_string(),
        RequestTokenError::Request(why) => why.to_string(),
        // The body of the answer may hold tokens.
        RequestTokenError::Parse(why, _) => format!("its answer cannot be read: {why}"),
        RequestTokenError::Other(why) => why.clone(),
    }
}

/// How long a person has for a login.
pub(crate) const LOGIN_PATIENCE: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    use super::*;

    fn issuer() -> Issuer {
        let metadata = serde_json::json!({"issuer": "https://id.example", "authorization_endpoint": "https://id.example/a",
            "token_endpoint": "https://id.example/t", "authorization_response_iss_parameter_supported": true});
        let scopes = vec!["openid".to_owned(), "offline_access".to_owned()];
        let metadata = serde_json::from_value(metadata).unwrap();
        Issuer::known(metadata, "cli".to_owned(), scopes, Http::new(None).unwrap())
    }

    fn asking(issuer: &Issuer) -> Asking {
        issuer.ask(Url::parse("http://127.0.0.1:9/callback").unwrap())
    }

    fn redirected(asking: &Asking) -> Redirected {
        Redirected {
            code: Some("c".to_owned()),
            state: Some(asking.state.clone()),
            iss: Some("https://id.example".to_owned()),
            ..Redirected::default()
        }
    }

    #[test]
    fn the_request_binds_its_answer() {
        let issuer = issuer().wanting(&["mfa".to_owned()]);
        let (one, two) = (asking(&issuer), asking(&issuer));
        let query = |asking: &Asking, name: &str| {
            asking.url.query_pairs().find(|(found, _)| found == name).map(|(_, value)| value.into_owned())
        };
        for name in ["state", "nonce", "code_challenge"] {
            assert!(query(&one, name).unwrap().len() >= 43, "{name} has too little randomness");
            assert_ne!(query(&one, name), query(&two, name), "{name} is used twice");
        }
        assert_eq!(query(&one, "code_challenge_method").as_deref(), Some("S256"));
        assert_eq!(query(&one, "redirect_uri").as_deref(), Some("http://127.0.0.1:9/callback"));
        assert_eq!(query(&one, "acr_values").as_deref(), Some("mfa"));
        assert_eq!(query(&one, "prompt").as_deref(), Some("consent"));
        assert_eq!(query(&one, "scope").as_deref(), Some("openid offline_access"));
    }

    #[test]
    fn a_redirect_of_somebody_else_is_refused() {
        let issuer = issuer();
        let asking = asking(&issuer);
        assert_eq!(issuer.code(&asking, redirected(&asking)).unwrap(), "c");
        let fine = redirected(&asking);
        let cases = [
            (Redirected { state: None, ..fine.clone() }, "state"),
            (Redirected { state: Some("x".to_owned()), ..fine.clone() }, "state"),
            (Redirected { iss: None, ..fine.clone() }, "does not name its issuer"),
            (Redirected { iss: Some("https://evil.example".to_owned()), ..fine.clone() }, "another issuer"),
            (Redirected { error: Some("access_denied".to_owned()), ..fine.clone() }, "access_denied"),
            (Redirected { code: None, ..fine }, "no code"),
        ];
        for (redirected, why) in cases {
            let error = issuer.code(&asking, redirected).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn an_id_token_for_another_purpose_is_refused() {
        let issuer = issuer();
        let now = now_us() / 1_000_000;
        let fine = serde_json::json!({"iss": "https://id.example", "sub": "ana", "aud": "cli", "exp": now + 60,
            "nonce": "n"});
        let check = |changes: serde_json::Value, nonce: Option<&str>| {
            let mut claims = fine.clone();
            claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
            let token = format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims.to_string()));
            let tokens = Tokens { id_token: Some(token), access_token: String::new(), refresh_token: None };
            issuer.check(&tokens, nonce).map_err(|error| error.to_string())
        };
        check(serde_json::json!({}), Some("n")).unwrap();
        check(serde_json::json!({"nonce": "other"}), None).unwrap();
        check(serde_json::json!({"aud": ["cli", "other"], "azp": "cli"}), Some("n")).unwrap();
        for (changes, why) in [
            (serde_json::json!({"iss": "https://evil.example"}), "another issuer"),
            (serde_json::json!({"aud": "other"}), "another client"),
            (serde_json::json!({"aud": ["cli", "other"]}), "another client"),
            (serde_json::json!({"azp": "other"}), "another client"),
            (serde_json::json!({"exp": now - 61}), "expired"),
            (serde_json::json!({"nonce": "other"}), "nonce"),
            (serde_json::json!({"nonce": null}), "nonce"),
            (serde_json::json!({"sub": ""}), "nobody"),
        ] {
            let error = check(changes, Some("n")).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }
}
