//! Large values over loopback TCP, beside plain blocking sockets that only move bytes: 1 GiB in values of 64 MiB, from
//! one process to another.
//!
//! `cargo run --release -p kask-net --example throughput`

use bytes::Bytes;
use kask_net::{Address, Arena, Listener, LocalDir, Security, Token, connect_retrying};
use kask_types::{Incarnation, Payload, TaskId, WorkerId};
use kask_wire::{DataReply, DataRequest, Role};
use std::error::Error;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const VALUES: usize = 16;
const VALUE_BYTES: usize = 64 << 20;
const ROUNDS: usize = 5;
const PLAIN: &str = "127.0.0.1:28793";
const KASK: &str = "tcp://127.0.0.1:28794";

type Failure = Box<dyn Error>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match arguments.as_slice() {
        [] => runtime.block_on(measure()),
        [verb] if verb == "plain" => plain_server(),
        [verb, directory] if verb == "kask" => runtime.block_on(kask_server(Path::new(directory))),
        _ => Err("usage: throughput".into()),
    }
}

fn gigabytes_per_second(start: Instant) -> f64 {
    (VALUES * VALUE_BYTES) as f64 / 1e9 / start.elapsed().as_secs_f64()
}

/// Reads into one buffer again and again, and says when each gigabyte is there.
fn plain_server() -> Result<(), Failure> {
    let (mut stream, _) = TcpListener::bind(PLAIN)?.accept()?;
    let mut buffer = vec![0; 1 << 20];
    let mut left = VALUES * VALUE_BYTES;
    loop {
        let most = left.min(buffer.len());
        match stream.read(&mut buffer[..most])? {
            0 => return Ok(()),
            read => left -= read,
        }
        if left == 0 {
            stream.write_all(&[1])?;
            left = VALUES * VALUE_BYTES;
        }
    }
}

async fn kask_server(dir: &Path) -> Result<(), Failure> {
    let security = Security { token: Some(Token::read_file(dir.join("token"))?), tls: None };
    // As a worker has.
    Arena::global_or_create();
    let mut listener = Listener::bind(&KASK.parse()?, &security, Incarnation(1))?;
    let (sender, mut receiver) = listener.accept().await?.connection.split();
    while let Some(DataRequest::Put { request, values, .. }) = receiver.recv::<DataRequest>().await? {
        assert_eq!(values[0].1.nbytes(), VALUE_BYTES as u64);
        sender.send(&DataReply::Stored { request })?;
    }
    Ok(())
}

/// A child that does not outlive a failure.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        // Fails when it has ended, which is what is wanted.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(arguments: &[&str]) -> Result<Server, Failure> {
    Ok(Server(Command::new(std::env::current_exe()?).args(arguments).stdin(Stdio::null()).spawn()?))
}

async fn measure() -> Result<(), Failure> {
    let dir = LocalDir::new()?;
    let security = Security { token: Some(Token::create_file(dir.token_file())?), tls: None };
    let _plain = start(&["plain"])?;
    let _kask = start(&["kask", &dir.path().display().to_string()])?;
    let address: Address = KASK.parse()?;
    let patience = Duration::from_secs(10);
    let mut connection = connect_retrying(&address, &security, Role::Data, Incarnation(2), patience).await?;
    let mut plain = TcpStream::connect(PLAIN)?;
    let value = Bytes::from(vec![3u8; VALUE_BYTES]);
    let mut best = [0f64; 2];
    for round in 0..ROUNDS {
        let start = Instant::now();
        for _ in 0..VALUES {
            plain.write_all(&value)?;
        }
        plain.read_exact(&mut [0])?;
        let theirs = gigabytes_per_second(start);
        let start = Instant::now();
        // Two at a time, so that there is always something under way.
        for request in 0..VALUES as u64 {
            let task = TaskId { slot: 1, generation: 0 };
            let values = vec![(task, Payload::from_bytes(value.clone()), VALUE_BYTES as u64)];
            connection.sender.send(&DataRequest::Put { request, worker: WorkerId(1), values })?;
            if request > 0 {
                connection.receiver.recv::<DataReply>().await?.ok_or("the server hung up")?;
            }
        }
        connection.receiver.recv::<DataReply>().await?.ok_or("the server hung up")?;
        let ours = gigabytes_per_second(start);
        println!(
            "round {round}: plain sockets {theirs:.2} GB/s, a connection {ours:.2} GB/s ({:.0} %)",
            ours / theirs * 100.0
        );
        best = [best[0].max(theirs), best[1].max(ours)];
    }
    println!(
        "best: plain sockets {:.2} GB/s, a connection {:.2} GB/s ({:.0} %)",
        best[0],
        best[1],
        best[1] / best[0] * 100.0
    );
    Ok(())
}
