//! How many runs of a server there may be, and as whom each goes.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chaperone_command::launch::RunAs;
use rustix::process::{Pid, Signal};

use crate::config::agent::HostedServer;

/// How often what a run left is ended, and looked for again.
const TRIES: u32 = 100;
/// Pause between two of them.
const PAUSE: Duration = Duration::from_millis(20);

/// The places of one server. Owner of the free numbers: whoever takes one, until it is dropped and nothing of its run is left.
pub(super) struct Places {
    free: Mutex<VecDeque<u32>>,
    /// As whom; `None` is whoever the agent is.
    first: Option<RunAs>,
    uids: u32,
    same_user: bool,
}

/// The place of one run.
pub(super) struct Place {
    number: u32,
    places: Arc<Places>,
    /// Whether something of the run may be left when it is over, under a user that the next one gets.
    may_leave: bool,
}

/// Whose users something runs as.
pub(super) struct Users {
    /// What it is called, and what it is.
    pub(super) who: String,
    pub(super) uids: Range<u32>,
    /// Whether it says that it may share them.
    pub(super) may_share: bool,
}

/// No run has the user of another server's run, or of a target's commands: of one user, each could end, read and change
/// what the other does.
pub(super) fn check_apart(servers: &[Users], targets: &[Users]) -> Result<(), String> {
    for (at, server) in servers.iter().enumerate() {
        let shares = |other: &&Users| {
            let meets = server.uids.start < other.uids.end && other.uids.start < server.uids.end;
            meets && !(server.may_share && other.may_share)
        };
        if let Some(other) = servers.iter().take(at).chain(targets).find(shares) {
            return Err(format!(
                "{} and {} would share a user: {} and {} (hint: give each a range of its own with `uid` and `uids`)",
                server.who,
                other.who,
                shown(&server.uids),
                shown(&other.uids)
            ));
        }
    }
    Ok(())
}

fn shown(uids: &Range<u32>) -> String {
    let last = uids.end.saturating_sub(1);
    if uids.start == last { format!("uid {last}") } else { format!("uids {} to {last}", uids.start) }
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
        let group = rustix::process::getegid().as_raw();
        if first.is_some_and(|RunAs { gid, .. }| gid == 0 || gid == group) && !same_user {
            return Err(
                "its runs would be of the group of root or of the agent's own, which may read what others may not (hint: a \
                 `gid` that owns nothing)"
                    .to_owned(),
            );
        }
        if uids < most && !same_user {
            return Err(format!(
                "runs of different callers would share a user (hint: `uids = {most}`, so that from `uid` on each of \
                 `processes_max` runs has one of its own, or say `same_user = true` for a demonstration)"
            ));
        }
        Ok(Arc::new(Self { free: Mutex::new((0..most).collect()), first, uids, same_user }))
    }

    /// As whom its runs go; `None` where that is whoever the agent is.
    pub(super) fn users(&self, who: String) -> Option<Users> {
        let RunAs { uid, .. } = self.first?;
        // Checked when they were taken.
        Some(Users { who, uids: uid..uid.saturating_add(self.uids), may_share: self.same_user })
    }

    /// The place that has been free the longest; `None` where there is none. `has_walls`: with which everything of a run ends.
    pub(super) fn take(self: &Arc<Self>, has_walls: bool) -> Option<Place> {
        let number = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop_front()?;
        // What shares its user with others is not ended for what one of them left.
        let may_leave = !has_walls && !self.same_user;
        Some(Place { number, places: self.clone(), may_leave })
    }

    /// Whether its runs are of another user than the agent.
    pub(super) fn have_others(&self) -> bool {
        let agent = rustix::process::geteuid().as_raw();
        // One of several users may be the agent's; the rest are not.
        self.first.is_some_and(|RunAs { uid, .. }| uid != agent || self.uids > 1)
    }

    /// Whether a run is in one of them, or something of it may be left.
    pub(super) fn are_used(self: &Arc<Self>) -> bool {
        Arc::strong_count(self) > 1
    }

    /// Before its first run: end what an agent that was killed has left of its runs, under users that the new ones get.
    pub(super) fn clear(&self) -> Result<(), String> {
        match self.first {
            // What shares its user with others is nobody's to end.
            Some(RunAs { uid, .. }) if !self.same_user => end_all_of(&(uid..uid.saturating_add(self.uids))),
            Some(_) | None => Ok(()),
        }
    }

    fn give_back(&self, number: u32) {
        self.free.lock().unwrap_or_else(PoisonError::into_inner).push_back(number);
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
        let uid = match self.run_as() {
            Some(RunAs { uid, .. }) if self.may_leave => uid,
            Some(_) | None => return self.places.give_back(self.number),
        };
        let (number, places) = (self.number, self.places.clone());
        let clear = move || match end_all_of(&(uid..uid.saturating_add(1))) {
            Ok(()) => places.give_back(number),
            Err(why) => {
                tracing::error!(uid, %why, "a run's user is not used again until the agent is started anew");
            }
        };
        // It takes a while, and there may be no runtime any more.
        if let Err(error) = std::thread::Builder::new().name("clear".to_owned()).spawn(clear) {
            tracing::error!(uid, %error, "a run's user is not used again: no thread looks for what is left of it");
        }
    }
}

/// End whatever is left of the processes of some users: what left the group of its run is found by nothing else.
fn end_all_of(uids: &Range<u32>) -> Result<(), String> {
    for _ in 0..TRIES {
        let left = left_of(uids).map_err(|error| format!("cannot see which processes there are: {error}"))?;
        if left.is_empty() {
            return Ok(());
        }
        for process in left {
            // It may have ended meanwhile. The next look tells.
            rustix::process::kill_process(process, Signal::KILL).ok();
        }
        std::thread::sleep(PAUSE);
    }
    Err("some of their processes cannot be ended".to_owned())
}

fn left_of(uids: &Range<u32>) -> std::io::Result<Vec<Pid>> {
    let mut left = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let entry = entry?;
        let number = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok());
        let Some(pid) = number.and_then(Pid::from_raw) else { continue };
        match std::fs::read_to_string(entry.path().join("status")) {
            Ok(status) if is_left(&status, uids) => left.push(pid),
            Ok(_) => {}
            // It ended between the two looks.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(left)
}

/// Whether a process, by what the kernel says of it, is of one of the users and has not ended. One that has and was not waited for does
/// nothing any more, unless only its first thread has ended.
fn is_left(status: &str, uids: &Range<u32>) -> bool {
    let said = |key: &str| {
        let mut lines = status.lines();
        lines.find_map(|line| line.strip_prefix(key)?.strip_prefix(':')).unwrap_or_default()
    };
    let has_ended = said("State").trim_start().starts_with(['Z', 'X'])
        && said("Threads").trim().parse::<u32>().is_ok_and(|threads| threads <= 1);
    let is_one = |one: &str| one.parse::<u32>().is_ok_and(|uid| uids.contains(&uid));
    !has_ended && said("Uid").split_whitespace().any(is_one)
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
            assert!(told("uid = 65534\ngid = 0\nprocesses_max = 1").contains("group of root"));
            assert_eq!(told("uid = 65534\ngid = 65534\nprocesses_max = 1"), "");
            assert_eq!(told("uid = 0\ngid = 0\nsame_user = true"), "");
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
    fn no_two_share_a_user_unless_both_say_so() {
        let users = |who: &str, uids: Range<u32>, may_share| Users { who: who.to_owned(), uids, may_share };
        let (one, next) = (users("server `one`", 100..132, false), users("server `next`", 132..164, false));
        let within = users("server `within`", 131..132, false);
        let target = users("target `ops`", 163..164, true);
        assert_eq!(check_apart(&[], &[target]), Ok(()));
        let servers = [one, next];
        assert_eq!(check_apart(&servers, &[users("target `ops`", 164..165, true)]), Ok(()));
        let told = check_apart(&servers, &[users("target `ops`", 163..164, true)]).unwrap_err();
        assert!(told.starts_with("server `next` and target `ops` would share a user"), "{told}");
        assert!(told.contains("uids 132 to 163 and uid 163"), "{told}");
        let [one, next] = servers;
        let told = check_apart(&[one, within, next], &[]).unwrap_err();
        assert!(told.starts_with("server `within` and server `one`"), "{told}");
        let demonstration = || users("server `demo`", 0..1, true);
        assert_eq!(check_apart(&[demonstration(), demonstration()], &[]), Ok(()));
        assert!(check_apart(&[demonstration(), users("server `own`", 0..1, false)], &[]).is_err());
    }

    #[test]
    fn each_run_has_a_user_of_its_own_and_one_that_rested() {
        if !rustix::process::geteuid().is_root() {
            assert_eq!(places("same_user = true").unwrap().take(false).unwrap().run_as(), None);
            return;
        }
        let places = places("uid = 70000\ngid = 7\nuids = 3\nprocesses_max = 3").unwrap();
        let user = |place: &Place| place.run_as().unwrap().uid;
        let (first, second, third) =
            (places.take(true).unwrap(), places.take(true).unwrap(), places.take(true).unwrap());
        assert_eq!([user(&first), user(&second), user(&third)], [70_000, 70_001, 70_002]);
        assert!(places.take(true).is_none());
        drop(second);
        drop(first);
        assert_eq!(user(&places.take(true).unwrap()), 70_001);
    }

    #[test]
    fn what_is_left_of_a_user_is_found_by_what_the_kernel_says() {
        let status = |state: &str, threads: u32, uids: &str| {
            format!(
                "Name:\tUid: 7\nState:\t{state}\nPid:\t7\nUid:\t{uids}\nGid:\t9\t9\t9\t9\nThreads:\t{threads}\n"
            )
        };
        for (state, threads, uids, left) in [
            ("S (sleeping)", 1, "7\t7\t7\t7", true),
            ("R (running)", 4, "0\t7\t0\t0", true),
            ("S (sleeping)", 1, "70\t70\t70\t70", false),
            ("S (sleeping)", 1, "9\t9\t9\t9", false),
            ("Z (zombie)", 1, "7\t7\t7\t7", false),
            ("Z (zombie)", 2, "7\t7\t7\t7", true),
        ] {
            assert_eq!(is_left(&status(state, threads, uids), &(7..8)), left, "{state} {threads} {uids}");
            assert_eq!(is_left(&status(state, threads, uids), &(5..8)), left, "{state} {threads} {uids}");
        }
        assert!(!is_left("", &(0..8)));
    }

    #[test]
    fn a_place_without_walls_is_free_when_nothing_of_its_user_is_left() {
        use std::os::unix::process::CommandExt as _;
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let places = places("uid = 70321\ngid = 70321\nprocesses_max = 1").unwrap();
        let place = places.take(false).unwrap();
        let mut sleeps = std::process::Command::new("/bin/sleep");
        let mut left = sleeps.arg("600").uid(70_321).gid(70_321).current_dir("/").spawn().unwrap();
        drop(place);
        assert!(!left.wait().unwrap().success());
        while places.are_used() {
            std::thread::sleep(PAUSE);
        }
        assert!(places.take(false).is_some());
    }

    #[test]
    fn what_an_earlier_agent_left_is_ended_before_the_first_run_and_nothing_else() {
        use std::os::unix::process::CommandExt as _;
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let sleeps = |uid: u32| {
            let mut sleeps = std::process::Command::new("/bin/sleep");
            sleeps.arg("600").uid(uid).gid(uid).current_dir("/").spawn().unwrap()
        };
        let (mut left, mut another) = (sleeps(70_332), sleeps(70_333));
        places("uid = 70331\ngid = 70331\nuids = 2\nprocesses_max = 2").unwrap().clear().unwrap();
        assert!(!left.wait().unwrap().success());
        assert!(another.try_wait().unwrap().is_none());
        // Who shares his user may have it from a process of somebody's.
        let shared = "uid = 70333\ngid = 70333\nsame_user = true\nprocesses_max = 1";
        places(shared).unwrap().clear().unwrap();
        assert!(another.try_wait().unwrap().is_none());
        another.kill().unwrap();
        another.wait().unwrap();
    }
}
