//! Makes a cluster's own certificate authority, and one certificate for each role.
//!
//! Invariants: nothing is overwritten, and every key is in a file that only its owner can read.

use crate::hostname::hostname;
use crate::tls::CertificateRole;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long certificates are good for.
const VALID: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// How far clocks of a cluster may be apart.
const CLOCK_SLACK: Duration = Duration::from_secs(24 * 3600);

/// What was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Created {
    /// The files, certificates before keys.
    pub files: Vec<PathBuf>,
    /// The host names and addresses under which a scheduler may be reached.
    pub hosts: Vec<String>,
}

/// Why no certificates were made.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// Something is in the way.
    #[error("{} exists already; remove it, or choose another directory", path.display())]
    Exists {
        /// What.
        path: PathBuf,
    },
    /// Something cannot be written.
    #[error("{} cannot be written: {source}", path.display())]
    Io {
        /// What.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A host that cannot be in a certificate.
    #[error("{host:?} is neither a host name nor an IP address")]
    Host {
        /// Which.
        host: String,
    },
    /// Making a certificate failed.
    #[error("a certificate cannot be made: {0}")]
    Certificate(#[from] rcgen::Error),
}

/// Makes an authority and the certificates of a scheduler, of workers and of clients in `dir` (made if need be).
///
/// A scheduler can be reached as `localhost`, under this machine's name, and as each of `hosts`.
pub fn create(dir: impl AsRef<Path>, hosts: &[String]) -> Result<Created, CreateError> {
    let dir = dir.as_ref();
    let hosts = all_hosts(hosts)?;
    let wrong = |source| CreateError::Io { path: dir.to_owned(), source };
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(wrong)?;

    let ca_key = KeyPair::generate()?;
    let ca_params = authority()?;
    let ca_pem = ca_params.self_signed(&ca_key)?.pem();
    let ca_key_pem = ca_key.serialize_pem();
    let issuer = Issuer::new(ca_params, ca_key);
    let mut certificates = vec![(dir.join("ca.pem"), ca_pem)];
    let mut keys = vec![(dir.join("ca-key.pem"), ca_key_pem)];
    for role in CertificateRole::ALL {
        let key = KeyPair::generate()?;
        let certificate = role_params(role, &hosts)?.signed_by(&key, &issuer)?;
        certificates.push((dir.join(format!("{}.pem", role.name())), certificate.pem()));
        keys.push((dir.join(format!("{}-key.pem", role.name())), key.serialize_pem()));
    }

    // Looked at before the first is written, so that a refusal leaves nothing half made.
    for (path, _) in certificates.iter().chain(&keys) {
        if path.exists() {
            return Err(CreateError::Exists { path: path.clone() });
        }
    }
    for (path, text) in &certificates {
        write_new(path, text, 0o644)?;
    }
    for (path, text) in &keys {
        write_new(path, text, 0o600)?;
    }
    let files = certificates.into_iter().chain(keys).map(|(path, _)| path).collect();
    Ok(Created { files, hosts })
}

fn all_hosts(given: &[String]) -> Result<Vec<String>, CreateError> {
    let mut hosts: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
    // A machine may have a name that no certificate can hold; it is then reached by another one.
    hosts.extend(hostname().filter(|name| is_host(name)));
    for host in given {
        if !is_host(host) {
            return Err(CreateError::Host { host: host.clone() });
        }
        hosts.push(host.clone());
    }
    let mut seen = std::collections::BTreeSet::new();
    hosts.retain(|host| seen.insert(host.clone()));
    Ok(hosts)
}

fn is_host(host: &str) -> bool {
    let name = host.strip_prefix("*.").unwrap_or(host);
    rustls_pki_types::ServerName::try_from(name).is_ok()
}

fn authority() -> Result<CertificateParams, CreateError> {
    let mut params = dated(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, "Kask cluster authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

fn role_params(role: CertificateRole, hosts: &[String]) -> Result<CertificateParams, CreateError> {
    let mut names = vec![role.dns_name().to_owned()];
    let (listens, connects) = match role {
        CertificateRole::Scheduler => (true, false),
        CertificateRole::Worker => (true, true),
        CertificateRole::Client => (false, true),
    };
    if listens {
        names.extend_from_slice(hosts);
    }
    let mut params = dated(names)?;
    params.distinguished_name.push(DnType::CommonName, format!("Kask {}", role.name()));
    params.distinguished_name.push(DnType::OrganizationalUnitName, role.name());
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages.extend(listens.then_some(ExtendedKeyUsagePurpose::ServerAuth));
    params.extended_key_usages.extend(connects.then_some(ExtendedKeyUsagePurpose::ClientAuth));
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn dated(names: Vec<String>) -> Result<CertificateParams, CreateError> {
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + now.saturating_sub(CLOCK_SLACK);
    params.not_after = epoch + now + VALID;
    Ok(params)
}

fn write_new(path: &Path, text: &str, mode: u32) -> Result<(), CreateError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(mode);
    options.open(path).and_then(|mut file| file.write_all(text.as_bytes())).map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => CreateError::Exists { path: path.to_owned() },
        _ => CreateError::Io { path: path.to_owned(), source },
    })
}
