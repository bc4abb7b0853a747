//! Gives values to peers and clients in other processes.
//!
//! What is encoded already is answered from the network thread. What is not is encoded by a thread of its own, so that a task
//! that holds the language's lock never stops the network. What is on disk, and what has to wait until there is room in the
//! connection's queue, is sent by the disk's servers. Who takes too long is told that this worker is busy, and asks again.

use crate::disk::For;
use crate::host::WorkerHost;
use crate::runtime::Value;
use crate::store::{Found, Stored};
use kask_net::thread_cache::ThreadCache;
use kask_net::{Accepted, Connection, Listener, Sender};
use kask_types::{Payload, ValueId, WorkerId};
use kask_wire::data::Value as WireValue;
use kask_wire::{DataReply, DataRequest, Role};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;
use tracing::debug;

/// Values encoded at a time.
const ENCODE_BATCH: usize = 256;
/// How long values that come before the scheduler's answer to the registration wait for it.
const REGISTERED: Duration = Duration::from_secs(10);
/// Bytes that may wait to be written to one peer before it is told to ask again.
const QUEUED_BYTES: usize = 256 << 20;
/// How long those who serve a peer wait for it to take what it asked for before they say that they are busy, and in which steps.
const PATIENCE: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(1);
/// Values that are read from disk are sent in lots of so many bytes.
const REPLY_BYTES: usize = 1 << 20;

/// A request that is answered by several threads: closed when the last of them lets go of it.
struct Request {
    number: u64,
    sender: Sender,
}

impl Request {
    /// False when nobody listens any more.
    fn answer(&self, values: Vec<(ValueId, WireValue)>) -> bool {
        self.sender.send(&DataReply::Values { request: self.number, values, last: false }).is_ok()
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        // That the connection is gone closes the request as well.
        let _ = self.sender.send(&DataReply::Values { request: self.number, values: Vec::new(), last: true });
    }
}

struct Encoding {
    request: Arc<Request>,
    values: Vec<(ValueId, Payload)>,
}

/// Accepts data connections until the worker ends.
pub(crate) async fn serve(host: Arc<WorkerHost>, mut listener: Listener) {
    let encoder = start_encoder(&host);
    loop {
        tokio::select! {
            () = host.closed() => return,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => drop(tokio::spawn(converse(host.clone(), accepted, encoder.clone()))),
                Err(error) => {
                    debug!(%error, "accepting a data connection failed");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
        }
    }
}

fn start_encoder(host: &Arc<WorkerHost>) -> mpsc::Sender<Encoding> {
    let (sender, encodings) = mpsc::channel::<Encoding>();
    let encoder = host.clone();
    let body = Box::new(move || {
        let mut cache = ThreadCache::default();
        while let Some(encoding) = next(&encodings, &mut cache) {
            cache.used(encoding.values.len());
            encode(&encoder, encoding);
        }
    });
    host.runtime.spawn(format!("kask-{}-encoder", host.name()), body);
    sender
}

/// Waits for what is to be encoded; nothing when nobody will ask any more.
fn next(encodings: &mpsc::Receiver<Encoding>, cache: &mut ThreadCache) -> Option<Encoding> {
    if let Some(quiet) = cache.quiet() {
        match encodings.recv_timeout(quiet) {
            Ok(encoding) => return Some(encoding),
            Err(RecvTimeoutError::Timeout) => cache.give_back(),
            Err(RecvTimeoutError::Disconnected) => return None,
        }
    }
    encodings.recv().ok()
}

fn encode(host: &WorkerHost, encoding: Encoding) {
    let Encoding { request, values } = encoding;
    for batch in values.chunks(ENCODE_BATCH) {
        if !request.sender.has_room(most_queued(host)) {
            if !request.answer(batch.iter().map(|(id, _)| (*id, WireValue::Busy)).collect()) {
                return;
            }
            continue;
        }
        let values = encode_all(host, batch);
        if !request.answer(values) {
            return;
        }
    }
}

fn encode_all(host: &WorkerHost, objects: &[(ValueId, Payload)]) -> Vec<(ValueId, WireValue)> {
    let encoded = host.runtime.encode(objects.iter().map(|(id, object)| (id.task, object.clone())).collect());
    let values = objects.iter().zip(encoded).map(|((id, object), encoded)| match encoded {
        Ok(payload) => {
            host.store.keep_encoding(*id, object, &payload);
            (*id, here(host, payload))
        }
        Err(failure) => (*id, WireValue::Failed(failure)),
    });
    values.collect()
}

/// Answers with values that are on disk, or that could not be sent at once. Called by the disk's servers.
fn serve_slowly(host: &Arc<WorkerHost>, request: &Request, wanted: Vec<ValueId>) {
    let mut values = Vec::new();
    let mut nbytes = 0;
    let mut patience = PATIENCE;
    for id in wanted {
        while !request.sender.has_room(most_queued(host)) && request.sender.is_open() && !patience.is_zero() {
            std::thread::sleep(PAUSE);
            patience = patience.saturating_sub(PAUSE);
        }
        let value = if !request.sender.has_room(most_queued(host)) {
            WireValue::Busy
        } else {
            match host.find(id).map(|stored| encoded(stored, host)) {
                None => WireValue::NotThere,
                Some(Ok(value)) => value,
                Some(Err(object)) => {
                    encode_all(host, &[(id, object)]).pop().map_or(WireValue::NotThere, |(_, value)| value)
                }
            }
        };
        if let WireValue::Here(payload) = &value {
            nbytes += payload.nbytes() as usize;
        }
        values.push((id, value));
        if nbytes > REPLY_BYTES || values.len() > ENCODE_BATCH {
            nbytes = 0;
            if !request.answer(std::mem::take(&mut values)) {
                return;
            }
        }
    }
    request.answer(values);
}

/// How much may wait to be written to a peer, and half of what may wait for all of them. What waits is held whatever the worker core gives up, so that with a memory
/// limit this is part of what the process takes beside its values.
fn most_queued(host: &WorkerHost) -> usize {
    match host.options.memory.limit_bytes {
        0 => QUEUED_BYTES,
        limit => (limit as usize / 16).min(QUEUED_BYTES),
    }
}

fn here(host: &WorkerHost, payload: Payload) -> WireValue {
    host.store.served(&payload);
    WireValue::Here(payload)
}

/// A value as it is sent, or the object that has to be encoded first.
fn encoded(stored: Stored, host: &WorkerHost) -> Result<WireValue, Payload> {
    match stored {
        Stored::Unsendable(failure) => Ok(WireValue::Failed(failure)),
        Stored::Value(Value::Object { encoded: Some(payload), .. } | Value::Encoded { payload, .. }) => {
            Ok(here(host, payload))
        }
        Stored::Value(Value::Object { object: payload @ Payload::Bytes { .. }, encoded: None }) => {
            Ok(here(host, payload))
        }
        Stored::Value(Value::Object { object: object @ Payload::Local(_), encoded: None }) => Err(object),
        Stored::Value(Value::Parts(parts)) => Ok(here(host, Value::joined(&parts))),
    }
}

async fn converse(host: Arc<WorkerHost>, accepted: Accepted, encoder: mpsc::Sender<Encoding>) {
    let Accepted { hello, connection } = accepted;
    let Connection { sender, mut receiver, .. } = connection;
    if hello.role != Role::Data {
        sender.close();
        return;
    }
    loop {
        match receiver.recv::<DataRequest>().await {
            Ok(Some(DataRequest::Get { request, values })) => answer(&host, request, values, &sender, &encoder),
            Ok(Some(DataRequest::Put { request, worker, values })) => {
                let id = registered(&host).await;
                if id != Some(worker) {
                    debug!(?worker, ?id, "values for another worker came here");
                    break;
                }
                host.hold(values);
                if sender.send(&DataReply::Stored { request }).is_err() {
                    break;
                }
            }
            Ok(None) => break,
            Err(error) => {
                debug!(%error, "a data connection broke");
                break;
            }
        }
    }
    sender.close();
}

/// The worker's number. A client may hear of the worker from the scheduler before the worker itself does.
async fn registered(host: &WorkerHost) -> Option<WorkerId> {
    let deadline = tokio::time::Instant::now() + REGISTERED;
    loop {
        let id = *host.worker_id.lock();
        if id.is_some() || tokio::time::Instant::now() > deadline {
            return id;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn answer(
    host: &Arc<WorkerHost>,
    number: u64,
    values: Vec<ValueId>,
    sender: &Sender,
    encoder: &mpsc::Sender<Encoding>,
) {
    let mut ready = Vec::with_capacity(values.len());
    let (mut to_encode, mut later) = (Vec::new(), Vec::new());
    let is_limited = host.options.memory.limit_bytes > 0;
    let most = most_queued(host);
    let has_room = !is_limited || sender.has_room(most);
    let mut queued = if is_limited { sender.queued_bytes() as u64 } else { 0 };
    for id in values {
        if !has_room || is_limited && queued > most as u64 {
            later.push(id);
            continue;
        }
        match host.store.get(id) {
            None => ready.push((id, WireValue::NotThere)),
            Some(Found::Memory(stored)) => match encoded(stored, host) {
                Ok(value) => {
                    if let WireValue::Here(payload) = &value {
                        queued += payload.nbytes();
                    }
                    ready.push((id, value));
                }
                Err(object) => {
                    if is_limited {
                        queued += host.store.nbytes(id);
                    }
                    to_encode.push((id, object));
                }
            },
            Some(Found::Disk { .. }) => later.push(id),
        }
    }
    if to_encode.is_empty() && later.is_empty() {
        // That the connection is gone is seen by whoever reads from it.
        let _ = sender.send(&DataReply::Values { request: number, values: ready, last: true });
        return;
    }
    let request = Arc::new(Request { number, sender: sender.clone() });
    if !ready.is_empty() && !request.answer(ready) {
        return;
    }
    if !later.is_empty() {
        let request = request.clone();
        host.disk.read(host, For::Others, Box::new(move |host| serve_slowly(host, &request, later)));
    }
    if !to_encode.is_empty() {
        // The encoder ends with the worker, and with it this connection.
        let _ = encoder.send(Encoding { request, values: to_encode });
    }
}
