//! One request in, one answer out. `rmcp` knows the protocol's revisions; which tools there are and what they do is behind
//! [`Tools`]. No session is kept between requests, whatever the revision: who asks is proved by each request anew.

use std::borrow::Cow;
use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use chaperone_access::EXPLAIN_ACCESS;
use http::{HeaderMap, HeaderName, Request, Response, StatusCode, header};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Collected, Full};
use rmcp::ServerHandler;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, ErrorData, Implementation,
    JsonObject, ListToolsResult, PaginatedRequestParams, ProtocolVersion, ServerCapabilities, ServerConfig,
    Tool, ToolAnnotations,
};
use rmcp::service::{RequestContext, RoleServer};
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::offer::offer;
use crate::relay;
use crate::revision::unspoken;
use crate::stateless::judged;

/// Revisions that are spoken, oldest first.
const REVISIONS: [ProtocolVersion; 3] =
    [ProtocolVersion::V_2025_06_18, ProtocolVersion::V_2025_11_25, ProtocolVersion::V_2026_07_28];
/// Say beside a body what stands in it (2026-07-28).
const BESIDE: [HeaderName; 2] = [HeaderName::from_static("mcp-method"), HeaderName::from_static("mcp-name")];

/// A call of a tool.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Which tool.
    pub tool: String,
    /// Its arguments, an object.
    pub arguments: Value,
    /// What the client calls itself, where it says so: a claim.
    pub application: Option<String>,
}

/// What a call came to.
#[derive(Debug, Clone)]
pub struct Answer(CallToolResult);

impl Answer {
    /// A result with a structure of its own; also as text, for clients that know no other.
    #[must_use]
    pub fn structured(content: Value) -> Self {
        Self(CallToolResult::structured(content))
    }

    /// The same for something that was carried out and did not end well.
    #[must_use]
    pub fn structured_failure(content: Value) -> Self {
        Self(CallToolResult::structured_error(content))
    }

    fn error(head: &str, message: &str, rest: [Option<(&str, &str)>; 2]) -> Self {
        let mut text = format!("{head}: {message}");
        for (name, value) in rest.into_iter().flatten() {
            text.push_str(&format!("\n{name}: {value}"));
        }
        // A model has a tool in the place of the command.
        for command in ["`chaperone policy explain --sql`", "`chaperone policy explain`"] {
            text = text.replace(command, &format!("the tool `{EXPLAIN_ACCESS}`"));
        }
        Self(CallToolResult::error(vec![ContentBlock::text(text)]))
    }

    /// A refusal on which a model can act: what is missing, the next step, and the reason's code.
    #[must_use]
    pub fn refused(message: &str, hint: Option<&str>, code: Option<&str>) -> Self {
        let code = code.map(|code| ("code", code));
        Self::error("refused", message, [hint.map(|hint| ("hint", hint)), code])
    }

    /// Something may have been changed, and its end was not heard: neither that it was done nor that it was not is said.
    #[must_use]
    pub fn unknown(message: &str, code: Option<&str>) -> Self {
        let hint = "it may have been carried out: look whether it was before you call again, and do not repeat it blindly";
        Self::error("outcome unknown", message, [Some(("hint", hint)), code.map(|code| ("code", code))])
    }

    /// The database said no, in its own words.
    #[must_use]
    pub fn failed(message: &str, hint: Option<&str>, sqlstate: &str) -> Self {
        let rest = [hint.map(|hint| ("hint", hint)), Some(("sqlstate", sqlstate))];
        Self::error("the database answered with an error", message, rest)
    }

    /// As it stands in an answer to `tools/call`.
    #[must_use]
    pub fn to_value(&self) -> Value {
        serde_json::to_value(&self.0).unwrap_or(Value::Null)
    }

    /// Bytes of what it holds, each part counted once.
    #[must_use]
    pub fn size(&self) -> usize {
        let text = self.0.content.iter().filter_map(ContentBlock::as_text).map(|text| text.text.len());
        text.sum()
    }
}

/// A tool that somebody declared, as clients are told of it.
#[derive(Debug, Clone)]
pub struct OwnTool {
    /// Its name.
    pub name: String,
    /// What it does.
    pub description: String,
    /// Whoever declared it says that it changes nothing.
    pub reads: bool,
    /// What it takes, as a JSON schema.
    pub input: Value,
}

impl OwnTool {
    fn tool(self) -> Tool {
        let hints = ToolAnnotations::new().read_only(self.reads).open_world(false);
        let mut tool = Tool::new(self.name, self.description, object(self.input));
        tool.annotations = Some(hints);
        tool
    }
}

/// The tools of one caller at one target.
pub trait Tools: Clone + Send + Sync + 'static {
    /// Those that he may call, by name.
    fn offered(&self) -> Vec<&'static str>;

    /// The tools of a target that declares its own, which are then all there are; whether one of another name exists is said
    /// by its call. `None` for a target with the gateway's tools.
    fn own(&self) -> Option<Vec<OwnTool>> {
        None
    }

    /// Words for the model before its first call.
    fn instructions(&self) -> String;

    /// Carry a call out. It is dropped where nobody waits for its answer any more.
    fn call(&self, asked: Asked) -> impl Future<Output = Answer> + Send;
}

#[derive(Clone)]
struct Face<T>(T);

fn object(value: Value) -> Arc<JsonObject> {
    Arc::new(match value {
        Value::Object(members) => members,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            JsonObject::new()
        }
    })
}

/// A tool as clients are told of it.
fn tool(name: &'static str) -> Option<Tool> {
    let offer = offer(name)?;
    let hints = ToolAnnotations::with_title(offer.title).read_only(offer.reads).open_world(false);
    let mut tool = Tool::new(name, offer.description, object(offer.input));
    tool.title = Some(offer.title.to_owned());
    tool.annotations = Some(hints);
    Some(tool)
}

impl<T: Tools> ServerHandler for Face<T> {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder().enable_tools().build();
        let mut info = ServerConfig::new(capabilities).with_instructions(self.0.instructions());
        info.server_info = Implementation::new("chaperone", env!("CARGO_PKG_VERSION"));
        info.protocol_version = ProtocolVersion::V_2025_11_25;
        info
    }

    fn supported_protocol_versions(&self) -> Cow<'static, [ProtocolVersion]> {
        Cow::Owned(REVISIONS.to_vec())
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let tools = match self.0.own() {
            Some(own) => own.into_iter().map(OwnTool::tool).collect(),
            None => self.0.offered().into_iter().filter_map(tool).collect(),
        };
        Ok(ListToolsResult::with_all_items(tools))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        if self.0.own().is_none() && offer(&request.name).is_none() {
            let known = format!("there is no tool `{}`", request.name);
            return Err(ErrorData::invalid_params(known, None));
        }
        let client = context.client_info().filter(|client| !client.name.is_empty());
        let asked = Asked {
            tool: request.name.into_owned(),
            arguments: Value::Object(request.arguments.unwrap_or_default()),
            application: client.map(|client| format!("{} {}", client.name, client.version)),
        };
        // Whoever has gone takes his call with him.
        tokio::select! {
            answer = self.0.call(asked) => Ok(answer.0.into()),
            () = context.ct.cancelled() => Err(ErrorData::internal_error("nobody waits for the answer", None)),
        }
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        match self.0.own() {
            Some(own) => own.into_iter().find(|own| own.name == name).map(OwnTool::tool),
            None => self.0.offered().into_iter().find(|offered| *offered == name).and_then(tool),
        }
    }
}

/// The answer to one request, whose name, origin, token and size are judged already.
pub async fn answer<T: Tools>(
    request: Request<Full<Bytes>>,
    tools: T,
) -> Response<BoxBody<Bytes, Infallible>> {
    let (parts, body) = request.into_parts();
    let Ok(body) = body.collect().await.map(Collected::to_bytes);
    if let Some(refused) = disagrees(&parts.headers, &body).or_else(|| twice(&parts.headers)) {
        return refused;
    }
    let request = Request::from_parts(parts, Full::new(body));
    // Who may call is judged before: here is nobody who is not known.
    let config = StreamableHttpServerConfig::default()
        .disable_allowed_hosts()
        .disable_allowed_origins()
        .with_legacy_session_mode(false)
        .with_json_response(true);
    let face = Face(tools);
    let service = StreamableHttpService::new(
        move || Ok(face.clone()),
        Arc::new(NeverSessionManager::default()),
        config,
    );
    service.handle(request).await
}

/// The refusal of a request that says something beside its body twice: which of the two agrees with it would be anybody's
/// guess.
fn twice(headers: &HeaderMap) -> Option<Response<BoxBody<Bytes, Infallible>>> {
    let name = BESIDE.into_iter().find(|name| headers.get_all(name).iter().count() > 1)?;
    Some(not_taken(None, &json!({"code": -32600, "message": format!("`{name}` stands once")})))
}

/// The refusal of a request whose headers and body say two things, as at a server of others. What cannot be read as a request
/// is refused by whoever reads it next.
fn disagrees(headers: &HeaderMap, body: &[u8]) -> Option<Response<BoxBody<Bytes, Infallible>>> {
    let spoken = REVISIONS.each_ref().map(ProtocolVersion::as_str);
    let said = relay::said(body).ok();
    match said.as_ref().and_then(|said| Some((said.id?, said))) {
        Some((id, said)) => judged(headers, said, &spoken).err().map(|error| not_taken(Some(id), &error)),
        None => unspoken(headers, &spoken).map(|error| not_taken(None, &error)),
    }
}

fn not_taken(id: Option<&RawValue>, error: &Value) -> Response<BoxBody<Bytes, Infallible>> {
    let whole = json!({"jsonrpc": "2.0", "id": id, "error": error});
    let mut response = Response::new(Full::new(Bytes::from(whole.to_string())).boxed());
    *response.status_mut() = StatusCode::BAD_REQUEST;
    let json = header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}
