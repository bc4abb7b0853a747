//! Certificates: how they are made, and what each lets its holder do.

use crate::*;
use kask_net::tls::{CertificateRole, CreateError, create};
use kask_net::{ConnectError, TlsPaths};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

fn security(dir: &Path, role: CertificateRole) -> Security {
    Security::with_tls(TlsPaths::in_dir(dir, role).load().expect("certificates that fit together"))
}

/// New certificates in `dir`: those of a worker and of a client.
pub fn worker_and_client(dir: &LocalDir) -> (Security, Security) {
    let dir = dir.path().join("tls");
    create(&dir, &[]).expect("created");
    (security(&dir, CertificateRole::Worker), security(&dir, CertificateRole::Client))
}

async fn attempt(server: &Security, place: &str, guest: &Security, role: Role) -> Result<Connection, ConnectError> {
    let mut listener = Listener::bind(&address(place), server, THERE).expect("bound");
    let place = listener.address().clone();
    let serving = async {
        loop {
            // Held until the guest has its answer.
            std::mem::forget(listener.accept().await);
        }
    };
    tokio::select! {
        () = serving => unreachable!("serves for ever"),
        result = connect(&place, guest, role, HERE, PATIENCE) => result,
    }
}

#[test]
fn files_are_private_and_never_overwritten() {
    let dir = LocalDir::new().expect("a directory");
    let there = dir.path().join("tls");
    let created = create(&there, &["db.example.org".into(), "10.1.2.3".into()]).expect("created");
    assert_eq!(created.files.len(), 8);
    for file in &created.files {
        let mode = std::fs::metadata(file).expect("metadata").mode() & 0o777;
        let is_key = file.to_string_lossy().ends_with("-key.pem");
        assert_eq!(mode, if is_key { 0o600 } else { 0o644 }, "{}", file.display());
    }
    assert!(created.hosts.contains(&"10.1.2.3".to_owned()) && created.hosts.contains(&"localhost".to_owned()));
    assert!(matches!(create(&there, &[]), Err(CreateError::Exists { .. })));
    let error = create(dir.path().join("other"), &["not a host".into()]).expect_err("refused");
    assert!(error.to_string().contains("\"not a host\""), "{error}");
    let key = there.join("worker-key.pem");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).expect("chmod");
    let error = TlsPaths::in_dir(&there, CertificateRole::Worker).load().expect_err("readable by others");
    assert!(error.to_string().contains("chmod 600"), "{error}");
}

#[test]
fn each_certificate_may_be_what_it_says_and_nothing_else() {
    run(async {
        let dir = LocalDir::new().expect("a directory");
        let (worker, client) = worker_and_client(&dir);
        let scheduler = security(&dir.path().join("tls"), CertificateRole::Scheduler);
        let place = "tls://localhost:0";
        for (guest, role) in [(&client, Role::Client), (&worker, Role::Worker), (&worker, Role::Supervisor)] {
            assert_eq!(attempt(&scheduler, place, guest, role).await.expect("let in").peer, THERE);
        }
        for guest in [&client, &worker] {
            attempt(&worker, place, guest, Role::Data).await.expect("let in");
        }
        let error = attempt(&scheduler, place, &client, Role::Worker).await.expect_err("refused").to_string();
        assert!(error.contains("a client's certificate does not entitle to connect as a worker"), "{error}");
        let error = attempt(&scheduler, place, &worker, Role::Client).await.expect_err("refused").to_string();
        assert!(error.contains("a worker's certificate does not entitle to connect as a client"), "{error}");
        // A worker that plays the scheduler is found out by whoever connects.
        let error = attempt(&worker, place, &client, Role::Client).await.expect_err("refused").to_string();
        assert!(error.contains("is not a scheduler's"), "{error}");
    });
}

#[test]
fn another_authority_and_another_host_are_not_believed() {
    run(async {
        let (dir, other) = (LocalDir::new().expect("a directory"), LocalDir::new().expect("a directory"));
        let (_, client) = worker_and_client(&dir);
        let (_, stranger) = worker_and_client(&other);
        let scheduler = security(&dir.path().join("tls"), CertificateRole::Scheduler);
        let error = attempt(&scheduler, "tls://localhost:0", &stranger, Role::Client).await.expect_err("refused");
        assert!(error.to_string().contains("made by another authority"), "{error}");
        // 127.0.0.2 is this machine too, and in no certificate.
        let error = attempt(&scheduler, "tls://127.0.0.2:0", &client, Role::Client).await.expect_err("refused");
        assert!(error.to_string().contains("`kask tls create --host NAME`"), "{error}");
    });
}

#[test]
fn with_certificates_a_tcp_address_beyond_this_machine_speaks_tls() {
    run(async {
        let dir = LocalDir::new().expect("a directory");
        let (worker, client) = worker_and_client(&dir);
        let mut listener = Listener::bind(&address("tcp://0.0.0.0:0"), &worker, THERE).expect("bound");
        assert!(listener.address().is_tls());
        let port = listener.address().port().expect("a port");
        let place = address(&format!("tls://127.0.0.1:{port}"));
        let (accepted, connected) =
            tokio::join!(listener.accept(), connect(&place, &client, Role::Data, HERE, PATIENCE));
        assert!(accepted.is_ok() && connected.is_ok());
    });
}

#[test]
fn plain_and_tls_do_not_meet() {
    run(async {
        let (dir, plain) = local();
        let (worker, client) = worker_and_client(&dir);
        let mut listener = Listener::bind(&address("tcp://127.0.0.1:0"), &plain, THERE).expect("bound");
        let port = listener.address().port().expect("a port");
        let place = address(&format!("tls://127.0.0.1:{port}"));
        let error = tokio::select! {
            _ = listener.accept() => panic!("let in"),
            result = connect(&place, &client, Role::Data, HERE, PATIENCE) => result.expect_err("refused"),
        };
        assert!(matches!(error, ConnectError::Tls { .. }), "{error}");
        let mut listener = Listener::bind(&address("tls://127.0.0.1:0"), &worker, THERE).expect("bound");
        let port = listener.address().port().expect("a port");
        let place = address(&format!("tcp://127.0.0.1:{port}"));
        let error = tokio::select! {
            _ = listener.accept() => panic!("let in"),
            result = connect(&place, &plain, Role::Data, HERE, PATIENCE) => result.expect_err("refused"),
        };
        assert!(matches!(error, ConnectError::HungUp { .. } | ConnectError::NotKask { .. }), "{error}");
    });
}
