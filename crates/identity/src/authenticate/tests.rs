use std::collections::BTreeSet;

use chaperone_access::{ChannelBinding, Recipient, RelationName, SubjectKind, TargetName, Verb, Verbs};
use proptest::prelude::*;

use super::*;
use crate::{
    Credential, EndCause, Ending, Grant, Login, LoginId, LoginStore, Logins, RootKey, Terms, narrow,
};

const NOW: u64 = 1_795_000_000;

fn keys(byte: u8) -> RootKeys {
    RootKeys::new(RootKey::new(1, [byte; 32]), Vec::new())
}

fn grant() -> Grant {
    Grant {
        who: Who::Named {
            issuer: "dev".into(),
            kind: SubjectKind::Person,
            sub: "ana".into(),
            groups: BTreeSet::from(["nurses".into()]),
        },
        client: None,
        target: TargetName::new("ehr").unwrap(),
        purpose: None,
        not_before: NOW - 10,
        not_after: NOW + 3600,
    }
}

/// What a client computes from a password (RFC 5802, section 3).
fn claim(identity: &Identity, user: &str, password: &str, target: &str) -> Claim {
    let (salt, iterations) = identity.challenge(user);
    let auth_message = b"n=,r=abc,r=abcdef,s=...,i=4096,c=biws,r=abcdef".to_vec();
    let mut salted = [0; 32];
    pbkdf2::derive(
        pbkdf2::PBKDF2_HMAC_SHA256,
        NonZeroU32::new(iterations).unwrap(),
        &salt,
        password.as_bytes(),
        &mut salted,
    );
    let client_key = mac(&salted, b"Client Key");
    let signature = mac(&hash(&client_key), &auth_message);
    let mut proof = [0; 32];
    for i in 0..32 {
        proof[i] = client_key[i] ^ signature[i];
    }
    Claim::Scram(ScramClaim {
        user: user.into(),
        target: target.into(),
        channel_binding: ChannelBinding::None,
        auth_message,
        proof,
        salt,
        iterations,
        source: Source::Local,
        application: None,
    })
}

fn identity() -> Identity {
    Identity::new(keys(7), Arc::new(NoRevocations))
}

async fn reason(identity: &Identity, user: &str, password: &str, target: &str, now: u64) -> FailureReason {
    let claim = claim(identity, user, password, target);
    identity.authenticate(claim, now * 1_000_000).await.unwrap_err().reason
}

fn issue(grant: &Grant) -> Credential {
    keys(7).issue(grant).unwrap()
}

#[tokio::test]
async fn a_credential_proves_its_subject_again_and_again() {
    let identity = identity();
    let made = issue(&grant());
    for _ in 0..3 {
        let claim = claim(&identity, &made.user, &made.password, "ehr");
        let (principal, _) = identity.authenticate(claim, NOW * 1_000_000).await.unwrap();
        assert_eq!(principal.delegation().subject.sub, "ana");
        assert_eq!(principal.credential().not_after, NOW + 3600);
    }
}

#[tokio::test]
async fn every_way_to_fail_looks_the_same_outside() {
    let identity = identity();
    let made = issue(&grant());
    let forged = keys(8).issue(&grant()).unwrap();
    let other_epoch = RootKeys::new(RootKey::new(9, [7; 32]), Vec::new()).issue(&grant()).unwrap();
    let cases = [
        (made.user.as_str(), "wrong", "ehr", NOW, FailureReason::WrongProof),
        (&forged.user, forged.password.as_str(), "ehr", NOW, FailureReason::WrongProof),
        (&other_epoch.user, &other_epoch.password, "ehr", NOW, FailureReason::UnknownKey),
        ("postgres", "postgres", "ehr", NOW, FailureReason::Malformed),
        (&made.user, &made.password, "ehr", NOW + 3600, FailureReason::Expired),
        (&made.user, &made.password, "ehr", NOW - 11, FailureReason::NotYetValid),
        (&made.user, &made.password, "billing", NOW, FailureReason::OtherTarget),
    ];
    for (user, password, target, now, expected) in cases {
        let claim = claim(&identity, user, password, target);
        let failure = identity.authenticate(claim, now * 1_000_000).await.unwrap_err();
        assert_eq!(failure.reason, expected);
        assert_eq!(
            failure.refusal(),
            Refusal::new(RefusalCode::AuthenticationFailed, "authentication failed")
        );
    }
    assert_eq!(identity.challenge("postgres").1, identity.challenge(&made.user).1);
    assert_eq!(identity.challenge("postgres"), identity.challenge("postgres"));
}

#[tokio::test]
async fn a_revoked_credential_is_void_whatever_it_was_narrowed_to() {
    struct One(CredentialId);
    impl Revocations for One {
        fn is_revoked(&self, id: CredentialId) -> bool {
            id == self.0
        }
    }
    let made = issue(&grant());
    let identity = Identity::new(keys(7), Arc::new(One(made.id)));
    assert_eq!(reason(&identity, &made.user, &made.password, "ehr", NOW).await, FailureReason::Revoked);
    let (user, password) = narrow(&made.user, &made.password, &Caveat::Until(NOW + 60)).unwrap();
    assert_eq!(reason(&identity, &user, &password, "ehr", NOW).await, FailureReason::Revoked);
}

/// A login and an identity that knows it.
fn logged_in(oauth_client: Option<&str>) -> (Identity, Arc<Logins>, LoginId) {
    struct Memory(Login);
    impl LoginStore for Memory {
        fn logins(&self) -> std::io::Result<Vec<Login>> {
            Ok(vec![self.0.clone()])
        }
        fn put_login(&self, _: &Login) -> std::io::Result<()> {
            Ok(())
        }
        fn remove_login(&self, _: LoginId) -> std::io::Result<()> {
            Ok(())
        }
    }
    let id: LoginId = "AAAAAAAAAAAA".parse().unwrap();
    let subject = Subject { issuer: "acme".into(), kind: SubjectKind::Person, sub: "ana".into() };
    let mut facts = Facts::of(subject, BTreeSet::from(["nurses".into()]));
    facts.oauth_client = oauth_client.map(str::to_owned);
    let (_, secret) = crate::SecretHash::fresh("cpl1", &id).unwrap();
    let login = Login {
        id,
        facts,
        sid: None,
        made_at: NOW,
        checked_at: NOW,
        not_after: NOW + 3600,
        ended: None,
        secret,
    };
    let people = Arc::new(People::default());
    let terms = Terms { recheck_s_max: Some(300), login_s_max: 3600 };
    let terms = std::collections::BTreeMap::from([("acme".to_owned(), terms)]);
    let logins = Arc::new(Logins::open(Arc::new(Memory(login)), people.clone(), terms).unwrap());
    let holders = Arc::new(Holders { logins: logins.clone(), ..Holders::default() });
    let client = |recipient: &str, oauth: &str| crate::Client {
        owner: "it".into(),
        recipient: Some(Recipient { agreement: None, name: recipient.into() }),
        oauth_clients: BTreeSet::from([oauth.to_owned()]),
    };
    let clients = [("helper", client("acme-ai", "oauth-7")), ("other", client("other-ai", "oauth-8"))];
    let clients = clients.map(|(name, client)| (name.to_owned(), client)).into();
    (identity().holding(holders, people).registered(Arc::new(Clients::new(clients))), logins, id)
}

#[tokio::test]
async fn a_credential_of_a_login_follows_it() {
    let (identity, logins, id) = logged_in(Some("oauth-7"));
    let login = Grant { who: Who::Login(id), ..grant() };
    let made = issue(&login);
    let claimed = || claim(&identity, &made.user, &made.password, "ehr");
    let (principal, _) = identity.authenticate(claimed(), NOW * 1_000_000).await.unwrap();
    assert_eq!(principal.delegation().subject.issuer, "acme");
    assert_eq!(principal.delegation().client.as_deref(), Some("helper"));
    assert_eq!(principal.delegation().recipient.as_ref().unwrap().name, "acme-ai");
    let (_, standing) = logins.get(id).unwrap();
    standing.learn(Facts { groups: BTreeSet::new(), ..Facts::clone(&standing.facts()) });
    let (version, now) = principal.current();
    assert!(version == 1 && version > principal.version() && now.groups.is_empty());
    assert_eq!(now.client.as_deref(), Some("helper"));
    let why = async |who: Who, client: Option<&str>, now: u64| {
        let made = issue(&Grant { who, client: client.map(str::to_owned), ..grant() });
        reason(&identity, &made.user, &made.password, "ehr", now).await
    };
    assert_eq!(why(Who::Login(id), Some("other"), NOW).await, FailureReason::OtherClient);
    assert_eq!(why(Who::Login(id), None, NOW + 300).await, FailureReason::Overdue);
    let unknown = "BBBBBBBBBBBB";
    assert_eq!(why(Who::Login(unknown.parse().unwrap()), None, NOW).await, FailureReason::UnknownHolder);
    assert_eq!(why(Who::ServiceKey(unknown.parse().unwrap()), None, NOW).await, FailureReason::UnknownHolder);
    let ending = Ending { cause: EndCause::Logout, learned_at_us: 1 };
    let _login = logins.end(id, ending).unwrap();
    assert_eq!(why(Who::Login(id), None, NOW).await, FailureReason::Ended);
    assert_eq!(reason(&identity, &made.user, &made.password, "ehr", NOW).await, FailureReason::Ended);
}

#[tokio::test]
async fn whoever_was_proved_before_is_judged_by_the_clients_of_now() {
    let (identity, _, id) = logged_in(Some("oauth-7"));
    let prove = async |grant: Grant| {
        let made = issue(&grant);
        let claim = claim(&identity, &made.user, &made.password, "ehr");
        identity.authenticate(claim, NOW * 1_000_000).await.unwrap().0
    };
    let login = || Grant { who: Who::Login(id), ..grant() };
    let (through, alone) = (prove(login()).await, prove(grant()).await);
    let registered = Clients::clone(&identity.clients());
    let with = |recipient: &str, oauth: &[&str]| {
        let helper = crate::Client {
            recipient: Some(Recipient { agreement: None, name: recipient.into() }),
            oauth_clients: oauth.iter().map(|id| (*id).to_owned()).collect(),
            ..registered.get("helper").unwrap().clone()
        };
        Arc::new(Clients::new([("helper".to_owned(), helper)].into()))
    };
    identity.change_clients(Arc::new(registered.clone()));
    assert!(!identity.binds_otherwise(&through) && !identity.binds_otherwise(&alone), "the same again");
    identity.change_clients(with("new-ai", &["oauth-7"]));
    assert!(identity.binds_otherwise(&through) && !identity.binds_otherwise(&alone), "another recipient");
    let new = prove(login()).await;
    assert!(!identity.binds_otherwise(&new));
    identity.change_clients(with("new-ai", &["oauth-9"]));
    assert!(identity.binds_otherwise(&new), "his login is not the client's any more");
    let unregistered = prove(login()).await;
    assert!(unregistered.delegation().client.is_none());
    identity.change_clients(with("new-ai", &["oauth-7"]));
    assert!(identity.binds_otherwise(&unregistered), "his login is the client's now");
}

/// A registered client with OAuth clients of its own is bound by a login through one of them, not by its name.
#[tokio::test]
async fn a_name_alone_makes_nobody_a_registered_client() {
    let (identity, logins, plain) = logged_in(None);
    let (_, standing) = logins.get(plain).unwrap();
    let through = |client| identity.acts_through(client, &standing);
    assert!(!through(Some("helper")) && through(None) && through(Some("psql")));
    let made = issue(&Grant { who: Who::Login(plain), client: Some("helper".to_owned()), ..grant() });
    assert_eq!(reason(&identity, &made.user, &made.password, "ehr", NOW).await, FailureReason::OtherClient);
}

/// A registered server of others, without a key: it is not asked for one here.
fn exchanging(recipient: &str) -> std::collections::BTreeMap<String, crate::Exchange> {
    let key = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
    let server = crate::Exchange {
        owner: "it".into(),
        recipient: Some(Recipient { agreement: None, name: recipient.into() }),
        resource: "https://notes/mcp".into(),
        issuers: BTreeSet::from(["acme".to_owned()]),
        keys: crate::KeySet::parse(key.as_bytes()).unwrap(),
        known_as: BTreeSet::from(["notes".to_owned()]),
    };
    [("notes".to_owned(), server)].into()
}

/// Whatever an issuer calls a server in the token that it got for itself: with that it would act for nobody.
#[test]
fn a_token_that_was_made_for_the_server_is_its_own() {
    let server = &exchanging("inc")["notes"];
    let claims = serde_json::json!({"sub": "0b9e7c"});
    let may = |client: &str| server.may_act(claims.as_object().unwrap(), Some(client));
    assert!(matches!(may("notes"), Err(crate::token::TokenError::Own)));
    assert!(may("assistant").is_ok());
}

/// An exchanged credential is its subject's through the server, for as long as that is registered as it was.
#[tokio::test]
async fn an_exchanged_credential_names_the_server_and_goes_with_it() {
    let (identity, _, id) = logged_in(Some("oauth-7"));
    let without = identity.clients();
    let with = |recipient: &str| Arc::new(Clients::clone(&without).with_exchanging(exchanging(recipient)));
    let call = chaperone_access::CallId::from_parts(1, [7; 10]);
    let through = |call| Who::Exchanged { login: id, server: "notes".to_owned(), call };
    let made = issue(&Grant { who: through(Some(call)), ..grant() });
    assert_eq!(reason(&identity, &made.user, &made.password, "ehr", NOW).await, FailureReason::OtherServer);
    identity.change_clients(with("tool-inc"));
    let claimed = claim(&identity, &made.user, &made.password, "ehr");
    let (principal, _) = identity.authenticate(claimed, NOW * 1_000_000).await.unwrap();
    let chain = principal.delegation();
    assert_eq!((chain.subject.issuer.as_str(), chain.client.as_deref()), ("acme", Some("helper")));
    assert_eq!(chain.attribution, chaperone_access::Attribution::Exchanged);
    let server = chain.server.as_ref().unwrap();
    assert_eq!((&*server.name, server.recipient.as_ref().unwrap().name.as_str()), ("notes", "tool-inc"));
    assert_eq!(principal.credential().call(), Some(call));
    assert!(!identity.binds_otherwise(&principal));
    identity.change_clients(with("other-inc"));
    assert!(identity.binds_otherwise(&principal), "another sees what it reads");
    identity.change_clients(without);
    assert!(identity.binds_otherwise(&principal), "it is not registered any more");
    let plain = issue(&Grant { who: through(None), ..grant() });
    assert_eq!(crate::parse_user(&plain.user).unwrap().grant.who, through(None));
}

#[tokio::test]
async fn without_a_development_issuer_nobody_is_named_by_a_credential() {
    let made = issue(&grant());
    let identity = identity().without_named();
    assert_eq!(reason(&identity, &made.user, &made.password, "ehr", NOW).await, FailureReason::Named);
}

#[tokio::test]
async fn a_credential_for_one_tool_opens_no_session_outside_of_it() {
    let identity = identity();
    let made = issue(&grant());
    let (user, password) = narrow(&made.user, &made.password, &Caveat::Tool("search".into())).unwrap();
    assert_eq!(reason(&identity, &user, &password, "ehr", NOW).await, FailureReason::OtherTool);
    let called = async |tool: &str| {
        let claim = claim(&identity, &user, &password, "ehr");
        identity.authenticate_for(claim, Some(&Arc::from(tool)), None, NOW * 1_000_000).await
    };
    let (principal, _) = called("search").await.unwrap();
    let delegation = principal.delegation();
    assert_eq!(
        (delegation.tool.as_deref(), delegation.attribution),
        (Some("search"), chaperone_access::Attribution::Leased)
    );
    assert_eq!(called("fetch").await.unwrap_err().reason, FailureReason::OtherTool);
    let (user, password) = narrow(&made.user, &made.password, &Caveat::Rows(5)).unwrap();
    let (principal, _) =
        identity.authenticate(claim(&identity, &user, &password, "ehr"), NOW * 1_000_000).await.unwrap();
    assert_eq!(principal.credential().restriction.rows_max(), Some(5));
    assert_eq!(narrow(&user, &password, &Caveat::Tool(String::new())).unwrap_err(), crate::NarrowError::Tool);
}

#[tokio::test]
async fn a_caveat_that_is_kept_restricts_and_one_that_is_not_opens_nothing() {
    let identity = identity();
    let made = issue(&grant());
    let left = crate::together(["public.patients(id, name)".parse().unwrap()]);
    let kept = identity.kept().keep(left, "dev/ana", NOW + 60).unwrap();
    let (user, password) = narrow(&made.user, &made.password, &kept).unwrap();
    let open = async || {
        let claim = claim(&identity, &user, &password, "ehr");
        identity.authenticate(claim, NOW * 1_000_000).await
    };
    let (principal, _) = open().await.unwrap();
    let restriction = &principal.credential().restriction;
    let (patients, other) = (RelationName::new("public", "patients"), RelationName::new("public", "claims"));
    assert_eq!(restriction.columns(&patients).unwrap().len(), 2);
    assert!(!restriction.allows(Verb::Read, &other));
    identity.kept().forget(NOW + 60).unwrap();
    assert_eq!(open().await.unwrap_err().reason, FailureReason::UnknownCaveat);
    // Not looked up, it leaves nothing.
    assert!(!Restriction::of(&[kept]).allows(Verb::Read, &patients));
}

#[tokio::test]
async fn a_source_that_only_fails_is_throttled() {
    let identity = identity();
    let made = issue(&grant());
    for _ in 0..crate::failures::THROTTLE {
        assert_ne!(reason(&identity, "x", "x", "ehr", NOW).await, FailureReason::Throttled);
    }
    assert_eq!(reason(&identity, "x", "x", "ehr", NOW).await, FailureReason::Throttled);
    // Others at the same address are not, until many user names were tried; nor is ever who has succeeded before.
    let other = issue(&Grant { purpose: Some("audit".into()), ..grant() });
    let claimed = claim(&identity, &other.user, &other.password, "ehr");
    assert!(identity.authenticate(claimed, NOW * 1_000_000).await.is_ok());
    for number in crate::failures::THROTTLE..crate::failures::THROTTLE_SOURCE {
        let reason = reason(&identity, &number.to_string(), "x", "ehr", NOW).await;
        assert_eq!(reason, FailureReason::Malformed);
    }
    assert_eq!(reason(&identity, &made.user, &made.password, "ehr", NOW).await, FailureReason::Throttled);
    let claimed = claim(&identity, &other.user, &other.password, "ehr");
    assert!(identity.authenticate(claimed, NOW * 1_000_000).await.is_ok());
    assert_eq!(reason(&identity, &other.user, "wrong", "ehr", NOW).await, FailureReason::Throttled);
    identity.counted_failures((NOW + 61) * 1_000_000);
    let claim = claim(&identity, &made.user, &made.password, "ehr");
    assert!(identity.authenticate(claim, NOW * 1_000_000).await.is_ok());
}

#[tokio::test]
async fn caveats_cannot_be_taken_off_changed_or_reordered() {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let identity = identity();
    let made = issue(&grant());
    let (user, password) = narrow(&made.user, &made.password, &Caveat::Until(NOW + 60)).unwrap();
    let read_only = Caveat::Verbs(Verbs::NONE.with(Verb::Read));
    let (user, password) = narrow(&user, &password, &read_only).unwrap();
    let body = String::from_utf8(URL_SAFE_NO_PAD.decode(&user).unwrap()).unwrap();
    let lines: Vec<&str> = body.split('\n').collect();
    let attempts = [
        lines[0].to_owned(),
        lines[..2].join("\n"),
        [lines[0], lines[2], lines[1]].join("\n"),
        body.replace(&format!("u{}", NOW + 60), &format!("u{}", NOW + 9999)),
        body.replace("ana", "eva"),
        body.replace("vread", "vread,insert"),
        format!("{body}\nu{}", NOW + 9999),
    ];
    for attempt in attempts {
        let user = URL_SAFE_NO_PAD.encode(&attempt);
        assert_eq!(
            reason(&identity, &user, &password, "ehr", NOW).await,
            FailureReason::WrongProof,
            "{attempt}"
        );
    }
    assert_eq!(reason(&identity, &user, &password, "ehr", NOW + 60).await, FailureReason::Expired);
}

fn any_caveat() -> impl Strategy<Value = Caveat> {
    let relation = prop::sample::select(vec![
        "public.patients",
        "public.patients(id, name)",
        "public.patients(name)",
        "public.claims",
        "public.claims(id)",
        "public.notes",
    ]);
    let verb = prop::sample::select(Verb::ALL.to_vec());
    prop_oneof![
        (NOW..NOW + 5000).prop_map(Caveat::Until),
        prop::collection::vec(relation, 1..3).prop_map(|names| {
            Caveat::Relations(crate::together(names.iter().map(|name| name.parse().unwrap())))
        }),
        prop::collection::vec(verb, 0..4)
            .prop_map(|verbs| Caveat::Verbs(verbs.into_iter().fold(Verbs::NONE, Verbs::with))),
        (0..100_u64).prop_map(Caveat::Rows),
        prop::sample::select(vec!["search", "fetch"]).prop_map(|tool| Caveat::Tool(tool.to_owned())),
    ]
}

/// What a holder takes away; where it does not fit the credential, the gateway keeps it.
#[derive(Debug, Clone)]
enum Narrowing {
    Carried(Caveat),
    Kept(crate::Relations),
}

fn any_narrowing() -> impl Strategy<Value = Narrowing> {
    let relation = prop::sample::select(vec![
        "public.patients",
        "public.patients(id, name, ssn)",
        "public.patients(ssn)",
        "public.claims(id)",
        "public.claims",
    ]);
    let kept = prop::collection::vec(relation, 1..4)
        .prop_map(|names| Narrowing::Kept(crate::together(names.iter().map(|name| name.parse().unwrap()))));
    prop_oneof![4 => any_caveat().prop_map(Narrowing::Carried), 1 => kept]
}

/// Whether one restriction leaves nothing that another does not.
fn no_more(less: &Restriction, more: &Restriction) -> Result<(), TestCaseError> {
    for relation in ["patients", "claims", "notes", "other"] {
        let relation = RelationName::new("public", relation);
        for verb in Verb::ALL {
            prop_assert!(!less.allows(verb, &relation) || more.allows(verb, &relation));
        }
        for column in ["id", "name", "ssn"] {
            let left = |sum: &Restriction| {
                sum.allows(Verb::Read, &relation)
                    && sum.columns(&relation).is_none_or(|columns| columns.contains(column))
            };
            prop_assert!(!left(less) || left(more));
        }
    }
    for verb in Verb::ALL {
        prop_assert!(!less.allows_whole(verb) || more.allows_whole(verb));
    }
    for tool in [None, Some("search"), Some("fetch"), Some("other")] {
        prop_assert!(!less.allows_tool(tool) || more.allows_tool(tool));
    }
    prop_assert!(less.rows_max().unwrap_or(u64::MAX) <= more.rows_max().unwrap_or(u64::MAX));
    Ok(())
}

/// What a credential comes to at a time, for a call of `search`: until when, and what is left.
fn believed(identity: &Identity, user: &str, password: &str, now_s: u64) -> Option<(u64, Restriction)> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (claim, tool) = (claim(identity, user, password, "ehr"), Arc::from("search"));
    let answer = runtime.block_on(identity.authenticate_for(claim, Some(&tool), None, now_s * 1_000_000));
    let facts = answer.ok()?.0.credential().clone();
    Some((facts.not_after, facts.restriction))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_chain_of_narrowings_never_allows_what_a_link_before_refused(
        chain in prop::collection::vec(any_narrowing(), 1..6),
        later in 0..5000_u64,
    ) {
        let identity = identity().keeping(Arc::new(KeptCaveats::default()));
        let made = issue(&grant());
        let (mut user, mut password, now) = (made.user, made.password, NOW + later.min(3599));
        let mut before = believed(&identity, &user, &password, now);
        prop_assert!(before.is_some(), "nothing is taken away yet");
        let (mut until, mut kept) = (NOW + 3600, None);
        for narrowing in chain {
            let caveat = match narrowing {
                Narrowing::Carried(caveat) => caveat,
                Narrowing::Kept(relations) => {
                    kept = Some(Restriction::of([&Caveat::Relations(relations.clone())]));
                    identity.kept().keep(relations, "org/ana", NOW + 3600).unwrap()
                }
            };
            let Ok(next) = narrow(&user, &password, &caveat) else { break };
            (user, password) = next;
            if let Caveat::Until(at) = caveat {
                until = until.min(at);
            }
            let parsed = parse_user(&user).unwrap();
            prop_assert_eq!(&super::password(keys(7).of(1).unwrap(), &parsed.links)[..], password.as_str());
            let after = believed(&identity, &user, &password, now);
            prop_assert!(now < until || after.is_none(), "believed at {}, void from {}", now, until);
            if let Some((not_after, left)) = &after {
                let Some((earlier, more)) = &before else { return Err(TestCaseError::fail("refused before")) };
                prop_assert!(*not_after == until && not_after <= earlier);
                no_more(left, more)?;
                // What the gateway keeps is looked up, and counts as what is carried does.
                if let Some(kept) = &kept {
                    no_more(left, kept)?;
                }
            }
            before = after;
        }
    }

    #[test]
    fn no_user_name_makes_it_panic(user in "\\PC{0,600}") {
        prop_assert!(parse_user(&user).is_none_or(|parsed| !parsed.links.is_empty()));
    }
}
