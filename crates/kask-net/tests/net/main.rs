//! Connections over real sockets: what they carry, whom they let in, and how they end.

mod handshake;
mod reactor;
mod share;
mod share_peer;
mod tls;
mod transport;

use kask_net::{Accepted, Address, Connection, Listener, LocalDir, Security, connect};
use kask_types::{Incarnation, TaskId};
use kask_wire::{DataRequest, Role};
use std::future::Future;
use std::time::Duration;

const HERE: Incarnation = Incarnation(11);
const THERE: Incarnation = Incarnation(22);
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs a test on one network thread; a test that hangs fails.
fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async { tokio::time::timeout(PATIENCE, test).await.expect("the test hangs") });
}

fn local() -> (LocalDir, Security) {
    Security::local_dir().expect("a private directory")
}

fn address(text: &str) -> Address {
    text.parse().expect("an address")
}

/// A connection through a listener at `place`: the side that accepted, and the side that connected.
async fn joined(place: &Address, security: &Security) -> (Connection, Connection) {
    let mut listener = Listener::bind(place, security, THERE).expect("bound");
    let there = listener.address().clone();
    let (accepted, connected) = tokio::join!(listener.accept(), connect(&there, security, Role::Data, HERE, PATIENCE));
    let Accepted { hello, connection } = accepted.expect("accepted");
    let connected = connected.expect("connected");
    assert_eq!((hello.incarnation, hello.role, hello.token.as_str()), (HERE, Role::Data, ""));
    assert_eq!((connection.peer, connected.peer), (HERE, THERE));
    (connection, connected)
}

fn numbered(request: u64) -> DataRequest {
    DataRequest::Get { request, values: vec![TaskId { slot: 1, generation: 2 }.into()] }
}

fn number_of(message: DataRequest) -> u64 {
    match message {
        DataRequest::Get { request, .. } | DataRequest::Put { request, .. } => request,
    }
}
