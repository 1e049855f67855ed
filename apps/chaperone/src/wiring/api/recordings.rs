//! Reading what was recorded.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::{Extension, Json};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chaperone_access::SessionId;
use chaperone_api::{ProblemKind, ReadGrant, ReadRequest};
use chaperone_trail::{Body, Digest, RecordingRead};
use serde_json::Value;

use super::caller::Caller;
use super::given::{Given, Named};
use super::refused::{Refused, failed};
use super::sessions::{entries, session_id};
use super::{Managed, Shared};
use crate::wiring::installation::WrappedText;

/// Hand out what is needed to open a session's sealed objects.
///
/// The reading itself is on durable record first.
#[utoipa::path(
    post, path = "/sessions/{id}/read", params(("id" = String, Path)), request_body = ReadRequest,
    responses((status = 200, body = ReadGrant))
)]
pub(super) async fn read(
    State(managed): Shared,
    Extension(caller): Extension<Caller>,
    Named(id): Named,
    Given(request): Given<ReadRequest>,
) -> Result<Json<ReadGrant>, Refused> {
    let session = session_id(&id)?;
    let wrapped = managed.recorder.keys().get(session).await.map_err(failed)?;
    let Some((_, key)) = wrapped.into_iter().find(|(_, key)| key.reader == request.reader) else {
        let detail = "the session's content is not sealed to this reader, or its key was destroyed";
        return Err(Refused::new(ProblemKind::NotPermitted, detail)
            .hint("`recording.readers` of gateway.toml lists the readers of new sessions"));
    };
    let body = Body::RecordingRead(RecordingRead {
        by: caller.name(),
        object: None,
        purpose: None,
        reader: Some(request.reader),
        session: session.to_string(),
    });
    let entry = managed.recorder.note(body).await?;
    let managed_too = managed.clone();
    let objects =
        tokio::task::spawn_blocking(move || objects(&managed_too, session)).await.map_err(failed)??;
    let wrapped = WrappedText {
        installation: managed.installation.clone(),
        key: STANDARD.encode(key.key.as_bytes()),
        epoch: key.epoch,
        bytes: STANDARD.encode(&key.bytes),
    };
    let wrapped_key = serde_json::to_string(&wrapped).map_err(failed)?;
    Ok(Json(ReadGrant { entry: entry.0, wrapped_key, objects }))
}

fn objects(managed: &Managed, session: SessionId) -> Result<BTreeMap<String, String>, Refused> {
    let mut wanted = std::collections::HashSet::new();
    entries(managed, session, |_, entry| {
        for pointer in [
            "/statement/object",
            "/parameters/sealed/object",
            "/columns_sealed/object",
            "/subjects/commitments/object",
            "/transcript/object",
        ] {
            if let Some(hash) = entry.pointer(pointer).and_then(Value::as_str) {
                wanted.insert(hash.to_owned());
            }
        }
    })?;
    let mut found = BTreeMap::new();
    let scanned = managed.recorder.trail().scan_frames(|frame| {
        let hash = Digest::of(frame).to_string();
        if wanted.contains(&hash) {
            found.insert(hash, STANDARD.encode(frame));
        }
    });
    scanned.map_err(failed)?;
    Ok(found)
}
