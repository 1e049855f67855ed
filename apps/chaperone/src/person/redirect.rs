//! The loopback address to which the browser brings the issuer's answer (RFC 8252, 7.3).

use std::net::Ipv4Addr;

use axum::Router;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use oauth2::url::Url;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::issuer::{Asking, Issuer, Redirected};
use crate::verbs::Failure;

const PATH: &str = "/callback";
/// Answers that wait to be looked at; only the first that fits is used.
const WAITING_MAX: usize = 4;

/// A port that waits for the browser.
pub(crate) struct Redirect {
    listener: TcpListener,
    url: Url,
}

impl Redirect {
    /// On a free port of the loopback address.
    pub(crate) async fn open() -> Result<Self, Failure> {
        let failed = |why| Failure::Io { what: "cannot listen on the loopback address".to_owned(), why };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(failed)?;
        let port = listener.local_addr().map_err(failed)?.port();
        let url = Url::parse(&format!("http://127.0.0.1:{port}{PATH}")).map_err(Failure::failed)?;
        Ok(Self { listener, url })
    }

    pub(crate) fn url(&self) -> Url {
        self.url.clone()
    }

    /// Wait for the redirect that answers `asking`. What anybody else on this machine sends is answered and forgotten:
    /// it can neither end the login nor take part in it.
    pub(crate) async fn answer(self, asking: &Asking) -> Result<Redirected, Failure> {
        let (give, mut take) = mpsc::channel::<Offer>(WAITING_MAX);
        let router = Router::new().route(PATH, get(offer)).with_state(give);
        let served = tokio::spawn(async move { axum::serve(self.listener, router).await });
        let mut found = Err(Failure::Failed("the loopback address was closed".to_owned()));
        while let Some((redirected, reply)) = take.recv().await {
            let fits = Issuer::answers(asking, &redirected);
            // A browser that has left need not be told.
            let (Ok(()) | Err(_)) = reply.send(fits);
            if fits {
                found = Ok(redirected);
                break;
            }
        }
        // The page has to reach the browser before the port goes.
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        served.abort();
        found
    }
}

/// A redirect, and where to say whether it fits.
type Offer = (Redirected, tokio::sync::oneshot::Sender<bool>);

async fn offer(State(give): State<mpsc::Sender<Offer>>, Query(redirected): Query<Redirected>) -> Response {
    let (reply, fits) = tokio::sync::oneshot::channel();
    let offered = give.try_send((redirected, reply)).is_ok();
    if offered && fits.await.unwrap_or(false) {
        let page = "<!doctype html><title>Chaperone</title><p>The answer has arrived. You may close this window; \
                    the terminal says how it went.";
        return Html(page).into_response();
    }
    (StatusCode::BAD_REQUEST, "this does not belong to a login that is going on\n").into_response()
}
