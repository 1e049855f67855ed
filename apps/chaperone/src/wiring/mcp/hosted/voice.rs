//! The client's end of one request: where it is told something before its answer, and asked. Both eras look alike from here.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::Response;
use chaperone_mcp::beside::{Abilities, Level, Question, THOUGHT_S, Told, input_required};
use chaperone_mcp::relay::{self, Said};
use chaperone_mcp::stateless::{Era, wanted_level};
use serde_json::value::RawValue;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use super::sessions::{Reply, Session, token};

/// How long a client may think about what it is asked.
pub(super) const THOUGHT: Duration = Duration::from_secs(THOUGHT_S);
/// What waits to be taken by a client.
const EVENTS_MAX: usize = 16;

/// What goes to a client, in order.
pub(super) enum Event {
    Told(Told),
    /// A whole message of ours.
    Said(String),
    /// A question to one without: it is the answer to its request, and the next request goes on.
    Turn(Turn),
    /// The answer.
    Done(Response<Bytes>),
}

/// Questions that end one request of a client, and wait for the next.
pub(super) struct Turn {
    pub(super) state: String,
    /// The result that asks them.
    pub(super) result: String,
    pub(super) answers: oneshot::Sender<Answers>,
}

/// What came with that one, by the names of the questions.
pub(super) type Answers = Vec<(String, Box<RawValue>)>;

/// See above.
pub(super) struct Voice {
    events: mpsc::Sender<Event>,
    /// Whether the client takes a stream.
    streams: bool,
    session: Option<Arc<Session>>,
}

impl Voice {
    pub(super) fn new(streams: bool, session: Option<Arc<Session>>) -> (Self, mpsc::Receiver<Event>) {
        let (events, heard) = mpsc::channel(EVENTS_MAX);
        (Self { events, streams, session }, heard)
    }

    /// What the client says that it can be asked, as far as it can be asked here.
    pub(super) fn abilities(&self, era: Era, said: &Said<'_>) -> Abilities {
        match (era, &self.session) {
            (Era::Stateless, _) => Abilities::of_request(said.params),
            (Era::Handshake, Some(session)) => session.abilities,
            (Era::Handshake, None) => {
                let announced = said.params.filter(|_| said.method.as_deref() == Some("initialize"));
                let announced = announced.and_then(|params| relay::member(params, "capabilities").ok()?);
                Abilities::of(announced)
            }
        }
    }

    /// From which level on it wants to hear the server's log: none at all without a word of it, where its era has it so.
    pub(super) fn level(&self, era: Era, params: Option<&RawValue>) -> Option<Level> {
        match era {
            Era::Stateless => wanted_level(params),
            Era::Handshake => {
                let session = self.session.as_ref();
                Some(session.and_then(|session| session.level()).unwrap_or(Level::Debug))
            }
        }
    }

    /// Whether it is told anything before its answer.
    pub(super) fn hears(&self) -> bool {
        self.streams
    }

    /// Whether it can be asked anything now.
    pub(super) fn answers(&self, era: Era) -> bool {
        match era {
            Era::Stateless => true,
            Era::Handshake => self.streams && self.session.is_some(),
        }
    }

    /// Tell it; waits until there is room. Whoever has gone takes the call with him.
    pub(super) async fn say(&self, event: Event) {
        drop(self.events.send(event).await);
    }

    /// Ask it, and wait: an answer to each question, in their order.
    pub(super) async fn ask(&self, era: Era, questions: &[(&str, &Question)]) -> Vec<Reply> {
        let until = Instant::now() + THOUGHT;
        match era {
            Era::Stateless => {
                let (state, (answers, answered)) = (token(), oneshot::channel());
                let result = input_required(questions, &state);
                self.say(Event::Turn(Turn { state, result, answers })).await;
                let Ok(Ok(mut came)) = timeout_at(until, answered).await else {
                    return questions.iter().map(|_| Reply::Late).collect();
                };
                let of = |(name, _): &(&str, &Question)| {
                    let place = came.iter().position(|(known, _)| known == name);
                    place.map_or(Reply::Missing, |place| Reply::Given(came.swap_remove(place).1))
                };
                questions.iter().map(of).collect()
            }
            Era::Handshake => self.ask_session(questions, until).await,
        }
    }

    async fn ask_session(&self, questions: &[(&str, &Question)], until: Instant) -> Vec<Reply> {
        let Some(session) = self.session.as_ref() else {
            return questions.iter().map(|_| Reply::Missing).collect();
        };
        let mut open = Vec::with_capacity(questions.len());
        for (_, question) in questions {
            let asked = session.open();
            if let Some(asked) = &asked {
                self.say(Event::Said(question.request(&asked.id))).await;
            }
            open.push(asked);
        }
        let mut replies = Vec::with_capacity(open.len());
        for asked in open {
            replies.push(match asked {
                Some(mut asked) => match timeout_at(until, &mut asked.reply).await {
                    Ok(reply) => reply.unwrap_or(Reply::Missing),
                    Err(_elapsed) => Reply::Late,
                },
                None => Reply::Missing,
            });
        }
        replies
    }
}
