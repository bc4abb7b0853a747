//! A link to a party at the other end of a connection.

use crate::connection::Sender;
use crate::reactor::{Actor, Link, Pump, Reactor, Wake, drive};
use serde::Serialize;
use std::sync::Arc;
use tracing::debug;

/// Messages to a remote party: encoded and written outside of the poster's lock, in order.
pub struct Outgoing<M: Serialize + Send + 'static> {
    reactor: Reactor<Writer<M>>,
    sender: Sender,
}

struct Writer<M> {
    sender: Sender,
    _message: std::marker::PhantomData<fn(M)>,
}

impl<M: Serialize + Send + 'static> Actor for Writer<M> {
    type Event = M;
    fn handle(&mut self, events: &mut Vec<M>, _: &mut Wake) {
        for message in events.drain(..) {
            if let Err(error) = self.sender.send(&message) {
                debug!(%error, "a message to a peer that is gone was dropped");
                return;
            }
        }
    }
}

impl<M: Serialize + Send + 'static> Outgoing<M> {
    /// A link that writes to `sender`.
    pub fn new(sender: Sender) -> Arc<Outgoing<M>> {
        let writer = Writer { sender: sender.clone(), _message: std::marker::PhantomData };
        Arc::new(Outgoing { reactor: Reactor::new(writer), sender })
    }

    /// Posts and drives at once; for callers that are no actors.
    pub fn send(self: &Arc<Self>, message: M) {
        self.reactor.post(message);
        drive(self.clone());
    }
}

impl<M: Serialize + Send + 'static> Pump for Outgoing<M> {
    fn pump(&self, wake: &mut Wake) {
        self.reactor.pump(wake);
    }
}

impl<M: Serialize + Send + 'static> Link<M> for Outgoing<M> {
    fn post(&self, message: M) {
        self.reactor.post(message);
    }

    fn close(&self, _: &str) {
        self.reactor.pump(&mut Wake::default());
        self.sender.close();
    }
}
