//! Tasks and data that no worker has room for, as is known before anything is sent.

use crate::common::{Cluster, Seen, graph, graph_with, key};
use kask_graph::{Graph, LayerKind};
use kask_types::{Annotations, BlobId, ClientId, Failure, Payload};
use kask_wire::ClientToScheduler;
use kask_wire::client::Reply;
use std::sync::Arc;

const GIB: u64 = 1 << 30;

/// A graph of one task that gets so many bytes of arguments.
fn with_arguments(name: &str, nbytes: usize) -> Graph {
    let mut graph = graph(&[(name, &[])]);
    if let LayerKind::Explicit(explicit) = &mut graph.layers[0].kind {
        explicit.items[0] = Payload::from_bytes(vec![0; nbytes]);
    }
    graph
}

/// The task that has no room and ended `name` with that, and why.
fn without_room(cluster: &Cluster, client: ClientId, name: &str) -> (Arc<str>, Arc<str>) {
    match cluster.seen(client, name) {
        Some(Seen::Ended(Failure::OutOfMemory { task, reason })) => (task, reason),
        seen => panic!("{name} is {seen:?}"),
    }
}

#[test]
fn arguments_that_no_worker_can_take_are_sent_to_none() {
    let mut cluster = Cluster::new();
    cluster.memory_limit_bytes = 2 << 20;
    let small = cluster.worker("small", 1);
    let client = cluster.client();
    cluster.submit(client, with_arguments("much", 3 << 20), &["much"]);
    cluster.submit(client, graph(&[("much", &[]), ("reader", &["much"])]), &["reader"]);
    cluster.settle();
    for name in ["much", "reader"] {
        let (task, reason) = without_room(&cluster, client, name);
        assert_eq!(&*task, "much");
        assert!(reason.contains("4 MiB of arguments") || reason.contains("3 MiB of arguments"), "{reason}");
        assert!(reason.contains("a worker has 1 MiB at most for a task"), "{reason}");
    }
    // What fits runs, and a worker that is large enough takes what the small one cannot.
    cluster.submit(client, with_arguments("little", 1 << 20), &["little"]);
    cluster.settle();
    assert_eq!(cluster.place("little"), Some(small));
    cluster.memory_limit_bytes = 64 << 20;
    let large = cluster.worker("large", 1);
    cluster.submit(client, with_arguments("more", 3 << 20), &["more"]);
    cluster.settle();
    assert_eq!(cluster.place("more"), Some(large));
    cluster.run_all();
}

#[test]
fn what_is_said_to_need_more_than_any_worker_has_is_sent_to_none() {
    let mut cluster = Cluster::new();
    cluster.memory_limit_bytes = 300 << 20;
    let worker = cluster.worker("w", 1);
    let client = cluster.client();
    let said = |memory_bytes| Annotations { memory_bytes, ..Annotations::default() };
    cluster.submit(client, graph_with(&[("huge", &[])], said(GIB)), &["huge"]);
    cluster.submit(client, graph_with(&[("large", &[])], said(200 << 20)), &["large"]);
    cluster.settle();
    let (task, reason) = without_room(&cluster, client, "huge");
    assert_eq!(&*task, "huge");
    assert!(reason.contains("said to need 1024 MiB") && reason.contains("has 222 MiB at most"), "{reason}");
    assert_eq!(cluster.place("large"), Some(worker));
    cluster.run_all();
}

#[test]
fn data_that_no_worker_has_room_for_is_not_put_anywhere() {
    let mut cluster = Cluster::new();
    cluster.memory_limit_bytes = 300 << 20;
    let small = cluster.worker("small", 4);
    let client = cluster.client();
    let values = vec![(key("huge"), "data".into(), 400 << 20), (key("little"), "data".into(), 8)];
    cluster.tell(client, ClientToScheduler::Scatter { request: 1, values, workers: None, broadcast: false });
    let Some(Reply::Scatter(places)) = cluster.answer(client, 1) else { panic!("not answered") };
    assert_eq!((&places[0].2[..], &places[1].2[..]), (&[][..], &[small][..]));
    let (_, reason) = without_room(&cluster, client, "huge");
    assert!(reason.contains("takes 400 MiB") && reason.contains("222 MiB at most"), "{reason}");
    // A larger worker takes it, whose turn it is not.
    cluster.memory_limit_bytes = GIB;
    let large = cluster.worker("large", 1);
    let values = vec![(key("huge"), "data".into(), 400 << 20), (key("more"), "data".into(), 400 << 20)];
    cluster.tell(client, ClientToScheduler::Scatter { request: 2, values, workers: None, broadcast: false });
    let Some(Reply::Scatter(places)) = cluster.answer(client, 2) else { panic!("not answered") };
    assert!(places.iter().filter(|place| !place.2.is_empty()).all(|place| place.2[..] == [large]), "{places:?}");
    assert!(!places[1].2.is_empty());
}

#[test]
fn what_a_function_holds_counts_once() {
    let mut cluster = Cluster::new();
    cluster.memory_limit_bytes = 256 << 20;
    let worker = cluster.worker("w", 4);
    let client = cluster.client();
    let heavy = BlobId::of(b"heavy");
    cluster.tell(client, ClientToScheduler::Blobs(vec![(heavy, Payload::from_bytes(vec![0; 90 << 20]))]));
    let mut graph = graph(&[("a", &[]), ("b", &[]), ("c", &[]), ("d", &[])]);
    if let LayerKind::Explicit(explicit) = &mut graph.layers[0].kind {
        explicit.functions.fill(Some(heavy));
    }
    cluster.submit(client, graph, &["a", "b", "c", "d"]);
    cluster.settle();
    assert_eq!(cluster.on(worker).len(), 4);
    cluster.run_all();
}

#[test]
fn workers_get_no_more_arguments_than_they_have_memory_for() {
    let mut cluster = Cluster::new();
    cluster.memory_limit_bytes = 256 << 20;
    let worker = cluster.worker("w", 2);
    let client = cluster.client();
    for name in ["a", "b", "c", "d", "e", "f"] {
        cluster.submit(client, with_arguments(name, 60 << 20), &[name]);
    }
    cluster.settle();
    assert!(cluster.on(worker).len() <= 3, "{:?}", cluster.on(worker));
    cluster.run_all();
    assert!(matches!(cluster.seen(client, "f"), Some(Seen::InMemory { .. })));
}
