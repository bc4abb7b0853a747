//! The first frame each way: who is there, in which version, with what proof.
//!
//! A listener answers a [`Hello`] that it does not like in one sentence, and drops without a word whoever does not
//! speak the protocol at all. Both sides read at most 64 KiB before the other is known.

use crate::connect::ConnectError;
use crate::connection::{Connection, NetError, Receiver, Sender, halves_plain, halves_tls};
use crate::listen::Accepted;
use crate::share;
use crate::socket::{Socket, SocketIo};
use crate::tls::CertificateRole;
use crate::token::Token;
use kask_types::Incarnation;
use kask_wire::codec::FrameLimits;
use kask_wire::hello::PROTOCOL_VERSION;
use kask_wire::{Hello, Role, Welcome};
use std::sync::Arc;
use std::time::Duration;
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

/// How long a peer has for TLS and its `Hello`.
pub(crate) const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
/// How long a refused peer has to hang up, so that the refusal is not lost with the socket.
const REFUSED_LIMIT: Duration = Duration::from_secs(2);

/// Version of Kask, for people.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Who listens, and whom it lets in.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) incarnation: Incarnation,
    pub(crate) proof: Proof,
    pub(crate) roles: Vec<Role>,
}

/// What a peer has to show.
#[derive(Clone)]
pub(crate) enum Proof {
    Token(Token),
    Certificate(TlsAcceptor),
}

impl std::fmt::Debug for Proof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Proof::Token(_) => "Token",
            Proof::Certificate(_) => "Certificate",
        })
    }
}

/// What a peer has shown besides its `Hello`.
enum Shown {
    Nothing,
    Certificate(Option<CertificateRole>),
}

impl Host {
    /// Does the listener's side; `None` for whoever was refused or did not speak the protocol.
    pub(crate) async fn greet(&self, socket: Socket) -> Option<Accepted> {
        match tokio::time::timeout(HANDSHAKE_LIMIT, self.hear(socket)).await {
            Ok(Ok((hello, shown, sender, receiver))) => self.answer(hello, shown, sender, receiver).await,
            Ok(Err(problem)) => {
                tracing::debug!(%problem, "dropped a connection that did not speak the protocol");
                None
            }
            Err(_) => {
                tracing::debug!("dropped a connection that did not introduce itself in time");
                None
            }
        }
    }

    async fn hear(&self, socket: Socket) -> Result<(Hello, Shown, Sender, Receiver), NetError> {
        let limits = FrameLimits::HANDSHAKE;
        let (shown, (sender, mut receiver)) = match &self.proof {
            Proof::Token(_) => (Shown::Nothing, halves_plain(socket, limits)),
            Proof::Certificate(acceptor) => {
                let socket = Arc::new(socket);
                let stream = acceptor.accept(SocketIo(socket.clone())).await?;
                let role = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
                let role = role.and_then(CertificateRole::of);
                (Shown::Certificate(role), halves_tls(socket, TlsStream::from(stream), limits))
            }
        };
        match receiver.recv::<Hello>().await? {
            Some(hello) => Ok((hello, shown, sender, receiver)),
            None => Err(NetError::Truncated),
        }
    }

    async fn answer(&self, mut hello: Hello, shown: Shown, sender: Sender, mut receiver: Receiver) -> Option<Accepted> {
        if let Err(reason) = self.judge(&hello, &shown) {
            tracing::warn!(%reason, role = ?hello.role, "refused a connection");
            let farewell = async {
                sender.send(&Welcome::Refused { reason }).ok()?;
                sender.close();
                receiver.recv_frame().await.ok()
            };
            let _ = tokio::time::timeout(REFUSED_LIMIT, farewell).await;
            return None;
        }
        sender.send(&Welcome::Accepted { incarnation: self.incarnation }).ok()?;
        receiver.set_limits(FrameLimits::ESTABLISHED);
        // The secret has done its work and shall not end up in a log.
        hello.token = String::new();
        let peer = hello.incarnation;
        if hello.role == Role::Data {
            share::enable(&sender, &mut receiver);
        }
        Some(Accepted { hello, connection: Connection { sender, receiver, peer } })
    }

    fn judge(&self, hello: &Hello, shown: &Shown) -> Result<(), String> {
        if hello.protocol != PROTOCOL_VERSION {
            return Err(format!(
                "Kask {VERSION} here speaks protocol {PROTOCOL_VERSION}, but Kask {} there speaks protocol {}: install \
                 the same version of Kask on both sides",
                hello.version.chars().take(32).collect::<String>(),
                hello.protocol
            ));
        }
        match (&self.proof, shown) {
            (Proof::Token(token), _) => judge_token(token, &hello.token)?,
            (Proof::Certificate(_), Shown::Certificate(Some(role))) if role.may_be(hello.role) => {}
            (Proof::Certificate(_), Shown::Certificate(Some(role))) => {
                return Err(format!(
                    "a {}'s certificate does not entitle to connect as {}: use the certificate of that role that \
                     `kask tls create` made",
                    role.name(),
                    role_name(hello.role)
                ));
            }
            (Proof::Certificate(_), Shown::Certificate(None) | Shown::Nothing) => {
                return Err("the certificate names no role of Kask: use one that `kask tls create` made".to_owned());
            }
        }
        if self.roles.contains(&hello.role) {
            return Ok(());
        }
        let expected: Vec<&str> = self.roles.iter().map(|role| role_name(*role)).collect();
        Err(format!(
            "this address is for {}, not for {}: check which address was given",
            expected.join(" or "),
            role_name(hello.role)
        ))
    }
}

fn judge_token(token: &Token, presented: &str) -> Result<(), String> {
    if token.matches(presented) {
        Ok(())
    } else if presented.is_empty() {
        Err("this cluster asks for its token, and none was given: pass the token file of the scheduler".to_owned())
    } else {
        Err("the token given is not this cluster's: pass the token file of this scheduler".to_owned())
    }
}

/// With its article, for sentences.
fn role_name(role: Role) -> &'static str {
    match role {
        Role::Client => "a client",
        Role::Worker => "a worker",
        Role::Supervisor => "a supervisor",
        Role::Data => "whoever wants data",
    }
}

/// Who connects, and as what.
pub(crate) struct Guest<'a> {
    /// For errors.
    pub(crate) address: &'a str,
    pub(crate) incarnation: Incarnation,
    pub(crate) role: Role,
}

impl Guest<'_> {
    /// Introduces itself with a token.
    pub(crate) async fn show_token(&self, socket: Socket, token: &Token) -> Result<Connection, ConnectError> {
        let (sender, receiver) = halves_plain(socket, FrameLimits::HANDSHAKE);
        self.introduce(sender, receiver, token.to_hex()).await
    }

    /// Introduces itself with a certificate, after checking the other side's.
    pub(crate) async fn show_certificate(
        &self,
        socket: Socket,
        connector: TlsConnector,
        name: rustls_pki_types::ServerName<'static>,
    ) -> Result<Connection, ConnectError> {
        let tls = |reason: String| ConnectError::Tls { address: self.address.to_owned(), reason };
        let socket = Arc::new(socket);
        let stream =
            connector.connect(name, SocketIo(socket.clone())).await.map_err(|error| tls(tls_reason(&error)))?;
        let leaf = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
        let expected = match self.role {
            Role::Client | Role::Worker | Role::Supervisor => CertificateRole::Scheduler,
            Role::Data => CertificateRole::Worker,
        };
        if leaf.and_then(CertificateRole::of) != Some(expected) {
            return Err(tls(format!("its certificate is not a {}'s", expected.name())));
        }
        let (sender, receiver) = halves_tls(socket, TlsStream::from(stream), FrameLimits::HANDSHAKE);
        self.introduce(sender, receiver, String::new()).await
    }

    async fn introduce(
        &self,
        sender: Sender,
        mut receiver: Receiver,
        token: String,
    ) -> Result<Connection, ConnectError> {
        let address = || self.address.to_owned();
        let (incarnation, role) = (self.incarnation, self.role);
        let hello = Hello { protocol: PROTOCOL_VERSION, version: VERSION.to_owned(), token, incarnation, role };
        // A peer that has hung up may have said why before: the answer counts, not the failed send.
        let _ = sender.send(&hello);
        match receiver.recv::<Welcome>().await {
            Ok(Some(Welcome::Accepted { incarnation: peer })) => {
                receiver.set_limits(FrameLimits::ESTABLISHED);
                if self.role == Role::Data {
                    share::enable(&sender, &mut receiver);
                }
                Ok(Connection { sender, receiver, peer })
            }
            Ok(Some(Welcome::Refused { reason })) => Err(ConnectError::Refused { address: address(), reason }),
            Err(NetError::Codec(_)) => Err(ConnectError::NotKask { address: address() }),
            Err(NetError::Io(error)) if is_tls_alert(&error) => {
                Err(ConnectError::Tls { address: address(), reason: tls_reason(&error) })
            }
            Ok(None) | Err(NetError::Truncated | NetError::Io(_) | NetError::Share(_)) => {
                Err(ConnectError::HungUp { address: address() })
            }
        }
    }
}

fn is_tls_alert(error: &std::io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>())
}

/// What went wrong with TLS, in words that say what to do.
fn tls_reason(error: &std::io::Error) -> String {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match tls {
        Some(rustls::Error::InvalidCertificate(
            rustls::CertificateError::NotValidForName | rustls::CertificateError::NotValidForNameContext { .. },
        )) => "its certificate is for other hosts; make it with `kask tls create --host NAME`".to_owned(),
        Some(rustls::Error::InvalidCertificate(
            rustls::CertificateError::UnknownIssuer | rustls::CertificateError::BadSignature,
        )) => "its certificate was made by another authority; both sides need the files of the same `kask tls create`"
            .to_owned(),
        Some(rustls::Error::AlertReceived(alert)) => {
            format!(
                "it does not accept this side's certificate ({alert:?}); both sides need the files of the same \
                     `kask tls create`"
            )
        }
        Some(rustls::Error::InvalidMessage(_)) => "it does not speak TLS".to_owned(),
        Some(other) => other.to_string(),
        None => match error.kind() {
            std::io::ErrorKind::UnexpectedEof | std::io::ErrorKind::ConnectionReset => {
                "it hung up during the TLS handshake; it may not speak TLS".to_owned()
            }
            _ => error.to_string(),
        },
    }
}
