//! Messages of every family, small and odd.

use bytes::Bytes;
use kask_graph::chunks::{ChunkSizes, Interval};
use kask_graph::{
    BlockInput, BlockLists, BlockSource, BlockwiseLayer, Graph, InputAxis, JoinedGrids, Layer, LayerKind, MapLayer,
    ShuffleLayer, ShuffleStage, Slot, Slots, Wanted,
};
use kask_types::payload::Segment;
use kask_types::{
    Annotations, Attempt, BlobId, Certificate, ClientId, DeathCause, Failure, Incarnation, Items, Key, LayerToken,
    Loss, Payload, RaisedError, Resources, TaskId, TaskName, ValueId, WorkerId,
};
use kask_wire::client::{ClientInfo, KeyInMemory};
use kask_wire::data;
use kask_wire::worker::{FetchProblem, Finished, Input, Pressure, Priority, WorkerMetrics};
use kask_wire::*;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use std::sync::Arc;

fn text() -> impl Strategy<Value = Arc<str>> {
    vec(prop_oneof![Just('a'), Just('-'), any::<char>()], 0..12).prop_map(|all| all.iter().collect::<String>().into())
}

fn bytes() -> impl Strategy<Value = Bytes> {
    prop_oneof![4 => vec(any::<u8>(), 0..40), 1 => vec(any::<u8>(), 2000..2100)].prop_map(Bytes::from)
}

fn payload() -> impl Strategy<Value = Payload> {
    (bytes(), vec(bytes(), 0..3)).prop_map(|(head, buffers)| Payload::Bytes {
        head: Segment(head),
        buffers: buffers.into_iter().map(Segment).collect(),
    })
}

fn key() -> impl Strategy<Value = Key> {
    any::<u128>().prop_map(Key)
}

fn task() -> impl Strategy<Value = TaskId> {
    any::<(u32, u32)>().prop_map(|(slot, generation)| TaskId { slot, generation })
}

fn value_id() -> impl Strategy<Value = ValueId> {
    (task(), any::<Option<u32>>()).prop_map(|(task, part)| ValueId { task, part })
}

fn problem() -> impl Strategy<Value = FetchProblem> {
    prop_oneof![
        Just(FetchProblem::NotThere),
        Just(FetchProblem::Unreachable),
        Just(FetchProblem::Undecodable),
        Just(FetchProblem::Busy),
        Just(FetchProblem::Unreadable),
    ]
}

fn resources() -> Resources {
    Resources::new([("GPU", 1.5)]).expect("a good amount")
}

fn certificate() -> impl Strategy<Value = Certificate> {
    let cause = prop_oneof![
        any::<i32>().prop_map(DeathCause::Signalled),
        any::<u64>().prop_map(|silent_ms| DeathCause::Frozen { silent_ms }),
        Just(DeathCause::OutOfMemory),
    ];
    (text(), cause, any::<Option<u64>>(), option::of(text())).prop_map(
        |(worker, cause, peak_memory_bytes, last_task)| Certificate { worker, cause, peak_memory_bytes, last_task },
    )
}

fn loss() -> impl Strategy<Value = Loss> {
    prop_oneof![Just(Loss::WithWorkers), Just(Loss::Unreadable), Just(Loss::NotThere)]
}

fn failure() -> impl Strategy<Value = Failure> {
    let raised = (text(), option::of(payload())).prop_map(|(task, exception)| {
        let said = || task.to_string();
        let (type_name, message, traceback, worker) = (said(), said(), said(), said());
        Failure::Raised(Arc::new(RaisedError { task, type_name, message, traceback, worker, exception }))
    });
    prop_oneof![
        raised,
        (text(), vec(certificate(), 0..4)).prop_map(|(task, deaths)| Failure::KilledWorker { task, deaths }),
        text().prop_map(|reason| Failure::Cancelled { reason }),
        (text(), loss()).prop_map(|(task, how)| Failure::Lost { task, how }),
        (text(), text()).prop_map(|(task, reason)| Failure::OutOfMemory { task, reason }),
    ]
}

fn source(number: u128) -> BlockSource {
    if number.is_multiple_of(2) {
        return BlockSource::Layer(LayerToken(number));
    }
    let layers = vec![LayerToken(number), LayerToken(7)];
    BlockSource::Joined(Arc::new(JoinedGrids { axis: 1, layers, ends: vec![3, 9] }))
}

fn layer() -> impl Strategy<Value = Layer> {
    let map = (any::<u128>(), bytes(), vec(key(), 0..5)).prop_map(|(blob, data, keys)| {
        let ends = keys.iter().map(|_| data.len() as u32).collect();
        let items = Items::Packed { data: Segment(data), ends };
        LayerKind::Map(MapLayer { function: BlobId(blob), items, keys, names: vec![], inputs: Default::default() })
    });
    let block = (any::<u128>(), payload(), vec(any::<u32>(), 0..7)).prop_map(|(blob, template, sizes)| {
        let axes = sizes.iter().map(|&n| match n % 3 {
            0 => InputAxis::Window { axis: n, before: 1, after: n },
            1 => InputAxis::Listed { axis: n, lists: Arc::new(BlockLists { blocks: vec![n, 7], ends: vec![1, 2] }) },
            _ => {
                let cut = ChunkSizes::new([u64::from(n), 3, 3]).expect("small");
                let (input, output) = (cut.clone(), cut);
                let interval = Interval { input, output, start: 1, step: -1, before: 2, after: n.into() };
                InputAxis::Interval { axis: n, interval: Arc::new(interval) }
            }
        });
        let axes = axes.collect();
        let grid: kask_graph::Grid = sizes.into_iter().collect();
        let inputs = vec![BlockInput { source: source(blob), grid: grid.clone(), axes }];
        let function = BlobId(blob);
        LayerKind::Blockwise(BlockwiseLayer { function, template, grid, inputs, items: None, wants_position: true })
    });
    let stage =
        || (any::<u128>(), payload()).prop_map(|(blob, template)| ShuffleStage { function: BlobId(blob), template });
    let shuffle = ([stage(), stage(), stage()], text(), vec(any::<u32>(), 0..5), any::<bool>()).prop_map(
        |([split, merge, take], split_prefix, numbers, wants_position)| {
            let outputs: kask_graph::Grid = numbers.iter().copied().collect();
            let (merge_prefix, input, input_grid) = (split_prefix.clone(), source(split.function.0), outputs.clone());
            LayerKind::Shuffle(ShuffleLayer {
                split,
                merge,
                take,
                split_prefix,
                merge_prefix,
                input,
                input_grid,
                outputs,
                group_ends: numbers,
                wants_position,
            })
        },
    );
    let kind = prop_oneof![map, block, shuffle];
    (any::<u128>(), text(), kind, any::<(u64, u64)>()).prop_map(
        |(token, prefix, kind, (memory_bytes, result_bytes))| {
            let (retries, priority, workers, resources) = (2, -1, None, resources());
            let annotations = Annotations { retries, priority, workers, resources, memory_bytes, result_bytes };
            Layer { token: LayerToken(token), prefix, annotations, kind }
        },
    )
}

pub fn client_to_scheduler() -> impl Strategy<Value = ClientToScheduler> {
    let info = (text(), any::<u128>()).prop_map(|(name, life)| ClientInfo {
        name,
        incarnation: Incarnation(life),
        versions: vec![("kask".into(), "1".into())],
    });
    let submit = (vec(layer(), 0..3), vec(key(), 0..4))
        .prop_map(|(layers, keys)| ClientToScheduler::Submit { graph: Graph { layers }, outputs: Wanted::Keys(keys) });
    prop_oneof![
        info.prop_map(ClientToScheduler::Register),
        submit,
        vec((any::<u128>().prop_map(BlobId), payload()), 0..3).prop_map(ClientToScheduler::Blobs),
        (any::<u64>(), option::of(vec(key(), 0..3)))
            .prop_map(|(request, keys)| ClientToScheduler::Ask { request, query: Query::WhoHas(keys) }),
        vec((key(), any::<u32>().prop_map(WorkerId)), 0..4).prop_map(ClientToScheduler::Missing),
    ]
}

pub fn scheduler_to_client() -> impl Strategy<Value = SchedulerToClient> {
    let there = (key(), task(), any::<(u32, u64)>()).prop_map(|(key, task, (worker, nbytes))| KeyInMemory {
        key,
        task,
        worker: WorkerId(worker),
        nbytes,
    });
    prop_oneof![
        any::<u32>().prop_map(|id| SchedulerToClient::Registered { client: ClientId(id), workers: vec![] }),
        vec(there, 0..4).prop_map(SchedulerToClient::InMemory),
        vec((key(), failure()), 0..3).prop_map(SchedulerToClient::Ended),
        (any::<u64>(), vec((text(), payload().prop_map(Ok)), 0..3))
            .prop_map(|(request, all)| SchedulerToClient::Answer { request, reply: Reply::Run(all) }),
    ]
}

fn compute() -> impl Strategy<Value = ComputeTask> {
    let input = (value_id(), vec(any::<u32>(), 0..5)).prop_map(|(ValueId { task, part }, all)| Input {
        task,
        part,
        nbytes: 9,
        holders: all.into_iter().map(WorkerId).collect(),
    });
    (task(), any::<(u32, u128, u64)>(), text(), payload(), vec(input, 0..3)).prop_map(
        |(task, (number, blob, memory_bytes), prefix, args, inputs)| ComputeTask {
            task,
            attempt: Attempt(number),
            name: TaskName::Hashed { prefix, key: Key(blob) },
            function: Some(BlobId(blob)),
            args: args.clone(),
            item: Some(args),
            position: Some([number, 1, 2, 3, 4].into_iter().collect()),
            slots: Slots::Mixed(Arc::from([Slot::One, Slot::List(number)])),
            inputs,
            priority: Priority { user: -3, graph: number, order: 7 },
            resources: Some(Arc::new(resources())),
            memory_bytes,
            checkpoint: number % 2 == 0,
        },
    )
}

pub fn scheduler_to_worker() -> impl Strategy<Value = SchedulerToWorker> {
    prop_oneof![
        vec(compute(), 0..3).prop_map(SchedulerToWorker::Compute),
        vec((task(), any::<u32>().prop_map(Attempt)), 0..5).prop_map(SchedulerToWorker::Steal),
        (any::<u64>(), payload()).prop_map(|(call, payload)| SchedulerToWorker::Run { call, payload }),
        text().prop_map(|reason| SchedulerToWorker::Close { reason }),
    ]
}

pub fn worker_to_scheduler() -> impl Strategy<Value = WorkerToScheduler> {
    let metrics = any::<(u64, u32)>().prop_map(|(memory_bytes, ready)| WorkerMetrics {
        memory_bytes,
        spilled_bytes: memory_bytes / 2,
        reserved_bytes: 1,
        spill_written_bytes: memory_bytes / 5,
        spill_read_bytes: memory_bytes / 7,
        unmanaged_bytes: memory_bytes / 3,
        ready,
        ..Default::default()
    });
    let finished = (task(), any::<(u32, u64)>()).prop_map(|(task, (runner, nbytes))| Finished {
        task,
        attempt: Attempt(1),
        nbytes,
        duration_ns: nbytes,
        started_us: 3,
        runner,
    });
    let failed = (task(), failure()).prop_map(|(task, failure)| WorkerToScheduler::Failed {
        task,
        attempt: Attempt(2),
        failure,
        reschedule: false,
    });
    prop_oneof![
        metrics.prop_map(WorkerToScheduler::Heartbeat),
        vec(finished, 0..5).prop_map(WorkerToScheduler::Finished),
        failed,
        vec((task(), any::<u32>().prop_map(WorkerId), problem()), 0..4).prop_map(WorkerToScheduler::Missing),
        prop_oneof![Just(Pressure::Comfortable), Just(Pressure::Tight), Just(Pressure::Full)]
            .prop_map(WorkerToScheduler::Pressure),
        vec((task(), any::<u32>().prop_map(Attempt)), 0..4).prop_map(WorkerToScheduler::HandedBack),
        vec((task(), any::<u32>().prop_map(Attempt)), 0..4).prop_map(WorkerToScheduler::Lingering),
        vec((task(), any::<u64>()), 0..4).prop_map(WorkerToScheduler::Adopted),
        certificate().prop_map(WorkerToScheduler::Closing),
    ]
}

pub fn data_request() -> impl Strategy<Value = DataRequest> {
    prop_oneof![
        (any::<u64>(), vec(value_id(), 0..5)).prop_map(|(request, values)| DataRequest::Get { request, values }),
        (any::<u64>(), vec((task(), payload(), any::<u64>()), 0..3)).prop_map(|(request, values)| DataRequest::Put {
            request,
            worker: WorkerId(3),
            values
        }),
    ]
}

pub fn data_reply() -> impl Strategy<Value = DataReply> {
    let value = prop_oneof![
        payload().prop_map(data::Value::Here),
        Just(data::Value::NotThere),
        failure().prop_map(data::Value::Failed),
        Just(data::Value::Busy),
    ];
    (any::<u64>(), vec((value_id(), value), 0..4), any::<bool>())
        .prop_map(|(request, values, last)| DataReply::Values { request, values, last })
}

pub fn supervisor_to_scheduler() -> impl Strategy<Value = SupervisorToScheduler> {
    (any::<u128>(), certificate(), any::<bool>()).prop_map(|(life, certificate, restarting)| {
        SupervisorToScheduler::WorkerDied { incarnation: Incarnation(life), certificate, restarting }
    })
}

pub fn scheduler_to_supervisor() -> impl Strategy<Value = SchedulerToSupervisor> {
    let kill = any::<(u128, bool)>()
        .prop_map(|(life, retire)| SchedulerToSupervisor::Kill { incarnation: Incarnation(life), retire });
    prop_oneof![kill, Just(SchedulerToSupervisor::Close)]
}

pub fn hello() -> impl Strategy<Value = Hello> {
    (any::<(u32, u128)>(), text()).prop_map(|((protocol, life), token)| Hello {
        protocol,
        version: "0.1.0".into(),
        token: token.to_string(),
        incarnation: Incarnation(life),
        role: Role::Worker,
    })
}

pub fn welcome() -> impl Strategy<Value = Welcome> {
    prop_oneof![
        any::<u128>().prop_map(|life| Welcome::Accepted { incarnation: Incarnation(life) }),
        text().prop_map(|reason| Welcome::Refused { reason: reason.to_string() }),
    ]
}
