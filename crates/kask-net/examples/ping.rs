//! What a hop costs: round trips, messages per second and bytes per second between two processes.
//!
//! `cargo run --release -p kask-net --example ping` measures Unix sockets, loopback TCP and TLS, each against a
//! process of its own.

use bytes::Bytes;
use kask_net::tls::{CertificateRole, create};
use kask_net::{Address, Connection, Listener, LocalDir, Security, TlsPaths, Token, connect_retrying};
use kask_types::{Incarnation, Payload, TaskId, WorkerId};
use kask_wire::data::Value;
use kask_wire::{DataReply, DataRequest, Role};
use std::error::Error;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};

const ROUND_TRIPS: u32 = 20_000;
const MESSAGES: u64 = 300_000;
const TRANSFERS: u32 = 16;
const TRANSFER_BYTES: usize = 64 << 20;
const TASK: TaskId = TaskId { slot: 1, generation: 0 };

type Failure = Box<dyn Error>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [] => measure_all(),
        [verb, directory, address] if verb == "serve" => runtime()?.block_on(serve(Path::new(directory), address)),
        _ => Err("usage: ping".into()),
    }
}

fn runtime() -> Result<Runtime, Failure> {
    Ok(Builder::new_current_thread().enable_all().build()?)
}

fn measure_all() -> Result<(), Failure> {
    let dir = LocalDir::new()?;
    Token::create_file(dir.token_file())?;
    create(dir.path().join("tls"), &[])?;
    let runtime = runtime()?;
    println!("| transport | round trip, median | 99 % | messages/s, one way | GB/s there | GB/s back |");
    println!("|---|---|---|---|---|---|");
    let unix = dir.socket("ping").to_string();
    for address in [unix.as_str(), "tcp://127.0.0.1:28791", "tls://127.0.0.1:28792"] {
        let mut child = Server(start(dir.path(), address)?);
        let row = runtime.block_on(measure(dir.path(), &address.parse()?))?;
        println!("| {} | {row} |", address.split(':').next().unwrap_or(address));
        child.0.wait()?;
    }
    Ok(())
}

/// A child that does not outlive a failure.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        // Fails when it has ended, which is what is wanted.
        let _ = self.0.kill();
    }
}

fn start(dir: &Path, address: &str) -> Result<Child, Failure> {
    Ok(Command::new(std::env::current_exe()?).arg("serve").arg(dir).arg(address).stdin(Stdio::null()).spawn()?)
}

fn security(dir: &Path, role: CertificateRole) -> Result<Security, Failure> {
    let token = Some(Token::read_file(dir.join("token"))?);
    Ok(Security { token, tls: Some(TlsPaths::in_dir(dir.join("tls"), role).load()?) })
}

async fn serve(dir: &Path, address: &str) -> Result<(), Failure> {
    let security = security(dir, CertificateRole::Worker)?;
    let mut listener = Listener::bind(&address.parse()?, &security, Incarnation(1))?;
    let (sender, mut receiver) = listener.accept().await?.connection.split();
    let big = Bytes::from(vec![7u8; TRANSFER_BYTES]);
    while let Some(request) = receiver.recv::<DataRequest>().await? {
        match request {
            // Two values: the large value. One: an answer. None: nothing to say.
            DataRequest::Get { request, values } if values.len() == 2 => {
                let values = vec![(TASK.into(), Value::Here(Payload::from_bytes(big.clone())))];
                sender.send(&DataReply::Values { request, values, last: true })?;
            }
            DataRequest::Get { values, .. } if values.is_empty() => {}
            DataRequest::Get { request, .. } | DataRequest::Put { request, .. } => {
                sender.send(&DataReply::Stored { request })?;
            }
        }
    }
    Ok(())
}

async fn measure(dir: &Path, address: &Address) -> Result<String, Failure> {
    let security = security(dir, CertificateRole::Client)?;
    let ten_seconds = Duration::from_secs(10);
    let mut connection = connect_retrying(address, &security, Role::Data, Incarnation(2), ten_seconds).await?;
    let (median, worst) = round_trips(&mut connection).await?;
    let rate = one_way(&mut connection).await?;
    let (there, back) = transfers(&mut connection).await?;
    connection.sender.close();
    connection.sender.closed().await;
    Ok(format!("{median:.1} us | {worst:.1} us | {rate:.0} | {there:.2} | {back:.2}"))
}

async fn answer(connection: &mut Connection) -> Result<DataReply, Failure> {
    connection.receiver.recv::<DataReply>().await?.ok_or_else(|| "the server hung up".into())
}

async fn round_trips(connection: &mut Connection) -> Result<(f64, f64), Failure> {
    let mut times = Vec::new();
    for request in 0..u64::from(ROUND_TRIPS) {
        let start = Instant::now();
        connection.sender.send(&DataRequest::Get { request, values: vec![TASK.into()] })?;
        answer(connection).await?;
        times.push(start.elapsed());
    }
    times.sort();
    let micros = |part: f64| times[(part * times.len() as f64) as usize].as_secs_f64() * 1e6;
    Ok((micros(0.5), micros(0.99)))
}

async fn one_way(connection: &mut Connection) -> Result<f64, Failure> {
    let start = Instant::now();
    for request in 1..MESSAGES {
        connection.sender.send(&DataRequest::Get { request, values: Vec::new() })?;
        if connection.sender.queued_bytes() > 1 << 20 {
            connection.sender.drained().await?;
        }
    }
    connection.sender.send(&DataRequest::Get { request: MESSAGES, values: vec![TASK.into()] })?;
    answer(connection).await?;
    Ok(MESSAGES as f64 / start.elapsed().as_secs_f64())
}

async fn transfers(connection: &mut Connection) -> Result<(f64, f64), Failure> {
    let gigabytes = f64::from(TRANSFERS) * TRANSFER_BYTES as f64 / 1e9;
    let big = Bytes::from(vec![3u8; TRANSFER_BYTES]);
    let start = Instant::now();
    for request in 0..u64::from(TRANSFERS) {
        let values = vec![(TASK, Payload::from_bytes(big.clone()), TRANSFER_BYTES as u64)];
        connection.sender.send(&DataRequest::Put { request, worker: WorkerId(1), values })?;
        answer(connection).await?;
    }
    let there = gigabytes / start.elapsed().as_secs_f64();
    let start = Instant::now();
    for request in 0..u64::from(TRANSFERS) {
        connection.sender.send(&DataRequest::Get { request, values: vec![TASK.into(), TASK.into()] })?;
        answer(connection).await?;
    }
    Ok((there, gigabytes / start.elapsed().as_secs_f64()))
}
