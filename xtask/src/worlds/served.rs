//! Both worlds for somebody else's cases: how to reach them, and staying up.

use std::io::Read;
use std::os::fd::AsFd;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::Duration;

use chaperone_tests::worlds::{Pair, Worlds};
use rustix::fs::FileType;
use serde_json::{Value, json};
use signal_hook::iterator::Signals;

use crate::failure::Failure;

/// How often the processes are looked at while the worlds are up.
const GLANCE: Duration = Duration::from_millis(200);

/// What scripts need, as one line.
///
/// # Errors
/// A file with a password or key cannot be read.
pub(crate) fn as_json(worlds: &mut Worlds) -> Result<Value, Failure> {
    let pair = |[a, b]: &Pair| json!({ "a": a, "b": b });
    let (restricted, unrestricted) = (pair(worlds.restricted()), pair(worlds.unrestricted()));
    let (direct, login) = (pair(&worlds.direct()?), pair(&worlds.login()?));
    let boundary = worlds.boundary();
    Ok(json!({
        "restricted": restricted,
        "unrestricted": unrestricted,
        "direct": direct,
        "login": login,
        "api": boundary.api_url(),
        "trail": boundary.trail(),
        "log_key": boundary.log_key()?,
        "config": boundary.config(),
        "reader_key": boundary.reader_key(),
        "gateway_pid": boundary.gateway().id(),
    }))
}

/// Wait for a signal, or for the end of standard input where that is a pipe, a socket or a terminal. A part that ends by
/// itself ends it too.
///
/// # Errors
/// A part ended by itself.
pub(crate) fn until_over(worlds: &mut Worlds, signals: &mut Signals) -> Result<(), Failure> {
    let input = input_ends();
    let is_over = |input: &Option<Receiver<()>>| {
        input.as_ref().is_some_and(|input| !matches!(input.try_recv(), Err(TryRecvError::Empty)))
    };
    eprintln!("ready");
    while signals.pending().next().is_none() && !is_over(&input) {
        if let Some(told) = worlds.ended()? {
            return Err(Failure::new(told));
        }
        std::thread::sleep(GLANCE);
    }
    eprintln!("ending ...");
    Ok(())
}

/// Hears when standard input ends. Nothing where it is a file or `/dev/null`, which have ended before they begin.
fn input_ends() -> Option<Receiver<()>> {
    let stdin = std::io::stdin();
    let kind = rustix::fs::fstat(stdin.as_fd()).map(|found| FileType::from_raw_mode(found.st_mode)).ok()?;
    let lasts = matches!(kind, FileType::Fifo | FileType::Socket) || std::io::IsTerminal::is_terminal(&stdin);
    if !lasts {
        return None;
    }
    let (over, hears) = channel::<()>();
    std::thread::spawn(move || {
        let mut bytes = [0_u8; 1024];
        while std::io::stdin().read(&mut bytes).is_ok_and(|count| count > 0) {}
        // That the channel is closed is the message.
        drop(over);
    });
    Some(hears)
}
