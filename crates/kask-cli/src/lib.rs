//! The kask command: scheduler, worker, tls, config, version.
