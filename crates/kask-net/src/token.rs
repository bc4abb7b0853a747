//! The shared secret of a local cluster: 32 random bytes, kept in a file that only its owner can read.
//!
//! Invariants: a token is never printed by `Debug`, its file is made 0600 and never overwritten, a file that others can
//! read is refused, and comparing takes the same time wherever two tokens differ.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A shared secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Token([u8; 32]);

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file cannot be read or written.
    #[error("the token file {} cannot be {verb}: {source}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What was tried.
        verb: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// There is such a file already.
    #[error("the token file {} exists already; remove it if no cluster uses it", path.display())]
    Exists {
        /// Which file.
        path: PathBuf,
    },
    /// Others can read the file.
    #[error("the file {0} can be read by other users (mode {mode:o}): run `chmod 600 {0}`", path.display())]
    Readable {
        /// Which file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The text is not a token.
    #[error("{place} holds no token: a token is 64 hexadecimal digits")]
    Malformed {
        /// Where the text came from.
        place: String,
    },
    /// The system gives no random bytes.
    #[error("the system gives no random bytes: {0}")]
    Random(getrandom::Error),
}

impl Token {
    /// A new random token.
    pub fn generate() -> Result<Token, TokenError> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(TokenError::Random)?;
        Ok(Token(bytes))
    }

    /// A new random token in a new file with mode 0600.
    pub fn create_file(path: impl AsRef<Path>) -> Result<Token, TokenError> {
        let path = path.as_ref();
        let token = Token::generate()?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(|source| {
            match source.kind() {
                io::ErrorKind::AlreadyExists => TokenError::Exists { path: path.to_owned() },
                _ => TokenError::Io { path: path.to_owned(), verb: "created", source },
            }
        })?;
        writeln!(file, "{}", token.to_hex()).map_err(|source| TokenError::Io {
            path: path.to_owned(),
            verb: "written",
            source,
        })?;
        Ok(token)
    }

    /// The token of a file that only its owner can read.
    pub fn read_file(path: impl AsRef<Path>) -> Result<Token, TokenError> {
        let path = path.as_ref();
        let text = read_private(path)?;
        Token::from_hex(&text).map_err(|_| TokenError::Malformed { place: path.display().to_string() })
    }

    /// The token of 64 hexadecimal digits.
    pub fn from_hex(text: &str) -> Result<Token, TokenError> {
        let malformed = || TokenError::Malformed { place: "the text given".to_owned() };
        let text = text.trim().as_bytes();
        if text.len() != 64 {
            return Err(malformed());
        }
        let digit = |byte: u8| (byte as char).to_digit(16).map(|digit| digit as u8);
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
            let (high, low) = digit(pair[0]).zip(digit(pair[1])).ok_or_else(malformed)?;
            *byte = high << 4 | low;
        }
        Ok(Token(bytes))
    }

    /// 64 hexadecimal digits: for the token file and the handshake, never for a log.
    pub fn to_hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Whether `presented` is this token, in a time that does not tell how much of it is right.
    pub fn matches(&self, presented: &str) -> bool {
        let Ok(presented) = Token::from_hex(presented) else { return false };
        let difference = self.0.iter().zip(presented.0).fold(0, |difference, (a, b)| difference | (a ^ b));
        // Keeps the compiler from leaving the loop at the first difference.
        std::hint::black_box(difference) == 0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token(secret)")
    }
}

/// The text of a secret file; refused when other users can read or change it.
pub(crate) fn read_private(path: &Path) -> Result<String, TokenError> {
    let fails = |source| TokenError::Io { path: path.to_owned(), verb: "read", source };
    let mut file = File::open(path).map_err(fails)?;
    let mode = file.metadata().map_err(fails)?.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(TokenError::Readable { path: path.to_owned(), mode });
    }
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(fails)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::LocalDir;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_token_file_is_private_and_made_once() {
        let dir = LocalDir::new().expect("a directory");
        let path = dir.path().join("token");
        let token = Token::create_file(&path).expect("created");
        assert_eq!(std::fs::metadata(&path).expect("metadata").mode() & 0o777, 0o600);
        assert_eq!(Token::read_file(&path).expect("read back"), token);
        let again = Token::create_file(&path).expect_err("exists");
        assert!(again.to_string().contains("exists already"), "{again}");
        assert_ne!(Token::generate().expect("random"), token);
    }

    #[test]
    fn a_file_that_others_can_read_is_refused() {
        let dir = LocalDir::new().expect("a directory");
        let path = dir.path().join("token");
        Token::create_file(&path).expect("created");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("chmod");
        let error = Token::read_file(&path).expect_err("readable by others").to_string();
        assert!(error.contains(&format!("`chmod 600 {}`", path.display())), "{error}");
    }

    #[test]
    fn only_the_same_token_matches() {
        let token = Token::generate().expect("random");
        let hex = token.to_hex();
        assert!(token.matches(&hex) && token.matches(&format!("{hex}\n")));
        let other = hex.replace(hex.chars().last().expect("64 digits"), "x");
        assert!(!token.matches(&other) && !token.matches("") && !token.matches(&hex[..62]));
        assert!(!token.matches(&Token::generate().expect("random").to_hex()));
        assert!(!format!("{token:?}").contains(&hex[..8]));
    }
}
