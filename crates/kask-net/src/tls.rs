//! TLS on both sides: a peer is judged by the certificate that the cluster's own authority gave it.
//!
//! A certificate names one [`CertificateRole`] as the DNS name `<role>.kask`. Whoever connects to a scheduler checks its
//! host name and its role; whoever connects to a worker for data checks the role only, because workers come and go on
//! any host and their incarnation is checked besides. A listener checks that the role may say the `Hello` that it says.
//!
//! [`create`] makes the authority and the certificates.

pub use crate::certificates::{CreateError, Created, create};

use crate::token::{TokenError, read_private};
use kask_wire::Role;
use rustls::client::verify_server_name;
use rustls::crypto::ring;
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a certificate entitles its holder to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateRole {
    /// A scheduler.
    Scheduler,
    /// A worker, or the supervisor of workers.
    Worker,
    /// A client.
    Client,
}

impl CertificateRole {
    /// All roles.
    pub const ALL: [CertificateRole; 3] =
        [CertificateRole::Scheduler, CertificateRole::Worker, CertificateRole::Client];

    /// Begins the names of its files.
    pub fn name(self) -> &'static str {
        match self {
            CertificateRole::Scheduler => "scheduler",
            CertificateRole::Worker => "worker",
            CertificateRole::Client => "client",
        }
    }

    /// The name by which a certificate is known to have this role.
    pub(crate) fn dns_name(self) -> &'static str {
        match self {
            CertificateRole::Scheduler => "scheduler.kask",
            CertificateRole::Worker => "worker.kask",
            CertificateRole::Client => "client.kask",
        }
    }

    /// Whether a holder may connect as `role`.
    pub(crate) fn may_be(self, role: Role) -> bool {
        match (self, role) {
            (CertificateRole::Client, Role::Client | Role::Data) => true,
            (CertificateRole::Worker, Role::Worker | Role::Supervisor | Role::Data) => true,
            (CertificateRole::Client, Role::Worker | Role::Supervisor)
            | (CertificateRole::Worker, Role::Client)
            | (CertificateRole::Scheduler, Role::Client | Role::Worker | Role::Supervisor | Role::Data) => false,
        }
    }

    /// The role that a verified certificate names.
    pub(crate) fn of(certificate: &CertificateDer<'_>) -> Option<CertificateRole> {
        let parsed = ParsedCertificate::try_from(certificate).ok()?;
        CertificateRole::ALL.into_iter().find(|role| verify_server_name(&parsed, &role.server_name()).is_ok())
    }

    pub(crate) fn server_name(self) -> ServerName<'static> {
        ServerName::try_from(self.dns_name()).expect("the roles' names are DNS names")
    }
}

/// Where the certificates are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsPaths {
    /// The certificate of the cluster's authority.
    pub ca: PathBuf,
    /// The certificate of this process.
    pub certificate: PathBuf,
    /// Its key; only its owner may be able to read it.
    pub key: PathBuf,
}

impl TlsPaths {
    /// The files that [`create`] made in `dir` for `role`.
    pub fn in_dir(dir: impl AsRef<Path>, role: CertificateRole) -> TlsPaths {
        let dir = dir.as_ref();
        TlsPaths {
            ca: dir.join("ca.pem"),
            certificate: dir.join(format!("{}.pem", role.name())),
            key: dir.join(format!("{}-key.pem", role.name())),
        }
    }

    /// Reads and checks the files.
    pub fn load(&self) -> Result<TlsConfig, TlsError> {
        let roots = load_roots(&self.ca)?;
        let chain = load_certificates(&self.certificate)?;
        let key_text = read_private(&self.key)?;
        let key = PrivateKeyDer::from_pem_slice(key_text.as_bytes())
            .map_err(|_| TlsError::Malformed { path: self.key.clone(), what: "private key" })?;
        let unusable = |reason: String| TlsError::Unusable { certificate: self.certificate.clone(), reason };
        let provider = Arc::new(ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone())
            .build()
            .map_err(|error| unusable(error.to_string()))?;
        let mut server = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&TLS13])
            .map_err(|error| unusable(error.to_string()))?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain.clone(), key.clone_key())
            .map_err(|error| unusable(error.to_string()))?;
        // Connections live long; tickets for resuming them would only be read and thrown away.
        server.send_tls13_tickets = 0;
        let client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])
            .map_err(|error| unusable(error.to_string()))?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)
            .map_err(|error| unusable(error.to_string()))?;
        Ok(TlsConfig { server: Arc::new(server), client: Arc::new(client) })
    }
}

/// Certificates, read and checked.
#[derive(Clone)]
pub struct TlsConfig {
    pub(crate) server: Arc<ServerConfig>,
    pub(crate) client: Arc<ClientConfig>,
}

impl fmt::Debug for TlsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsConfig").finish_non_exhaustive()
    }
}

/// Why certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("the certificate file {} cannot be read: {source}; `kask tls create` makes certificates", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The key cannot be read, or by too many.
    #[error("the private key: {0}")]
    Key(#[from] KeyError),
    /// A file holds something else.
    #[error("{} holds no {what} in PEM format", path.display())]
    Malformed {
        /// Which.
        path: PathBuf,
        /// What was expected.
        what: &'static str,
    },
    /// The parts do not fit together.
    #[error("the certificate {} cannot be used: {reason}", certificate.display())]
    Unusable {
        /// Which.
        certificate: PathBuf,
        /// What rustls says.
        reason: String,
    },
}

/// Why a key file is refused.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct KeyError(TokenError);

impl From<TokenError> for TlsError {
    fn from(error: TokenError) -> TlsError {
        TlsError::Key(KeyError(error))
    }
}

fn load_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let malformed = || TlsError::Malformed { path: path.to_owned(), what: "certificate" };
    let text = std::fs::read(path).map_err(|source| TlsError::Io { path: path.to_owned(), source })?;
    let certificates: Vec<_> =
        CertificateDer::pem_slice_iter(&text).collect::<Result<_, _>>().map_err(|_| malformed())?;
    if certificates.is_empty() { Err(malformed()) } else { Ok(certificates) }
}

fn load_roots(path: &Path) -> Result<Arc<RootCertStore>, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in load_certificates(path)? {
        roots
            .add(certificate)
            .map_err(|error| TlsError::Unusable { certificate: path.to_owned(), reason: error.to_string() })?;
    }
    Ok(Arc::new(roots))
}
