//! Who may connect: holders of a token on this machine, holders of certificates anywhere.

use crate::local::LocalDir;
use crate::tls::TlsConfig;
use crate::token::{Token, TokenError};
use std::io;

/// What a process has to prove who it is, and to judge others by.
///
/// The token is asked for on Unix sockets and loopback TCP; TLS peers are judged by their certificates alone.
#[derive(Clone, Debug, Default)]
pub struct Security {
    /// The shared secret of a local cluster.
    pub token: Option<Token>,
    /// Certificates.
    pub tls: Option<TlsConfig>,
}

/// Why there is no local cluster's directory.
#[derive(Debug, thiserror::Error)]
pub enum LocalDirError {
    /// No directory can be made.
    #[error("no private directory for the cluster's sockets can be made: {0}")]
    Directory(#[from] io::Error),
    /// No token can be made.
    #[error(transparent)]
    Token(#[from] TokenError),
}

impl Security {
    /// With a token only.
    pub fn with_token(token: Token) -> Security {
        Security { token: Some(token), tls: None }
    }

    /// With certificates only.
    pub fn with_tls(tls: TlsConfig) -> Security {
        Security { token: None, tls: Some(tls) }
    }

    /// A private directory for a local cluster's sockets, with a new token in it.
    pub fn local_dir() -> Result<(LocalDir, Security), LocalDirError> {
        let dir = LocalDir::new()?;
        let token = Token::create_file(dir.token_file())?;
        Ok((dir, Security::with_token(token)))
    }
}
