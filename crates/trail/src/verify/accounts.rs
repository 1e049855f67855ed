//! What agents counted since they started, held against the sessions that are on record.
//!
//! Whatever an agent counts was dialled for a session, or for a look at a catalog, whose entry was durable before. So at
//! each count the record knows at least as many sessions as the agent; one more of the agent's is one that was left out.
//! What an agent cannot tell, because it was lost or did not answer, shows in the next count or in none: it is counted
//! ([`Accounts::uncounted`]) and is nothing wrong by itself.

use std::collections::{BTreeMap, BTreeSet};

use super::Report;
use crate::{CumulativeTally, SessionTally};

/// What is on record of one agent, or of all sessions that reached none, up to some entry.
#[derive(Debug, Clone, Copy, Default)]
struct Mark {
    /// Sessions that reached a target through the agent.
    joined: u64,
    /// Sessions that ended without having reached a target; any agent may have opened a stream for them.
    never_joined: u64,
    /// Sessions for which it was asked without an answer, and that then reached a target through another agent.
    tried: u64,
    /// The agent's sessions that ended without its count.
    untallied: u64,
    /// Bytes from targets in the agent's counts of sessions that ended.
    down: u64,
    /// Bytes to targets in them.
    up: u64,
}

/// A count of bytes that waits for the ends of the sessions that were open with it.
struct Awaited {
    entry: u64,
    down: u64,
    up: u64,
    open: BTreeSet<String>,
}

/// One process of an agent, from its first count on.
struct Run {
    since: u64,
    /// What was on record before its first stream can have been opened.
    base: Mark,
    last: CumulativeTally,
    /// Entry of its first count, and the sessions in it.
    first: (u64, u64),
    /// Sessions that were opened and reached a target after its first count: up to now, and up to its last count.
    certain: (u64, u64),
    /// What was found missing already.
    missing: u64,
    fewer_found: bool,
    bytes_found: bool,
    awaited: Option<Awaited>,
}

#[derive(Default)]
struct Account {
    on_record: Mark,
    /// What was on record when it linked for the first time after its last count: a later process begins no earlier.
    linked: Option<Mark>,
    run: Option<Run>,
    /// Processes that another one followed.
    ended: BTreeSet<u64>,
    /// What was on record at its last count.
    last: Mark,
    /// Sessions that reached a target since its last count.
    uncounted: u64,
}

/// A session, or a look at a catalog, that an agent may have counted.
struct Dialled {
    opened: u64,
    agent: Option<String>,
    is_look: bool,
}

/// The accounts of all agents.
#[derive(Default)]
pub(super) struct Accounts {
    agents: BTreeMap<String, Account>,
    dialled: BTreeMap<String, Dialled>,
    /// Of those, without an agent so far.
    unjoined: u64,
    never_joined: u64,
}

impl Accounts {
    /// Something may be dialled from here on.
    pub(super) fn opened(&mut self, session: &str, seq: u64, is_look: bool) {
        let dialled = Dialled { opened: seq, agent: None, is_look };
        if self.dialled.insert(session.to_owned(), dialled).is_none() {
            self.unjoined += 1;
        }
    }

    /// It reached its target.
    pub(super) fn joined(&mut self, session: &str, agent: &str) {
        let Some(dialled) = self.dialled.get_mut(session) else { return };
        if dialled.agent.is_some() {
            return;
        }
        dialled.agent = Some(agent.to_owned());
        self.unjoined -= 1;
        let account = self.agents.entry(agent.to_owned()).or_default();
        account.on_record.joined += 1;
        account.uncounted += 1;
        if let Some(run) = &mut account.run
            && dialled.opened > run.first.0
        {
            run.certain.0 += 1;
        }
    }

    /// Before that, these agents were asked and gave no answer.
    pub(super) fn tried(&mut self, agents: Option<&Vec<String>>) {
        for agent in agents.into_iter().flatten() {
            let account = self.agents.entry(agent.clone()).or_default();
            account.on_record.tried += 1;
            // What it counted of that is in no session's count.
            if let Some(run) = &mut account.run {
                run.awaited = None;
            }
        }
    }

    /// The agent through which an open session reached its target.
    pub(super) fn agent_of(&self, session: &str) -> Option<&str> {
        self.dialled.get(session)?.agent.as_deref()
    }

    /// It is over, with or without what its agent counted.
    pub(super) fn closed(&mut self, report: &mut Report, session: &str, tally: Option<&SessionTally>) {
        let Some(dialled) = self.dialled.remove(session) else { return };
        if dialled.agent.is_none() {
            self.unjoined -= 1;
            self.never_joined += 1;
        }
        for (name, account) in &mut self.agents {
            let known = match (&dialled.agent, tally) {
                // Nobody knows what an agent made of it.
                (None, _) => false,
                // Another one's: nothing of it is to come here.
                (Some(agent), _) if agent != name => true,
                (Some(_), None) => {
                    account.on_record.untallied += 1;
                    false
                }
                (Some(_), Some(tally)) => {
                    let now = &mut account.on_record;
                    now.down = now.down.saturating_add(tally.bytes_down);
                    now.up = now.up.saturating_add(tally.bytes_up);
                    true
                }
            };
            account.resolve(report, name, session, known);
        }
    }

    /// An agent linked.
    pub(super) fn linked(&mut self, agent: &str) {
        let never_joined = self.never_joined;
        let account = self.agents.entry(agent.to_owned()).or_default();
        account.linked.get_or_insert(Mark { never_joined, ..account.on_record });
    }

    /// The gateway began, and any agent of its own with it; looks of the run before have no end.
    pub(super) fn started(&mut self, report: &mut Report) {
        let looks = self.dialled.iter().filter(|(_, dialled)| dialled.is_look);
        let looks: Vec<String> = looks.map(|(session, _)| session.clone()).collect();
        for session in looks {
            self.closed(report, &session, None);
        }
        let agents: Vec<String> = self.agents.keys().cloned().collect();
        for agent in agents {
            self.linked(&agent);
        }
    }

    /// An agent's signed count, whose signature holds.
    pub(super) fn counted(&mut self, report: &mut Report, seq: u64, tally: &CumulativeTally) {
        // An agent of an earlier version does not say since when it counts.
        let (Some(since), Some(at)) = (tally.since, tally.at) else { return };
        report.totals += 1;
        let Self { agents, dialled, unjoined, never_joined } = self;
        let account = agents.entry(tally.agent.clone()).or_default();
        account.on_record.never_joined = *never_joined;
        if !account.turn(report, seq, tally, since, at) {
            return;
        }
        account.hold_sessions(report, seq, tally, *unjoined);
        let may_be_its = |dialled: &Dialled| dialled.agent.as_ref().is_none_or(|agent| *agent == tally.agent);
        let open = || {
            let its = dialled.iter().filter(|(_, dialled)| may_be_its(dialled));
            its.map(|(session, _)| session.clone()).collect()
        };
        account.hold_bytes(report, seq, tally, open);
        account.last = account.on_record;
        account.uncounted = 0;
    }

    /// Sessions that reached a target and stand in no count of their agent.
    pub(super) fn uncounted(&self) -> u64 {
        self.agents.values().map(|account| account.uncounted).sum()
    }
}

impl Account {
    /// Go on with the process that counted, or begin with it; `false` where its count can be of no use.
    fn turn(&mut self, report: &mut Report, seq: u64, tally: &CumulativeTally, since: u64, at: u64) -> bool {
        let name = &tally.agent;
        let linked = self.linked.take();
        match &mut self.run {
            Some(run) if run.since == since => {
                let last = std::mem::replace(&mut run.last, tally.clone());
                let back = last.at.is_some_and(|last| at <= last)
                    || tally.sessions < last.sessions
                    || tally.streams < last.streams
                    || tally.bytes_down < last.bytes_down
                    || tally.bytes_up < last.bytes_up;
                if back {
                    report.find(Some(seq), format!("a count of agent `{name}` is not newer than its last"));
                }
                return !back;
            }
            Some(run) => {
                self.ended.insert(run.since);
            }
            None => {}
        }
        if self.ended.contains(&since) {
            report.find(
                Some(seq),
                format!("a count of a process of agent `{name}` that another one had followed"),
            );
            return false;
        }
        self.run = Some(Run {
            since,
            base: linked.unwrap_or(self.last),
            last: tally.clone(),
            first: (seq, tally.sessions),
            certain: (0, 0),
            missing: 0,
            fewer_found: false,
            bytes_found: false,
            awaited: None,
        });
        true
    }

    /// As many sessions as it counted have to be on record, and it has to have counted those that certainly are its own.
    fn hold_sessions(&mut self, report: &mut Report, seq: u64, tally: &CumulativeTally, unjoined: u64) {
        let Some(run) = &mut self.run else { return };
        let name = &tally.agent;
        // A session is dialled once through each agent.
        let (now, base) = (&self.on_record, &run.base);
        let unanswered = now.tried - base.tried + now.never_joined - base.never_joined;
        let known = now.joined - base.joined + unanswered + unjoined;
        let counted = tally.sessions.max(tally.streams);
        if counted > known + run.missing {
            run.missing = counted - known;
            report.find(
                Some(seq),
                format!(
                    "agent `{name}` counted {} sessions and {} streams since it started, and the record has at most {known}",
                    tally.sessions, tally.streams
                ),
            );
        }
        if tally.sessions.saturating_sub(run.first.1) < run.certain.1 && !run.fewer_found {
            run.fewer_found = true;
            report.find(
                Some(seq),
                format!("agent `{name}` counted fewer sessions than reached a target through it on record"),
            );
        }
        run.certain.1 = run.certain.0;
    }

    /// Its bytes have to be those of its sessions' own counts, where each of them has one.
    fn hold_bytes(
        &mut self,
        report: &mut Report,
        seq: u64,
        tally: &CumulativeTally,
        open: impl FnOnce() -> BTreeSet<String>,
    ) {
        let Some(run) = &mut self.run else { return };
        let (base, now) = (&run.base, &self.on_record);
        // A session that reached no target may have reached its agent. Where the agent counted no more than had reached
        // one before its last count, none of them did.
        let all_joined = (now.never_joined, now.tried) == (base.never_joined, base.tried)
            || tally.sessions <= self.last.joined.saturating_sub(base.joined);
        if now.untallied > base.untallied || !all_joined || run.awaited.is_some() || run.bytes_found {
            return;
        }
        let awaited = Awaited { entry: seq, down: tally.bytes_down, up: tally.bytes_up, open: open() };
        run.awaited = Some(awaited);
        self.look_whether_all_is_in(report, &tally.agent);
    }

    /// A session is over; `known` where its agent's count of it is on record.
    fn resolve(&mut self, report: &mut Report, name: &str, session: &str, known: bool) {
        let Some(run) = &mut self.run else { return };
        let Some(awaited) = &mut run.awaited else { return };
        if !awaited.open.remove(session) {
            return;
        }
        if known {
            self.look_whether_all_is_in(report, name);
        } else {
            run.awaited = None;
        }
    }

    fn look_whether_all_is_in(&mut self, report: &mut Report, name: &str) {
        let Some(run) = &mut self.run else { return };
        let Some(awaited) = run.awaited.take_if(|awaited| awaited.open.is_empty()) else { return };
        let down = self.on_record.down - run.base.down;
        let up = self.on_record.up - run.base.up;
        if awaited.down > down || awaited.up > up {
            run.bytes_found = true;
            report.find(
                Some(awaited.entry),
                format!(
                    "agent `{name}` counted {} bytes from and {} to its targets, and its sessions' tallies have {down} and {up}",
                    awaited.down, awaited.up
                ),
            );
        }
    }
}
