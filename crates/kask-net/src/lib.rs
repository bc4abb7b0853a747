//! Transports: framing, Unix sockets, TCP with TLS, the handshake and its security, and mailboxes inside a process.
//!
//! A [`Connection`] is made by [`connect()`] or [`Listener::accept`], both of which have the handshake behind them, and
//! carries any message of `kask-wire` each way, in order. Sending never blocks and needs no thread of the runtime;
//! receiving awaits.
//!
//! Invariants:
//! - a peer is authenticated (token or certificate) before anything larger than 64 KiB is read from it;
//! - without TLS nothing listens beyond this machine, and no token leaves it;
//! - order is kept on a connection, and a message is sent whole or the connection is over;
//! - between processes of one machine large segments are passed by reference, which changes nothing but the time it takes.
//!
//! Start with [`connection`] for what a connection does, [`listen`] and [`connect`](mod@connect) for how one comes
//! about, [`security`] for who may, [`arena`] and [`share`] for memory that processes share, and [`reactor`] for cores
//! that are driven by whoever posts to them.

pub mod address;
pub mod arena;
mod assemble;
pub mod certificates;
pub mod connect;
pub mod connection;
pub mod data_plane;
pub mod fork;
mod handshake;
mod hostname;
mod incarnation;
pub mod link;
pub mod listen;
pub mod local;
mod outbox;
pub mod owned_folder;
pub mod pool;
pub mod reactor;
pub mod reaper;
mod receiver;
pub mod runtime;
pub mod security;
mod sender;
pub mod share;
mod socket;
pub mod thread_cache;
pub mod timer;
pub mod tls;
pub mod token;
pub mod trim;
mod writer;

pub use address::{Address, AddressError};
pub use arena::Arena;
pub use connect::{ConnectError, connect, connect_retrying};
pub use connection::{Connection, NetError, Receiver, SendError, Sender};
pub use hostname::hostname;
pub use incarnation::{IncarnationError, new_incarnation};
pub use listen::{Accepted, BindError, Listener};
pub use local::LocalDir;
pub use owned_folder::OwnedFolder;
pub use pool::DataPool;
pub use reactor::{Actor, Reactor};
pub use security::Security;
pub use tls::{TlsConfig, TlsError, TlsPaths};
pub use token::{Token, TokenError};
