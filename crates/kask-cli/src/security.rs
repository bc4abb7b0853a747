//! Which secrets a command uses.

use crate::CommandError;
use crate::arguments::SecurityArguments;
use kask_executor::process::SecurityConfig;
use kask_net::tls::CertificateRole;
use kask_net::{Address, TlsPaths, Token, TokenError};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// What `--scheduler-file` holds.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SchedulerFile {
    pub(crate) address: String,
    pub(crate) token_file: Option<PathBuf>,
}

impl SecurityArguments {
    /// The files that hold the secrets for a peer of this role. Without TLS that is the token's file.
    pub(crate) fn files(&self, role: CertificateRole, known: Option<PathBuf>) -> Result<SecurityConfig, CommandError> {
        let tls = match (&self.tls_dir, &self.tls_ca, &self.tls_cert, &self.tls_key) {
            (Some(dir), ..) => {
                let TlsPaths { ca, certificate, key } = TlsPaths::in_dir(dir, role);
                Some((ca, certificate, key))
            }
            (None, Some(ca), Some(certificate), Some(key)) => Some((ca.clone(), certificate.clone(), key.clone())),
            (None, ..) => None,
        };
        let token_file = self.token_file.clone().or(known).or_else(|| {
            let file = default_token_file()?;
            (tls.is_none() || file.exists()).then_some(file)
        });
        Ok(SecurityConfig { token_file, tls })
    }
}

/// Where the token is when nobody says otherwise: `~/.config/kask/token`.
pub(crate) fn default_token_file() -> Option<PathBuf> {
    let config = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from);
    let config = config.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".config")))?;
    Some(config.join("kask").join("token"))
}

/// Makes the token's file unless it is there.
pub(crate) fn ensure_token(file: &Path) -> Result<(), CommandError> {
    if file.exists() {
        return Ok(());
    }
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)
            .map_err(|source| CommandError::Io { what: format!("{} cannot be made", folder.display()), source })?;
    }
    match Token::create_file(file) {
        Ok(_) => Ok(()),
        // Another scheduler was faster.
        Err(_) if file.exists() => Ok(()),
        Err(error) => Err(TokenError::into(error)),
    }
}

/// Reads a scheduler file.
pub(crate) fn read_scheduler_file(file: &Path) -> Result<SchedulerFile, CommandError> {
    let text = std::fs::read_to_string(file)
        .map_err(|source| CommandError::Io { what: format!("{} cannot be read", file.display()), source })?;
    serde_json::from_str(&text)
        .map_err(|error| CommandError::Argument(format!("{} is not a scheduler file: {error}", file.display())))
}

/// An address as users write it: a bare `host:port` is TCP, or TLS where certificates are given.
pub(crate) fn parse_address(text: &str, tls: bool) -> Result<Address, CommandError> {
    if text.contains("://") {
        return Ok(text.parse()?);
    }
    Ok(format!("{}://{text}", if tls { "tls" } else { "tcp" }).parse()?)
}
