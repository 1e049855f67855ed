//! Row filters under the floor: the database itself shows a session the rows of whoever it is for, by what the agent told
//! it and nobody else can say. The caller comes from a real issuer.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test's own set-up may fail it")]

use std::process::Command;
use std::time::Duration;

use chaperone_tests::{
    AgentPlace, Boundary, Cluster, Floor, Fsync, Issuer, Layout, Person, Talk, UnderFloor, capture,
    free_port, private_folder, root,
};
use serde_json::json;
use tempfile::TempDir;

/// Between learning of a change and its reaching an open session; logins are confirmed at half of six seconds.
const CHANGE_MAX: Duration = Duration::from_secs(11);
const COUNT: &str = "select count(*) from clinic.patients";

struct Place {
    issuer: Issuer,
    boundary: Boundary,
    cluster: Cluster,
    floor: Floor,
    home: TempDir,
}

impl Place {
    fn new(agent: AgentPlace) -> Self {
        let home = private_folder("test").unwrap();
        let cluster = Cluster::start(&home.path().join("postgres"), Fsync::Off, None).unwrap();
        let api_port = free_port().unwrap();
        let logout = format!("http://127.0.0.1:{api_port}/api/v1/backchannel-logout/org");
        let issuer = Issuer::start(&home.path().join("issuer"), &logout).unwrap();
        let policy = home.path().join("policy");
        std::fs::create_dir(&policy).unwrap();
        // Nurses see the rows of their own clinics.
        let text = std::fs::read_to_string(root().join("demo/policy/clinic.cedar")).unwrap();
        let (before, rest) = text.split_once("@id(\"nurses-all-rows\")").unwrap();
        let (_, after) = rest.split_once(");").unwrap();
        let text = format!("{before}{after}").replace("\"dev/", "\"org/");
        std::fs::write(policy.join("clinic.cedar"), text).unwrap();
        let login = UnderFloor { login: "nurses", role: "nurses", groups: vec!["org/nurses".to_owned()] };
        let floor = Floor::new(home.path(), vec![login]).unwrap();
        let mut layout = Layout {
            api_port: Some(api_port),
            policy: Some(policy),
            classification: Some(root().join("demo/classification/clinic.toml")),
            more: format!(
                "[issuers.org]\nurl = \"{}\"\nclient_id = \"chaperone-cli\"\n\
                 claims = {{ clinics = \"clinics\" }}\nrecheck_s_max = 6\n\n",
                issuer.url()
            ),
            ..Layout::new(agent)
        };
        floor.declare("clinic", &mut layout);
        let boundary = Boundary::start(&home.path().join("chaperone"), &cluster, layout).unwrap();
        floor.apply(&boundary, "clinic", &cluster).unwrap();
        Self { issuer, boundary, cluster, floor, home }
    }

    fn verified(&self) -> String {
        capture(&mut self.floor.verb(&self.boundary, &self.cluster, &["verify"]).unwrap()).unwrap()
    }

    fn sql(&self, text: &str) -> String {
        self.cluster.sql(text).unwrap().trim().to_owned()
    }

    /// Through the gateway.
    fn session(&self, name: &str) -> Talk {
        let person = Person::new(name, self.home.path(), &self.boundary);
        person.log_in(&self.issuer).unwrap();
        Talk::start(&person.command(&["psql", "clinic", "--", "-XAtq", "-v", "VERBOSITY=verbose"])).unwrap()
    }

    /// As the role of the floor, past the gateway: what a hole in the rewriting would let a caller do.
    fn past(&self) -> Talk {
        let password = self.floor.password().unwrap();
        let url = format!("postgresql://nurses:{password}@127.0.0.1:{}/clinic", self.cluster.port());
        Talk::start(Command::new("psql").args(["-XAtq", "-v", "VERBOSITY=verbose", "-d", &url])).unwrap()
    }

    /// The view of the patients that nurses read.
    fn view(&self) -> String {
        self.sql(
            "select c.oid::regclass from pg_class c where relnamespace = 'chaperone_floor'::regnamespace \
             and relname like 'patients%' and has_table_privilege('nurses', c.oid, 'select')",
        )
    }
}

#[test]
fn a_session_reads_the_rows_that_the_agent_told_the_database_about() {
    let place = Place::new(AgentPlace::InProcess);
    assert_eq!(place.verified(), "");
    let theirs = place.sql("select count(*) from clinic.patients where clinic_id in (1, 2)");
    let mut ana = place.session("ana");
    assert_eq!(ana.ask(COUNT).unwrap(), theirs);
    // A mask over the view, a row outside, and a condition that would tell of rows outside by failing.
    let outside = place.sql("select min(patient_id) from clinic.patients where clinic_id not in (1, 2)");
    let one = |what: &str| format!("select {what} from clinic.patients where patient_id = {outside}");
    assert_eq!(ana.ask(&one("count(*)")).unwrap(), "0");
    assert_eq!(ana.ask(&format!("{COUNT} where 1 / (patient_id - {outside}) >= 0")).unwrap(), theirs);
    assert!(!ana.ask("select ssn from clinic.patients limit 1").unwrap().contains("ERROR"));
    let told = "select said from chaperone_floor.callers";
    assert_eq!(place.sql(told), r#"{"clinics": "{1,2}"}"#);

    // The role itself reads none: nobody told the database about this session of its.
    let (mut past, view) = (place.past(), place.view());
    assert_eq!(past.ask(&format!("select count(*) from {view}")).unwrap(), "0");
    for refused in [
        "select count(*) from clinic.patients",
        "select said from chaperone_floor.callers",
        "select said from chaperone_floor.caller",
        "insert into chaperone_floor.callers select pg_backend_pid(), 'mine', '{\"clinics\": \"{1}\"}'",
        "update chaperone_floor.callers set pid = pg_backend_pid()",
        "delete from chaperone_floor.callers",
        "truncate chaperone_floor.callers",
        "insert into clinic.patients default values",
        "delete from clinic.patients",
    ] {
        assert!(past.ask(refused).unwrap().contains("42501"), "{refused}");
    }
    // A row of a dead backend says nothing of another one that has its number, which has another word or none; and the word
    // of another session, were it known, nothing of this one's process.
    let count = format!("select count(*) from {view}");
    let pid = past.ask("select pg_backend_pid()").unwrap();
    place.sql(&format!(
        "insert into chaperone_floor.callers values ({pid}, 'known', jsonb_build_object('clinics', '{{1}}'))"
    ));
    assert_eq!(past.ask(&count).unwrap(), "0");
    let word = place.sql(&format!("select session from chaperone_floor.callers where pid <> {pid}"));
    assert_eq!(word.len(), 32);
    for other in ["", "guessed", &word] {
        past.ask(&format!("set chaperone_floor.session = '{other}'")).unwrap();
        assert_eq!(past.ask(&count).unwrap(), "0", "{other}");
    }
    // Told of, it reads its rows, and a condition that tells what it is tried on is not tried on others.
    past.ask("set chaperone_floor.session = 'known'").unwrap();
    let of_one = place.sql("select count(*) from clinic.patients where clinic_id = 1");
    assert_eq!(past.ask(&count).unwrap(), of_one);
    past.ask(
        "create function pg_temp.tell(int) returns bool language plpgsql cost 0.0001 as \
         'begin if $1 <> 1 then raise notice ''seen''; end if; return true; end'",
    )
    .unwrap();
    let leaky = past.ask(&format!("select count(*) from {view} where pg_temp.tell(clinic_id)")).unwrap();
    assert_eq!(leaky, of_one);
    // What a session starts with is neither shown nor changed, and outlasts whatever takes back what it changed itself.
    for refused in [
        "show chaperone_floor.session",
        "set chaperone_floor.session = 'guessed'",
        "set local chaperone_floor.session to default",
        "reset chaperone_floor.session",
        "select set_config('chaperone_floor.session', 'guessed', false)",
        "select current_setting('chaperone_floor.session')",
    ] {
        assert!(ana.ask(refused).unwrap().contains("ERROR"), "{refused}");
    }
    let shown = "select current_setting('chaperone_floor.session', true) is null, \
                 count(*) from pg_settings where name like 'chaperone_floor%'";
    assert_eq!(ana.ask(shown).unwrap(), "t|0");
    for over in ["reset all", "discard all", "begin; set local search_path = public; rollback"] {
        ana.ask(over).unwrap();
        assert_eq!(ana.ask(COUNT).unwrap(), theirs, "{over}");
    }
    drop((past, ana));

    // What a session leaves goes with it.
    let left = || place.sql(&format!("select count(*) from chaperone_floor.callers where pid <> {pid}"));
    for _ in 0..50 {
        if left() == "0" {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(left(), "0");
}

#[test]
fn whoever_is_somebody_else_now_connects_again() {
    let place = Place::new(AgentPlace::Separate);
    let mut ana = place.session("ana");
    let before = ana.ask(COUNT).unwrap();
    place.issuer.control("person", &json!({ "sub": "ana", "clinics": ["3"] })).unwrap();
    // Refused from when the gateway knows, until the session has ended.
    let over =
        |answer: &chaperone_tests::Result<String>| answer.as_ref().map_or(true, |said| *said != before);
    ana.until(CHANGE_MAX, COUNT, over).unwrap();
    let theirs = place.sql("select count(*) from clinic.patients where clinic_id = 3");
    assert_eq!(place.session("ana").ask(COUNT).unwrap(), theirs);
}

#[test]
fn a_floor_that_is_not_told_shows_nothing_and_says_so() {
    let place = Place::new(AgentPlace::InProcess);
    place.sql("alter role tells_the_floor nologin");
    let mut ana = place.session("ana");
    let said = ana.ask(COUNT).unwrap();
    assert!(said.contains("not told"), "{said}");
    // What has no row filter is read as before.
    assert_eq!(
        ana.ask("select count(*) from clinic.clinics").unwrap(),
        place.sql("select count(*) from clinic.clinics")
    );
}
