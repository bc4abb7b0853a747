//! A core behind a lock, an inbox, and whoever posts drives it: no thread of its own.
//!
//! Parties that live in one process, or at the ends of connections, are [`Link`]s: anybody *posts* a message to one and
//! then [`drive`]s it. Driving takes the core's lock *if it is free* and handles events until the inbox is empty; who
//! finds the lock taken goes away, because its holder will see the event. So a chain of small events is handled by the
//! thread that happens to be there, without a wake-up.
//!
//! **No lost event.** The holder looks into the inbox again *after* it has released the core. Say B posts, and its
//! `try_lock` fails because A holds the core. A's last look takes the inbox's lock either after B's post, and sees the
//! event; or before it, and then A had released the core before that look, B's post came later still, and B's
//! `try_lock`, which comes after its post, could not have failed because of A.
//!
//! **Order.** Events are handled in the order of their posts, by one thread at a time. What a core posts to another
//! party while it handles events is therefore in order as well.
//!
//! **No recursion.** A core only posts to others and names them in its [`Wake`]; they are driven when its lock is
//! released. On one thread drives do not nest: an inner call of [`drive`] adds to the list of the outermost one, which
//! works it off.
//!
//! A drive returns when nothing is left to do here; others may keep it busy for as long as they keep posting.

use parking_lot::Mutex;
use std::any::Any;
use std::cell::RefCell;
use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

/// A core that is driven by a [`Reactor`].
pub trait Actor: Send {
    /// What is posted to it.
    type Event: Send;

    /// Handles events in order; takes all of them out (what is left is dropped). Called under the core's lock: it may
    /// post to others and add them to `wake`, and must not wait for anybody.
    fn handle(&mut self, events: &mut Vec<Self::Event>, wake: &mut Wake);
}

/// Something that handles what was posted to it.
pub trait Pump: Send + Sync {
    /// Handles everything that was posted, unless another thread is at it already; names in `wake` who is to be
    /// driven next. Called by [`drive`].
    fn pump(&self, wake: &mut Wake);
}

/// A way to send messages to a party, wherever it is.
pub trait Link<M>: Pump {
    /// Queues a message; whoever posts drives the link afterwards (or adds it to its [`Wake`]).
    fn post(&self, message: M);

    /// Nothing more will be posted; what was is still delivered.
    fn close(&self, reason: &str);
}

/// Who is to be driven next, each once, in the order of their first mention.
#[derive(Default)]
pub struct Wake {
    parties: VecDeque<Arc<dyn Pump>>,
    /// Addresses of `parties` while there are many of them: a core names a peer for every message that it posts.
    named: HashSet<usize>,
}

/// Up to this many parties are looked through one by one.
const SCAN_MAX: usize = 16;

impl fmt::Debug for Wake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wake").field("parties", &self.parties.len()).finish()
    }
}

impl Wake {
    /// Drive this one too.
    pub fn add(&mut self, party: Arc<dyn Pump>) {
        let here = address(&party);
        let is_named = if self.parties.len() <= SCAN_MAX {
            self.named.clear();
            self.parties.iter().any(|other| address(other) == here)
        } else {
            if self.named.is_empty() {
                self.named.extend(self.parties.iter().map(address));
            }
            !self.named.insert(here)
        };
        if !is_named {
            self.parties.push_back(party);
        }
    }

    fn next(&mut self) -> Option<Arc<dyn Pump>> {
        let party = self.parties.pop_front()?;
        if !self.named.is_empty() {
            self.named.remove(&address(&party));
        }
        Some(party)
    }
}

fn address(party: &Arc<dyn Pump>) -> usize {
    Arc::as_ptr(party).cast::<()>() as usize
}

/// A core and its inbox.
pub struct Reactor<A: Actor> {
    core: Mutex<Core<A>>,
    inbox: Mutex<Vec<A::Event>>,
}

struct Core<A: Actor> {
    actor: A,
    /// Changes places with the inbox, so that neither is allocated anew for every event.
    spare: Vec<A::Event>,
}

/// Room for more events than this is given back after a burst.
const SPARE_MAX: usize = 1024;

impl<A: Actor> fmt::Debug for Reactor<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reactor").field("inbox", &self.inbox.lock().len()).finish_non_exhaustive()
    }
}

impl<A: Actor> Reactor<A> {
    /// A reactor around a core.
    ///
    /// ```
    /// use kask_net::reactor::{Actor, Reactor, Wake, drive};
    /// use std::sync::Arc;
    /// use std::sync::atomic::{AtomicU64, Ordering};
    ///
    /// struct Sum(Arc<AtomicU64>);
    /// impl Actor for Sum {
    ///     type Event = u64;
    ///     fn handle(&mut self, events: &mut Vec<u64>, _: &mut Wake) {
    ///         self.0.fetch_add(events.drain(..).sum(), Ordering::Relaxed);
    ///     }
    /// }
    /// let sum = Arc::new(AtomicU64::new(0));
    /// let reactor = Arc::new(Reactor::new(Sum(sum.clone())));
    /// reactor.post(2);
    /// reactor.post(3);
    /// drive(reactor);
    /// assert_eq!(sum.load(Ordering::Relaxed), 5);
    /// ```
    pub fn new(core: A) -> Reactor<A> {
        Reactor { core: Mutex::new(Core { actor: core, spare: Vec::new() }), inbox: Mutex::new(Vec::new()) }
    }

    /// Puts an event into the inbox; whoever posts must drive afterwards (or know who will).
    pub fn post(&self, event: A::Event) {
        self.inbox.lock().push(event);
    }

    /// Puts several events into the inbox, next to each other.
    pub fn post_all(&self, events: impl IntoIterator<Item = A::Event>) {
        // Collected first: the iterator is the caller's code and must not run under the inbox's lock.
        let mut events: Vec<A::Event> = events.into_iter().collect();
        self.inbox.lock().append(&mut events);
    }

    /// See [`Pump::pump`]. A panic of the core goes on to the caller once the inbox is empty, so that no event is left
    /// lying because of it.
    pub fn pump(&self, wake: &mut Wake) {
        let mut outcome = Ok(());
        while !self.inbox.lock().is_empty() {
            let Some(mut core) = self.core.try_lock() else { break };
            let Core { actor, spare: events } = &mut *core;
            loop {
                std::mem::swap(events, &mut *self.inbox.lock());
                if events.is_empty() {
                    break;
                }
                let handled = catch_unwind(AssertUnwindSafe(|| actor.handle(events, wake)));
                outcome = outcome.and(handled);
                events.clear();
                events.shrink_to(SPARE_MAX);
            }
        }
        resume(outcome);
    }
}

impl<A: Actor> Pump for Reactor<A> {
    fn pump(&self, wake: &mut Wake) {
        Reactor::pump(self, wake);
    }
}

/// What came of something that may have panicked.
type Outcome = Result<(), Box<dyn Any + Send>>;

fn resume(outcome: Outcome) {
    if let Err(panic) = outcome {
        resume_unwind(panic);
    }
}

thread_local! {
    /// Who this thread is to drive besides those in the running drive's own list; `None` while it drives nobody.
    static ALSO: RefCell<Option<Vec<Arc<dyn Pump>>>> = const { RefCell::new(None) };
}

/// Drives a party, and all who are named while it and they are driven.
///
/// Within another drive of this thread it only adds to that one's list, and returns at once. A panic goes on to the
/// caller when the list is done.
pub fn drive(party: Arc<dyn Pump>) {
    let Some(party) = begin(party) else { return };
    let mut wake = Wake::default();
    wake.add(party);
    let mut outcome = Ok(());
    loop {
        while let Some(party) = wake.next() {
            let driven = catch_unwind(AssertUnwindSafe(|| {
                party.pump(&mut wake);
                // The last handle may be this one, and dropping it may post and drive.
                drop(party);
            }));
            outcome = outcome.and(driven);
            let also = ALSO.with_borrow_mut(|also| also.as_mut().map(std::mem::take).unwrap_or_default());
            also.into_iter().for_each(|party| wake.add(party));
        }
        if end() {
            break;
        }
    }
    resume(outcome);
}

/// Gives the party back if this is the thread's outermost drive.
fn begin(party: Arc<dyn Pump>) -> Option<Arc<dyn Pump>> {
    ALSO.with_borrow_mut(|also| match also {
        Some(also) => {
            also.push(party);
            None
        }
        None => {
            *also = Some(Vec::new());
            Some(party)
        }
    })
}

/// Ends the thread's drive if nobody is left.
fn end() -> bool {
    ALSO.with_borrow_mut(|also| {
        let is_done = also.as_ref().is_none_or(Vec::is_empty);
        if is_done {
            *also = None;
        }
        is_done
    })
}
