//! People log in at a real issuer (npm `oidc-provider`) and work through a real gateway with a real psql. What must not
//! work is tried as well.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test's own set-up may fail it"
)]

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use chaperone_tests::{
    AgentPlace, Boundary, Cluster, Fsync, Issuer, Layout, Person, Talk, capture, free_port, private_folder,
    root,
};
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Statements of each kind that the demonstration's policies permit to nurses only.
/// What nurses may read, and billing may not.
const ENCOUNTERS: &str = "select count(*) from clinic.encounters where patient_id <= 5";
const PATIENTS: &str = "select count(*) from clinic.patients where patient_id <= 5";
/// What the design grants between learning of an end and the end of a session.
const END_MAX: Duration = Duration::from_secs(5);

/// An issuer, a gateway that takes its logins, and a clinic behind it.
struct Place {
    issuer: Issuer,
    boundary: Boundary,
    home: TempDir,
    // Last: the gateway's sessions are there.
    _cluster: Cluster,
}

impl Place {
    /// Logins have to be confirmed within `recheck_s`.
    fn new(recheck_s: u64) -> Self {
        Self::with(recheck_s, false)
    }

    fn with(recheck_s: u64, tls: bool) -> Self {
        let home = private_folder("test").unwrap();
        let cluster = Cluster::start(&home.path().join("postgres"), Fsync::Off, None).unwrap();
        let api_port = free_port().unwrap();
        let logout = format!("http://127.0.0.1:{api_port}/api/v1/backchannel-logout/org");
        let issuer = Issuer::start(&home.path().join("issuer"), &logout).unwrap();
        let mut layout = Layout::new(AgentPlace::InProcess);
        layout.api_port = Some(api_port);
        layout.policy = Some(policy(home.path().join("policy")));
        layout.tls = tls;
        layout.more = format!(
            "[attributes]\nclinics = \"texts\"\nsenior = \"bool\"\nlevel = \"long\"\n\n\
             [issuers.org]\nurl = \"{}\"\nclient_id = \"chaperone-cli\"\n\
             claims = {{ clinics = \"clinics\", senior = \"senior\", level = \"level\" }}\n\
             recheck_s_max = {recheck_s}\n",
            issuer.url()
        );
        let boundary = Boundary::start(&home.path().join("chaperone"), &cluster, layout).unwrap();
        Self { issuer, boundary, home, _cluster: cluster }
    }

    fn person(&self, name: &str) -> Person {
        Person::new(name, self.home.path(), &self.boundary)
    }

    /// Somebody who has logged in.
    fn logged_in(&self, name: &str) -> Person {
        let person = self.person(name);
        person.log_in(&self.issuer).unwrap();
        person
    }

    /// `POST /login` with an ID token: the status, and the body without what differs from request to request.
    fn show(&self, token: &str) -> (u16, Value) {
        let body = json!({"issuer": "org", "id_token": token}).to_string();
        self.call("POST", "/login", None, &body)
    }

    fn call(&self, method: &str, path: &str, token: Option<&str>, body: &str) -> (u16, Value) {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "-X", method, "-w", "\n%{http_code}", "-H", "content-type: application/json"]);
        if let Some(token) = token {
            curl.args(["-H", &format!("authorization: Bearer {token}")]);
        }
        if !body.is_empty() {
            curl.args(["-d", body]);
        }
        let said = capture(curl.arg(format!("{}/api/v1{path}", self.boundary.api_url()))).unwrap();
        let (body, status) = said.rsplit_once('\n').unwrap();
        (status.parse().unwrap(), serde_json::from_str(body).unwrap_or(Value::Null))
    }

    /// Entries of the trail of one kind.
    fn entries(&self, kind: &str) -> Vec<Value> {
        self.boundary.entries_of(kind).unwrap()
    }
}

/// The demonstration's policies, for the people of this issuer.
fn policy(folder: PathBuf) -> PathBuf {
    std::fs::create_dir(&folder).unwrap();
    let text = std::fs::read_to_string(root().join("demo/policy/clinic.cedar")).unwrap();
    std::fs::write(folder.join("clinic.cedar"), text.replace("\"dev/", "\"org/")).unwrap();
    folder
}

/// psql at the clinic, reading its standard input.
fn psql(person: &Person) -> Command {
    person.command(&["psql", "clinic", "--", "-XAtq"])
}

fn refused(answer: &str) -> bool {
    answer.contains("ERROR:")
}

#[test]
fn people_log_in_with_a_browser_and_work() {
    let place = Place::new(300);
    let ana = place.person("ana");
    assert!(ana.cli(&["whoami"]).unwrap_err().to_string().contains("not logged in"));
    let said = ana.log_in(&place.issuer).unwrap();
    assert!(said.contains("logged in as org/ana (Ana Nurse)"), "{said}");

    let who: Value = serde_json::from_str(&ana.cli(&["whoami", "--json"]).unwrap()).unwrap();
    assert_eq!((&who["subject"], &who["groups"]), (&json!("org/ana"), &json!(["nurses"])));
    assert_eq!(who["attributes"], json!({"clinics": ["1", "2"], "level": 3, "senior": false}));
    assert_eq!(who["assurance"]["acr"], "urn:example:mfa");
    assert_eq!(who["assurance"]["amr"], json!(["otp", "pwd"]));
    assert!(who["not_after"].as_u64() > who["checked_at"].as_u64(), "{who}");

    let mut session = Talk::start(&psql(&ana)).unwrap();
    assert_eq!(session.ask(PATIENTS).unwrap(), "5");
    assert!(refused(&session.ask("select count(*) from clinic.claims").unwrap()));
    let sessions = place.boundary.cli_json(&["sessions"]).unwrap();
    assert_eq!(sessions[0]["delegation"]["subject"]["sub"], "ana", "{sessions}");
    assert_eq!(sessions[0]["delegation"]["assurance"]["acr"], "urn:example:mfa", "{sessions}");

    // The secret is in the environment of one child, and nowhere else.
    let shown = ana.cli(&[
        "exec",
        "clinic",
        "--",
        "sh",
        "-c",
        "echo $PGDATABASE $PGSSLMODE; cat /proc/$PPID/cmdline",
    ]);
    let shown = shown.unwrap();
    assert!(shown.contains("clinic disable"), "{shown}");
    assert!(!shown.contains("password") && !shown.contains("PGPASSWORD"), "{shown}");
    let status = ana.command(&["exec", "clinic", "--", "sh", "-c", "exit 7"]).status().unwrap();
    assert_eq!(status.code(), Some(7));

    // Logging out ends what is open.
    assert!(ana.cli(&["logout"]).is_ok());
    let took = session.until(END_MAX, PATIENTS, Result::is_err).unwrap();
    assert!(took < END_MAX, "{took:?}");
    assert!(ana.cli(&["whoami"]).unwrap_err().to_string().contains("not logged in"));
    place.boundary.cli(&["trail", "verify"]).unwrap();
}

#[test]
fn a_login_is_kept_in_the_keyring_where_one_answers() {
    let place = Place::new(300);
    let ana = place.person("ana").with_keyring().unwrap();
    ana.log_in(&place.issuer).unwrap();
    assert!(ana.cli(&["whoami"]).unwrap().contains("org/ana"));
    // It is in no file: those of the keyring are encrypted.
    let files = capture(Command::new("find").arg(ana.home()).args(["-type", "f"])).unwrap();
    assert!(files.contains("keyrings/login.keyring") && !files.contains("logins.json"), "{files}");
    for file in files.lines() {
        let text = std::fs::read(file).unwrap();
        assert!(!text.windows(5).any(|part| part == b"cpl1."), "{file}");
    }
    ana.cli(&["logout"]).unwrap();
    assert!(ana.cli(&["whoami"]).unwrap_err().to_string().contains("not logged in"));
}

#[test]
fn a_device_without_a_browser_logs_in() {
    let place = Place::new(300);
    let ben = place.person("ben");
    let login = ben.begin(&["--device"]).unwrap();
    place.issuer.visit(&login.url, "ben").unwrap();
    let said = login.end().unwrap();
    assert!(said.contains("logged in as org/ben"), "{said}");
    let mut session = Talk::start(&psql(&ben)).unwrap();
    assert!(!refused(&session.ask("select count(*) from clinic.claims").unwrap()));
    assert!(refused(&session.ask(ENCOUNTERS).unwrap()));
}

#[test]
fn keys_rotate_without_a_restart() {
    let place = Place::new(20);
    let ana = place.logged_in("ana");
    // Keys are asked for again every ten seconds at most, and a login is confirmed at half of its time.
    std::thread::sleep(Duration::from_secs(11));
    place.issuer.control("rotate", &json!({})).unwrap();
    // The old login is confirmed with the new key, and a new one is made with it.
    assert!(ana.cli(&["whoami"]).unwrap().contains("org/ana"));
    let dora = place.logged_in("dora");
    assert!(dora.cli(&["whoami"]).unwrap().contains("org/dora"));
}

#[test]
fn tokens_that_prove_nothing_make_no_login() {
    let place = Place::new(300);
    let forge = |what: Value| {
        let made = place.issuer.control("forge", &what).unwrap();
        made["token"].as_str().unwrap().to_owned()
    };
    // What makes each of them bad is the one thing that differs.
    let (status, body) = place.show(&forge(json!({})));
    assert_eq!((status, &body["subject"]), (200, &json!("org/ana")), "{body}");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let good = forge(json!({}));
    let (head, rest) = good.split_once('.').unwrap();
    let (payload, signature) = rest.split_once('.').unwrap();
    let bad = [
        ("no algorithm", forge(json!({"kind": "none"}))),
        ("the public key as a shared secret", forge(json!({"kind": "hs256"}))),
        ("a key that was never published", forge(json!({"kind": "stranger"}))),
        ("for another client", forge(json!({"claims": {"aud": "somebody-else"}}))),
        ("of another issuer", forge(json!({"claims": {"iss": "http://127.0.0.1:1"}}))),
        ("expired", forge(json!({"claims": {"iat": now - 900, "exp": now - 300}}))),
        ("not yet valid", forge(json!({"claims": {"nbf": now + 300}}))),
        ("issued in the future", forge(json!({"claims": {"iat": now + 300}}))),
        ("without an expiry", forge(json!({"claims": {"exp": null}}))),
        ("of nobody", forge(json!({"claims": {"sub": null}}))),
        ("an attribute of another type", forge(json!({"claims": {"level": "9"}}))),
        ("without its signature", format!("{head}.{payload}.")),
        (
            "with a changed signature",
            format!("{head}.{payload}.{}", signature.replacen(['a', 'b', 'c'], "d", 1)),
        ),
        ("nothing", String::new()),
        ("not a token", "e30.e30".to_owned()),
    ];
    let mut answers: Vec<(u16, Value)> = Vec::new();
    for (what, token) in &bad {
        let (status, mut body) = place.show(token);
        assert!(status == 401 || status == 429, "{what}: {status} {body}");
        body.as_object_mut().unwrap().remove("instance");
        if status == 401 {
            answers.push((status, body));
        }
    }
    // Whoever guesses learns nothing from the answers.
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
}

#[test]
fn a_redirect_that_does_not_belong_is_not_taken() {
    let place = Place::new(300);
    let ana = place.person("ana");
    let send = |address: &str| {
        let mut curl = Command::new("curl");
        capture(curl.args(["-s", "-o", "/dev/null", "-w", "%{http_code}"]).arg(address)).unwrap_or_default()
    };

    // Another state: answered and forgotten; the login goes on and takes the right one, once.
    let login = ana.begin(&[]).unwrap();
    let (redirect, state) = login.expects().unwrap();
    assert_eq!(send(&format!("{redirect}?code=x&state=guessed")), "400");
    assert_eq!(send(&format!("{redirect}?code=x")), "400");
    let right = place.issuer.visit_until(&login.url, "ana", &redirect).unwrap();
    assert!(right.contains(&state));
    assert_eq!(send(&right), "200");
    assert!(login.end().unwrap().contains("logged in as org/ana"));
    // The code again: nobody listens for it any more.
    assert_eq!(send(&right), "");

    // A nonce that the command line has not chosen.
    let login = ana.begin(&[]).unwrap();
    let (redirect, _) = login.expects().unwrap();
    let at = login.url.find("nonce=").unwrap() + "nonce=".len();
    let mut changed = login.url.clone();
    changed.replace_range(at..=at + 5, "changed"[..6].as_ref());
    let injected = place.issuer.visit_until(&changed, "ana", &redirect).unwrap();
    assert_eq!(send(&injected), "200");
    assert!(login.end().unwrap_err().to_string().contains("nonce"));

    // The code of another login: its proof (PKCE) is missing.
    let (one, other) = (ana.begin(&[]).unwrap(), ana.begin(&[]).unwrap());
    let (redirect, _) = one.expects().unwrap();
    let stolen = place.issuer.visit_until(&one.url, "dora", &redirect).unwrap();
    let code = stolen.split(['?', '&']).find(|part| part.starts_with("code=")).unwrap();
    let (redirect, state) = other.expects().unwrap();
    let iss = place.issuer.url().replace(':', "%3A").replace('/', "%2F");
    assert_eq!(send(&format!("{redirect}?{code}&state={state}&iss={iss}")), "200");
    assert!(other.end().unwrap_err().to_string().contains("invalid_grant"));
    one.stop();

    // Another issuer's answer, and one that does not say whose it is (RFC 9207).
    for (iss, word) in
        [("&iss=https%3A%2F%2Fevil.example", "another issuer"), ("", "does not name its issuer")]
    {
        let login = ana.begin(&[]).unwrap();
        let (redirect, state) = login.expects().unwrap();
        send(&format!("{redirect}?code=x&state={state}{iss}"));
        let error = login.end().unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
}

#[test]
fn a_group_taken_away_is_gone_at_the_next_statement() {
    let place = Place::new(6);
    let ana = place.logged_in("ana");
    let mut session = Talk::start(&psql(&ana)).unwrap();
    assert_eq!(session.ask(PATIENTS).unwrap(), "5");
    let mut endless = ana.command(&["psql", "clinic", "--", "-XAtq", "-v", "VERBOSITY=verbose", "-c"]);
    endless.arg("select count(*) from clinic.encounters a, clinic.encounters b, clinic.encounters c");
    let endless = endless.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    place.issuer.control("person", &json!({"sub": "ana", "groups": ["billing"]})).unwrap();
    // Refreshing while psql runs tells the gateway; the session stays, and is what its person is now.
    let gone = |answer: &chaperone_tests::Result<String>| answer.as_ref().is_ok_and(|said| refused(said));
    let took = session.until(Duration::from_secs(6) + END_MAX, ENCOUNTERS, gone).unwrap();
    assert!(took < Duration::from_secs(6) + END_MAX, "{took:?}");
    assert!(!refused(&session.ask("select count(*) from clinic.claims").unwrap()));
    let who: Value = serde_json::from_str(&ana.cli(&["whoami", "--json"]).unwrap()).unwrap();
    assert_eq!(who["groups"], json!(["billing"]));
    // What ran meanwhile was stopped, and the record says from when on sessions were held to it.
    let stopped = String::from_utf8(endless.wait_with_output().unwrap().stderr).unwrap();
    assert!(stopped.contains("42501: stopped while it ran"), "{stopped}");
    let followed = place.entries("session.followed");
    let identity: Vec<_> = followed.iter().filter(|entry| entry["changed"] == "identity").collect();
    assert!(identity.len() >= 2, "each session: {followed:?}");
    assert!(identity.iter().all(|entry| entry["after_us"].as_u64().unwrap() < 5_000_000), "{followed:?}");
    let outcomes = place.entries("operation.outcome");
    assert_eq!(outcomes.iter().filter(|entry| entry.get("withdrawn").is_some()).count(), 1);
    place.boundary.cli(&["trail", "verify"]).unwrap();
}

#[test]
fn an_issuer_that_is_down_ends_nothing_and_lets_nobody_in() {
    let place = Place::new(20);
    let ana = place.logged_in("ana");
    let mut session = Talk::start(&psql(&ana)).unwrap();
    assert_eq!(session.ask(PATIENTS).unwrap(), "5");
    place.issuer.control("down", &json!({})).unwrap();
    let error = place.person("ben").begin(&[]).unwrap_err().to_string();
    assert!(error.contains("cannot reach"), "{error}");
    for _ in 0..5 {
        std::thread::sleep(Duration::from_secs(1));
        assert_eq!(session.ask(PATIENTS).unwrap(), "5");
    }
    // Back in time: nothing was noticed.
    place.issuer.control("up", &json!({})).unwrap();
    for _ in 0..18 {
        std::thread::sleep(Duration::from_secs(1));
        assert_eq!(session.ask(PATIENTS).unwrap(), "5");
    }
}

#[test]
fn a_login_that_nobody_confirms_ends_its_sessions() {
    let place = Place::new(6);
    let ana = place.logged_in("ana");
    // A credential by hand: nothing refreshes while it is used.
    let url = ana.cli(&["credential", "clinic", "--ttl", "10m"]).unwrap();
    let mut session = Talk::start(Command::new("psql").args(["-XAtq", "-d", url.trim()])).unwrap();
    assert_eq!(session.ask(PATIENTS).unwrap(), "5");
    place.issuer.control("down", &json!({})).unwrap();
    let took = session.until(Duration::from_secs(6) + END_MAX, PATIENTS, Result::is_err).unwrap();
    assert!(took > Duration::from_secs(1), "{took:?}");
    let again = Talk::start(Command::new("psql").args(["-XAtqw", "-d", url.trim()]));
    assert!(again.unwrap_err().to_string().contains("authentication failed"));
}

#[test]
fn a_revoked_refresh_token_ends_the_login_at_once() {
    let place = Place::new(6);
    let ana = place.logged_in("ana");
    let mut session = Talk::start(&psql(&ana)).unwrap();
    let revoked = place.issuer.control("revoke", &json!({"sub": "ana"})).unwrap();
    assert_eq!(revoked["count"], 1);
    let begun = Instant::now();
    let took = session.until(Duration::from_secs(6) + END_MAX, PATIENTS, Result::is_err).unwrap();
    assert!(took <= begun.elapsed() && took < Duration::from_secs(6), "{took:?}");
    assert!(ana.cli(&["whoami"]).unwrap_err().to_string().contains("not logged in"));
}

#[test]
fn a_disabled_person_ends_at_the_next_confirmation() {
    let place = Place::new(6);
    let ana = place.logged_in("ana");
    let mut session = Talk::start(&psql(&ana)).unwrap();
    place.issuer.control("person", &json!({"sub": "ana", "disabled": true})).unwrap();
    session.until(Duration::from_secs(6) + END_MAX, PATIENTS, Result::is_err).unwrap();
    let login = ana.begin(&[]).unwrap();
    let page = place.issuer.visit(&login.url, "ana").unwrap();
    assert_eq!(page["status"], 403);
    login.stop();
}

#[test]
fn a_logout_at_the_issuer_ends_an_open_session() {
    let place = Place::new(300);
    let ana = place.logged_in("ana");
    let mut session = Talk::start(&psql(&ana)).unwrap();
    assert_eq!(session.ask(PATIENTS).unwrap(), "5");
    let told = place.issuer.control("logout", &json!({"sub": "ana"})).unwrap();
    assert_eq!(told["sids"].as_array().unwrap().len(), 1, "{told}");
    let took = session.until(END_MAX, PATIENTS, Result::is_err).unwrap();
    assert!(took < END_MAX, "{took:?}");
    let error = ana.cli(&["whoami"]).unwrap_err().to_string();
    assert!(error.contains("has ended") && error.contains("chaperone login"), "{error}");
    // How long it took from learning of it stands on record.
    let ended = place.entries("login.ended");
    assert_eq!(ended.len(), 1, "{ended:?}");
    assert_eq!(ended[0]["reason"], "back_channel", "{ended:?}");
    let after_us = |entry: &Value| entry["ended_after_us"].as_u64();
    let begun = Instant::now();
    while !place
        .entries("session.closed")
        .iter()
        .any(|entry| after_us(entry).is_some_and(|us| us < 5_000_000))
    {
        assert!(begun.elapsed() < END_MAX, "{:?}", place.entries("session.closed"));
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_local_port_needs_no_password_and_outlives_a_refresh() {
    let place = Place::with(4, true);
    let ana = place.person("ana");
    let ca = place.home.path().join("chaperone/server.crt");
    let login = ana.begin(&["--ca", &ca.to_string_lossy()]).unwrap();
    place.issuer.visit(&login.url, "ana").unwrap();
    login.end().unwrap();

    let port = free_port().unwrap().to_string();
    let mut connect = ana.start(&["connect", "clinic", "--port", &port]).unwrap();
    let ready = || std::net::TcpStream::connect(format!("127.0.0.1:{port}")).is_ok();
    connect.until(Duration::from_secs(20), ready).unwrap();
    let log = connect.log();
    assert!(log.contains("you are org/ana (Ana Nurse), groups: nurses; at clinic you may read "), "{log}");
    assert!(log.contains("clinic.patients"), "{log}");
    assert!(log.contains(&format!("host=127.0.0.1 port={port} dbname=clinic")), "{log}");
    let local = || {
        let mut psql = Command::new("psql");
        psql.args(["-XAtqw", "-h", "127.0.0.1", "-p", &port, "-U", "whoever", "anything"]);
        psql.env_remove("PGPASSWORD");
        psql
    };
    let (mut one, mut two) = (Talk::start(&local()).unwrap(), Talk::start(&local()).unwrap());
    for _ in 0..7 {
        assert_eq!(one.ask(PATIENTS).unwrap(), "5");
        assert_eq!(two.ask(PATIENTS).unwrap(), "5");
        std::thread::sleep(Duration::from_secs(1));
    }
    assert!(refused(&one.ask("delete from clinic.patients").unwrap()));
    assert_eq!(Talk::start(&local()).unwrap().ask(PATIENTS).unwrap(), "5");

    // A cancel request finds its session through the same port.
    let cancelled = capture(Command::new("sh").args([
        "-c",
        "timeout -s INT 2 \"$@\" -c 'select count(*) from clinic.patients a, clinic.patients b, clinic.patients c' 2>&1; true",
        "sh",
    ]).arg("psql").args(local().get_args()));
    assert!(cancelled.unwrap().contains("canceling statement"));

    // A socket in a folder of one's own.
    let folder = place.home.path().join("socket");
    let mut socket = ana.start(&["connect", "clinic", "--socket", &folder.to_string_lossy()]).unwrap();
    socket.until(Duration::from_secs(20), || folder.join(".s.PGSQL.5432").exists()).unwrap();
    let mut psql = Command::new("psql");
    psql.args(["-XAtqw", "-h"]).arg(&folder).args(["-U", "whoever", "clinic"]);
    assert_eq!(Talk::start(&psql).unwrap().ask(PATIENTS).unwrap(), "5");
    drop(socket);
    assert!(!folder.join(".s.PGSQL.5432").exists());

    // The login ends: so does the port.
    ana.cli(&["logout"]).unwrap();
    one.until(END_MAX, PATIENTS, Result::is_err).unwrap();
}

#[test]
fn a_connection_string_is_narrowed_and_never_widened() {
    let mut place = Place::new(300);
    let ana = place.logged_in("ana");
    let url =
        ana.cli(&["credential", "clinic", "--only", "clinic.patients", "--only", "clinic.clinics"]).unwrap();
    let open = |url: &str| Talk::start(Command::new("psql").args(["-XAtqw", "-d", url.trim()]));
    let mut session = open(&url).unwrap();
    assert_eq!(session.ask(PATIENTS).unwrap(), "5");
    assert!(refused(&session.ask("select count(*) from clinic.encounters").unwrap()));

    let program = place.boundary.program().to_owned();
    let narrow = |url: &str, words: &str| {
        let line = format!("printf %s \"$0\" | \"$1\" credential narrow {words}");
        capture(Command::new("sh").args(["-c", &line, url.trim()]).arg(&program))
    };
    let narrower = narrow(&url, "--only clinic.clinics --only clinic.encounters").unwrap();
    let mut session = open(&narrower).unwrap();
    assert!(!refused(&session.ask("select count(*) from clinic.clinics").unwrap()));
    assert!(refused(&session.ask(PATIENTS).unwrap()));
    // What the parent had not is not there either.
    assert!(refused(&session.ask("select count(*) from clinic.encounters").unwrap()));

    let shorter = narrow(&url, "--ttl 1s").unwrap();
    std::thread::sleep(Duration::from_secs(2));
    assert!(open(&shorter).is_err());
    assert!(narrow("postgresql://ana:word@127.0.0.1/clinic", "--rows 5").is_err());
    assert!(narrow(&url, "").is_err());

    // More than a user name carries: the gateway keeps it, over a restart too.
    let columns = [
        "clinic.patients(patient_id, mrn, family_name, given_name, birth_date, sex, phone, email, street, city, zip)",
        "clinic.encounters(encounter_id, patient_id, clinician_id, clinic_id, started_at, reason, diagnosis, vitals)",
        "clinic.medications(medication_id, encounter_id, patient_id, drug, dose, started_on, ended_on)",
        "clinic.clinicians(clinician_id, clinic_id, npi, family_name, given_name, specialty)",
    ];
    let words: Vec<&str> = columns.iter().flat_map(|only| ["--only", only]).collect();
    let wide = ana.cli(&[&["credential", "clinic"], words.as_slice()].concat()).unwrap();
    let fewer = narrow(&wide, "--only 'clinic.patients(patient_id, mrn, ssn)'").unwrap();
    let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
    assert!(narrow(&url, &quoted.join(" ")).unwrap_err().to_string().contains("512 bytes"));
    for restarted in [false, true] {
        if restarted {
            place.boundary.restart_gateway().unwrap();
        }
        let seen = "select mrn is null, phone is null, ssn is null from clinic.patients where patient_id = 1";
        assert_eq!(open(&wide).unwrap().ask(seen).unwrap(), "f|f|t");
        assert_eq!(open(&fewer).unwrap().ask(seen).unwrap(), "f|t|t");
    }
}

#[test]
fn issuers_change_while_the_gateway_runs() {
    let mut place = Place::new(300);
    let ana = place.logged_in("ana");
    let mut session = Talk::start(&psql(&ana)).unwrap();
    assert_eq!(session.ask(PATIENTS).unwrap(), "5");
    let file = place.boundary.config();
    let with = std::fs::read_to_string(&file).unwrap();
    let (without, _) = with.split_once("[issuers.org]").unwrap();
    let hang_up = |place: &mut Place, text: &str| {
        std::fs::write(&file, text).unwrap();
        place.boundary.gateway().signal(Signal::HUP).unwrap();
    };
    // What cannot be used changes nothing.
    hang_up(&mut place, &with.replace("client_id", "client_di"));
    std::thread::sleep(Duration::from_secs(1));
    hang_up(
        &mut place,
        &with.replace("[attributes]", "[attributes]\nother = \"bool\"").replace("= 300", "= 200"),
    );
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(session.ask(PATIENTS).unwrap(), "5");
    // Nothing listens there as long as the gateway runs, and it says so.
    hang_up(&mut place, &format!("{without}\n[agents]\nlisten = \"127.0.0.1:1\"\n"));
    session.until(END_MAX, PATIENTS, Result::is_err).unwrap();
    let token = ana.token().unwrap();
    assert_eq!(place.call("GET", "/targets", Some(&token), "").0, 401);
    assert_eq!(place.call("GET", "/issuers", None, "").1["items"], json!([]));
    hang_up(&mut place, &with);
    let begun = Instant::now();
    while place.call("GET", "/issuers", None, "").1["items"] == json!([]) && begun.elapsed() < END_MAX {
        std::thread::sleep(Duration::from_millis(100));
    }
    // The login ended with its issuer; another one can be made.
    assert_eq!(place.call("GET", "/targets", Some(&token), "").0, 401);
    let ben = place.logged_in("ben");
    assert!(ben.cli(&["whoami"]).unwrap().contains("org/ben"));
    assert_eq!(place.entries("configuration.changed").len(), 2);
    assert!(place.entries("login.ended").iter().any(|entry| entry["reason"] == "issuer_removed"));
    let log = place.boundary.gateway().log();
    assert!(log.contains("`agents` in gateway.toml has changed and waits for the next start"), "{log}");
    assert!(log.contains("attributes do not"), "{log}");
}
