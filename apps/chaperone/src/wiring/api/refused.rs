//! The one place in which problems become HTTP.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chaperone_access::Refusal;
use chaperone_api::{Problem, ProblemKind};

/// The media type of a problem (RFC 9457, section 3).
const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");
/// What an unauthenticated caller is asked for (RFC 6750, section 3).
const CHALLENGE: HeaderValue = HeaderValue::from_static("Bearer realm=\"chaperone\"");

/// A request that was not carried out.
#[derive(Debug)]
pub(crate) struct Refused {
    kind: ProblemKind,
    problem: Problem,
}

impl Refused {
    pub(crate) fn new(kind: ProblemKind, detail: impl Into<String>) -> Self {
        Self { kind, problem: Problem::new(kind, detail) }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.problem = self.problem.hint(hint);
        self
    }

    /// Nobody has proved who asks: the same whatever is wrong with what was shown.
    pub(crate) fn not_authenticated() -> Self {
        Self::new(ProblemKind::NotAuthenticated, "a valid token is needed")
            .hint("`chaperone login` gets one; the administrator's stands in the gateway's keys folder")
    }

    /// The caller may not, whether or not there is what was asked for.
    pub(crate) fn not_permitted() -> Self {
        Self::new(ProblemKind::NotPermitted, "you may not do this")
            .hint("an administrator can permit it in the policy folder")
    }

    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(ProblemKind::NotFound, detail)
    }

    pub(crate) fn malformed(detail: impl Into<String>) -> Self {
        Self::new(ProblemKind::Malformed, detail)
    }

    /// What sort it is, and the words for this time.
    pub(crate) fn into_words(self) -> (ProblemKind, String) {
        (self.kind, self.problem.detail)
    }

    pub(super) fn unusable(detail: impl Into<String>) -> Self {
        Self::new(ProblemKind::Unusable, detail)
    }

    pub(super) fn conflict(detail: impl Into<String>) -> Self {
        Self::new(ProblemKind::Conflict, detail)
    }
}

/// The gateway's own fault. The cause is for the operator's log: it may say what the caller may not know.
pub(crate) fn failed(error: impl std::fmt::Display) -> Refused {
    tracing::error!(%error, "a request to the management API failed");
    Refused::new(ProblemKind::Fault, "the gateway could not do it").hint("its log says why")
}

impl From<Refusal> for Refused {
    /// The trail's own refusals: what cannot be recorded is not done.
    fn from(refusal: Refusal) -> Self {
        tracing::error!(%refusal, "a request to the management API could not be recorded");
        Self::new(ProblemKind::Unrecorded, "the trail takes no entries, so nothing was changed")
            .hint("the gateway's log and `/health` say why")
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.kind.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(self.problem)).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, PROBLEM_JSON);
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, CHALLENGE);
        }
        response
    }
}
