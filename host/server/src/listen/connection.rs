//! One connection's task: it greets, rests as a link for hours, and takes its leave.
//!
//! Written out as a future, and not as an async block, which would keep room for all three, and for
//! each of them twice: this is what an idle link costs.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use super::accept::Place;
use crate::mqtt::link::Pump;

/// A connection until it has said who it is. What comes out is its link; nothing when it has none, or
/// was no MQTT connection at all.
pub type Greeting = Pin<Box<dyn Future<Output = Option<Box<Pump>>> + Send>>;

/// A connection, and its place at the gate.
pub struct Connection {
    part: Part,
    _place: Place,
}

enum Part {
    Greeting(Greeting),
    Link(Box<Pump>),
    Leaving(Pin<Box<dyn Future<Output = ()> + Send>>),
    Gone,
}

impl Connection {
    /// One that begins with `greeting`.
    pub fn new(greeting: Greeting, place: Place) -> Self {
        Connection { part: Part::Greeting(greeting), _place: place }
    }
}

impl Future for Connection {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match &mut self.part {
                Part::Greeting(greeting) => match ready!(greeting.as_mut().poll(cx)) {
                    Some(link) => self.part = Part::Link(link),
                    None => return Poll::Ready(()),
                },
                Part::Link(link) => {
                    ready!(link.poll(cx));
                    if let Part::Link(link) = std::mem::replace(&mut self.part, Part::Gone) {
                        self.part = Part::Leaving(Box::pin(link.work().run(link.finish())));
                    }
                }
                Part::Leaving(leaving) => return leaving.as_mut().poll(cx),
                Part::Gone => return Poll::Ready(()),
            }
        }
    }
}
