//! Tool calls, as the trail has them.

use axum::Json;
use axum::extract::State;
use chaperone_access::CallId;
use chaperone_api::{ToolcallEnd, ToolcallOperation, ToolcallView};
use chaperone_trail::{
    Body, Entry, OperationIntent, OperationOutcome, OperationRefused, ToolcallEnded, ToolcallStarted,
};
use serde::Serialize;
use serde_json::Value;

use super::given::Named;
use super::refused::{Refused, failed};
use super::{Managed, Shared};

/// One tool call: who asked, through what, what it caused and what came back.
#[utoipa::path(
    get, path = "/toolcalls/{id}", params(("id" = String, Path)), responses((status = 200, body = ToolcallView))
)]
pub(super) async fn show(State(managed): Shared, Named(id): Named) -> Result<Json<ToolcallView>, Refused> {
    let call: CallId =
        id.parse().map_err(|error: chaperone_access::InvalidName| Refused::malformed(error.to_string()))?;
    let found = tokio::task::spawn_blocking(move || tree(&managed, call)).await.map_err(failed)??;
    Ok(Json(found))
}

/// What a scan has found of one call.
struct Tree {
    wanted: String,
    call: CallId,
    view: Option<ToolcallView>,
}

/// Read from the trail itself: there is no second truth.
fn tree(managed: &Managed, call: CallId) -> Result<ToolcallView, Refused> {
    let mut tree = Tree { wanted: call.to_string(), call, view: None };
    let scanned = managed.recorder.trail().scan(|entry| {
        tree.take(&entry);
        Ok(())
    });
    scanned.map_err(failed)?;
    tree.view.ok_or_else(|| {
        Refused::not_found(format!("there is no tool call `{call}`"))
            .hint("answers of tools and `chaperone session show` name them")
    })
}

fn json(value: &impl Serialize) -> Value {
    serde_json::to_value(value).unwrap_or(Value::Null)
}

fn word(value: &impl Serialize) -> String {
    json(value).as_str().unwrap_or_default().to_owned()
}

impl Tree {
    fn is_ours(&self, call: Option<&String>) -> bool {
        call == Some(&self.wanted)
    }

    fn take(&mut self, entry: &Entry) {
        if let Body::ToolcallStarted(started) = &entry.body {
            if started.call == self.wanted {
                self.view = Some(begun(self.call, entry, started));
            }
        } else if let Body::ToolcallEnded(ended) = &entry.body {
            if ended.call == self.wanted
                && let Some(view) = &mut self.view
            {
                view.end = Some(end(ended));
            }
        } else if let Body::OperationIntent(intent) = &entry.body {
            if self.is_ours(intent.call.as_ref())
                && let Some(view) = &mut self.view
            {
                view.operations.push(running(intent));
            }
        } else if let Body::OperationRefused(refused) = &entry.body {
            if self.is_ours(refused.call.as_ref())
                && let Some(view) = &mut self.view
            {
                view.operations.push(turned_away(refused));
            }
        } else if let Body::OperationOutcome(outcome) = &entry.body {
            // By its number, not by its call: what recovery closed as lost names none.
            for known in
                self.of_session(&outcome.session).filter(|known| known.operation == outcome.operation)
            {
                came(known, outcome);
            }
        } else if let Body::OperationsUndone(undone) = &entry.body {
            for known in self.of_session(&undone.session).filter(|known| known.operation <= undone.operation)
            {
                known.status = "undone".to_owned();
                known.sqlstate = Some(undone.sqlstate.clone());
            }
        }
    }

    /// The call's operations in a session.
    fn of_session(&mut self, session: &str) -> impl Iterator<Item = &mut ToolcallOperation> {
        let all = self.view.iter_mut().flat_map(|view| &mut view.operations);
        all.filter(move |known| known.session == session)
    }
}

fn begun(call: CallId, entry: &Entry, started: &ToolcallStarted) -> ToolcallView {
    ToolcallView {
        call,
        tool: started.tool.clone(),
        target: started.target.clone(),
        delegation: json(&started.delegation),
        oauth_client: started.client.clone(),
        application: started.application.clone(),
        source: started.source.clone(),
        arguments: started.arguments.to_string(),
        started_at: entry.at,
        end: None,
        operations: Vec::new(),
        first_entry: entry.seq,
    }
}

fn end(ended: &ToolcallEnded) -> ToolcallEnd {
    ToolcallEnd {
        outcome: word(&ended.outcome),
        code: ended.code.as_ref().map(word),
        phi_without_statement: ended.phi_without_statement,
        rows: ended.rows,
        bytes: ended.bytes,
        duration_us: ended.duration_us,
    }
}

fn running(intent: &OperationIntent) -> ToolcallOperation {
    ToolcallOperation {
        session: intent.session.clone(),
        operation: intent.operation,
        tag: intent.tag.clone(),
        status: "running".to_owned(),
        code: None,
        sqlstate: None,
        template: intent.template.to_string(),
        rewritten: intent.rewritten,
        touches: intent.touches.iter().map(json).collect(),
        columns: intent.columns.iter().flat_map(|columns| columns.iter()).map(json).collect(),
        subjects: None,
        rows: 0,
        bytes: 0,
        duration_us: 0,
    }
}

fn turned_away(refused: &OperationRefused) -> ToolcallOperation {
    ToolcallOperation {
        session: refused.session.clone(),
        operation: refused.operation,
        tag: refused.tag.clone(),
        status: "refused".to_owned(),
        code: Some(word(&refused.code)),
        sqlstate: None,
        template: refused.template.to_string(),
        rewritten: false,
        touches: refused.touches.iter().map(json).collect(),
        columns: Vec::new(),
        subjects: None,
        rows: 0,
        bytes: 0,
        duration_us: 0,
    }
}

fn came(known: &mut ToolcallOperation, outcome: &OperationOutcome) {
    known.status = word(&outcome.status);
    known.sqlstate.clone_from(&outcome.sqlstate);
    known.subjects = outcome.subjects.as_ref().map(json);
    known.rows = outcome.rows;
    known.bytes = outcome.bytes;
    known.duration_us = outcome.duration_us;
}
