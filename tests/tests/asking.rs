//! What may be asked of a gateway about people and policies, and what it must not tell: explanations of those whom it knows,
//! sets that are tried over the API, workloads, lists page by page, refusals in the same words.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test's own set-up may fail it"
)]

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use chaperone_tests::{
    AgentPlace, Boundary, Caller, Cluster, Fsync, Issuer, Layout, Person, Talk, capture, free_port,
    private_folder,
};
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

const POLICY: &str = r#"
@id("nurses-connect")
permit (principal in Group::"org/nurses", action in [Action::"connect", Action::"read"], resource in Target::"clinic");
@id("treat-only")
forbid (principal, action == Action::"read", resource == Relation::"clinic/clinic.encounters")
unless { context has purpose && context.purpose == "TREAT" };
@id("through-claude")
permit (principal in Group::"dev/staff", action in [Action::"connect", Action::"read"], resource in Target::"clinic");
@id("etl")
permit (principal == Service::"ci/etl", action in [Action::"connect", Action::"read"], resource in Target::"clinic");
"#;
const TESTS: &str = "[[test]]\nas = \"org/ana\"\ngroups = [\"nurses\"]\ntarget = \"clinic\"\naction = \"connect\"\n\
    expect = \"allow\"\n\n[[test]]\nas = \"org/ana\"\ngroups = [\"nurses\"]\ntarget = \"clinic\"\n\
    sql = \"select 1 from clinic.encounters\"\nexpect = \"allow\"\n";
const ENCOUNTERS: &str = "select count(*) > 0 from clinic.encounters";

struct Place {
    issuer: Issuer,
    boundary: Boundary,
    home: TempDir,
    _cluster: Cluster,
}

impl Place {
    /// With an issuer that vouches for people, or for workloads.
    fn new(issuer_of: &str) -> Self {
        let home = private_folder("test").unwrap();
        let policy = home.path().join("policy");
        std::fs::create_dir(&policy).unwrap();
        std::fs::write(policy.join("a.cedar"), POLICY).unwrap();
        let cluster = Cluster::start(&home.path().join("postgres"), Fsync::Off, None).unwrap();
        let api_port = free_port().unwrap();
        let logout = format!("http://127.0.0.1:{api_port}/api/v1/backchannel-logout/org");
        let issuer = Issuer::start(&home.path().join("issuer"), &logout).unwrap();
        let mut layout = Layout::new(AgentPlace::InProcess);
        layout.api_port = Some(api_port);
        layout.policy = Some(policy);
        layout.more = format!(
            "[attributes]\nclinics = \"texts\"\nsenior = \"bool\"\nlevel = \"long\"\n\n\
             [clients.claude]\nowner = \"it\"\nrecipient = \"Model Inc\"\nagreement = \"BAA-7\"\n\n\
             {}",
            issuer_of.replace("URL", &issuer.url())
        );
        let boundary = Boundary::start(&home.path().join("chaperone"), &cluster, layout).unwrap();
        Self { issuer, boundary, home, _cluster: cluster }
    }

    fn people() -> Self {
        Self::new(
            "[issuers.org]\nurl = \"URL\"\nclient_id = \"chaperone-cli\"\n\
             claims = { clinics = \"clinics\", senior = \"senior\", level = \"level\" }\n",
        )
    }

    fn logged_in(&self, name: &str) -> Person {
        let person = Person::new(name, self.home.path(), &self.boundary);
        person.log_in(&self.issuer).unwrap();
        person
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        let (status, answer) = self.boundary.api("POST", path, body).unwrap();
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    }

    fn entries(&self, kind: &str) -> Vec<Value> {
        self.boundary.entries_of(kind).unwrap()
    }

    /// Every item of a list, one a page.
    fn paged(&self, path: &str) -> Vec<Value> {
        let (mut items, mut after) = (Vec::new(), String::new());
        loop {
            let (status, page) =
                self.boundary.api("GET", &format!("{path}?limit=1{after}"), &Value::Null).unwrap();
            assert_eq!(status, 200, "{path}: {page}");
            let some = page.get("items").or_else(|| page.get("entries")).unwrap().as_array().unwrap();
            assert!(some.len() <= 1, "{path}: {page}");
            items.extend(some.iter().cloned());
            match page.get("next").and_then(Value::as_str) {
                Some(next) => after = format!("&after={}", next.replace(':', "%3A").replace('/', "%2F")),
                None => return items,
            }
        }
    }
}

fn psql(url: &str) -> Command {
    let mut psql = Command::new("psql");
    psql.args(["-XAtq", "-d", url]);
    psql
}

#[test]
fn whoever_is_known_is_explained_as_known() {
    let place = Place::people();
    let ana = place.logged_in("ana");
    let known =
        place.boundary.cli_json(&["policy", "explain", "--as", "org/ana", "--sql", ENCOUNTERS]).unwrap();
    assert_eq!(known["delegation"]["groups"], json!(["nurses"]), "{known}");
    assert_eq!(known["connect"]["ruling"], "allow");
    assert_eq!(known["statement"]["ruling"], "refuse");
    let needs = known["statement"]["needs"].to_string();
    assert!(needs.contains(r#"{"change":"purpose","name":"TREAT"}"#), "{needs}");
    let typed = ["policy", "explain", "--as", "org/ana", "--group", "billing"];
    let typed = place.boundary.cli_json(&typed).unwrap();
    assert_eq!(typed["delegation"]["groups"], json!(["billing"]), "{typed}");
    assert_eq!(typed["connect"]["ruling"], "refuse");

    let body = json!({"as": "org/ana", "target": "clinic", "sql": ENCOUNTERS, "purpose": "TREAT",
        "attributes": {"level": 9}, "acr": "silver", "tool": "query"});
    let answer = place.post("/policies/explain", &body);
    assert_eq!(answer["known"], true);
    let explained = &answer["explanation"];
    assert_eq!(explained["statement"]["ruling"], "allow", "{explained}");
    assert_eq!(explained["delegation"]["attributes"]["level"], json!({"long": "9"}), "{explained}");
    assert_eq!(explained["delegation"]["attributes"]["senior"], json!({"bool": false}), "{explained}");
    assert_eq!(explained["delegation"]["assurance"]["acr"], "silver");
    let stranger = place.post("/policies/explain", &json!({"as": "org/nobody", "target": "clinic"}));
    assert_eq!(
        (&stranger["known"], &stranger["explanation"]["connect"]["ruling"]),
        (&json!(false), &json!("refuse"))
    );
    for wrong in [
        json!({"as": "org/ana", "target": "clinic", "attributes": {"level": "x"}}),
        json!({"as": "org/ana", "target": "clinic", "attributes": {"unknown": 1}}),
        json!({"as": "ana", "target": "clinic"}),
    ] {
        assert_eq!(place.boundary.api("POST", "/policies/explain", &wrong).unwrap().0, 422, "{wrong}");
    }

    // Who may not ask whom the gateway knows is told so.
    let folder = place.home.path().join("policy");
    let words = ["policy", "diff", folder.to_str().unwrap(), folder.to_str().unwrap()];
    let asked = ana.command(&words).output().unwrap();
    let said = String::from_utf8_lossy(&asked.stderr).into_owned();
    assert!(said.contains("does not say whom it knows"), "{said}");
}

#[test]
fn sets_are_tried_over_the_api_and_nothing_comes_into_force() {
    let place = Place::people();
    place.logged_in("ana");
    let before = place.paged("/policies");
    let files = json!({"a.cedar": POLICY, "tests.toml": TESTS});
    let checked = place.post("/policies/check", &json!({"files": files}));
    assert_eq!(
        (&checked["errors"], &checked["unverifiable_groups"]),
        (&json!([]), &json!(["dev/staff", "org/nurses"]))
    );
    let broken = place.post("/policies/check", &json!({"files": {"a.cedar": "permit (principle);"}}));
    assert!(broken["errors"][0].as_str().unwrap().starts_with("a.cedar:1:"), "{broken}");
    let tested = place.post("/policies/test", &json!({"files": files}));
    assert_eq!(tested["expectations"], 2);
    let unmet = tested["unmet"].as_array().unwrap();
    assert_eq!((unmet.len(), &unmet[0]["found"]), (1, &json!("refuse")), "{tested}");
    let matrix = place.post("/policies/matrix", &json!({}));
    assert!(matrix["matrix"].as_str().unwrap().contains("group org/nurses"), "{matrix}");
    assert_eq!(matrix["unread"], json!([]));
    let fewer = json!({"files": {"a.cedar": POLICY.replace("org/nurses", "org/others")}});
    let compared = place.post("/policies/diff", &json!({"new": fewer}));
    let losses = compared["difference"]["losses"].as_array().unwrap();
    assert!(losses.iter().any(|loss| loss["who"] == "person org/ana, as known"), "{compared}");
    // The same by words: those whom the gateway knows, and those of whom expectations speak.
    let (old, new) = (place.home.path().join("old"), place.home.path().join("new"));
    for (folder, text) in [(&old, POLICY.to_owned()), (&new, POLICY.replace("org/nurses", "org/others"))] {
        std::fs::create_dir(folder).unwrap();
        std::fs::write(folder.join("a.cedar"), text).unwrap();
    }
    let zoe = TESTS.replace("org/ana", "org/zoe");
    std::fs::write(new.join("tests.toml"), zoe).unwrap();
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let told = place.boundary.cli(&["policy", "diff", &text(&old), &text(&new)]).unwrap();
    for who in ["org/ana", "org/zoe"] {
        assert!(told.contains(&format!("person {who}, as known loses connect on clinic")), "{told}");
    }
    for (path, wrong) in [
        ("/policies/matrix", json!({"digest": "0"})),
        ("/policies/test", json!({})),
        ("/policies/diff", json!({"new": {"files": {"a.cedar": "permit (principle);"}}})),
        ("/policies/check", json!({"digest": "0", "files": {}})),
    ] {
        let (status, answer) = place.boundary.api("POST", path, &wrong).unwrap();
        assert!(status == 404 || status == 422, "{path}: {answer}");
    }
    assert_eq!(place.paged("/policies"), before);
}

#[test]
fn lists_come_page_by_page() {
    let place = Place::people();
    for name in ["ana", "ben"] {
        drop(place.logged_in(name));
    }
    for name in ["dev/eve", "dev/oscar"] {
        place.boundary.cli(&["lock", "subject", name, "--reason", "a drill"]).unwrap();
    }
    let field = |path: &str, name: &str| -> Vec<String> {
        place.paged(path).iter().map(|item| item[name].as_str().unwrap().to_owned()).collect()
    };
    for name in ["etl", "old", "zoo"] {
        let words = ["service", "create", name, "--owner", "org/ana", "--group", "loaders", "--ttl", "1h"];
        place.boundary.cli(&words).unwrap();
    }
    place.boundary.cli(&["service", "revoke", "old", "--reason", "a drill"]).unwrap();
    assert_eq!(field("/identities", "subject"), ["local/etl", "local/zoo", "org/ana", "org/ben"]);
    let (status, wrong) = place.boundary.api("GET", "/identities?after=x", &Value::Null).unwrap();
    assert_eq!((status, &wrong["title"]), (400, &json!("the request cannot be understood")), "{wrong}");
    assert_eq!(field("/people", "subject"), ["org/ana", "org/ben"]);
    assert_eq!(field("/locks", "name"), ["dev/eve", "dev/oscar"]);
    assert_eq!((field("/logins", "login").len(), field("/issuers", "name")), (2, vec!["org".to_owned()]));
    assert_eq!(
        (field("/clients", "client"), field("/clients", "recipient")),
        (vec!["claude".to_owned()], vec!["Model Inc".to_owned()])
    );

    // The recipient stands on the record of an ordinary session too; its entries come in pages.
    let staff = Caller { subject: "sam", groups: &["staff"], client: Some("claude") };
    let url = place.boundary.credential(&staff).unwrap();
    assert_eq!(Talk::start(&psql(&url)).unwrap().ask("select 7").unwrap(), "7");
    let opened = place.entries("session.opened").pop().unwrap();
    assert_eq!(
        opened["delegation"]["recipient"],
        json!({"agreement": "BAA-7", "name": "Model Inc"}),
        "{opened}"
    );
    let session = opened["session"].as_str().unwrap();
    let entries = place.paged(&format!("/sessions/{session}"));
    let shown = place.boundary.cli_json(&["session", "show", session]).unwrap();
    assert!(entries.len() > 4, "{entries:?}");
    assert_eq!(shown["entries"].as_array().unwrap()[..entries.len()], entries);
}

#[test]
fn a_purpose_is_what_policy_sees_of_it() {
    let place = Place::people();
    let ana = place.logged_in("ana");
    let read = |purpose: &[&str]| {
        let words = [&["psql", "clinic"], purpose, &["--", "-XAtq", "-c", ENCOUNTERS]].concat();
        ana.cli(&words)
    };
    assert_eq!(read(&["--purpose", "TREAT"]).unwrap().trim(), "t");
    assert!(read(&["--purpose", "HPAYMT"]).is_err() && read(&[]).is_err());
    let purposes: Vec<Value> = place
        .entries("session.opened")
        .iter()
        .map(|opened| opened["delegation"]["purpose"].clone())
        .collect();
    assert_eq!(purposes, [json!("TREAT"), json!("HPAYMT"), Value::Null]);
}

#[test]
fn a_refusal_is_the_same_for_what_exists_and_what_does_not() {
    let place = Place::people();
    // Somebody whom policy lets nowhere.
    let ben = place.logged_in("ben");
    let said = |target: &str| {
        let url = ben.cli(&["credential", target]).unwrap();
        let refused = Talk::start(&psql(url.trim())).unwrap_err().to_string();
        assert!(refused.contains("FATAL"), "{refused}");
        refused.replace(target, "TARGET")
    };
    assert_eq!(said("clinic"), said("nowhere"));

    let good =
        place.boundary.credential(&Caller { subject: "sam", groups: &["staff"], client: None }).unwrap();
    let (head, _) = good.split_once("://").unwrap();
    let rest = good.strip_prefix(&format!("{head}://")).unwrap();
    let (login, place_of) = rest.split_once('@').unwrap();
    let (user, password) = login.split_once(':').unwrap();
    let said = |user: &str, password: &str| {
        let url = format!("{head}://{user}:{password}@{place_of}");
        let refused = Talk::start(&psql(&url)).unwrap_err().to_string();
        refused.replace(user, "USER")
    };
    let unknown = said("nobody", password);
    assert!(unknown.contains("authentication failed"), "{unknown}");
    assert_eq!(said(user, "wrong"), unknown);
    assert_eq!(said(&user[..user.len() - 4], password), unknown);
}

#[test]
fn a_workload_shows_the_token_of_its_platform() {
    let place = Place::new(
        "[issuers.ci]\nurl = \"URL\"\nkind = \"workloads\"\naudiences = [\"chaperone\"]\n\
         workloads = [{ subject = \"repo:clinic:*\", service = \"etl\" }]\n",
    );
    let forge = |sub: &str| {
        let claims = json!({"claims": {"sub": sub, "aud": "chaperone"}});
        place.issuer.control("forge", &claims).unwrap()["token"].as_str().unwrap().to_owned()
    };
    let file = place.home.path().join("token");
    std::fs::write(&file, forge("repo:clinic:main")).unwrap();
    let robot = Person::new("robot", place.home.path(), &place.boundary);
    let words = |verb: &'static str, rest: &'static [&'static str]| {
        let file = file.to_str().unwrap().to_owned();
        let mut words: Vec<String> = vec![verb.to_owned(), "clinic".to_owned()];
        words.extend([
            "--workload-token-file".to_owned(),
            file,
            "--workload-issuer".to_owned(),
            "ci".to_owned(),
        ]);
        words.extend(rest.iter().map(|word| (*word).to_owned()));
        words
    };
    let run = |words: Vec<String>| capture(&mut robot.command(&words));
    let counted = run(words("psql", &["--", "-XAtq", "-c", "select count(*) > 0 from clinic.patients"]));
    assert_eq!(counted.unwrap().trim(), "t");
    assert_eq!(run(words("exec", &["--", "sh", "-c", "echo $PGDATABASE"])).unwrap().trim(), "clinic");
    let url = run(words("credential", &[])).unwrap();
    assert_eq!(Talk::start(&psql(url.trim())).unwrap().ask("select 5").unwrap(), "5");
    let made = place.entries("login.made");
    assert_eq!(made[0]["subject"], json!({"issuer": "ci", "kind": "service", "sub": "etl"}), "{made:?}");

    std::fs::write(&file, forge("repo:elsewhere:main")).unwrap();
    assert!(run(words("credential", &[])).is_err());
    let alone = robot.cli(&["credential", "clinic", "--workload-token-file", "x"]).unwrap_err().to_string();
    assert!(alone.contains("--workload-issuer"), "{alone}");
}

#[test]
fn a_code_is_redeemed_once() {
    let place = Place::people();
    // A verifier and its challenge (RFC 7636, appendix B), a redirect that nobody hears.
    let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    let challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
    let redirect = "http://127.0.0.1:9/callback";
    let url = format!(
        "{}/auth?client_id=chaperone-cli&response_type=code&scope=openid%20profile%20groups%20offline_access\
         &prompt=consent&state=s&nonce=n&code_challenge={challenge}&code_challenge_method=S256&redirect_uri={}",
        place.issuer.url(),
        redirect.replace(':', "%3A").replace('/', "%2F")
    );
    let back = place.issuer.visit_until(&url, "ana", redirect).unwrap();
    let code = back.split(['?', '&']).find_map(|part| part.strip_prefix("code=")).unwrap();
    let redeem = |verifier: &str| -> Value {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "-d", "grant_type=authorization_code", "-d", "client_id=chaperone-cli"]);
        for (name, value) in [("code", code), ("code_verifier", verifier), ("redirect_uri", redirect)] {
            curl.args(["--data-urlencode", &format!("{name}={value}")]);
        }
        serde_json::from_str(&capture(curl.arg(format!("{}/token", place.issuer.url()))).unwrap()).unwrap()
    };
    // Whoever only saw the code cannot redeem it.
    assert_eq!(redeem(&"x".repeat(43))["error"], "invalid_grant");
    let first = redeem(verifier);
    let shown = |tokens: &Value| {
        let body =
            json!({"issuer": "org", "id_token": tokens["id_token"], "access_token": tokens["access_token"]});
        place.boundary.api("POST", "/login", &body).unwrap().0
    };
    assert_eq!(shown(&first), 200, "{first}");
    assert_eq!(redeem(verifier)["error"], "invalid_grant", "a second time");
}

#[test]
fn clients_are_registered_while_the_gateway_runs() {
    let mut place = Place::people();
    let staff = Caller { subject: "sam", groups: &["staff"], client: Some("claude") };
    let url = place.boundary.credential(&staff).unwrap();
    let (mut session, other) = (Talk::start(&psql(&url)).unwrap(), Caller { client: None, ..staff });
    let mut alone = Talk::start(&psql(&place.boundary.credential(&other).unwrap())).unwrap();
    let file = place.boundary.config();
    let with = std::fs::read_to_string(&file).unwrap();
    let hang_up = |place: &mut Place, text: &str| {
        std::fs::write(&file, text).unwrap();
        place.boundary.gateway().signal(Signal::HUP).unwrap();
    };
    // What cannot be used changes nothing.
    hang_up(&mut place, &with.replace("recipient = \"Model Inc\"", ""));
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(session.ask("select 1").unwrap(), "1");
    hang_up(&mut place, &with.replace("Model Inc", "Other Inc"));
    session.until(Duration::from_secs(5), "select 1", Result::is_err).unwrap();
    assert_eq!(alone.ask("select 2").unwrap(), "2", "who acts without it goes on");
    assert_eq!(place.paged("/clients")[0]["recipient"], "Other Inc");
    drop(Talk::start(&psql(&url)).unwrap());
    let opened = place.entries("session.opened").pop().unwrap();
    assert_eq!(opened["delegation"]["recipient"]["name"], "Other Inc", "{opened}");
    let digest = |text: &str| {
        let file = place.home.path().join("text");
        std::fs::write(&file, text).unwrap();
        capture(Command::new("sha256sum").arg(file)).unwrap()[..64].to_owned()
    };
    let changed = place.entries("configuration.changed");
    assert_eq!(changed.len(), 1, "{changed:?}");
    let changed = &changed[0];
    let texts = (digest(&with.replace("Model Inc", "Other Inc")), digest(&with));
    assert_eq!((&changed["configuration"], &changed["previous"]), (&json!(texts.0), &json!(texts.1)));
    // And back to what it was at the start.
    hang_up(&mut place, &with);
    let begun = std::time::Instant::now();
    while place.paged("/clients")[0]["recipient"] != "Model Inc" && begun.elapsed().as_secs() < 5 {
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(place.paged("/clients")[0]["recipient"], "Model Inc");
}
