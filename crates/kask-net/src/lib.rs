//! Transports: framing, Unix sockets, TCP with TLS, in-process mailboxes, the handshake and its security.
