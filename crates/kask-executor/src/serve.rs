//! Gives values to peers and clients in other processes.
//!
//! What is encoded already is answered from the network thread. What is not is encoded by a thread of its own, so that a task
//! that holds the language's lock never stops the network.

use crate::host::WorkerHost;
use crate::runtime::Value;
use crate::store::Stored;
use kask_net::{Accepted, Connection, Listener, Sender};
use kask_types::{Payload, TaskId, WorkerId};
use kask_wire::data::Value as WireValue;
use kask_wire::{DataReply, DataRequest, Role};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;
use tracing::debug;

/// Values encoded at a time.
const ENCODE_BATCH: usize = 256;
/// How long values that come before the scheduler's answer to the registration wait for it.
const REGISTERED: Duration = Duration::from_secs(10);
/// Bytes that may wait to be written to one peer before its next values are encoded.
const QUEUED_BYTES: usize = 256 << 20;

struct Encoding {
    request: u64,
    values: Vec<(TaskId, Payload)>,
    sender: Sender,
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
        while let Ok(encoding) = encodings.recv() {
            encode(&encoder, encoding);
        }
    });
    host.runtime.spawn(format!("kask-{}-encoder", host.name()), body);
    sender
}

fn encode(host: &WorkerHost, encoding: Encoding) {
    let Encoding { request, values, sender } = encoding;
    let mut batches = values.chunks(ENCODE_BATCH).peekable();
    while let Some(batch) = batches.next() {
        while sender.queued_bytes() > QUEUED_BYTES && sender.is_open() {
            std::thread::sleep(Duration::from_millis(1));
        }
        let encoded = host.runtime.encode(batch.to_vec());
        let values = batch
            .iter()
            .zip(encoded)
            .map(|((task, _), encoded)| match encoded {
                Ok(payload) => {
                    host.store.served(&payload);
                    (*task, WireValue::Here(payload))
                }
                Err(failure) => (*task, WireValue::Failed(failure)),
            })
            .collect();
        let reply = DataReply::Values { request, values, last: batches.peek().is_none() };
        if sender.send(&reply).is_err() {
            return;
        }
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
            Ok(Some(DataRequest::Get { request, tasks })) => answer(&host, request, tasks, &sender, &encoder),
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

fn answer(host: &WorkerHost, request: u64, tasks: Vec<TaskId>, sender: &Sender, encoder: &mpsc::Sender<Encoding>) {
    let mut ready = Vec::with_capacity(tasks.len());
    let mut to_encode = Vec::new();
    for task in tasks {
        match host.store.get(task) {
            None => ready.push((task, WireValue::NotThere)),
            Some(Stored::Unsendable(failure)) => ready.push((task, WireValue::Failed(failure))),
            Some(Stored::Value(Value::Object { encoded: Some(payload), .. } | Value::Encoded { payload, .. })) => {
                host.store.served(&payload);
                ready.push((task, WireValue::Here(payload)));
            }
            Some(Stored::Value(Value::Object { object: payload @ Payload::Bytes { .. }, encoded: None })) => {
                host.store.served(&payload);
                ready.push((task, WireValue::Here(payload)));
            }
            Some(Stored::Value(Value::Object { object, encoded: None })) => to_encode.push((task, object)),
        }
    }
    let last = to_encode.is_empty();
    if (last || !ready.is_empty()) && sender.send(&DataReply::Values { request, values: ready, last }).is_err() {
        return;
    }
    if !last {
        // The encoder ends with the worker, and with it this connection.
        let _ = encoder.send(Encoding { request, values: to_encode, sender: sender.clone() });
    }
}
