//! Who is let in, who is refused and how that reads, and where nobody listens at all.

use crate::*;
use kask_net::{BindError, ConnectError, Token, connect_retrying};
use kask_wire::codec::encode;
use kask_wire::hello::PROTOCOL_VERSION;
use kask_wire::{Hello, Welcome};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UnixStream};

const SHORT: Duration = Duration::from_millis(300);

fn frame_of(hello: &Hello) -> Vec<u8> {
    let head = encode(hello).expect("encoded").head;
    [&(head.len() as u32).to_le_bytes()[..], &0u32.to_le_bytes(), &head].concat()
}

fn hello(security: &Security) -> Hello {
    let token = security.token.as_ref().expect("a token").to_hex();
    Hello { protocol: PROTOCOL_VERSION, version: "9.9".into(), token, incarnation: HERE, role: Role::Data }
}

/// What a peer says first, as bytes.
pub fn hello_frame(security: &Security) -> Vec<u8> {
    frame_of(&hello(security))
}

async fn refusal(listener: &mut Listener, security: &Security, role: Role) -> String {
    let place = listener.address().clone();
    tokio::select! {
        _ = listener.accept() => panic!("let in"),
        result = connect(&place, security, role, HERE, PATIENCE) => match result {
            Err(ConnectError::Refused { reason, .. }) => reason,
            other => panic!("not a refusal: {other:?}"),
        },
    }
}

#[test]
fn a_wrong_token_and_a_wrong_role_are_refused_in_a_sentence() {
    run(async {
        let (dir, security) = local();
        let listener = Listener::bind(&dir.socket("s"), &security, THERE).expect("bound");
        let mut listener = listener.accepting(&[Role::Client, Role::Worker]);
        let other = Security::with_token(Token::generate().expect("random"));
        let reason = refusal(&mut listener, &other, Role::Client).await;
        assert_eq!(reason, "the token given is not this cluster's: pass the token file of this scheduler");
        let reason = refusal(&mut listener, &security, Role::Data).await;
        let expected =
            "this address is for a client or a worker, not for whoever wants data: check which address was given";
        assert_eq!(reason, expected);
        // And the listener still lets the right ones in.
        let place = listener.address().clone();
        let (accepted, connected) =
            tokio::join!(listener.accept(), connect(&place, &security, Role::Client, HERE, PATIENCE));
        assert!(accepted.is_ok() && connected.is_ok());
    });
}

#[test]
fn another_protocol_version_is_refused_with_both_versions() {
    run(async {
        let (dir, security) = local();
        let mut listener = Listener::bind(&dir.socket("s"), &security, THERE).expect("bound");
        let Address::Unix(path) = listener.address().clone() else { panic!("a Unix address") };
        let mut bare = UnixStream::connect(path).await.expect("connected");
        let hello = Hello { protocol: PROTOCOL_VERSION + 1, ..hello(&security) };
        bare.write_all(&frame_of(&hello)).await.expect("written");
        let mut answer = vec![0; 4096];
        let length = tokio::select! {
            _ = listener.accept() => panic!("let in"),
            length = bare.read(&mut answer) => length.expect("an answer"),
        };
        let frame = kask_wire::codec::Frame { head: answer[8..length].to_vec().into(), segments: vec![] };
        let Welcome::Refused { reason } = kask_wire::codec::decode(frame).expect("a welcome") else { panic!("let in") };
        let both = [
            format!("here speaks protocol {PROTOCOL_VERSION}"),
            format!("there speaks protocol {}", PROTOCOL_VERSION + 1),
        ];
        assert!(both.iter().all(|version| reason.contains(version)), "{reason}");
        assert!(reason.contains("install the same version"), "{reason}");
    });
}

#[test]
fn a_stranger_is_dropped_without_a_word_and_a_silent_one_holds_up_nobody() {
    run(async {
        let (dir, security) = local();
        let mut listener = Listener::bind(&dir.socket("s"), &security, THERE).expect("bound");
        let place = listener.address().clone();
        let Address::Unix(path) = &place else { panic!("a Unix address") };
        let _silent = UnixStream::connect(path).await.expect("connected");
        // An HTTP request; a frame beyond the limit before authentication; a frame that is no Hello.
        let large = [&70_000u32.to_le_bytes()[..], &0u32.to_le_bytes(), &[0; 100]].concat();
        let nonsense = [&8u32.to_le_bytes()[..], &0u32.to_le_bytes(), &[0xff; 8]].concat();
        for noise in [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(), large, nonsense] {
            let mut bare = UnixStream::connect(path).await.expect("connected");
            bare.write_all(&noise).await.expect("written");
            let mut answer = Vec::new();
            tokio::select! {
                _ = listener.accept() => panic!("let in"),
                // Reset or closed, as long as nothing was said.
                _ = bare.read_to_end(&mut answer) => {}
            }
            assert!(answer.is_empty(), "a stranger was answered");
        }
        let (accepted, connected) =
            tokio::join!(listener.accept(), connect(&place, &security, Role::Data, HERE, PATIENCE));
        assert!(accepted.is_ok() && connected.is_ok());
    });
}

#[test]
fn nobody_there_is_said_at_once_and_silence_at_the_timeout() {
    run(async {
        let (dir, security) = local();
        let free = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let port = free.local_addr().expect("an address").port();
        let silent = address(&format!("tcp://127.0.0.1:{port}"));
        let error = connect(&silent, &security, Role::Client, HERE, SHORT).await.expect_err("silence");
        assert_eq!(error.to_string(), format!("{silent} did not answer within 0.3 s"));
        drop(free);
        for place in [silent, dir.socket("nothing")] {
            let error = connect(&place, &security, Role::Client, HERE, PATIENCE).await.expect_err("closed");
            let expected = format!("nobody listens at {place}: check the address, and that the other side is running");
            assert_eq!(error.to_string(), expected);
        }
        let unknown = address("tcp://no-such-host.invalid:1");
        let error = connect(&unknown, &security, Role::Client, HERE, PATIENCE).await.expect_err("unknown");
        assert!(error.to_string().contains("its host is not known"), "{error}");
    });
}

#[test]
fn who_speaks_something_else_is_named_as_such() {
    run(async {
        let (_dir, security) = local();
        let web = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let place = address(&format!("tcp://{}", web.local_addr().expect("an address")));
        let server = tokio::spawn(async move {
            let (mut stream, _) = web.accept().await.expect("accepted");
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.expect("written");
            stream
        });
        let error = connect(&place, &security, Role::Client, HERE, PATIENCE).await.expect_err("not Kask");
        assert!(matches!(error, ConnectError::NotKask { .. }), "{error}");
        drop(server.await);
    });
}

#[test]
fn retrying_finds_a_listener_that_starts_late_and_gives_up_in_time() {
    run(async {
        let (dir, security) = local();
        let place = dir.socket("late");
        let error = connect_retrying(&place, &security, Role::Data, HERE, SHORT).await.expect_err("nobody");
        assert!(matches!(error, ConnectError::NothingThere { .. } | ConnectError::TimedOut { .. }), "{error}");
        let late = async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let mut listener = Listener::bind(&place, &security, THERE).expect("bound");
            listener.accept().await.expect("accepted")
        };
        let (accepted, connected) = tokio::join!(late, connect_retrying(&place, &security, Role::Data, HERE, PATIENCE));
        assert_eq!(connected.expect("connected").peer, THERE);
        drop(accepted);
    });
}

#[test]
fn without_tls_nothing_listens_beyond_this_machine_and_no_token_leaves_it() {
    run(async {
        let (_dir, security) = local();
        let error = Listener::bind(&address("tcp://0.0.0.0:0"), &security, THERE).expect_err("refused");
        assert!(matches!(error, BindError::NeedsTls { .. }), "{error}");
        assert!(error.to_string().contains("`kask tls create`"), "{error}");
        let error = Listener::bind(&address("tls://127.0.0.1:0"), &security, THERE).expect_err("refused");
        assert!(matches!(error, BindError::NeedsCertificates { .. }), "{error}");
        // An address of a network for documentation: no packet is sent.
        let elsewhere = address("tcp://192.0.2.1:1");
        let error = connect(&elsewhere, &security, Role::Client, HERE, PATIENCE).await.expect_err("refused");
        assert!(matches!(error, ConnectError::NeedsTls { .. }), "{error}");
    });
}

#[test]
fn a_local_address_needs_a_token_on_both_sides() {
    run(async {
        let (dir, _) = local();
        for place in [dir.socket("s"), address("tcp://127.0.0.1:0")] {
            let error = Listener::bind(&place, &Security::default(), THERE).expect_err("refused");
            assert!(matches!(error, BindError::NeedsToken { .. }), "{error}");
            let error = connect(&place, &Security::default(), Role::Client, HERE, PATIENCE).await.expect_err("refused");
            assert!(matches!(error, ConnectError::NeedsToken { .. }), "{error}");
        }
    });
}

#[test]
fn a_unix_socket_is_private_exclusive_and_removed() {
    run(async {
        let (dir, security) = local();
        let place = address(&format!("unix://{}/inner/s", dir.path().display()));
        let Address::Unix(path) = &place else { panic!("a Unix address") };
        let listener = Listener::bind(&place, &security, THERE).expect("bound");
        let mode = |path: &std::path::Path| std::fs::metadata(path).expect("metadata").mode() & 0o777;
        assert_eq!((mode(path), mode(path.parent().expect("a parent"))), (0o600, 0o700));
        let error = Listener::bind(&place, &security, THERE).expect_err("taken");
        assert!(matches!(error, BindError::InUse { .. }), "{error}");
        drop(listener);
        assert!(!path.exists());
        // What a killed process left behind is in nobody's way.
        drop(std::os::unix::net::UnixListener::bind(path).expect("bound"));
        assert!(path.exists());
        drop(Listener::bind(&place, &security, THERE).expect("bound again"));
        std::fs::set_permissions(path.parent().expect("a parent"), std::fs::Permissions::from_mode(0o755))
            .expect("chmod");
        let error = Listener::bind(&place, &security, THERE).expect_err("open to others");
        assert!(error.to_string().contains("chmod 700"), "{error}");
        let long = address(&format!("unix://{}/{}", dir.path().display(), "x".repeat(120)));
        let error = Listener::bind(&long, &security, THERE).expect_err("too long");
        assert!(matches!(error, BindError::PathTooLong { .. }), "{error}");
    });
}

#[test]
fn a_taken_port_is_said_to_be_taken() {
    run(async {
        let (_dir, security) = local();
        let first = Listener::bind(&address("tcp://127.0.0.1:0"), &security, THERE).expect("bound");
        assert_ne!(first.address().port(), Some(0));
        let error = Listener::bind(first.address(), &security, THERE).expect_err("taken");
        assert!(matches!(error, BindError::InUse { .. }), "{error}");
    });
}
