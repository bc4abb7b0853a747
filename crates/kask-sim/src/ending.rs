//! After the faults: the cluster is healed, everything wanted must end, and nothing may be left over.

use crate::clients::{Asked, View};
use crate::graphs::Artist;
use crate::network::Happening;
use crate::node::Life;
use crate::world::{Outcome, World};
use kask_types::{ClientId, Key, Tick};
use kask_wire::ClientToScheduler as Say;
use kask_wire::Query;
use kask_wire::client::SchedulerInfo;

/// Virtual time within which something must end on a healthy cluster.
const PATIENCE_MS: u64 = 200_000;
/// Virtual time within which everything must have ended: tasks that kill their workers may have much computed again.
const LIMIT_MS: u64 = 3_000_000;

impl World {
    /// No more faults: every slot gets a worker, links are fast. Workers that are frozen stay so until their time is
    /// over, or until the scheduler finds out and their supervisor ends them.
    pub(crate) fn heal(&mut self) {
        self.note(|_| "the faults end".to_owned());
        self.faults_on = false;
        self.network.heal();
        for slot in 0..self.plan.slots {
            self.network.after_us(1_000, Happening::NodeStarts { slot });
        }
        if self.active_clients().is_empty() {
            self.client_joins(false);
        }
        self.gather_all();
    }

    fn gather_all(&mut self) {
        let in_memory = |view: &View| matches!(view, View::InMemory { .. });
        let of = |id: ClientId, wants: &std::collections::BTreeMap<Key, View>| -> Vec<(ClientId, Key)> {
            wants.iter().filter(|(_, view)| in_memory(view)).map(|(&key, _)| (id, key)).collect()
        };
        let there: Vec<_> = self.clients.iter().flat_map(|(&id, client)| of(id, &client.wants)).collect();
        there.into_iter().for_each(|(id, key)| self.gather(id, key));
    }

    /// Goes on until everything wanted has ended and every question is answered.
    pub(crate) fn settle(&mut self, when: &str) -> Outcome<()> {
        let limit = self.network.now.after_ms(LIMIT_MS);
        let (mut calls, mut deadline) = (self.progress(), self.network.now.after_ms(PATIENCE_MS));
        while let Some(left) = self.unsettled() {
            if self.progress() != calls {
                (calls, deadline) = (self.progress(), self.network.now.after_ms(PATIENCE_MS));
            }
            if self.network.now > deadline.min(limit) {
                let ended = self.report.calls;
                return Err(format!("{when}, {left} has not ended in time ({ended} calls have)"));
            }
            self.turn()?;
        }
        Ok(())
    }

    /// Grows with every call that ends and every attempt that fails without one.
    fn progress(&self) -> u64 {
        self.report.calls + self.scheduler.counters().failed
    }

    /// Something that has not ended.
    fn unsettled(&self) -> Option<String> {
        for client in self.clients.values() {
            if let Some(asked) = client.asked.values().next() {
                return Some(format!("{asked:?} of {:?}", client.id));
            }
            for (&key, view) in &client.wants {
                match view {
                    View::Pending | View::InMemory { .. } | View::Gathering { .. } => {
                        return Some(format!("{} ({view:?}) of {:?}", self.model.name_of(key), client.id));
                    }
                    View::Compared | View::Failed => {}
                }
            }
        }
        None
    }

    /// New work, in which nothing misbehaves, must still be done.
    pub(crate) fn probe(&mut self) -> Outcome<()> {
        let failed = |client: &crate::clients::SimClient| client.wants.values().filter(|v| **v == View::Failed).count();
        self.report.failures = self.clients.values().map(|client| failed(client) as u64).sum();
        for id in self.active_clients() {
            let drawn = Artist::probe(&mut self.rng);
            self.submit(id, drawn);
        }
        Ok(())
    }

    /// Once all is quiet, each worker must hold as many values as the scheduler believes.
    pub(crate) fn compare_books(&mut self) -> Outcome<()> {
        let deadline = self.network.now.after_ms(PATIENCE_MS);
        loop {
            self.wait_until(self.network.now.after_ms(50))?;
            let Some(difference) = self.difference()? else { return Ok(()) };
            if self.network.now > deadline {
                return Err(difference);
            }
        }
    }

    fn difference(&mut self) -> Outcome<Option<String>> {
        let info = self.ask_for_info()?;
        for node in self.nodes.iter().filter(|node| node.life == Life::Runs && !node.told_to_close) {
            let Some(known) = info.workers.iter().find(|known| known.peer.worker == node.worker()) else {
                return Ok(Some(format!("{:?} runs and the scheduler does not know it", node.worker())));
            };
            if known.held != node.held() as u64 {
                let (held, worker) = (node.held(), node.worker());
                return Ok(Some(format!("{worker:?} holds {held} values, and the scheduler believes {}", known.held)));
            }
        }
        Ok(None)
    }

    fn ask_for_info(&mut self) -> Outcome<SchedulerInfo> {
        let observer = self.clients.values().find(|client| client.observes).expect("one observes").id;
        self.ask(observer, Asked::Families, |request| Say::Ask { request, query: Query::Families });
        self.ask(observer, Asked::Info, |request| Say::Ask { request, query: Query::Info });
        loop {
            if let Some(info) = self.clients.get_mut(&observer).expect("it was just found").info.take() {
                return Ok(info);
            }
            self.turn()?;
        }
    }

    /// Nobody wants anything any more: nothing may be left, anywhere.
    pub(crate) fn let_go(&mut self) -> Outcome<()> {
        self.note(|_| "the clients let go".to_owned());
        for id in self.active_clients() {
            if self.rng.chance(500) {
                self.vanish(id);
                continue;
            }
            let client = self.clients.get_mut(&id).expect("it is one of the active ones");
            let keys: Vec<Key> = std::mem::take(&mut client.wants).into_keys().collect();
            self.client_says(id, &Say::Unwant(keys));
            let blobs = crate::graphs::functions().into_iter().map(|(id, _)| id).collect();
            self.client_says(id, &Say::DropBlobs(blobs));
        }
        let deadline = self.network.now.after_ms(PATIENCE_MS);
        loop {
            self.wait_until(self.network.now.after_ms(50))?;
            let Some(left) = self.left_over()? else { break };
            if self.network.now > deadline {
                return Err(format!("nobody wants anything any more, and there is still {left}"));
            }
        }
        let undone = self.detached.iter().find(|key| !self.completed.contains(key) && !self.model.has_excuse(**key));
        match undone {
            Some(&key) => Err(format!("{} was to run to its end and never did", self.model.name_of(key))),
            None => Ok(()),
        }
    }

    fn wait_until(&mut self, when: Tick) -> Outcome<()> {
        while self.network.now < when {
            self.turn()?;
        }
        Ok(())
    }

    /// Something that should be gone.
    fn left_over(&mut self) -> Outcome<Option<String>> {
        for node in self.nodes.iter().filter(|node| node.life != Life::Dead) {
            let (held, attempts, fetches, blobs) = node.core.inventory();
            let there = node.running.len() + node.disk.files.len() + node.parts.len();
            if (held, attempts, fetches, blobs, there) != (0, 0, 0, 0, 0) {
                let store: Vec<_> = node.store.keys().take(3).collect();
                return Ok(Some(format!(
                    "{held} values {store:?}, {attempts} attempts, {fetches} fetches, {blobs} functions on {:?}",
                    node.worker()
                )));
            }
        }
        let info = self.ask_for_info()?;
        if info.tasks > 0 {
            let observer = self.clients.values().find(|client| client.observes).expect("one observes");
            let families = observer.families.iter().filter(|(_, counts)| counts.iter().any(|&n| n > 0));
            let families: Vec<_> = families.collect();
            let states = "waiting, queued, running, in memory, failed, released";
            return Ok(Some(format!("{} tasks on the scheduler ({states}: {families:?})", info.tasks)));
        }
        let busy = info.workers.iter().find(|worker| worker.held + worker.processing > 0);
        Ok(busy.map(|worker| format!("work or data of {} in the scheduler's books", worker.info.name)))
    }
}
