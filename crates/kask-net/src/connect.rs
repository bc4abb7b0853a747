//! Connecting: one clear sentence for everything that can go wrong, within the caller's time.

use crate::address::Address;
use crate::connection::Connection;
use crate::handshake::Guest;
use crate::security::Security;
use crate::socket::Socket;
use crate::tls::CertificateRole;
use kask_types::Incarnation;
use kask_wire::Role;
use rustls_pki_types::ServerName;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

/// Pauses between attempts while nobody listens.
const RETRY_FIRST: Duration = Duration::from_millis(5);
const RETRY_MAX: Duration = Duration::from_millis(200);

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The host is not known.
    #[error("{address} cannot be reached: its host is not known ({source})")]
    UnknownHost {
        /// Where to.
        address: String,
        /// What the resolver says.
        source: io::Error,
    },
    /// Nobody listens there.
    #[error("nobody listens at {address}: check the address, and that the other side is running")]
    NothingThere {
        /// Where to.
        address: String,
    },
    /// Nobody answered in time.
    #[error("{address} did not answer within {seconds} s")]
    TimedOut {
        /// Where to.
        address: String,
        /// How long was waited.
        seconds: f64,
    },
    /// The other side said no.
    #[error("{address} refused the connection: {reason}")]
    Refused {
        /// Where to.
        address: String,
        /// What it said.
        reason: String,
    },
    /// The other side speaks something else.
    #[error("what listens at {address} does not speak Kask's protocol: check the address")]
    NotKask {
        /// Where to.
        address: String,
    },
    /// The other side hung up without a word.
    #[error("{address} hung up during the handshake: it may not be Kask, may expect tls://, or may just be closing")]
    HungUp {
        /// Where to.
        address: String,
    },
    /// Certificates do not fit, or the other side does not speak TLS.
    #[error("no TLS connection to {address}: {reason}")]
    Tls {
        /// Where to.
        address: String,
        /// What is wrong.
        reason: String,
    },
    /// Another machine without TLS.
    #[error(
        "{address} is on another machine, where Kask speaks TLS only: write tls:// (`kask tls create` makes certificates)"
    )]
    NeedsTls {
        /// Where to.
        address: String,
    },
    /// A `tls://` address without certificates.
    #[error("{address} needs certificates: pass the directory that `kask tls create` made")]
    NeedsCertificates {
        /// Where to.
        address: String,
    },
    /// An address on this machine without a token.
    #[error("{address} needs the cluster's token: pass the token file of the scheduler")]
    NeedsToken {
        /// Where to.
        address: String,
    },
    /// Anything else.
    #[error("{address} cannot be reached: {source}")]
    Io {
        /// Where to.
        address: String,
        /// What the system says.
        source: io::Error,
    },
}

/// Connects and introduces itself as `role`; everything together takes at most `timeout`.
pub async fn connect(
    address: &Address,
    security: &Security,
    role: Role,
    incarnation: Incarnation,
    timeout: Duration,
) -> Result<Connection, ConnectError> {
    let text = address.to_string();
    let guest = Guest { address: &text, incarnation, role };
    match tokio::time::timeout(timeout, attempt(address, security, &guest)).await {
        Ok(result) => result,
        Err(_) => Err(ConnectError::TimedOut { seconds: timeout.as_secs_f64(), address: text }),
    }
}

/// As [`connect`], but as long as nobody listens it tries again: the other side may just be starting.
pub async fn connect_retrying(
    address: &Address,
    security: &Security,
    role: Role,
    incarnation: Incarnation,
    timeout: Duration,
) -> Result<Connection, ConnectError> {
    let start = Instant::now();
    let mut pause = RETRY_FIRST;
    loop {
        let left = timeout.saturating_sub(start.elapsed());
        match connect(address, security, role, incarnation, left).await {
            Err(ConnectError::NothingThere { .. }) if pause < timeout.saturating_sub(start.elapsed()) => {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(RETRY_MAX);
            }
            Err(ConnectError::TimedOut { address, .. }) => {
                return Err(ConnectError::TimedOut { address, seconds: timeout.as_secs_f64() });
            }
            result => return result,
        }
    }
}

async fn attempt(address: &Address, security: &Security, guest: &Guest<'_>) -> Result<Connection, ConnectError> {
    let text = || guest.address.to_owned();
    match address {
        Address::Unix(path) => {
            let token = security.token.as_ref().ok_or_else(|| ConnectError::NeedsToken { address: text() })?;
            guest.show_token(open_unix(path).await.map_err(|source| unreachable(guest, source))?, token).await
        }
        Address::Tcp { host, port } => {
            let places = resolve(host, *port, guest).await?;
            // The token must not cross a network.
            if !places.iter().all(|place| place.ip().is_loopback()) {
                return Err(ConnectError::NeedsTls { address: text() });
            }
            let token = security.token.as_ref().ok_or_else(|| ConnectError::NeedsToken { address: text() })?;
            guest.show_token(open_tcp(&places).await.map_err(|source| unreachable(guest, source))?, token).await
        }
        Address::Tls { host, port } => {
            let tls = security.tls.as_ref().ok_or_else(|| ConnectError::NeedsCertificates { address: text() })?;
            let name = match guest.role {
                Role::Data => CertificateRole::Worker.server_name(),
                Role::Client | Role::Worker | Role::Supervisor => ServerName::try_from(host.clone()).map_err(|_| {
                    ConnectError::Tls { address: text(), reason: format!("{host:?} is not a host name") }
                })?,
            };
            let places = resolve(host, *port, guest).await?;
            let socket = open_tcp(&places).await.map_err(|source| unreachable(guest, source))?;
            guest.show_certificate(socket, TlsConnector::from(tls.client.clone()), name).await
        }
    }
}

async fn resolve(host: &str, port: u16, guest: &Guest<'_>) -> Result<Vec<SocketAddr>, ConnectError> {
    tokio::net::lookup_host((host, port))
        .await
        .map(|places| places.collect())
        .map_err(|source| ConnectError::UnknownHost { address: guest.address.to_owned(), source })
}

async fn open_tcp(places: &[SocketAddr]) -> io::Result<Socket> {
    Socket::tcp(TcpStream::connect(places).await?)
}

async fn open_unix(path: &Path) -> io::Result<Socket> {
    UnixStream::connect(path).await.map(Socket::unix)
}

fn unreachable(guest: &Guest<'_>, source: io::Error) -> ConnectError {
    let address = guest.address.to_owned();
    match source.kind() {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => ConnectError::NothingThere { address },
        _ => ConnectError::Io { address, source },
    }
}
