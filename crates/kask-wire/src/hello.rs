//! The handshake: first frame each way on every connection.

use kask_types::Incarnation;
use serde::{Deserialize, Serialize};

/// Version of the protocol; peers with another one are refused in one sentence.
pub const PROTOCOL_VERSION: u32 = 7;

/// What whoever connects says first. Its layout never changes, so that versions can always tell each other apart.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Hello {
    /// [`PROTOCOL_VERSION`] of the speaker.
    pub protocol: u32,
    /// Version of Kask, for people.
    pub version: String,
    /// Shared secret of a local cluster; empty where TLS certificates identify the peer.
    pub token: String,
    /// Who is speaking.
    pub incarnation: Incarnation,
    /// What the connection is for.
    pub role: Role,
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// A client at a scheduler.
    Client,
    /// A worker at a scheduler.
    Worker,
    /// A supervisor of worker processes at a scheduler.
    Supervisor,
    /// A client or worker that wants data, at a worker.
    Data,
}

/// The answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Welcome {
    /// Go on.
    Accepted {
        /// Who answers.
        incarnation: Incarnation,
    },
    /// The connection is closed after this.
    Refused {
        /// One sentence: what was given, what was expected, what to do.
        reason: String,
    },
}
