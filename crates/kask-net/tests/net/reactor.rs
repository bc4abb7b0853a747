//! The combining lock: no event is lost, order is kept, and driving does not nest.

use kask_net::reactor::{Actor, Pump, Reactor, Wake, drive};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier, OnceLock};

/// Checks that each thread's numbers come in order, and counts them.
struct InOrder {
    next: [u64; 4],
    seen: Arc<AtomicU64>,
}

impl Actor for InOrder {
    type Event = (usize, u64);
    fn handle(&mut self, events: &mut Vec<(usize, u64)>, _: &mut Wake) {
        for (thread, number) in events.drain(..) {
            assert_eq!(number, self.next[thread], "thread {thread} was reordered");
            self.next[thread] += 1;
            self.seen.fetch_add(1, Ordering::SeqCst);
        }
    }
}

#[test]
fn four_threads_lose_nothing_and_keep_their_order() {
    // Many short rounds: an event is lost, if at all, at the end of a burst, when nobody comes to fetch it.
    const ROUNDS: u64 = 3_000;
    const EACH: u64 = 7;
    let seen = Arc::new(AtomicU64::new(0));
    let reactor = Arc::new(Reactor::new(InOrder { next: [0; 4], seen: seen.clone() }));
    let barrier = Barrier::new(4);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (reactor, barrier, seen) = (&reactor, &barrier, &seen);
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    for i in 0..EACH {
                        reactor.post((thread, round * EACH + i));
                        drive(reactor.clone());
                    }
                    // After the first barrier all have posted and driven: nobody will come for what is left.
                    barrier.wait();
                    assert_eq!(seen.load(Ordering::SeqCst), (round + 1) * EACH * 4, "round {round}");
                    barrier.wait();
                }
            });
        }
    });
}

/// Takes events and counts them: as little as can be, so that rounds are short.
struct Count(Arc<AtomicU64>);

impl Actor for Count {
    type Event = ();
    fn handle(&mut self, events: &mut Vec<()>, _: &mut Wake) {
        self.0.fetch_add(events.drain(..).count() as u64, Ordering::SeqCst);
    }
}

/// Waits without sleeping (a sleep would take threads out of step), and lets others run when that takes long.
fn spin_until(ready: impl Fn() -> bool) {
    for turn in 1u64.. {
        if ready() {
            return;
        }
        if turn % 4096 == 0 { std::thread::yield_now() } else { std::hint::spin_loop() }
    }
}

#[test]
fn an_event_that_comes_as_the_holder_leaves_is_not_left_lying() {
    // The window is some nanoseconds wide: between the holder's last look into the inbox and its release of the core.
    // Two threads that start each round together, with a growing offset, meet in it many times in so many rounds.
    const ROUNDS: u64 = 40_000;
    let seen = Arc::new(AtomicU64::new(0));
    let reactor = Arc::new(Reactor::new(Count(seen.clone())));
    let (arrived, driven) = (AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for thread in 0..2 {
            let (reactor, seen, arrived, driven) = (&reactor, &seen, &arrived, &driven);
            scope.spawn(move || {
                for round in 1..=ROUNDS {
                    arrived.fetch_add(1, Ordering::SeqCst);
                    spin_until(|| arrived.load(Ordering::SeqCst) >= 2 * round);
                    (0..round % 64 * thread).for_each(|_| std::hint::spin_loop());
                    reactor.post(());
                    drive(reactor.clone());
                    driven.fetch_add(1, Ordering::SeqCst);
                    spin_until(|| driven.load(Ordering::SeqCst) >= 2 * round);
                    // Both have driven. The other may be in its next round already, so this is a least number.
                    if seen.load(Ordering::SeqCst) < 2 * round {
                        // Lets the other thread's wait end, too.
                        arrived.store(u64::MAX / 2, Ordering::SeqCst);
                        driven.store(u64::MAX / 2, Ordering::SeqCst);
                        panic!("an event was left lying in round {round}");
                    }
                }
            });
        }
    });
}

/// Passes a number to the other one until it is 0.
struct Player {
    other: Arc<OnceLock<Arc<Reactor<Player>>>>,
    ended: Arc<AtomicU64>,
}

impl Actor for Player {
    type Event = u64;
    fn handle(&mut self, events: &mut Vec<u64>, wake: &mut Wake) {
        for number in events.drain(..) {
            match number.checked_sub(1) {
                None => drop(self.ended.fetch_add(1, Ordering::SeqCst)),
                Some(less) => {
                    let other = self.other.get().expect("both are set up before the first event");
                    other.post(less);
                    // Half through the list of the running drive, half through a nested call.
                    if less % 2 == 0 { wake.add(other.clone()) } else { drive(other.clone()) }
                }
            }
        }
    }
}

fn players() -> ([Arc<Reactor<Player>>; 2], Arc<AtomicU64>) {
    let ended = Arc::new(AtomicU64::new(0));
    let slots = [Arc::new(OnceLock::new()), Arc::new(OnceLock::new())];
    let reactors =
        [0, 1].map(|i: usize| Arc::new(Reactor::new(Player { other: slots[1 - i].clone(), ended: ended.clone() })));
    for (slot, reactor) in slots.iter().zip(&reactors) {
        assert!(slot.set(reactor.clone()).is_ok());
    }
    (reactors, ended)
}

#[test]
fn a_million_hops_between_two_reactors_need_no_stack() {
    let ([first, _], ended) = players();
    // A small stack: one frame a hop would overflow it at once.
    let hopping = std::thread::Builder::new().stack_size(128 << 10).spawn(move || {
        first.post(1_000_000);
        drive(first);
    });
    hopping.expect("a thread").join().expect("no overflow");
    assert_eq!(ended.load(Ordering::SeqCst), 1);
}

#[test]
fn four_threads_between_two_reactors_finish_every_chain() {
    let (reactors, ended) = players();
    std::thread::scope(|scope| {
        for thread in 0..4u64 {
            let reactors = &reactors;
            scope.spawn(move || {
                for i in 0..2_000 {
                    let reactor = &reactors[((thread + i) % 2) as usize];
                    reactor.post(i % 40);
                    drive(reactor.clone());
                }
            });
        }
    });
    assert_eq!(ended.load(Ordering::SeqCst), 8_000);
}

struct Fragile(Arc<AtomicU64>);

impl Actor for Fragile {
    type Event = bool;
    fn handle(&mut self, events: &mut Vec<bool>, _: &mut Wake) {
        for is_bad in events.drain(..) {
            assert!(!is_bad, "a bad event");
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
}

#[test]
fn a_panic_reaches_the_driver_and_stops_neither_the_reactor_nor_the_others() {
    let handled = [Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0))];
    let [first, second] = handled.clone().map(|count| Arc::new(Reactor::new(Fragile(count))));
    struct Both(Arc<Reactor<Fragile>>, Arc<Reactor<Fragile>>);
    impl Pump for Both {
        fn pump(&self, wake: &mut Wake) {
            wake.add(self.0.clone());
            wake.add(self.1.clone());
        }
    }
    first.post(true);
    second.post(false);
    let both = Arc::new(Both(first.clone(), second));
    catch_unwind(AssertUnwindSafe(|| drive(both))).expect_err("the panic is passed on");
    assert_eq!(handled[1].load(Ordering::SeqCst), 1, "the other one was driven all the same");
    first.post(false);
    drive(first);
    assert_eq!(handled[0].load(Ordering::SeqCst), 1, "the reactor works on");
}

/// Counts how often it is driven.
struct Counter(AtomicU64);

impl Pump for Counter {
    fn pump(&self, _: &mut Wake) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_party_named_often_is_driven_once() {
    struct Naming(Vec<Arc<Counter>>);
    impl Pump for Naming {
        fn pump(&self, wake: &mut Wake) {
            (0..100).for_each(|_| self.0.iter().for_each(|party| wake.add(party.clone())));
        }
    }
    // Few parties are looked through, many are looked up.
    for count in [3, 200] {
        let parties: Vec<_> = (0..count).map(|_| Arc::new(Counter(AtomicU64::new(0)))).collect();
        drive(Arc::new(Naming(parties.clone())));
        assert!(parties.iter().all(|party| party.0.load(Ordering::SeqCst) == 1));
    }
}
