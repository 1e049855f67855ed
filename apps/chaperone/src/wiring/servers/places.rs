//! How many runs of a server there may be, and as whom each goes.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use chaperone_command::launch::RunAs;

use crate::config::agent::HostedServer;

/// The places of one server. Owner of the free numbers: whoever takes one, until it is dropped.
pub(super) struct Places {
    free: Mutex<VecDeque<u32>>,
    /// As whom; `None` is whoever the agent is.
    first: Option<RunAs>,
    uids: u32,
}

/// The place of one run.
pub(super) struct Place {
    number: u32,
    places: Arc<Places>,
}

impl Places {
    /// Check and take what is declared of them.
    pub(super) fn new(server: &HostedServer) -> Result<Arc<Self>, String> {
        let HostedServer { uid, gid, uids, same_user, processes_max, .. } = *server;
        let first = run_as(uid, gid)?;
        let most = u32::try_from(processes_max).unwrap_or(u32::MAX);
        if most == 0 || uids == 0 {
            return Err("`processes_max` and `uids` are at least 1".to_owned());
        }
        let own = rustix::process::geteuid().as_raw();
        let is_agents = match first {
            None if uids > 1 => return Err("`uids`: only an agent that is root has more than one".to_owned()),
            None => true,
            Some(RunAs { uid, .. }) => {
                let end = uid.checked_add(uids).ok_or("`uids` goes beyond the last user there can be")?;
                (uid..end).contains(&own)
            }
        };
        if is_agents && !same_user {
            return Err(
                "its runs would be of the agent's own user, who reads the targets' secrets (hint: start the agent as root with \
                 `uid`, `gid` and `uids` here, or say `same_user = true` for a demonstration)"
                    .to_owned(),
            );
        }
        if uids < most && !same_user {
            return Err(format!(
                "runs of different callers would share a user (hint: `uids = {most}`, so that from `uid` on each of \
                 `processes_max` runs has one of its own, or say `same_user = true` for a demonstration)"
            ));
        }
        Ok(Arc::new(Self { free: Mutex::new((0..most).collect()), first, uids }))
    }

    /// The place that has been free the longest; `None` where there is none.
    pub(super) fn take(self: &Arc<Self>) -> Option<Place> {
        let number = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop_front()?;
        Some(Place { number, places: self.clone() })
    }
}

impl Place {
    /// As whom its run goes; `None` is whoever the agent is.
    pub(super) fn run_as(&self) -> Option<RunAs> {
        let Places { first, uids, .. } = *self.places;
        first.map(|RunAs { uid, gid }| RunAs { uid: uid + self.number % uids, gid })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.free.lock().unwrap_or_else(PoisonError::into_inner).push_back(self.number);
    }
}

/// As whom a server runs. An agent that is not root can run it as itself only; one that is has to be told as whom.
fn run_as(uid: Option<u32>, gid: Option<u32>) -> Result<Option<RunAs>, String> {
    let (own, group) = (rustix::process::geteuid(), rustix::process::getegid());
    match (uid, gid) {
        (Some(uid), Some(gid)) if own.is_root() => Ok(Some(RunAs { uid, gid })),
        (Some(uid), gid) if uid == own.as_raw() && gid.is_none_or(|gid| gid == group.as_raw()) => Ok(None),
        (None, None) if !own.is_root() => Ok(None),
        (Some(_), None) if own.is_root() => Err("`uid` without `gid`: it would keep the group of root".to_owned()),
        (None, _) if own.is_root() => Err(
            "the agent is root, so `uid` and `gid` say as whom the server runs (hint: a user that owns nothing)"
                .to_owned(),
        ),
        (_, _) => Err(
            "`uid`, `gid`: only an agent that is root can run a server as somebody else (hint: start it as root, or leave \
             both out to run the server as the agent itself)"
                .to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(more: &str) -> Result<Arc<Places>, String> {
        let declared: HostedServer = toml::from_str(&format!("command = [\"/bin/cat\"]\n{more}")).unwrap();
        Places::new(&declared)
    }

    fn told(more: &str) -> String {
        places(more).err().unwrap_or_default()
    }

    #[test]
    fn a_server_runs_as_nobody_elses_user() {
        let own = rustix::process::geteuid();
        if own.is_root() {
            assert!(told("").contains("the agent is root"));
            assert!(told("gid = 65534").contains("the agent is root"));
            assert!(told("uid = 65534").contains("without `gid`"));
            assert!(told("uid = 0\ngid = 0\nprocesses_max = 1").contains("agent's own user"));
            assert!(told("uid = 65534\ngid = 65534").contains("`uids = 32`"));
            assert!(told("uid = 4294967295\ngid = 9\nuids = 32").contains("beyond the last"));
            assert_eq!(told("uid = 65534\ngid = 65534\nprocesses_max = 1"), "");
        } else {
            assert!(told("").contains("agent's own user"));
            assert!(told("same_user = true\nuids = 2").contains("only an agent that is root"));
            assert!(told("uid = 0\ngid = 0").contains("only an agent that is root"));
            let uid = own.as_raw();
            assert_eq!(told(&format!("uid = {uid}\nsame_user = true")), "");
        }
        assert!(told("same_user = true\nprocesses_max = 0\nuid = 65534\ngid = 65534").len() > 10);
    }

    #[test]
    fn each_run_has_a_user_of_its_own_and_one_that_rested() {
        if !rustix::process::geteuid().is_root() {
            assert_eq!(places("same_user = true").unwrap().take().unwrap().run_as(), None);
            return;
        }
        let places = places("uid = 70000\ngid = 7\nuids = 3\nprocesses_max = 3").unwrap();
        let user = |place: &Place| place.run_as().unwrap().uid;
        let (first, second, third) = (places.take().unwrap(), places.take().unwrap(), places.take().unwrap());
        assert_eq!([user(&first), user(&second), user(&third)], [70_000, 70_001, 70_002]);
        assert!(places.take().is_none());
        drop(second);
        drop(first);
        assert_eq!(user(&places.take().unwrap()), 70_001);
    }
}
