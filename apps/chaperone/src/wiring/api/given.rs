//! What a request brings with it, read within bounds and refused in our own words.

use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use chaperone_api::{PAGE_DEFAULT, PAGE_MAX, Page, ProblemKind};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

use super::refused::Refused;

/// Largest body that is read: a statement of the greatest length, escaped, fits.
pub(super) const BODY_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Largest body of somebody who has not proved who he is: a login's tokens fit.
pub(crate) const OPEN_BODY_BYTES_MAX: usize = 64 * 1024;
/// How long a body may take to arrive.
const BODY_PATIENCE: Duration = Duration::from_secs(30);

/// The largest body of a request, where it is less than [`BODY_BYTES_MAX`].
#[derive(Clone, Copy)]
pub(crate) struct BodyMax(pub(crate) usize);

/// A JSON body. Fields that it must not have are refused by name and line.
pub(super) struct Given<T>(pub(super) T);

fn is_json(headers: &HeaderMap) -> bool {
    let media_type =
        headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    media_type.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

/// The whole body, refused before it is read where its length says that it is too much.
pub(crate) async fn body(request: Request) -> Result<Bytes, Refused> {
    let max = request.extensions().get().map_or(BODY_BYTES_MAX, |BodyMax(max)| *max);
    let said = request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    let too_large = || Refused::new(ProblemKind::TooLarge, format!("a body here has at most {max} bytes"));
    if said.and_then(|length| length.parse::<usize>().ok()).is_some_and(|length| length > max) {
        return Err(too_large());
    }
    let read = axum::body::to_bytes(request.into_body(), max);
    match tokio::time::timeout(BODY_PATIENCE, read).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(_)) => Err(too_large()),
        Err(_) => Err(Refused::malformed("the body did not arrive in time")),
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Given<T> {
    type Rejection = Refused;

    async fn from_request(request: Request, _: &S) -> Result<Self, Refused> {
        if !is_json(request.headers()) {
            return Err(Refused::new(ProblemKind::NotJson, "the body has to be JSON")
                .hint("send it with `content-type: application/json`"));
        }
        let bytes = body(request).await?;
        serde_json::from_slice(&bytes).map(Self).map_err(|error| {
            Refused::malformed(error.to_string())
                .hint("`chaperone api describe` prints what each request takes")
        })
    }
}

/// The part of the path that names something.
pub(super) struct Named(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refused> {
        match Path::<String>::from_request_parts(parts, state).await {
            Ok(Path(name)) => Ok(Self(name)),
            Err(_) => Err(Refused::malformed("the path is not UTF-8")),
        }
    }
}

/// What stands behind the `?`.
pub(super) struct Asked<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Asked<T> {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refused> {
        match Query::<T>::try_from_uri(&parts.uri) {
            Ok(Query(asked)) => Ok(Self(asked)),
            Err(error) => Err(Refused::malformed(error.body_text())),
        }
    }
}

/// An answer that holds a secret: no cache keeps it, and neither does this gateway for long.
pub(crate) struct Secret<T>(pub(crate) T);

impl<T: Serialize> IntoResponse for Secret<T> {
    fn into_response(self) -> Response {
        let mut response = Json(self.0).into_response();
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

/// Which page of a list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct PageQuery {
    /// Items of a page, 1 to 1000; 100 where it is left out.
    pub(super) limit: Option<usize>,
    /// `next` of the page before.
    pub(super) after: Option<String>,
}

impl PageQuery {
    /// Items of the page.
    pub(super) fn limit(&self) -> usize {
        self.limit.unwrap_or(PAGE_DEFAULT).clamp(1, PAGE_MAX)
    }

    /// The page of items of which only those after the place, and one more than the limit, were looked up.
    pub(super) fn cut<T>(&self, items: Vec<T>, place: impl Fn(&T) -> String) -> Page<T> {
        Page::of(items, place, self.limit, None)
    }

    /// The page that is asked for, of items in ascending order of the texts that `place` gives.
    pub(super) fn page<T>(
        &self,
        items: impl IntoIterator<Item = T>,
        place: impl Fn(&T) -> String,
    ) -> Page<T> {
        Page::of(items, place, self.limit, self.after.as_deref())
    }
}
