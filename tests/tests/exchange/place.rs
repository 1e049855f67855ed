//! The installation, its caller, and the server that acts for her.

use std::path::Path;
use std::process::Command;

use chaperone_tests::{
    AgentPlace, Boundary, Cluster, Fsync, Issuer, Layout, capture, free_port, private_folder, root,
    target_dir,
};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The AI client's id at the issuer.
pub(crate) const ASSISTANT: &str = "assistant";
/// The server's own resource.
pub(crate) const RESOURCE: &str = "https://notes.example/mcp";
/// The patients as everybody at the database sees them.
pub(crate) const PATIENTS: &str =
    "select patient_id, given_name, mrn, ssn, phone from clinic.patients order by patient_id limit 3";

/// An issuer, a gateway that exchanges its tokens for two servers, and a clinic behind it.
pub(crate) struct Place {
    pub(crate) issuer: Issuer,
    pub(crate) boundary: Boundary,
    pub(crate) cluster: Cluster,
    /// The server's private key.
    pub(crate) key: Value,
    /// That of another server.
    pub(crate) other_key: Value,
    pub(crate) _home: TempDir,
}

/// The demonstration's policies for this issuer's people, and what the server may for anybody.
fn policies(folder: &Path) {
    std::fs::create_dir(folder).unwrap();
    let text = std::fs::read_to_string(root().join("demo/policy/clinic.cedar")).unwrap();
    let server = r#"
@id("notes-connects")
permit (principal == Service::"server/notes", action == Action::"connect", resource == Target::"clinic");
@id("notes-reads")
permit (principal == Service::"server/notes", action == Action::"read", resource in Target::"clinic")
when { resource in [Relation::"clinic/clinic.patients", Relation::"clinic/clinic.claims"] };
@id("notes-sees")
permit (principal == Service::"server/notes", action == Action::"reveal", resource in Target::"clinic")
when { resource in [Tag::"phi.name", Tag::"phi.ssn"] };
@id("notes-masked")
permit (principal == Service::"server/notes", action == Action::"useMasked", resource in Target::"clinic")
when { resource in Tag::"phi.mrn" };
@id("notes-all-rows")
permit (principal == Service::"server/notes", action == Action::"seeAllRows", resource in Target::"clinic");
@id("notes-not-without-agreement")
forbid (principal, action == Action::"read", resource in Target::"clinic")
when { context has server && !(context has server_agreement) };
"#;
    std::fs::write(folder.join("clinic.cedar"), (text + server).replace("\"dev/", "\"org/")).unwrap();
}

fn server(name: &str, resource: &str, keys: &Value) -> String {
    format!(
        "[exchange.servers.{name}]\nowner = \"it\"\nrecipient = \"Tool Inc\"\nagreement = \"baa-7\"\n\
         resource = \"{resource}\"\nissuers = [\"org\"]\noauth_clients = [\"{name}-mcp\"]\njwks = '{}'\n",
        keys["jwks"]
    )
}

impl Place {
    pub(crate) fn new() -> Self {
        let home = private_folder("test").unwrap();
        let cluster = Cluster::start(&home.path().join("postgres"), Fsync::Off, None).unwrap();
        let api_port = free_port().unwrap();
        let issuer = Issuer::start(&home.path().join("issuer"), "http://127.0.0.1:9/logout").unwrap();
        let [keys, other] = [(); 2].map(|()| issuer.server("keys", &json!({})).unwrap());
        let mut layout = Layout::new(AgentPlace::InProcess);
        layout.api_port = Some(api_port);
        policies(&home.path().join("policy"));
        layout.policy = Some(home.path().join("policy"));
        layout.classification = Some(root().join("demo/classification/clinic.toml"));
        layout.more = format!(
            "[mcp]\n[clients.claude]\nowner = \"it\"\nrecipient = \"Model Inc\"\noauth_clients = [\"{ASSISTANT}\"]\n\
             [issuers.org]\nurl = \"{}\"\nclient_id = \"chaperone-cli\"\n\
             mcp_audiences = [\"http://127.0.0.1:{api_port}/mcp\"]\n[exchange]\n{}{}",
            issuer.url(),
            server("notes", RESOURCE, &keys),
            server("other", "https://other.example/mcp", &other),
        );
        let boundary = Boundary::start(&home.path().join("chaperone"), &cluster, layout).unwrap();
        let (key, other_key) = (keys["key"].clone(), other["key"].clone());
        Self { issuer, boundary, cluster, key, other_key, _home: home }
    }

    /// As which authorization server the gateway is known.
    pub(crate) fn server(&self) -> String {
        format!("{}/oauth", self.boundary.api_url())
    }

    /// An access token as a client of the person's gets it for the server: by code and PKCE.
    pub(crate) fn token(&self, person: &str) -> String {
        let mut said = json!({"issuer": self.issuer.url(), "client": ASSISTANT, "scope": "clinic.read",
            "resource": RESOURCE});
        let begun = self.issuer.server("begin", &said).unwrap();
        let url = begun["url"].as_str().unwrap();
        let redirected = self.issuer.visit_until(url, person, "http://127.0.0.1/callback").unwrap();
        said["verifier"] = begun["verifier"].clone();
        said["redirected"] = redirected.into();
        self.issuer.server("finish", &said).unwrap()["token"].as_str().unwrap().to_owned()
    }

    /// A sound token for the server, made by hand, with some claims replaced.
    pub(crate) fn forged(&self, mut how: Value, claims: &Value) -> String {
        let mut all = json!({"aud": RESOURCE, "client_id": ASSISTANT});
        all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
        how["claims"] = all;
        let made = self.issuer.control("forge", &how).unwrap();
        made["token"].as_str().unwrap().to_owned()
    }

    /// What the server gets for a token, by the book.
    pub(crate) fn exchange(&self, token: &str, parameters: &Value) -> Value {
        let said = json!({"server": self.server(), "name": "notes", "key": self.key, "token": token,
            "parameters": parameters});
        self.issuer.server("exchange", &said).unwrap()
    }

    /// The same for the clinic, with what is to be left.
    pub(crate) fn narrowed(&self, token: &str, details: &Value) -> Value {
        let details = json!([details]).to_string();
        self.exchange(token, &json!({"audience": "clinic", "authorization_details": details}))
    }

    /// A connection string for a caller, through the server.
    pub(crate) fn url(&self, person: &str) -> String {
        let came = self.exchange(&self.token(person), &json!({"audience": "clinic"}));
        came["access_token"].as_str().unwrap().to_owned()
    }

    pub(crate) fn entries(&self, kind: &str) -> Vec<Value> {
        self.boundary.entries_of(kind).unwrap()
    }
}

/// What psycopg gets for a statement, or what it is told.
pub(crate) fn psycopg(url: &str, sql: &str) -> Result<Value, String> {
    let program = "import json, sys, psycopg\n\
        with psycopg.connect(sys.argv[1], autocommit=True) as line:\n    print(json.dumps(line.execute(sys.argv[2]).fetchall()))";
    let mut python = Command::new(target_dir().join("drivers/python/bin/python"));
    let said = capture(python.args(["-c", program, url, sql])).map_err(|error| error.to_string())?;
    serde_json::from_str(&said).map_err(|error| format!("{error}: {said}"))
}
