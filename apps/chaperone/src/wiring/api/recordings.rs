//! Reading what was recorded.

use std::collections::{BTreeMap, HashMap};

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

/// Sealed bytes that one answer holds; what one entry names may be more.
const OBJECTS_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Objects that one answer holds, likewise.
const OBJECTS_MAX: usize = 10_000;

/// Hand out what is needed to open a session's sealed objects, as many as one answer holds.
///
/// Each reading is on durable record first.
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
    let after = request.after.as_deref().map(str::parse::<u64>).transpose();
    let after = after.map_err(|_| Refused::malformed("`after` is no place"))?;
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
    let found = tokio::task::spawn_blocking(move || objects(&managed_too, session, after));
    let (objects, next) = found.await.map_err(failed)??;
    let wrapped = WrappedText {
        installation: managed.installation.clone(),
        key: STANDARD.encode(key.key.as_bytes()),
        epoch: key.epoch,
        bytes: STANDARD.encode(&key.bytes),
    };
    let wrapped_key = serde_json::to_string(&wrapped).map_err(failed)?;
    Ok(Json(ReadGrant { entry: entry.0, wrapped_key, objects, next }))
}

/// Where entries name what is sealed.
const POINTERS: [&str; 5] = [
    "/statement/object",
    "/parameters/sealed/object",
    "/columns_sealed/object",
    "/subjects/commitments/object",
    "/transcript/object",
];

/// The sealed objects of as many of a session's entries as fit one answer; of one entry always all.
struct Sheaf {
    bytes_max: usize,
    objects_max: usize,
    /// Each object with the entry that names it.
    wanted: HashMap<String, u64>,
    /// The first of those entries.
    first: Option<u64>,
    /// The first entry that does not fit any more.
    cut: Option<u64>,
    bytes: usize,
    found: BTreeMap<String, String>,
}

impl Sheaf {
    fn new(bytes_max: usize, objects_max: usize) -> Self {
        let (wanted, found) = (HashMap::new(), BTreeMap::new());
        Self { bytes_max, objects_max, wanted, first: None, cut: None, bytes: 0, found }
    }

    /// The next entry.
    fn want(&mut self, seq: u64, entry: &Value) {
        let named = || POINTERS.into_iter().filter_map(|at| entry.pointer(at).and_then(Value::as_str));
        if self.cut.is_some() || named().next().is_none() {
            return;
        }
        if self.wanted.len() + named().count() > self.objects_max && self.first.is_some() {
            self.cut = Some(seq);
            return;
        }
        self.first.get_or_insert(seq);
        self.wanted.extend(named().map(|hash| (hash.to_owned(), seq)));
    }

    /// The next object of the trail. They stand there in the order of their entries.
    fn take(&mut self, frame: &[u8]) {
        let hash = Digest::of(frame).to_string();
        let Some(seq) = self.wanted.get(&hash).copied() else { return };
        if self.cut.is_some_and(|cut| seq >= cut) {
            return;
        }
        if self.bytes + frame.len() > self.bytes_max && self.first != Some(seq) {
            self.cut = Some(seq);
            return;
        }
        self.bytes += frame.len();
        self.found.insert(hash, STANDARD.encode(frame));
    }
}

/// The objects of the entries after a number, and where the next ones begin.
fn objects(
    managed: &Managed,
    session: SessionId,
    after: Option<u64>,
) -> Result<(BTreeMap<String, String>, Option<String>), Refused> {
    let mut sheaf = Sheaf::new(OBJECTS_BYTES_MAX, OBJECTS_MAX);
    entries(managed, session, |seq, entry| {
        if after.is_none_or(|after| seq > after) {
            sheaf.want(seq, &entry);
        }
    })?;
    managed.recorder.trail().scan_frames(|frame| sheaf.take(frame)).map_err(failed)?;
    let next = sheaf.cut.map(|cut| cut.saturating_sub(1).to_string());
    Ok((sheaf.found, next))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// What one answer has of these entries, each with one object of so many bytes, and where the next one begins.
    fn sheaf(limits: (usize, usize), sizes: &[usize], after: u64) -> (Vec<usize>, Option<u64>) {
        let frames: Vec<Vec<u8>> = (0_u8..).zip(sizes).map(|(n, size)| vec![n; *size]).collect();
        let mut sheaf = Sheaf::new(limits.0, limits.1);
        for (seq, frame) in (1..).zip(&frames).filter(|(seq, _)| *seq > after) {
            sheaf.want(seq, &json!({"statement": {"object": Digest::of(frame).to_string()}}));
        }
        frames.iter().for_each(|frame| sheaf.take(frame));
        let mut sizes: Vec<usize> =
            sheaf.found.values().map(|object| STANDARD.decode(object).unwrap().len()).collect();
        sizes.sort_unstable();
        (sizes, sheaf.cut.map(|cut| cut - 1))
    }

    #[test]
    fn an_answer_is_bounded_in_bytes_and_number_and_goes_on_where_it_was_cut() {
        let sizes = [10, 20, 30, 90, 5];
        assert_eq!(sheaf((60, 9), &sizes, 0), (vec![10, 20, 30], Some(3)));
        assert_eq!(sheaf((60, 9), &sizes, 3), (vec![90], Some(4)), "one is given whole");
        assert_eq!(sheaf((60, 9), &sizes, 4), (vec![5], None));
        assert_eq!(sheaf((1000, 2), &sizes, 0), (vec![10, 20], Some(2)));
        assert_eq!(sheaf((1000, 9), &sizes, 0), (vec![5, 10, 20, 30, 90], None));
    }
}
