//! What shared memory costs: taking and filling it, and passing 1 GiB from one process to another, where it lies in the
//! arena, where it has to be copied there first, and where a bound on what is lent has it streamed.
//!
//! `cargo run --release -p kask-net --example share`

use bytes::Bytes;
use kask_net::{Address, Arena, Connection, Listener, LocalDir, Security, Token, arena, connect_retrying};
use kask_types::{Incarnation, Payload, TaskId};
use kask_wire::data::Value;
use kask_wire::{DataReply, DataRequest, Role};
use std::error::Error;
use std::hint::black_box;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const GIB: usize = 1 << 30;
const SMALL: usize = 64 << 10;
const ROUNDS: usize = 5;
const IN_ARENA: u32 = 1;
const COPIED: u32 = 2;
const STREAMED: u32 = 3;
const PLACES: [(&str, u32); 3] = [("in the arena", IN_ARENA), ("copied there", COPIED), ("streamed", STREAMED)];

type Failure = Box<dyn Error>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match arguments.as_slice() {
        [] => {
            allocation()?;
            filling()?;
            runtime.block_on(passing())
        }
        [verb, directory, address] if verb == "serve" => {
            runtime.block_on(serve(Path::new(directory), &address.parse()?))
        }
        _ => Err("usage: share".into()),
    }
}

fn micros(count: usize, start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e6 / count as f64
}

fn allocation() -> Result<(), Failure> {
    let arena = Arena::create(arena::default_capacity())?;
    let count = 1_000_000;
    let start = Instant::now();
    for _ in 0..count {
        let memory = arena.allocate(black_box(SMALL), false).ok_or("no memory")?;
        // SAFETY: nobody else has it.
        unsafe { arena.free(memory) };
    }
    println!("allocate and free 64 KiB again and again: {:.3} us", micros(count, start));
    let mut live: Vec<_> = (0..1000).filter_map(|i| arena.allocate(SMALL * (1 + i % 16), false)).collect();
    let start = Instant::now();
    for step in 0..count {
        let place = (step * 7919) % live.len();
        // SAFETY: as above.
        unsafe { arena.free(live[place]) };
        live[place] = arena.allocate(SMALL * (1 + step % 16), false).ok_or("no memory")?;
    }
    println!("the same among 1,000 others of 64 KiB to 1 MiB: {:.3} us", micros(count, start));
    Ok(())
}

fn filling() -> Result<(), Failure> {
    let source = vec![7u8; GIB];
    let arena = Arena::create(arena::default_capacity())?;
    let millis = |start: Instant| start.elapsed().as_secs_f64() * 1e3;
    for round in ["first", "second"] {
        let start = Instant::now();
        let mut copy = Vec::with_capacity(GIB);
        copy.extend_from_slice(&source);
        println!("{round}: memcpy of 1 GiB to new ordinary memory: {:.0} ms", millis(start));
        let start = Instant::now();
        copy.copy_from_slice(&source);
        println!("{round}: memcpy of 1 GiB to touched ordinary memory: {:.0} ms", millis(start));
        drop(black_box(copy));
        arena.set_retained_max(0);
        let start = Instant::now();
        let put = arena.put(&[&source]).ok_or("no memory")?;
        println!("{round}: put() of 1 GiB into new memory: {:.0} ms", millis(start));
        arena.set_retained_max(u64::MAX);
        drop(put);
        let start = Instant::now();
        drop(arena.put(&[&source]).ok_or("no memory")?);
        println!("{round}: put() of 1 GiB into memory used before: {:.0} ms", millis(start));
        arena.set_retained_max(0);
        let start = Instant::now();
        let memory = arena.allocate(GIB, false).ok_or("no memory")?;
        let allocated = millis(start);
        let start = Instant::now();
        // SAFETY: the memory was handed out just now.
        unsafe { memory.write_bytes(1, GIB) };
        println!("{round}: allocate() of 1 GiB: {allocated:.0} ms, and its first touch: {:.0} ms", millis(start));
        // SAFETY: nobody else has it.
        unsafe { arena.free(memory) };
        arena.set_retained_max(0);
    }
    Ok(())
}

async fn serve(dir: &Path, address: &Address) -> Result<(), Failure> {
    let security = Security { token: Some(Token::read_file(dir.join("token"))?), tls: None };
    let mut listener = Listener::bind(address, &security, Incarnation(1))?;
    let arena = Arena::global_or_create().ok_or("no shared memory here")?;
    arena.set_retained_max(u64::MAX);
    let elsewhere = Bytes::from(vec![7u8; GIB]);
    let in_arena = arena.put(&[&elsewhere]).ok_or("no memory")?;
    let (sender, mut receiver) = listener.accept().await?.connection.split();
    while let Some(DataRequest::Get { request, values }) = receiver.recv::<DataRequest>().await? {
        let place = values.first().map_or(IN_ARENA, |id| id.task.slot);
        if place == STREAMED {
            kask_net::share::set_lent_max_bytes(0);
        }
        let value = if place == IN_ARENA { &in_arena } else { &elsewhere };
        let values = values.into_iter().map(|id| (id, Value::Here(Payload::from_bytes(value.clone())))).collect();
        sender.send(&DataReply::Values { request, values, last: true })?;
    }
    Ok(())
}

async fn fetch(connection: &mut Connection, place: u32) -> Result<Bytes, Failure> {
    let value = TaskId { slot: place, generation: 0 }.into();
    connection.sender.send(&DataRequest::Get { request: 1, values: vec![value] })?;
    let reply = connection.receiver.recv::<DataReply>().await?.ok_or("the server hung up")?;
    let DataReply::Values { mut values, .. } = reply else { return Err("another reply".into()) };
    match values.pop() {
        Some((_, Value::Here(Payload::Bytes { head, .. }))) => Ok(head.0),
        _ => Err("another value".into()),
    }
}

fn sum(bytes: &[u8]) -> u64 {
    bytes
        .chunks_exact(8)
        .map(|chunk| u64::from_le_bytes(chunk.try_into().expect("eight bytes")))
        .fold(0, u64::wrapping_add)
}

async fn passing() -> Result<(), Failure> {
    let dir = LocalDir::new()?;
    let security = Security { token: Some(Token::create_file(dir.token_file())?), tls: None };
    let address = dir.socket("share");
    let mut server = Command::new(std::env::current_exe()?)
        .arg("serve")
        .arg(dir.path())
        .arg(address.to_string())
        .stdin(Stdio::null())
        .spawn()?;
    let patience = Duration::from_secs(30);
    let mut connection = connect_retrying(&address, &security, Role::Data, Incarnation(2), patience).await?;
    let expected = sum(&vec![7u8; GIB]);
    for (round, (name, place)) in PLACES.iter().flat_map(|place| (0..ROUNDS).map(move |round| (round, place))) {
        let start = Instant::now();
        let bytes = fetch(&mut connection, *place).await?;
        let passed = start.elapsed();
        let is_shared = kask_net::share::is_foreign(&bytes);
        assert_eq!(black_box(sum(&bytes)), expected);
        let read = start.elapsed() - passed;
        println!(
            "1 GiB from process to process, {name}, round {round}: {:.3} ms (shared: {is_shared}), reading it: {:.0} ms",
            passed.as_secs_f64() * 1e3,
            read.as_secs_f64() * 1e3
        );
    }
    connection.sender.close();
    server.wait()?;
    Ok(())
}
