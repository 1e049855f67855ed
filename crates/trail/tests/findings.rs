//! Everything that verification can find, each in a log that is whole but for that. Whoever holds the log-signing key can
//! write another history with the real writer and sign it; what then still tells is what entries say of each other, and
//! what agents signed with keys of their own.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a test that cannot go on fails"
)]

mod story;

use std::fs;
use std::path::Path;

use chaperone_trail::*;
use story::{Agent, HEARTBEAT_S, Story, calls_of, signer, story};

/// What is wrong with a history that was written and signed again after `change`.
fn wrong(change: impl FnOnce(&mut Story)) -> Vec<String> {
    let mut story = story();
    change(&mut story);
    story.written().findings.into_iter().map(|finding| finding.what).collect()
}

/// One finding, with these words in it.
fn finds(words: &str, change: impl FnOnce(&mut Story)) {
    let found = wrong(change);
    assert_eq!(found.len(), 1, "`{words}` and nothing else: {found:#?}");
    assert!(found[0].contains(words), "`{words}` in `{}`", found[0]);
}

#[test]
fn the_history_that_is_broken_below_is_whole() {
    let report = story().written();
    assert!(report.is_clean(), "{:#?}", report.findings);
    assert_eq!((report.sessions, report.tallies, report.totals, report.objects), (3, 3, 4, 4));
    assert_eq!((report.uncounted, report.unsigned, report.unlisted), (0, 0, 0));
}

#[test]
fn time_and_runs_are_followed() {
    finds("nothing was written for 21 s", |story| {
        let last = story.last("session.closed", 0);
        story.later(last, 2 * HEARTBEAT_S);
    });
    finds("started while it was running", |story| {
        let again = story.steps[0].clone();
        story.insert(5, again.body);
    });
}

#[test]
fn a_gap_speaks_for_the_silence_that_it_names_and_for_no_other() {
    let gap = |from: u64| {
        Body::Gap(Gap { cause: CAUSE_KILLED.to_owned(), from, refused: vec![], until: from + 100_000_000 })
    };
    let killed = |story: &mut Story, silent_s: u64, told_s: u64| {
        let at = story.last("operation.intent", 1);
        story.steps.truncate(at + 1);
        let last = story.steps[at].at;
        let from = last + (silent_s - told_s) * 1_000_000;
        story.push_at(last + silent_s * 1_000_000, gap(from));
        story.push_lost();
    };
    assert_eq!(wrong(|story| killed(story, 100, 100)), Vec::<String>::new());
    let found = wrong(|story| killed(story, 100, 50));
    assert_eq!(found, ["nothing was written for 100 s before it"]);
}

#[test]
fn sessions_are_followed() {
    finds("a session that is open already", |story| {
        let at = story.last("session.opened", 1);
        let again = story.steps[at].body.clone();
        story.insert(at + 1, again);
    });
    finds("a session reached a target that is not open", |story| {
        let at = story.last("session.joined", 1);
        let mut again = story.steps[at].body.clone();
        let Body::SessionJoined(body) = &mut again else { panic!() };
        body.session = "another".to_owned();
        story.insert(at, again);
    });
    finds("a session was closed that is not open", |story| {
        let at = story.last("session.closed", 1);
        let mut again = story.steps[at].body.clone();
        let Body::SessionClosed(body) = &mut again else { panic!() };
        body.agent = None;
        story.insert(at + 1, again);
    });
    for session in ["session-0", "session-7"] {
        finds("words of the target to a session that is not open", |story| {
            let at = story.last("session.told", 0);
            let mut again = story.steps[at].clone();
            let Body::SessionTold(body) = &mut again.body else { panic!() };
            (body.session, body.call) = (session.to_owned(), None);
            let closed = story.last("session.closed", 0);
            story.insert(closed + 1, again.body);
        });
    }
    finds("was never closed, with 0 operations open", |story| {
        let at = story.last("session.closed", 1);
        story.steps.remove(at);
    });
    finds(
        "the session's end counts 1 operations, 0 refusals and 9 rows, and its entries are 1, 0 and 3",
        |story| {
            story.closed(1, |body| body.rows = 9);
        },
    );
    finds("closed as lost by a gateway that was not", |story| {
        story.closed(1, |body| body.reason = REASON_LOST.to_owned());
    });
}

#[test]
fn operations_are_followed() {
    finds("closed with 1 operations without an outcome", |story| {
        let at = story.last("operation.outcome", 1);
        story.steps.remove(at);
        story.closed(1, |body| body.rows = 0);
    });
    finds("an outcome without its intent", |story| {
        let at = story.last("operation.outcome", 1);
        let mut again = story.steps[at].body.clone();
        let Body::OperationOutcome(body) = &mut again else { panic!() };
        body.rows = 0;
        story.insert(at + 1, again);
    });
    finds("progress without its intent", |story| {
        let at = story.last("operation.progress", 0);
        story.change(at, |body| {
            let Body::OperationProgress(body) = body else { panic!() };
            body.operation = 7;
        });
    });
    // An operation whose entries were all left out, the sums set right.
    finds("operation 3 stands where operation 2 has to", |story| {
        let at = story.last("operation.refused", 0);
        story.steps.remove(at);
        story.closed(0, |body| body.refusals = 0);
    });
    for kind in ["operation.intent", "operation.refused"] {
        let found = wrong(|story| {
            let at = story.last(kind, 0);
            let moved = story.steps.remove(at).body;
            let closed = story.last("session.closed", 0);
            story.insert(closed + 1, moved);
        });
        assert!(
            found.iter().any(|what| what == "an operation of a session that is not open"),
            "{kind}: {found:?}"
        );
    }
}

#[test]
fn tool_calls_are_followed() {
    finds("a tool call that has begun already", |story| {
        let at = story.last("toolcall.started", 0);
        let again = story.steps[at].body.clone();
        story.insert(at + 1, again);
    });
    finds("the end of a tool call that is not under way", |story| {
        let at = story.last("toolcall.ended", 0);
        let again = story.steps[at].body.clone();
        story.insert(at + 1, again);
    });
    finds("tool call `call-1` never ended", |story| {
        let at = story.last("toolcall.ended", 0);
        story.steps.remove(at);
    });
    for kind in ["operation.intent", "operation.refused"] {
        let found = wrong(|story| calls_of(story, kind, Some("another")));
        assert!(
            found.contains(&"an operation of a tool call that is not under way".to_owned()),
            "{kind}: {found:?}"
        );
    }
    finds("an outcome under another tool call than its intent", |story| {
        calls_of(story, "operation.outcome", Some("another"));
    });
    finds("an outcome under another tool call than its intent", |story| {
        calls_of(story, "operation.outcome", None);
    });
    finds("progress under another tool call than its intent", |story| {
        calls_of(story, "operation.progress", Some("another"));
    });
    finds("words of the target in a tool call that is not under way", |story| {
        calls_of(story, "session.told", Some("another"));
    });
    for (kind, what) in [
        ("toolcall.told", "words of a server in a tool call that is not under way"),
        ("toolcall.asked", "a question of a server in a tool call that is not under way"),
        ("toolcall.answered", "an answer to a question that is not open"),
    ] {
        finds(what, |story| {
            let at = story.last(kind, 0);
            let again = story.steps[at].body.clone();
            let ended = story.last("toolcall.ended", 0);
            story.insert(ended + 1, again);
        });
    }
    finds("an answer to a question that is not open", |story| {
        let at = story.last("toolcall.answered", 0);
        let again = story.steps[at].body.clone();
        story.insert(at + 1, again);
    });
    finds("an answer to a question that is not open", |story| {
        let at = story.last("toolcall.asked", 0);
        let Body::ToolcallAsked(body) = &mut story.steps[at].body else { panic!() };
        body.code = Some(chaperone_access::RefusalCode::NotPermitted);
    });
    finds("question 1 stands where question 2 has to", |story| {
        let at = story.last("toolcall.asked", 0);
        let again = story.steps[at].body.clone();
        story.insert(at + 1, again);
    });
    // A call whose beginning was left out takes its operations with it, or they tell.
    let found = wrong(|story| {
        let at = story.last("toolcall.started", 0);
        story.steps.remove(at);
    });
    assert!(found.iter().any(|what| what.contains("the end of a tool call")), "{found:?}");
    assert!(found.iter().any(|what| what.contains("an operation of a tool call")), "{found:?}");
}

#[test]
fn a_call_of_a_server_elsewhere_begins_with_its_exchange_and_has_no_end() {
    let exchanged = |story: &mut Story| {
        // What its server says to its caller passes nobody here.
        story.steps.retain(|step| {
            !["toolcall.told", "toolcall.asked", "toolcall.answered"].contains(&step.body.kind().as_str())
        });
        let at = story.last("toolcall.ended", 0);
        story.steps.remove(at);
        let at = story.last("toolcall.started", 0);
        let Body::ToolcallStarted(started) = story.steps[at].body.clone() else { panic!("another entry") };
        story.steps[at].body = Body::CredentialExchanged(CredentialExchanged {
            arguments: Some(started.arguments),
            call: Some(started.call),
            credential: "credential-1".to_owned(),
            delegation: started.delegation,
            named: None,
            not_after: 1,
            only: None,
            rows: None,
            source: started.source,
            target: started.target,
            tool: started.tool,
            verbs: None,
        });
        at
    };
    let whole = wrong(|story| {
        exchanged(story);
    });
    assert_eq!(whole, Vec::<String>::new());
    finds("a tool call that has begun already", |story| {
        let at = exchanged(story);
        let again = story.steps[at].body.clone();
        story.insert(at + 1, again);
    });
    let found = wrong(|story| {
        let at = exchanged(story);
        story.steps.remove(at);
    });
    assert!(
        found.iter().all(|what| what.contains("in a tool call") || what.contains("of a tool call")),
        "{found:?}"
    );
    assert!(found.len() > 2, "{found:?}");
}

#[test]
fn what_agents_signed_is_looked_at() {
    finds("a tally is signed with a key that was not enrolled", |story| {
        story.closed(1, |body| body.agent.as_mut().unwrap().key = "another".to_owned());
    });
    finds("a tally is signed with another agent's key", |story| {
        let other = Agent::new("other");
        story.insert(2, other.enrolled());
        let mut tally = story.tally(1);
        tally.agent = "beside".to_owned();
        story.closed(1, |body| body.agent = Some(other.signs(tally)));
    });
    finds("a tally has no usable signature", |story| {
        story.closed(1, |body| body.agent.as_mut().unwrap().signature = "!".to_owned());
    });
    finds("a tally's signature is not valid", |story| {
        story.closed(1, |body| body.agent.as_mut().unwrap().tally.bytes_up += 1);
    });
    for change in [
        (|tally: &mut SessionTally| tally.session = "another".to_owned()) as fn(&mut SessionTally),
        |tally| tally.target = "another".to_owned(),
    ] {
        finds("the tally is of another session, target or agent", |story| story.tallied(1, change));
    }
    // The agent that signed is enrolled, and is not the one that the session went through.
    let found = wrong(|story| {
        let other = Agent::new("other");
        story.insert(2, other.enrolled());
        let mut tally = story.tally(1);
        tally.agent = "other".to_owned();
        story.closed(1, |body| body.agent = Some(other.signs(tally)));
    });
    assert!(found.iter().any(|what| what.contains("another session, target or agent")), "{found:?}");
    for change in [(|tally: &mut SessionTally| tally.bytes_up += 1) as fn(&mut SessionTally), |tally| {
        tally.bytes_down -= 1
    }] {
        let found = wrong(|story| story.tallied(1, change));
        assert!(found.contains(&"gateway and agent counted different traffic".to_owned()), "{found:?}");
    }
    finds("the tally is of another session, target or agent", |story| {
        let mut tally = story.look_tally();
        tally.session = "another".to_owned();
        let signed = story.agent.signs(tally);
        let at = story.last("catalog.answered", 0);
        story.change(at, |body| {
            let Body::CatalogAnswered(body) = body else { panic!() };
            body.agent = Some(signed);
        });
    });
}

/// The operator leaves a whole session out, renumbers, and signs. Only its agent knows.
#[test]
fn a_session_that_was_left_out_is_missed_by_its_agent() {
    for left_out in 0..3 {
        let found = wrong(|story| story.leave_out(left_out));
        assert!(found.iter().any(|what| what.contains("sessions and")), "session {left_out}: {found:#?}");
        // Once: the count does not come down, and is not said again at each heartbeat.
        let missing = found.iter().filter(|what| what.contains("the record has at most")).count();
        assert_eq!(missing, 1, "session {left_out}: {found:#?}");
    }
    // A look at a catalog is counted too: a session cannot pass as one that nobody wrote down.
    let found = wrong(|story| {
        story.steps.retain(|step| !matches!(step.body.kind(), Kind::CatalogAsked | Kind::CatalogAnswered));
    });
    assert!(found.iter().any(|what| what.contains("the record has at most")), "{found:#?}");
}

#[test]
fn a_count_of_streams_alone_tells_as_well() {
    finds("4 sessions and 9 streams since it started, and the record has at most", |story| {
        story.counted(2, |tally| tally.streams = 9);
        story.counted(3, |tally| tally.streams = 9);
    });
}

#[test]
fn bytes_that_no_session_carried_are_missed() {
    for change in
        [(|tally: &mut CumulativeTally| tally.bytes_down += 1) as fn(&mut CumulativeTally), |tally| {
            tally.bytes_up += 1
        }]
    {
        finds("bytes from and", |story| story.counted(3, change));
    }
    // A session that is open when its agent counts is waited for.
    finds("bytes from and", |story| {
        story.counted(1, |tally| tally.bytes_down += 700);
        story.counted(2, |tally| tally.bytes_down += 700);
        story.counted(3, |tally| tally.bytes_down += 700);
    });
}

#[test]
fn sessions_that_no_agent_carried_are_not_made_up() {
    finds("counted fewer sessions than reached a target through it on record", |story| {
        story.make_up("made-up");
    });
}

#[test]
fn an_old_count_does_not_stand_for_a_new_one() {
    let found = wrong(|story| {
        let at = story.last("gateway.heartbeat", 1);
        let old = story.steps[at].body.clone();
        for later in [2, 3] {
            let at = story.last("gateway.heartbeat", later);
            story.steps[at].body = old.clone();
        }
    });
    assert_eq!(found, vec!["a count of agent `beside` is not newer than its last"; 2]);
    for change in [
        (|tally: &mut CumulativeTally| tally.sessions = 0) as fn(&mut CumulativeTally),
        |tally| tally.streams = 0,
        |tally| tally.bytes_up = 0,
        |tally| tally.bytes_down = 0,
    ] {
        let found = wrong(|story| story.counted(3, change));
        assert!(found.iter().any(|what| what.contains("is not newer than its last")), "{found:?}");
    }
    finds("a count of a process of agent `beside` that another one had followed", |story| {
        story.counted(2, |tally| {
            tally.since = tally.since.map(|since| since + 1);
            (tally.sessions, tally.streams, tally.bytes_down, tally.bytes_up) = (1, 1, 10, 5);
        });
    });
}

/// What a lost agent takes with it is no contradiction: its next process begins at nothing, and what stands in no count is
/// said as a number.
#[test]
fn a_lost_agent_is_no_false_alarm() {
    let mut story = story();
    // Killed after its first count: the second session has no tally, its later counts are another process's.
    story.closed(1, |body| body.agent = None);
    let at = story.last("session.closed", 1);
    story.insert(at + 1, story.agent.connected());
    let third = story.tally(2);
    for heartbeat in [2, 3] {
        story.counted(heartbeat, |tally| {
            tally.since = tally.since.map(|since| since + 50_000_000);
            (tally.sessions, tally.streams) = (1, 1);
            (tally.bytes_down, tally.bytes_up) = (third.bytes_down, third.bytes_up);
        });
    }
    let report = story.clone().written();
    assert!(report.is_clean(), "{:#?}", report.findings);
    // Nobody answered any more: nothing is wrong, and the sessions are named as not counted.
    for heartbeat in [1, 2, 3] {
        let at = story.last("gateway.heartbeat", heartbeat);
        story.change(at, |body| {
            let Body::GatewayHeartbeat(body) = body else { panic!() };
            body.agents.clear();
        });
    }
    let report = story.written();
    assert!(report.is_clean(), "{:#?}", report.findings);
    assert_eq!((report.totals, report.uncounted), (1, 2));
}

/// A session that never reached its target may have a stream at the agent all the same.
#[test]
fn a_dial_that_was_given_up_is_no_false_alarm() {
    let mut story = story();
    let at = story.last("session.joined", 1);
    story.steps.remove(at);
    let (intent, outcome) = (story.last("operation.intent", 1), story.last("operation.outcome", 1));
    story.steps.remove(outcome);
    story.steps.remove(intent);
    story.closed(1, |body| {
        body.agent = None;
        (body.operations, body.rows) = (0, 0);
    });
    let report = story.written();
    assert!(report.is_clean(), "{:#?}", report.findings);
}

/// A session that had reached no target when an agent counted, and then went through another one, is not waited for.
#[test]
fn bytes_are_compared_while_sessions_go_elsewhere() {
    let mut story = story();
    story.counted(3, |tally| tally.bytes_down += 1);
    let (opened, joined) = (story.last("session.opened", 2), story.last("session.joined", 2));
    let closed = story.last("session.closed", 2);
    let mut bodies: Vec<Body> = [opened, joined, closed].map(|at| story.steps[at].body.clone()).into();
    for body in &mut bodies {
        match body {
            Body::SessionOpened(body) => body.session = "elsewhere".to_owned(),
            Body::SessionJoined(body) => {
                (body.session, body.agent) = ("elsewhere".to_owned(), "other".to_owned());
            }
            Body::SessionClosed(body) => (body.session, body.agent) = ("elsewhere".to_owned(), None),
            other => panic!("{}", other.kind().as_str()),
        }
    }
    // Opened before the third count, joined and closed after it: the fourth is held against the sums all the same.
    let [opened, joined, closed] = bodies.try_into().unwrap();
    let third = story.last("gateway.heartbeat", 2);
    story.insert(third + 1, closed);
    story.insert(third + 1, joined);
    story.insert(third, opened);
    let found = story.written().findings;
    assert!(found.len() == 1 && found[0].what.contains("bytes from and"), "{found:#?}");
}

/// An agent that was too slow has a stream for a session that another one carries.
#[test]
fn a_stream_that_nobody_waited_for_is_no_false_alarm() {
    let mut story = story();
    story.counted(3, |tally| (tally.sessions, tally.streams) = (5, 5));
    let found = story.clone().written().findings;
    assert!(found.iter().any(|finding| finding.what.contains("the record has at most 4")), "{found:#?}");
    // Session 1 asked it first and went through another one, as its joining says.
    let at = story.last("gateway.heartbeat", 2) + 1;
    let mut bodies = Vec::new();
    for kind in ["session.opened", "session.joined", "session.closed"] {
        bodies.push(story.steps[story.last(kind, 2)].body.clone());
    }
    for body in &mut bodies {
        match body {
            Body::SessionOpened(body) => body.session = "elsewhere".to_owned(),
            Body::SessionJoined(body) => {
                body.session = "elsewhere".to_owned();
                body.agent = "other".to_owned();
                body.tried = Some(vec!["beside".to_owned()]);
            }
            Body::SessionClosed(body) => {
                body.session = "elsewhere".to_owned();
                body.agent = None;
            }
            other => panic!("{}", other.kind().as_str()),
        }
    }
    for body in bodies.into_iter().rev() {
        story.insert(at, body);
    }
    let report = story.written();
    assert!(report.is_clean(), "{:#?}", report.findings);
}

/// A log in a folder, and where its files are.
fn on_disk() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    story().write(folder.path());
    (folder, signer().verifier_key())
}

#[test]
fn files_that_are_missing_or_cut_are_found() {
    type Change = fn(&Path, &str);
    let width = story().steps.len() as u64 + 1;
    let (bundle, tile) = (bundle_path(0, width), tile_path(0, 0, width));
    let remove: Change = |folder, path| fs::remove_file(folder.join(path)).unwrap();
    let cut: Change = |folder, path| {
        let bytes = fs::read(folder.join(path)).unwrap();
        fs::write(folder.join(path), &bytes[..bytes.len() - 1]).unwrap();
    };
    let segment = "segments/00000000000000000000.seg";
    let cases: [(&str, &str, Change); 9] = [
        ("the checkpoint cannot be read", "checkpoint", remove),
        (&format!("`{bundle}` is missing"), &bundle, remove),
        (&format!("`{bundle}` does not hold {width} entries"), &bundle, cut),
        (&format!("`{tile}` cannot be read"), &tile, remove),
        (&format!("`{tile}` does not hold the hashes of its entries"), &tile, cut),
        ("the segments hold fewer entries than were signed", segment, remove),
        ("the segments cannot be listed", "segments", |folder, path| {
            fs::remove_dir_all(folder.join(path)).unwrap();
        }),
        (".seg` cannot be read", segment, |folder, path| {
            fs::remove_file(folder.join(path)).unwrap();
            fs::create_dir(folder.join(path)).unwrap();
        }),
        ("a segment ends in bytes that are no batch", segment, |folder, path| {
            let mut bytes = fs::read(folder.join(path)).unwrap();
            let last = bytes.len() - 1;
            bytes[last] = 1;
            fs::write(folder.join(path), bytes).unwrap();
        }),
    ];
    for (words, path, change) in cases {
        let (folder, key) = on_disk();
        change(folder.path(), path);
        let report = verify(folder.path(), &key, |_| {});
        let found: Vec<_> = report.findings.iter().map(|finding| finding.what.as_str()).collect();
        assert!(found.iter().any(|found| found.contains(words)), "`{words}`: {found:?}");
    }
    let (folder, _) = on_disk();
    let other = signer().verifier_key().replace("chaperone/test", "chaperone/other");
    assert_eq!(verify(folder.path(), &other, |_| {}).findings.len(), 1);
}

/// The signed tree is built again over entries that no writer of ours makes.
#[test]
fn entries_that_no_gateway_writes_are_found() {
    let broken = |words: &str, change: &dyn Fn(&str) -> String| {
        let (folder, key) = on_disk();
        let size = story::forge(folder.path(), change);
        let report = verify(folder.path(), &key, |_| {});
        assert_eq!(report.size, size);
        let found: Vec<_> = report.findings.iter().map(|finding| finding.what.as_str()).collect();
        assert!(found.iter().any(|found| found.contains(words)), "`{words}`: {found:?}");
        assert!(!found.iter().any(|found| found.contains("root")), "it is signed well: {found:?}");
    };
    broken("the entry says that it is number 77", &|entry| entry.replace("\"seq\":3,", "\"seq\":77,"));
    broken("unknown kind `gateway.other`", &|entry| entry.replace("gateway.started", "gateway.other"));
    broken("not in canonical form", &|entry| entry.replace("\"seq\":3,", "\"seq\": 3,"));
    broken("segment and bundle hold different entries", &|entry| {
        entry.replace("\"heartbeat_s\":10", "\"heartbeat_s\":20")
    });
    // Signed for another tree than the entries give.
    let (folder, key) = on_disk();
    let text = fs::read(folder.path().join("checkpoint")).unwrap();
    let checkpoint = open_checkpoint(&text, &key).unwrap();
    let other = Checkpoint { root: [9; 32], ..checkpoint };
    fs::write(folder.path().join("checkpoint"), signer().sign(&other)).unwrap();
    let found = verify(folder.path(), &key, |_| {}).findings;
    assert!(found.iter().any(|finding| finding.what.contains("do not give the root")), "{found:?}");
}

#[test]
fn a_sealed_object_that_is_not_there_is_found() {
    for kind in ["operation.intent", "operation.progress", "session.told", "operation.outcome"] {
        finds("is missing or was changed", |story| {
            let has =
                |step: &&mut story::Entered| step.body.kind().as_str() == kind && !step.frames.is_empty();
            story.steps.iter_mut().find(has).unwrap().frames.clear();
        });
    }
}

#[test]
fn findings_beyond_a_thousand_are_counted() {
    let mut story = story();
    let at = story.last("toolcall.ended", 0);
    let again = story.steps[at].body.clone();
    for _ in 0..1005 {
        story.insert(at + 1, again.clone());
    }
    let report = story.written();
    assert_eq!((report.findings.len(), report.unlisted), (1000, 5));
    assert!(!report.is_clean());
}
