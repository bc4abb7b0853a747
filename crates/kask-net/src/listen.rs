//! Listening: binds an address under the rules of [`Security`], and gives out peers that have proved who they are.
//!
//! Invariants:
//! - without TLS only Unix sockets and loopback ports are bound, and only with a token;
//! - a Unix socket is 0600 in a directory of 0700, and is removed with its listener;
//! - each handshake runs in a task of its own, so that a slow peer holds up nobody.

use crate::address::Address;
use crate::handshake::{Host, Proof};
use crate::local::SOCKET_PATH_MAX;
use crate::security::Security;
use crate::socket::Socket;
use kask_types::Incarnation;
use kask_wire::{Hello, Role};
use std::fs::{DirBuilder, Permissions};
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::connection::Connection;

/// Handshakes going on at a time; who comes then waits in the system's queue.
const HANDSHAKES_MAX: usize = 512;

/// A peer that has proved who it is.
#[derive(Debug)]
pub struct Accepted {
    /// What it said of itself; the token is blanked.
    pub hello: Hello,
    /// The connection.
    pub connection: Connection,
}

/// Why an address cannot be listened at.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Not this machine only, and no certificates.
    #[error(
        "{address} can be reached from other machines, which needs TLS: make certificates with `kask tls create` and \
         listen at tls://, or listen at tcp://127.0.0.1"
    )]
    NeedsTls {
        /// Which address.
        address: Address,
    },
    /// A `tls://` address without certificates.
    #[error("{address} needs certificates: make them with `kask tls create` and pass their directory")]
    NeedsCertificates {
        /// Which address.
        address: Address,
    },
    /// An address on this machine without a token.
    #[error("{address} needs a token, so that other users of this machine stay out: pass a token file")]
    NeedsToken {
        /// Which address.
        address: Address,
    },
    /// Somebody else listens there.
    #[error("{address} is in use by another program: choose another one, or port 0 for any free port")]
    InUse {
        /// Which address.
        address: Address,
    },
    /// The socket's directory is open to others.
    #[error("the directory {0} of the socket is open to other users (mode {mode:o}): run `chmod 700 {0}` or use another one", path.display())]
    OpenDirectory {
        /// Which directory.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// A Unix socket's path that the system cannot hold.
    #[error("the path of {address} is too long: a socket's path has at most {SOCKET_PATH_MAX} bytes")]
    PathTooLong {
        /// Which address.
        address: Address,
    },
    /// The host is not known.
    #[error("{address} cannot be listened at: its host is not known ({source})")]
    UnknownHost {
        /// Which address.
        address: Address,
        /// What the resolver says.
        source: io::Error,
    },
    /// Anything else.
    #[error("{address} cannot be listened at: {source}")]
    Io {
        /// Which address.
        address: Address,
        /// What the system says.
        source: io::Error,
    },
}

/// Listens at one address.
#[derive(Debug)]
pub struct Listener {
    bound: Bound,
    address: Address,
    host: Arc<Host>,
    handshakes: JoinSet<Option<Accepted>>,
}

#[derive(Debug)]
enum Bound {
    /// The file goes with the listener.
    Unix(UnixListener, #[expect(dead_code, reason = "held for its Drop")] SocketFile),
    Tcp(TcpListener),
}

/// Removes the socket's file, unless this is a forked copy of its owner.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    owner: u32,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.owner == std::process::id() {
            // Gone already when the whole directory was removed.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl Listener {
    /// Listens at `address` for peers of any role; must be called in a tokio runtime.
    ///
    /// A `tcp://` address that other machines can reach is refused without certificates, and listened at with TLS (and
    /// then called `tls://`) with them.
    pub fn bind(address: &Address, security: &Security, incarnation: Incarnation) -> Result<Listener, BindError> {
        let (bound, address) = match address {
            Address::Unix(path) => (bind_unix(address, path)?, address.clone()),
            Address::Tcp { host, port } | Address::Tls { host, port } => bind_tcp(address, host, *port, security)?,
        };
        let proof = match (&address, &security.token, &security.tls) {
            (Address::Tls { .. }, _, Some(tls)) => Proof::Certificate(TlsAcceptor::from(tls.server.clone())),
            (Address::Tls { .. }, _, None) => return Err(BindError::NeedsCertificates { address }),
            (Address::Unix(_) | Address::Tcp { .. }, Some(token), _) => Proof::Token(token.clone()),
            (Address::Unix(_) | Address::Tcp { .. }, None, _) => return Err(BindError::NeedsToken { address }),
        };
        let roles = vec![Role::Client, Role::Worker, Role::Supervisor, Role::Data];
        let host = Arc::new(Host { incarnation, proof, roles });
        Ok(Listener { bound, address, host, handshakes: JoinSet::new() })
    }

    /// Refuses peers of other roles than these.
    pub fn accepting(mut self, roles: &[Role]) -> Listener {
        let Host { incarnation, proof, .. } = &*self.host;
        self.host = Arc::new(Host { incarnation: *incarnation, proof: proof.clone(), roles: roles.to_vec() });
        self
    }

    /// Where it listens, with the port that it really has.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The next peer that has proved who it is. May be dropped while it waits: nobody is lost.
    ///
    /// # Errors
    /// When the system cannot accept connections just now, as a rule because no file descriptors are left; calling again
    /// after a short pause is right.
    pub async fn accept(&mut self) -> io::Result<Accepted> {
        loop {
            let has_room = self.handshakes.len() < HANDSHAKES_MAX;
            tokio::select! {
                Some(done) = self.handshakes.join_next() => match done {
                    Ok(Some(accepted)) => return Ok(accepted),
                    Ok(None) => {}
                    Err(error) => tracing::error!(%error, "a handshake failed"),
                },
                incoming = self.bound.accept(), if has_room => match incoming {
                    Ok(socket) => {
                        let host = self.host.clone();
                        self.handshakes.spawn(async move { host.greet(socket).await });
                    }
                    Err(error) => return Err(error),
                },
            }
        }
    }
}

impl Bound {
    async fn accept(&self) -> io::Result<Socket> {
        match self {
            Bound::Unix(listener, _) => listener.accept().await.map(|(stream, _)| Socket::unix(stream)),
            Bound::Tcp(listener) => Socket::tcp(listener.accept().await?.0),
        }
    }
}

fn bind_tcp(address: &Address, host: &str, port: u16, security: &Security) -> Result<(Bound, Address), BindError> {
    let fails = |source: io::Error| match source.kind() {
        io::ErrorKind::AddrInUse => BindError::InUse { address: address.clone() },
        _ => BindError::Io { address: address.clone(), source },
    };
    let resolved: Vec<SocketAddr> = (host, port)
        .to_socket_addrs()
        .map_err(|source| BindError::UnknownHost { address: address.clone(), source })?
        .collect();
    let is_local = resolved.iter().all(|place| place.ip().is_loopback());
    if !is_local && security.tls.is_none() && !address.is_tls() {
        return Err(BindError::NeedsTls { address: address.clone() });
    }
    let listener = std::net::TcpListener::bind(&resolved[..]).map_err(fails)?;
    listener.set_nonblocking(true).map_err(fails)?;
    let listener = TcpListener::from_std(listener).map_err(fails)?;
    let port = listener.local_addr().map_err(fails)?.port();
    let host = host.to_owned();
    let address = match address {
        Address::Tcp { .. } if is_local => Address::Tcp { host, port },
        Address::Tcp { .. } | Address::Tls { .. } | Address::Unix(_) => Address::Tls { host, port },
    };
    Ok((Bound::Tcp(listener), address))
}

fn bind_unix(address: &Address, path: &Path) -> Result<Bound, BindError> {
    let fails = |source: io::Error| BindError::Io { address: address.clone(), source };
    if path.as_os_str().len() > SOCKET_PATH_MAX {
        return Err(BindError::PathTooLong { address: address.clone() });
    }
    let parent = path.parent().unwrap_or(Path::new("/"));
    DirBuilder::new().recursive(true).mode(0o700).create(parent).map_err(fails)?;
    let mode = std::fs::metadata(parent).map_err(fails)?.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(BindError::OpenDirectory { path: parent.to_owned(), mode });
    }
    let listener = match UnixListener::bind(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            if std::os::unix::net::UnixStream::connect(path).is_ok() {
                return Err(BindError::InUse { address: address.clone() });
            }
            // Left behind by a process that was killed.
            std::fs::remove_file(path).map_err(fails)?;
            UnixListener::bind(path)
        }
        result => result,
    }
    .map_err(fails)?;
    let file = SocketFile { path: path.to_owned(), owner: std::process::id() };
    std::fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(fails)?;
    Ok(Bound::Unix(listener, file))
}
