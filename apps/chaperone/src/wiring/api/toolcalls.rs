//! Tool calls, as the trail has them.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use chaperone_access::CallId;
use chaperone_api::{
    ToolcallAsked, ToolcallEnd, ToolcallExchange, ToolcallOperation, ToolcallTold, ToolcallView,
};
use chaperone_trail::{
    Body, Course, CredentialExchanged, Entry, OperationIntent, OperationOutcome, OperationRefused,
    OperationsUndone, Status, ToolcallEnded, ToolcallStarted,
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
    /// Only what had ended well: what failed, or was cancelled, did that by itself.
    fn undone(&mut self, undone: &OperationsUndone) {
        let well = word(&Status::Ok);
        let counted =
            |known: &&mut ToolcallOperation| known.operation <= undone.operation && known.status == well;
        for known in self.of_session(&undone.session).filter(counted) {
            known.status = "undone".to_owned();
            known.sqlstate = Some(undone.sqlstate.clone());
        }
    }

    /// What the call's server said to its client.
    fn said(&mut self, body: &Body) {
        let Some(view) = &mut self.view else { return };
        if let Body::ToolcallTold(told) = body
            && told.call == self.wanted
        {
            let all = view.told.get_or_insert_with(ToolcallTold::default);
            let sum = |sums: &mut BTreeMap<String, u64>, more: &BTreeMap<String, u64>| {
                for (name, count) in more {
                    *sums.entry(name.clone()).or_default() += count;
                }
            };
            sum(&mut all.kinds, &told.kinds);
            told.masked.iter().for_each(|masked| sum(&mut all.masked, masked));
            all.bytes += told.bytes;
            all.withheld += told.withheld.unwrap_or_default();
        }
        if let Body::ToolcallAsked(asked) = body
            && asked.call == self.wanted
        {
            view.asked.push(ToolcallAsked {
                ask: asked.ask,
                for_what: asked.for_what.clone(),
                question: asked.question.to_string(),
                url: asked.url.clone(),
                code: asked.code.map(|code| code.as_str().to_owned()),
                masked: asked.masked.clone().unwrap_or_default(),
                action: None,
                answer: None,
            });
        }
        if let Body::ToolcallAnswered(answered) = body
            && answered.call == self.wanted
            && let Some(asked) = view.asked.iter_mut().find(|asked| asked.ask == answered.ask)
        {
            asked.action = Some(answered.action.clone());
            asked.answer = answered.answer.map(|digest| digest.to_string());
        }
    }

    fn take(&mut self, entry: &Entry) {
        self.said(&entry.body);
        if let Body::CredentialExchanged(exchanged) = &entry.body
            && exchanged.call.as_ref() == Some(&self.wanted)
        {
            self.view = Some(elsewhere(self.call, entry, exchanged));
        }
        match entry.body.course() {
            Some(Course::ToolcallStarted(started)) if started.call == self.wanted => {
                self.view = Some(begun(self.call, entry, started));
            }
            Some(Course::ToolcallEnded(ended)) if ended.call == self.wanted => {
                if let Some(view) = &mut self.view {
                    view.end = Some(end(ended));
                }
            }
            Some(Course::OperationIntent(intent)) => self.caused(intent.call.as_ref(), || running(intent)),
            Some(Course::OperationRefused(refused)) => {
                self.caused(refused.call.as_ref(), || turned_away(refused))
            }
            Some(Course::OperationOutcome(outcome)) => {
                // By its number, not by its call: what recovery closed as lost names none.
                for known in
                    self.of_session(&outcome.session).filter(|known| known.operation == outcome.operation)
                {
                    came(known, outcome);
                }
            }
            Some(Course::OperationsUndone(undone)) => self.undone(undone),
            // Another call's, or of a session as a whole.
            Some(
                Course::ToolcallStarted(_)
                | Course::ToolcallEnded(_)
                | Course::SessionOpened(_)
                | Course::SessionClosed(_),
            )
            | None => {}
        }
    }

    /// An operation, where it is one of the call's.
    fn caused(&mut self, call: Option<&String>, made: impl FnOnce() -> ToolcallOperation) {
        if call == Some(&self.wanted)
            && let Some(view) = &mut self.view
        {
            view.operations.push(made());
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
        method: started.method.clone(),
        prompt: started.prompt.clone(),
        target: started.target.clone(),
        delegation: json(&started.delegation),
        oauth_client: started.client.clone(),
        application: started.application.clone(),
        source: started.source.clone(),
        arguments: started.arguments.to_string(),
        started_at: entry.at,
        end: None,
        exchanged: None,
        told: None,
        asked: Vec::new(),
        operations: Vec::new(),
        first_entry: entry.seq,
    }
}

/// A call of a server elsewhere, as that one told of it.
fn elsewhere(call: CallId, entry: &Entry, exchanged: &CredentialExchanged) -> ToolcallView {
    ToolcallView {
        call,
        tool: exchanged.tool.clone(),
        method: None,
        prompt: None,
        target: exchanged.target.clone(),
        delegation: json(&exchanged.delegation),
        oauth_client: None,
        application: None,
        source: exchanged.source.clone(),
        arguments: exchanged.arguments.map(|digest| digest.to_string()).unwrap_or_default(),
        started_at: entry.at,
        end: None,
        exchanged: Some(ToolcallExchange {
            credential: exchanged.credential.clone(),
            named: exchanged.named.clone(),
            not_after: exchanged.not_after,
        }),
        told: None,
        asked: Vec::new(),
        operations: Vec::new(),
        first_entry: entry.seq,
    }
}

fn end(ended: &ToolcallEnded) -> ToolcallEnd {
    ToolcallEnd {
        outcome: word(&ended.outcome),
        code: ended.code.map(|code| code.as_str().to_owned()),
        masked: ended.masked.clone().unwrap_or_default(),
        phi_without_statement: ended.phi_without_statement,
        not_looked_through: ended.not_looked_through,
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
        code: Some(refused.code.as_str().to_owned()),
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

#[cfg(test)]
mod tests {
    use chaperone_trail::OperationsUndone;

    use super::*;

    fn operation(session: &str, operation: u64, status: &str) -> ToolcallOperation {
        ToolcallOperation {
            session: session.to_owned(),
            operation,
            tag: "UPDATE".to_owned(),
            status: status.to_owned(),
            code: None,
            sqlstate: None,
            template: String::new(),
            rewritten: false,
            touches: Vec::new(),
            columns: Vec::new(),
            subjects: None,
            rows: 0,
            bytes: 0,
            duration_us: 0,
        }
    }

    #[test]
    fn only_what_had_ended_well_is_undone() {
        let call: CallId = CallId::from_parts(1, [7; 10]);
        let view = ToolcallView {
            call,
            tool: Some("query".to_owned()),
            method: None,
            prompt: None,
            target: "ehr".to_owned(),
            delegation: Value::Null,
            oauth_client: None,
            application: None,
            source: "local".to_owned(),
            arguments: String::new(),
            started_at: 1,
            end: None,
            exchanged: None,
            told: None,
            asked: Vec::new(),
            operations: vec![
                operation("a", 1, "ok"),
                operation("a", 2, "failed"),
                operation("a", 3, "not_run"),
                operation("a", 4, "refused"),
                operation("a", 5, "ok"),
                operation("b", 1, "ok"),
            ],
            first_entry: 0,
        };
        let mut tree = Tree { wanted: call.to_string(), call, view: Some(view) };
        let undone = OperationsUndone { operation: 4, session: "a".to_owned(), sqlstate: "23503".to_owned() };
        tree.take(&Entry { at: 1, seq: 1, body: Body::OperationsUndone(undone) });
        let states: Vec<String> =
            tree.view.unwrap().operations.into_iter().map(|operation| operation.status).collect();
        assert_eq!(states, ["undone", "failed", "not_run", "refused", "ok", "ok"]);
    }
}
