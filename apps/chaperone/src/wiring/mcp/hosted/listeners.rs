//! Clients that listen beside their calls for lists that are others than they were: by GET in a session, or by
//! `subscriptions/listen`. What they hear is the gateway's own sentence, of what was told in a call of theirs and is on record.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chaperone_mcp::beside::List;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::sessions::Owner;
use super::voice::{Event, Voice};

/// Streams of one caller at one server on which it listens.
const STREAMS_OF_ONE_MAX: usize = 8;
/// How long one lasts; a client begins another.
const STREAM: Duration = Duration::from_secs(540);
/// What waits to be taken by one.
const WAIT_MAX: usize = 16;

type Streams = Vec<(Vec<List>, mpsc::Sender<List>)>;

/// All who listen.
#[derive(Default)]
pub(super) struct Listeners(Mutex<HashMap<Owner, Streams>>);

/// Somebody listens, until this is dropped.
pub(super) struct Listening {
    all: Arc<Listeners>,
    owner: Owner,
    heard: mpsc::Receiver<List>,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.heard.close();
        let mut all = self.all.all();
        if let Some(streams) = all.get_mut(&self.owner) {
            streams.retain(|(_, stream)| !stream.is_closed());
            if streams.is_empty() {
                all.remove(&self.owner);
            }
        }
    }
}

impl Listeners {
    fn all(&self) -> MutexGuard<'_, HashMap<Owner, Streams>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Listen for these; none where the caller has too many streams.
    pub(super) fn listen(self: &Arc<Self>, owner: &Owner, lists: Vec<List>) -> Option<Listening> {
        let mut all = self.all();
        let streams = all.entry(owner.clone()).or_default();
        if streams.len() >= STREAMS_OF_ONE_MAX {
            return None;
        }
        let (stream, heard) = mpsc::channel(WAIT_MAX);
        streams.push((lists, stream));
        drop(all);
        Some(Listening { all: self.clone(), owner: owner.clone(), heard })
    }

    /// Whether somebody of this caller's listens for it.
    pub(super) fn are_there(&self, owner: &Owner, list: List) -> bool {
        self.all().get(owner).is_some_and(|streams| streams.iter().any(|(lists, _)| lists.contains(&list)))
    }

    /// Let them know. Whoever takes nothing more hears of the next.
    pub(super) fn tell(&self, owner: &Owner, list: List) {
        let all = self.all();
        for (_, stream) in all.get(owner).into_iter().flatten().filter(|(lists, _)| lists.contains(&list)) {
            let _is_heard = stream.try_send(list).is_ok();
        }
    }
}

impl Listening {
    /// Tell a client what is heard, each as `written` has it, until it has listened for long enough.
    pub(super) async fn pass_on(mut self, voice: &Voice, written: impl Fn(List) -> String) {
        let until = Instant::now() + STREAM;
        while let Ok(Some(list)) = timeout_at(until, self.heard.recv()).await {
            voice.say(Event::Said(written(list))).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_hears_what_he_listens_for_while_he_does() {
        let all = Arc::new(Listeners::default());
        let (ana, ben) = (Owner::named("ana"), Owner::named("ben"));
        let mut tools = all.listen(&ana, vec![List::Tools]).unwrap();
        let mut prompts = all.listen(&ana, vec![List::Prompts]).unwrap();
        let mut bens = all.listen(&ben, vec![List::Tools]).unwrap();
        assert!(all.are_there(&ana, List::Prompts) && !all.are_there(&ben, List::Prompts));
        all.tell(&ana, List::Tools);
        assert_eq!(tools.heard.recv().await, Some(List::Tools));
        assert!(prompts.heard.try_recv().is_err() && bens.heard.try_recv().is_err());
        drop(bens);
        assert!(!all.are_there(&ben, List::Tools));
        let many: Vec<_> = (2..STREAMS_OF_ONE_MAX).map(|_| all.listen(&ana, Vec::new()).unwrap()).collect();
        assert!(all.listen(&ana, Vec::new()).is_none());
        drop(many);
        assert!(all.listen(&ana, Vec::new()).is_some());
    }
}
