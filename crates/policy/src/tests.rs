use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chaperone_access::{
    Analysis, Assurance, Attribute, AttributeKind, ColumnUse, Confined, Effect, Member, NameRule, Recipient,
    RelationFacts, RelationName, SessionEffect, Showing, TargetName, Touch, Verb, Verbs,
};
use chaperone_identity::{Client, Clients};

use crate::ask::Asked;
use crate::decide::tests::{NOW, delegation, known};
use crate::sight;
use crate::sight::tests::patients;
use crate::world::Thing;
use crate::{
    Expectations, Known, LIMITS_FILE, ManagementAction, OfRelation, OfTarget, Outcome, Policies, PolicySet,
    Profile, Ruling, World, WouldChange, compare, explain, matrix,
};

fn everything() -> Known {
    let client = |recipient: Option<Recipient>| Client {
        owner: "it".into(),
        recipient,
        oauth_clients: BTreeSet::new(),
    };
    let recipient = Recipient { agreement: Some("baa-7".into()), name: "Model Inc".into() };
    Known {
        attributes: BTreeMap::from([
            ("clinics".to_owned(), AttributeKind::Texts),
            ("level".to_owned(), AttributeKind::Long),
            ("on call".to_owned(), AttributeKind::Bool),
        ]),
        clients: Arc::new(Clients::new(BTreeMap::from([
            ("claude".to_owned(), client(Some(recipient))),
            ("report".to_owned(), client(None)),
        ]))),
        ..known()
    }
}

fn load(text: &str) -> PolicySet {
    with_limits(text, "")
}

fn with_limits(text: &str, limits: &str) -> PolicySet {
    let files = [("a.cedar".to_owned(), text.to_owned()), (LIMITS_FILE.to_owned(), limits.to_owned())];
    PolicySet::load(&files, &everything()).unwrap_or_else(|errors| panic!("{errors:?}")).0
}

fn ehr() -> TargetName {
    TargetName::new("ehr").unwrap()
}

fn world() -> World {
    let names = ["patients", "secret"].map(|name| (RelationName::new("public", name), OfRelation::default()));
    let ehr_has = OfTarget { relations: BTreeMap::from(names), ..OfTarget::default() };
    World { installation: "gw".into(), targets: BTreeMap::from([(ehr(), ehr_has)]) }
}

fn connects(set: &PolicySet, profile: &Profile) -> bool {
    let delegation = profile.delegation(&set.clients).unwrap();
    let who = set.who(&delegation);
    let asked = Asked::new(set, &delegation, &who, NOW, NOW);
    Thing::Connect(&ehr()).ask(&asked).0 == Ruling::Allow
}

fn ana() -> Profile {
    Profile { who: "dev/ana".into(), ..Profile::default() }
}

#[test]
fn conditions_read_attributes_assurance_and_the_recipient() {
    let on = |condition: &str| {
        load(&format!(
            "permit (principal is Person, action == Action::\"connect\", resource == Target::\"ehr\") when {{ {condition} }};"
        ))
    };
    let attribute = |name: &str, value: Attribute| Profile {
        attributes: BTreeMap::from([(name.to_owned(), value)]),
        ..ana()
    };
    let assured = |acr: Option<&str>, amr: &[&str], age: u64| Profile {
        assurance: Some(Assurance {
            acr: acr.map(str::to_owned),
            amr: amr.iter().map(|method| (*method).to_owned()).collect(),
            at: NOW / 1_000_000 - age,
        }),
        ..ana()
    };
    let through = |client: &str| Profile { client: Some(client.to_owned()), ..ana() };
    let north = || Attribute::Texts(BTreeSet::from(["north".to_owned()]));
    let cases = [
        (
            "principal has clinics && principal.clinics.contains(\"north\")",
            attribute("clinics", north()),
            ana(),
        ),
        (
            "principal has level && principal.level > 2",
            attribute("level", Attribute::Long(3)),
            attribute("level", Attribute::Long(2)),
        ),
        (
            "principal has \"on call\" && principal[\"on call\"]",
            attribute("on call", Attribute::Bool(true)),
            attribute("on call", Attribute::Bool(false)),
        ),
        // One of another kind than is declared is refused, not passed over.
        (
            "!(principal has level && principal.level < 2)",
            ana(),
            attribute("level", Attribute::Text("9".into())),
        ),
        ("context has acr && context.acr == \"gold\"", assured(Some("gold"), &[], 0), assured(None, &[], 0)),
        ("context.amr.contains(\"otp\")", assured(None, &["otp"], 0), ana()),
        ("context.authenticated_s < 60", assured(None, &[], 59), assured(None, &[], 60)),
        ("context.authenticated_s < 1000000", assured(None, &[], 59), ana()),
        ("context.registered", through("report"), through("other")),
        ("context has recipient && context.recipient == \"Model Inc\"", through("claude"), through("report")),
        ("!(context has client) || context has agreement", through("claude"), through("report")),
    ];
    for (condition, yes, no) in cases {
        let set = on(condition);
        assert!(connects(&set, &yes), "{condition}");
        assert!(!connects(&set, &no), "{condition}");
    }
}

#[test]
fn what_no_caller_has_cannot_be_read_even_behind_has() {
    let rest = "principal, action == Action::\"connect\", resource == Target::\"ehr\")";
    let cases = [
        ("permit", "principal has ward && principal.ward == 1", "`ward`"),
        ("forbid", "(principal has ward && principal.ward == 1) || context.registered", "`ward`"),
        ("forbid", "context has clinet && context.clinet == \"claude\"", "`clinet`"),
        ("forbid", "resource has ward", "`ward`"),
        ("forbid", "context.registered && !context.registered && 1 == 2", "false"),
    ];
    for (effect, condition, word) in cases {
        let text = format!(
            "{effect} ({rest} when {{ principal has clinics }};\n{effect} ({rest} when {{ {condition} }};"
        );
        let files = [("a.cedar".to_owned(), text.clone())];
        let errors = PolicySet::load(&files, &everything()).map(|_| text.clone()).unwrap_err();
        assert!(errors.iter().any(|error| error.to_string().contains(word)), "{text}: {errors:?}");
        assert!(errors.iter().all(|error| error.line == 2), "{text}: {errors:?}");
    }
}

const MANAGE: &str = r#"
permit (principal in Group::"dev/ops", action in Action::"administer", resource == Installation::"gw");
@id("no-locks") forbid (principal == Person::"dev/eve", action == Action::"lock", resource);
permit (principal in Group::"dev/privacy", action == Action::"readRecording", resource == Installation::"gw");
permit (principal in Group::"dev/boss", action == Action::"administer", resource == Installation::"gw");
"#;

#[test]
fn managing_is_decided_by_policy_and_recordings_are_apart() {
    let policies = Policies::new(load(MANAGE));
    let may = |who, action| policies.may(&who, action, "gw", NOW).is_ok();
    for action in ManagementAction::ALL {
        let (recording, administer) =
            (action == ManagementAction::ReadRecording, action == ManagementAction::Administer);
        assert_eq!(may(delegation("ana", &["ops"], None), action), !recording, "{action:?}");
        assert_eq!(may(delegation("pia", &["privacy"], None), action), recording, "{action:?}");
        assert_eq!(may(delegation("bea", &["boss"], None), action), administer, "{action:?}");
        let lock = action == ManagementAction::Lock;
        assert_eq!(may(delegation("eve", &["ops"], None), action), !recording && !lock, "{action:?}");
        assert!(!may(delegation("noa", &["nurses"], None), action), "{action:?}");
        assert!(policies.may(&delegation("ana", &["ops"], None), action, "other", NOW).is_err());
        assert_eq!(policies.administrator(action).action(), action);
    }
    let denied = policies.may(&delegation("eve", &["ops"], None), ManagementAction::Lock, "gw", NOW);
    assert_eq!(&*denied.unwrap_err().policies, [Arc::from("no-locks")]);
}

#[test]
fn an_installation_of_another_name_is_an_error_in_a_forbid() {
    let text = "forbid (principal, action, resource == Installation::\"wg\");";
    let errors = PolicySet::load(&[("a.cedar".to_owned(), text.to_owned())], &everything()).unwrap_err();
    assert!(errors[0].to_string().contains("`wg`"), "{errors:?}");
}

const TEXT: &str = r#"
permit (principal in Group::"dev/nurses", action == Action::"connect", resource == Target::"ehr");
@id("nurses-read") permit (principal in Group::"dev/nurses", action == Action::"read", resource in Target::"ehr");
@id("doctors") permit (principal in Group::"dev/doctors", action in [Action::"connect", Action::"read", Action::"update"], resource in Target::"ehr");
@id("secret") forbid (principal, action, resource == Relation::"ehr/public.secret") unless { principal in Group::"dev/doctors" };
@id("ai") forbid (principal, action in [Action::"read", Action::"update"], resource) when { context has client && context.client == "claude" && !context.approved };
permit (principal == Service::"local/etl", action == Action::"insert", resource in Target::"ehr") when { context has purpose && context.purpose == "HOPERAT" };
permit (principal in Group::"dev/ops", action in Action::"administer", resource == Installation::"gw");
"#;

fn reads(names: &[&str]) -> Arc<Analysis> {
    let touch = |name: &&str| Touch {
        relation: RelationName::new("public", *name),
        rule: NameRule::Named,
        verbs: Verbs::NONE.with(Verb::Read),
        within: Vec::new(),
        facts: None,
    };
    let member = Member {
        tag: "SELECT",
        template: [0; 32],
        touches: names.iter().map(touch).collect(),
        whole: Verbs::NONE,
        effect: Effect::ReadOnly,
        session: SessionEffect::None,
        uses: Arc::from([]),
        subjects: chaperone_access::Subjects::None,
        free_text: chaperone_access::FreeText::None,
        results: None,
        names_unknown: false,
    };
    Arc::new(Analysis {
        text: "select 1".into(),
        members: Arc::from([member]),
        confined: Confined::made(Ok("SELECT 1".into())),
        replaced: None,
        forbidden: None,
        catalog_version: 1,
        classified: false,
        describes: None,
        invokes: None,
    })
}

#[test]
fn an_explanation_names_the_policies_and_what_would_change_it() {
    let set = load(TEXT);
    let say = |who, statement: &Arc<Analysis>| explain(&set, &who, &ehr(), &world(), Some(statement), NOW);
    let nurse = say(delegation("ana", &["nurses"], None), &reads(&["patients", "secret"]));
    assert_eq!(nurse.connect.ruling, Ruling::Allow);
    assert_eq!((nurse.relations.len(), nurse.hidden, nurse.unrestricted), (1, 1, false));
    let statement = nurse.statement.unwrap();
    assert_eq!(statement.ruling, Ruling::Refuse);
    assert_eq!(statement.policies, ["secret"]);
    assert_eq!(statement.groups, ["dev/doctors"]);
    let secret = statement.needs.iter().find(|need| need.on == "ehr/public.secret").unwrap();
    let doctors = WouldChange::Group("dev/doctors".into());
    assert_eq!(secret.would_change, [WouldChange::WithoutForbid("secret".into()), doctors.clone()]);
    assert!(
        statement.needs.iter().any(|need| need.ruling == Ruling::Allow && need.policies == ["nurses-read"])
    );

    let through = say(delegation("ana", &["nurses"], Some("claude")), &reads(&["patients"]));
    let statement = through.statement.unwrap();
    assert_eq!(statement.ruling, Ruling::Hold);
    let changes = &statement.needs[0].would_change;
    assert_eq!(
        changes,
        &[WouldChange::Approval, WouldChange::WithoutForbid("ai".into()), WouldChange::NoClient]
    );

    let nobody = say(delegation("eve", &[], None), &reads(&["patients"]));
    let permit = |what: &str, on: &str| WouldChange::Permit(format!("`{what}` on `{on}`"));
    let groups = || [doctors.clone(), WouldChange::Group("dev/nurses".into())].into_iter();
    let expected: Vec<_> = groups().chain([permit("connect", "ehr")]).collect();
    assert_eq!(nobody.connect.would_change, expected);
    assert_eq!(nobody.statement.unwrap().groups, ["dev/doctors", "dev/nurses"]);
}

#[test]
fn two_forbids_that_bite_together_are_named_together() {
    let set = load(
        "permit (principal in Group::\"dev/a\", action == Action::\"connect\", resource == Target::\"ehr\");\n\
         @id(\"one\") forbid (principal, action == Action::\"connect\", resource);\n\
         @id(\"two\") forbid (principal, action == Action::\"connect\", resource);",
    );
    let explained = explain(&set, &delegation("ana", &["a"], None), &ehr(), &world(), None, NOW);
    assert_eq!(
        explained.connect.would_change,
        [WouldChange::WithoutForbids(vec!["one".into(), "two".into()])]
    );
}

#[test]
fn the_matrix_is_text_that_tells_classes_and_clients_apart() {
    let text = matrix(&load(TEXT), &world(), NOW);
    let body: Vec<&str> = text.lines().skip_while(|line| line.starts_with('#')).collect();
    let expected = "
group dev/doctors
  ehr: connect           yes
  ehr: the whole target  read update
  ehr/public.patients    read update
  ehr/public.secret      read update
  management             -
  via claude
    ehr: the whole target  read? update?
    ehr/public.patients    read? update?
    ehr/public.secret      read? update?

group dev/nurses
  ehr: connect           yes
  ehr: the whole target  read
  ehr/public.patients    read
  ehr/public.secret      -
  management             -
  via claude
    ehr: the whole target  read?
    ehr/public.patients    read?

group dev/ops
  ehr: connect           -
  ehr: the whole target  -
  ehr/public.patients    -
  ehr/public.secret      -
  management             administer readSessions endSession lock manageServices managePolicy manageAgents

service local/etl
  ehr: connect           -
  ehr: the whole target  (insert)
  ehr/public.patients    (insert)
  ehr/public.secret      (insert)
  management             -

anybody
  ehr: connect           -
  ehr: the whole target  -
  ehr/public.patients    -
  ehr/public.secret      -
  management             -
";
    assert_eq!(body.join("\n") + "\n", expected);
    assert_eq!(text, matrix(&load(TEXT), &world(), NOW));
}

#[test]
fn a_difference_says_who_gains_and_who_loses() {
    let old = with_limits(TEXT, "");
    let new = TEXT
        .replace("@id(\"secret\") forbid", "@id(\"secret\") permit")
        .replace("Action::\"read\", Action::\"update\"], resource in", "Action::\"read\"], resource in");
    let new = with_limits(&new, "[[limit]]\ngroup = \"dev/nurses\"\nidle_s = 60\n");
    let difference = compare(&old, &new, &world(), &[], NOW);
    let told = |changes: &[crate::Change]| -> BTreeSet<String> {
        let client = |change: &crate::Change| change.client.clone().unwrap_or_default();
        let words = |change: &crate::Change| {
            format!("{} {} {} {}", change.who, client(change), change.action, change.on)
        };
        changes.iter().map(words).collect()
    };
    let (gains, losses) = (told(&difference.gains), told(&difference.losses));
    assert!(gains.contains("group dev/nurses  read ehr/public.secret"), "{gains:?}");
    assert!(gains.contains("anybody  read ehr/public.secret"), "{gains:?}");
    assert!(!gains.iter().any(|gain| gain.contains("patients")), "{gains:?}");
    assert!(losses.contains("group dev/doctors  update ehr/public.patients"), "{losses:?}");
    assert!(losses.contains("group dev/doctors claude update ehr/public.patients"), "{losses:?}");
    assert!(losses.iter().all(|loss| loss.starts_with("group dev/doctors")), "{losses:?}");
    assert_eq!(difference.limits.len(), 1);
    assert_eq!((difference.limits[0].before, difference.limits[0].after), (None, Some(60)));
    // Two groups together lose what each of them alone does not have.
    let both = Profile { groups: BTreeSet::from(["nurses".to_owned(), "doctors".to_owned()]), ..ana() };
    let old_pair = load(&format!("{TEXT}{}", pair("")));
    let new_pair = load(&format!("{TEXT}{}", pair("&& context.registered")));
    let known = compare(&old_pair, &new_pair, &world(), std::slice::from_ref(&both), NOW);
    let lost = told(&known.losses);
    assert!(lost.contains("person dev/ana, as known  insert ehr/public.patients"), "{lost:?}");
    assert!(lost.iter().all(|loss| loss.starts_with("person dev/ana, as known")), "{lost:?}");
    assert!(compare(&old, &old, &world(), std::slice::from_ref(&both), NOW).is_empty());
}

/// A permit for whoever is in two groups.
fn pair(more: &str) -> String {
    format!(
        "permit (principal in Group::\"dev/nurses\", action == Action::\"insert\", resource in Target::\"ehr\")\n\
         when {{ principal in Group::\"dev/doctors\" {more} }};"
    )
}

const TESTS: &str = r#"
[[test]]
name = "nurses read"
as = "dev/ana"
groups = ["nurses"]
target = "ehr"
action = "read"
relations = ["public.patients"]
expect = "allow"

[[test]]
as = "dev/ana"
groups = ["dev/nurses"]
client = "claude"
target = "ehr"
sql = "select 1"
expect = "hold"

[[test]]
as = "local/etl"
service = true
purpose = "HOPERAT"
target = "ehr"
action = "insert"
expect = "allow"

[[test]]
as = "dev/olga"
groups = ["ops"]
action = "lock"
expect = "allow"

[[test]]
name = "wrong on purpose"
as = "dev/ana"
groups = ["nurses"]
target = "ehr"
action = "read"
relations = ["public.patients", "public.secret"]
expect = "allow"
"#;

#[test]
fn an_expectation_that_is_not_met_names_the_policy() {
    let file = (crate::TESTS_FILE.to_owned(), TESTS.to_owned());
    let expectations = Expectations::parse(&file).unwrap();
    let unmet = expectations.unmet(&load(TEXT), &world(), NOW, |_, _| Ok(reads(&["patients"])));
    assert_eq!((expectations.len(), unmet.len()), (5, 1), "{unmet:?}");
    assert_eq!(
        (unmet[0].name.as_str(), unmet[0].line, unmet[0].found),
        ("wrong on purpose", 33, Some(Outcome::Ruling(Ruling::Refuse)))
    );
    assert!(unmet[0].because[0].contains("read on ehr/public.secret: refuse by secret"), "{unmet:?}");
    let blind = expectations.unmet(&load(TEXT), &world(), NOW, |_, _| Err("no catalog".into()));
    assert_eq!((blind.len(), blind[0].found), (2, None));
}

#[test]
fn an_expectation_that_asks_nothing_says_where() {
    let cases = [
        ("[[test]]\nas = \"dev/a\"\nexpect = \"allow\"\n", 1, "neither"),
        ("\n[[test]]\nas = \"dev/a\"\naction = \"raed\"\nexpect = \"allow\"\n", 2, "raed"),
        ("[[test]]\nas = \"dev/a\"\naction = \"read\"\nexpect = \"allow\"\n", 1, "target"),
        ("[[test]]\nas = \"dev/a\"\naction = \"read\"\nexpect = \"yes\"\n", 4, "yes"),
        ("[[test]]\nas = \"dev/a\"\ntaget = \"ehr\"\n", 3, "taget"),
    ];
    for (text, line, word) in cases {
        let errors = Expectations::parse(&(crate::TESTS_FILE.to_owned(), text.to_owned())).unwrap_err();
        assert!(errors[0].message.contains(word), "{text}: {errors:?}");
        assert_eq!(errors[0].line, line, "{text}: {errors:?}");
    }
}

#[test]
fn wide_permits_and_shared_names_are_warned_about() {
    let text = "permit (principal, action == Action::\"connect\", resource == Target::\"ehr\");\n\
                permit (principal in Group::\"dev/a\", action, resource in Target::\"ehr\");\n\
                permit (principal in Group::\"dev/a\", action == Action::\"connect\", resource);\n\
                @id(\"x\") forbid (principal, action, resource);\n\
                @id(\"x\") forbid (principal, action, resource);\n";
    let (_, warnings) = PolicySet::load(&[("a.cedar".to_owned(), text.to_owned())], &everything()).unwrap();
    let found: Vec<(usize, bool)> =
        warnings.iter().map(|warning| (warning.line, warning.message.contains("another policy"))).collect();
    assert_eq!(found, [(1, false), (2, false), (3, false), (5, true)], "{warnings:?}");
}

/// The world in which patients are classified.
fn with_classes() -> World {
    let of = |facts| OfRelation { within: Vec::new(), facts: Some(Arc::new(facts)) };
    let relations = BTreeMap::from([
        (RelationName::new("public", "patients"), of(patients(true))),
        (RelationName::new("public", "secret"), of(RelationFacts::default())),
    ]);
    let ehr_has = OfTarget { classified: true, relations, ..OfTarget::default() };
    World { installation: "gw".into(), targets: BTreeMap::from([(ehr(), ehr_has)]) }
}

const SIGHTS: &str = r#"
permit (principal in Group::"dev/nurses", action in [Action::"connect", Action::"read"], resource in Target::"ehr");
@id("nurses-reveal") permit (principal in Group::"dev/nurses", action == Action::"reveal", resource in Relation::"ehr/public.patients")
  when { resource in [Tag::"phi.name", Tag::"phi.mrn"] };
@id("masked") permit (principal in Group::"dev/nurses", action == Action::"useMasked", resource in Target::"ehr");
@id("ai") forbid (principal, action == Action::"reveal", resource in Tag::"phi.name") when { context has client };
@id("owners") permit (principal in Group::"dev/owners", action, resource in Target::"ehr");
"#;

#[test]
fn the_matrix_says_by_tag_what_is_seen_of_columns() {
    let text = matrix(&sight::tests::load(SIGHTS).unwrap(), &with_classes(), NOW);
    let body: Vec<&str> = text.lines().skip_while(|line| line.starts_with('#')).collect();
    let expected = "
group dev/nurses
  ehr: connect                 yes
  ehr: tools                   -
  ehr: the whole target        read
  ehr/public.patients          read
  ehr/public.patients columns  reveal[phi.mrn phi.name] useMasked[phi.name+phi.ssn phi.ssn]
  ehr/public.secret            read
  management                   -
  via (an unregistered client)
    ehr/public.patients columns  reveal[phi.mrn] useMasked[phi.name phi.name+phi.ssn phi.ssn]

group dev/owners
  ehr: connect                 yes
  ehr: tools                   query describe_schema explain_access
  ehr: the whole target        read insert update delete define call reveal seeAllRows
  ehr/public.patients          read insert update delete define call
  ehr/public.patients columns  reveal[clinical.note phi.mrn phi.name phi.name+phi.ssn phi.ssn] seeAllRows
  ehr/public.secret            read insert update delete define call
  management                   -
  via (an unregistered client)
    ehr/public.patients columns  reveal[clinical.note phi.mrn phi.ssn] useMasked[phi.name phi.name+phi.ssn] seeAllRows

anybody
  ehr: connect           -
  ehr: tools             -
  ehr: the whole target  -
  ehr/public.patients    -
  ehr/public.secret      -
  management             -
";
    assert_eq!(body.join("\n") + "\n", expected);
}

#[test]
fn a_difference_and_an_expectation_speak_of_columns() {
    let (old, new) = (SIGHTS, SIGHTS.replace("Tag::\"phi.name\", Tag::\"phi.mrn\"", "Tag::\"phi.mrn\""));
    let (old, new) = (sight::tests::load(old).unwrap(), sight::tests::load(&new).unwrap());
    let difference = compare(&old, &new, &with_classes(), &[], NOW);
    let told: Vec<String> = difference
        .losses
        .iter()
        .map(|loss| format!("{} {} {} {:?}", loss.who, loss.action, loss.on, loss.client))
        .collect();
    assert_eq!(told, ["group dev/nurses reveal ehr/public.patients[phi.name] None"]);
    assert!(difference.gains.is_empty());

    let tests = r#"
[[test]]
as = "dev/ana"
groups = ["nurses"]
target = "ehr"
columns = ["public.patients.name", "public.patients.id"]
expect = "revealed"

[[test]]
as = "dev/ana"
groups = ["nurses"]
client = "claude"
target = "ehr"
columns = ["public.patients.name", "public.patients.ssn"]
expect = "masked"

[[test]]
as = "dev/ana"
groups = ["nurses"]
target = "ehr"
columns = ["public.patients.note", "public.patients.new"]
expect = "hidden"

[[test]]
as = "dev/ana"
groups = ["nurses"]
target = "ehr"
action = "seeAllRows"
relations = ["public.patients"]
expect = "refuse"

[[test]]
as = "dev/olga"
groups = ["owners"]
target = "ehr"
columns = ["public.patients.note"]
expect = "masked"

[[test]]
as = "dev/ana"
target = "ehr"
columns = ["public.patients.nothing"]
expect = "hidden"
"#;
    let expectations = Expectations::parse(&(crate::TESTS_FILE.to_owned(), tests.to_owned())).unwrap();
    let unmet = expectations.unmet(&old, &with_classes(), NOW, |_, _| Err("none".into()));
    let found: Vec<_> = unmet.iter().map(|unmet| (unmet.line, unmet.found)).collect();
    assert_eq!(found, [(32, Some(Outcome::Showing(Showing::Revealed))), (39, None)], "{unmet:?}");
    let blind = expectations.unmet(&old, &world(), NOW, |_, _| Err("none".into()));
    assert!(blind[0].because[0].contains("classification"), "{blind:?}");
}

#[test]
fn an_explanation_shows_the_database_as_the_caller_sees_it() {
    let set = sight::tests::load(SIGHTS).unwrap();
    let facts = Arc::new(patients(true));
    let uses = |column: &str| ColumnUse {
        relation: RelationName::new("public", "patients"),
        column: column.into(),
        disclosed: true,
        written: false,
    };
    let mut analysis = Analysis::clone(&reads(&["patients"]));
    analysis.classified = true;
    let member = &mut Arc::make_mut(&mut analysis.members)[0];
    member.touches[0].facts = Some(facts);
    member.uses = Arc::from([uses("name"), uses("note"), uses("ssn")]);
    let analysis = Arc::new(analysis);
    let explained =
        explain(&set, &delegation("ana", &["nurses"], None), &ehr(), &with_classes(), Some(&analysis), NOW);
    assert!(explained.classified && !explained.unrestricted);
    let seen = &explained.relations[0];
    let columns: Vec<(&str, Showing, String)> = seen
        .columns
        .iter()
        .map(|column| (column.name.as_str(), column.showing, column.because.to_string()))
        .collect();
    assert_eq!(
        columns,
        [
            ("id", Showing::Revealed, "clear"),
            ("name", Showing::Revealed, "by nurses-reveal"),
            ("ssn", Showing::Masked, "by masked"),
            ("label", Showing::Masked, "by masked"),
            ("note", Showing::Hidden, "no policy permits `reveal`, and free text is revealed or hidden"),
            ("mrn", Showing::Revealed, "by nurses-reveal"),
            ("new", Showing::Hidden, "nobody has classified it"),
            ("maiden_name", Showing::Revealed, "by nurses-reveal"),
        ]
        .map(|(name, showing, because)| (name, showing, because.to_owned()))
    );
    assert!(!seen.rows.as_ref().unwrap().all);
    let used: Vec<(&str, Showing)> = explained
        .statement
        .as_ref()
        .unwrap()
        .columns
        .iter()
        .map(|used| (used.column.as_str(), used.showing))
        .collect();
    assert_eq!(used, [("name", Showing::Revealed), ("note", Showing::Hidden), ("ssn", Showing::Masked)]);
}

#[test]
fn tools_are_permitted_one_by_one_and_know_whose_call_it_is() {
    let text = r#"
@id("connect")
permit (principal in Group::"dev/nurses", action == Action::"connect", resource == Target::"ehr");
@id("tools")
permit (principal in Group::"dev/nurses", action == Action::"invoke", resource in Target::"ehr");
@id("not-this")
forbid (principal, action == Action::"invoke", resource == Tool::"ehr/explain_access");
@id("reads")
permit (principal in Group::"dev/nurses", action == Action::"read", resource in Target::"ehr");
@id("by-query-nothing-secret")
forbid (principal, action == Action::"read", resource == Relation::"ehr/public.secret")
when { context has tool && context.tool == "query" };
"#;
    let set = load(text);
    let policies = crate::Policies::new(load(text));
    let nurse = |tool: Option<&str>| Profile {
        groups: BTreeSet::from(["nurses".to_owned()]),
        tool: tool.map(str::to_owned),
        ..ana()
    };
    let chain = |profile: &Profile| profile.delegation(&set.clients).unwrap();
    let may = |profile: &Profile, tool: &str| policies.may_invoke(&chain(profile), &ehr(), tool, NOW);
    assert_eq!(may(&nurse(None), "query"), Ok(()));
    let refused = may(&nurse(None), "explain_access").unwrap_err();
    assert_eq!(refused.code, chaperone_access::RefusalCode::NotPermitted);
    // Whoever may not be there does not learn that there is such a place.
    let nowhere = may(&ana(), "query").unwrap_err();
    assert_eq!(nowhere.code, chaperone_access::RefusalCode::UndefinedTarget);
    let reads = |tool: Option<&str>| {
        let delegation = chain(&nurse(tool));
        let who = set.who(&delegation);
        let asked = Asked::new(&set, &delegation, &who, NOW, NOW);
        let relation = RelationName::new("public", "secret");
        Thing::Verb(chaperone_access::Verb::Read, &ehr(), Some((&relation, &[]))).ask(&asked).0
            == Ruling::Allow
    };
    assert!(reads(None) && reads(Some("describe_schema")) && !reads(Some("query")));
    let matrix = crate::matrix(&set, &world(), NOW);
    assert!(matrix.contains("ehr: tools"), "{matrix}");
    assert!(matrix.contains("query describe_schema\n"), "{matrix}");
    let wrong = text.replace("ehr/explain_access", "ehr/explain");
    let files = [("a.cedar".to_owned(), wrong)];
    let errors = PolicySet::load(&files, &everything()).unwrap_err();
    assert!(errors[0].to_string().contains("has no tool `explain`"), "{errors:?}");
}

/// What would let ana connect, under one policy's condition.
fn changes(condition: &str, who: &chaperone_access::Delegation) -> Vec<WouldChange> {
    let text = format!(
        "permit (principal in Group::\"dev/a\", action == Action::\"connect\", resource == Target::\"ehr\") \
         when {{ {condition} }};"
    );
    let attributes = [
        ("senior".to_owned(), AttributeKind::Bool),
        ("level".to_owned(), AttributeKind::Long),
        ("site".to_owned(), AttributeKind::Text),
        ("clinics".to_owned(), AttributeKind::Texts),
    ];
    let known = Known { attributes: attributes.into(), ..known() };
    let set = PolicySet::load(&[("a.cedar".to_owned(), text)], &known).unwrap().0;
    let mut found = explain(&set, who, &ehr(), &world(), None, NOW).connect.would_change;
    found.retain(|change| !matches!(change, WouldChange::Permit(_)));
    found
}

#[test]
fn circumstances_that_would_change_an_answer_are_named() {
    let ana = delegation("ana", &["a"], None);
    let one = |change: WouldChange| vec![change];
    let cases = [
        (r#"context has purpose && context.purpose == "TREAT""#, one(WouldChange::Purpose("TREAT".into()))),
        (
            r#"context has client && ["psql"].contains(context.client)"#,
            one(WouldChange::Client("psql".into())),
        ),
        (r#"context has acr && context.acr == "gold""#, one(WouldChange::AuthenticationClass("gold".into()))),
        (r#"context.amr.contains("otp")"#, one(WouldChange::AuthenticationMethod("otp".into()))),
        ("context.authenticated_s < 300", one(WouldChange::FreshAuthentication)),
        ("principal has senior && principal.senior", one(WouldChange::Attribute("senior = true".into()))),
        (r#"principal has site && principal.site == "x""#, one(WouldChange::Attribute("site = `x`".into()))),
        (
            r#"principal has clinics && principal.clinics.contains("7")"#,
            one(WouldChange::Attribute("clinics = `7`".into())),
        ),
        (
            r#"context has purpose && context.purpose == "TREAT" && context.amr.contains("otp")"#,
            one(WouldChange::Together(vec![
                WouldChange::AuthenticationMethod("otp".into()),
                WouldChange::Purpose("TREAT".into()),
            ])),
        ),
        ("principal in Group::\"dev/b\"", one(WouldChange::Group("dev/b".into()))),
    ];
    for (condition, expected) in cases {
        assert_eq!(changes(condition, &ana), expected, "{condition}");
    }
    let levels = changes("principal has level && principal.level > 3", &ana);
    assert_eq!(levels, one(WouldChange::Attribute("level = 4".into())));
    // Half an hour later it is another time.
    let after = crate::ask::rfc3339((NOW / 1_800_000_000 + 1) * 1_800_000);
    let soon = changes(&format!("context.time >= datetime(\"{after}\")"), &ana);
    assert_eq!(soon, one(WouldChange::Time(after)));
    assert_eq!(changes(r#"context.time < datetime("2020-01-01T00:00:00Z")"#, &ana), []);
    // What holds already is nothing that would change it.
    let purposeful = chaperone_access::Delegation { purpose: Some("TREAT".into()), ..ana };
    let both = r#"context has purpose && context.purpose == "TREAT" && context.amr.contains("otp")"#;
    assert_eq!(changes(both, &purposeful), one(WouldChange::AuthenticationMethod("otp".into())));
}

#[test]
fn a_target_without_statements_has_its_own_tools_and_nothing_else() {
    let set = load(
        r#"permit (principal in Group::"dev/a", action in [Action::"connect", Action::"read"], resource in Target::"ehr");
        permit (principal in Group::"dev/a", action == Action::"invoke", resource == Tool::"ehr/query");"#,
    );
    let tools = Some(BTreeSet::from(["backup".to_owned()]));
    let world = || World {
        installation: "gw".into(),
        targets: BTreeMap::from([(ehr(), OfTarget { tools: tools.clone(), ..OfTarget::default() })]),
    };
    let text = matrix(&set, &world().with_named(&[&set]), NOW);
    assert!(text.contains("ehr: tools    query\n") && !text.contains("ehr: the whole"), "{text}");
    let profile = Profile { tool: Some("new".into()), groups: ["a".to_owned()].into(), ..ana() };
    let explained = explain(&set, &profile.delegation(&set.clients).unwrap(), &ehr(), &world(), None, NOW);
    let tools: Vec<_> = explained.tools.iter().map(|found| found.on.as_str()).collect();
    assert_eq!((tools, explained.whole.len()), (vec!["ehr/backup", "ehr/new"], 0));
}
