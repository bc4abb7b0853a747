//! What goes wrong with worker processes, and the supervisor that sets it right.

use crate::network::{Happening, NodeIx, Place};
use crate::node::Life;
use crate::world::{Outcome, World, arrive, depart, short};
use kask_types::{Certificate, DeathCause, WorkerId};
use kask_wire::{SchedulerToSupervisor, SupervisorToScheduler};
use std::sync::Arc;

impl World {
    /// Every few milliseconds faults have a chance.
    pub(crate) fn fault(&mut self) -> Outcome<()> {
        if !self.faults_on {
            return Ok(());
        }
        let rates = self.plan.rates.clone();
        if self.rng.chance(rates.crash)
            && let Some(ix) = self.any_node(|life| life != Life::Dead)
        {
            let signal = if self.rng.chance(500) { 9 } else { 6 };
            let cause = if self.rng.chance(200) { DeathCause::OutOfMemory } else { DeathCause::Signalled(signal) };
            self.node_ends(ix, cause)?;
        }
        if self.rng.chance(rates.freeze)
            && let Some(ix) = self.any_node(|life| life == Life::Runs)
        {
            self.note(|_| format!("w{ix} freezes"));
            self.report.freezes += 1;
            self.nodes[ix].life = Life::Frozen;
            self.nodes[ix].was_silent = true;
            let longest = if self.rng.chance(500) { 200_000 } else { 15_000_000 };
            let after = self.rng.between(1_000, longest);
            self.network.after_us(after, Happening::Thaw { node: ix });
        }
        if self.rng.chance(rates.join) {
            let slot = self.rng.below(u64::from(self.plan.slots)) as u32;
            self.node_starts(slot)?;
        }
        let pause = self.rng.between(self.plan.pause_us / 2, self.plan.pause_us * 3);
        self.network.after_us(pause, Happening::Fault);
        Ok(())
    }

    fn any_node(&mut self, is_meant: impl Fn(Life) -> bool) -> Option<NodeIx> {
        let there: Vec<NodeIx> = self.nodes.iter().filter(|node| is_meant(node.life)).map(|node| node.ix).collect();
        self.rng.pick(&there).copied()
    }

    /// A frozen process goes on where it was: what it missed, it finds in its inbox.
    pub(crate) fn thaw(&mut self, ix: NodeIx) -> Outcome<()> {
        if self.nodes[ix].life != Life::Frozen {
            return Ok(());
        }
        self.note(|_| format!("w{ix} thaws"));
        self.nodes[ix].life = Life::Runs;
        while self.nodes[ix].life == Life::Runs
            && let Some(what) = self.nodes[ix].inbox.pop_front()
        {
            self.at_node(ix, what)?;
        }
        Ok(())
    }

    pub(crate) fn supervisor_registers(&mut self) {
        self.supervisor_says(&SupervisorToScheduler::Register { host: Arc::from("host"), pid: 1 });
    }

    pub(crate) fn supervisor_says(&mut self, message: &SupervisorToScheduler) {
        let what = Happening::SupervisorSays { frame: depart(message) };
        self.network.send(&mut self.rng, Place::Supervisor, Place::Scheduler, what);
    }

    /// A process ended: a supervisor says why and starts another one; without one, that happens by chance, or after
    /// the faults.
    pub(crate) fn supervisor_notices(&mut self, ix: NodeIx, certificate: Certificate) {
        let slot = self.nodes[ix].slot;
        let retired = certificate.cause == DeathCause::Retired;
        let restarting = !self.faults_on || (self.plan.supervisor && !retired);
        if self.plan.supervisor {
            let incarnation = self.nodes[ix].info.incarnation;
            self.supervisor_says(&SupervisorToScheduler::WorkerDied { incarnation, certificate, restarting });
        }
        if restarting {
            let delay = self.rng.between(1_000, 20_000);
            self.network.after_us(delay, Happening::NodeStarts { slot });
        }
    }

    pub(crate) fn supervisor_hears(&mut self, frame: kask_wire::codec::Frame) -> Outcome<()> {
        let message: SchedulerToSupervisor = arrive(frame)?;
        self.note(|_| format!("scheduler -> supervisor {}", short(&message)));
        match message {
            SchedulerToSupervisor::Kill { incarnation, retire: _ } => {
                let killed = self.nodes.iter().find(|node| node.info.incarnation == incarnation).map(|node| node.ix);
                match killed {
                    Some(ix) => self.node_ends(ix, DeathCause::Signalled(9)),
                    None => Err("the scheduler had a worker killed that never lived".to_owned()),
                }
            }
            SchedulerToSupervisor::Close => Err("the scheduler closes and nobody asked it to".to_owned()),
        }
    }

    /// Scattered data has no lineage: with a worker that may have held it, it may be lost.
    pub(crate) fn scattered_data_dies(&mut self, worker: WorkerId) {
        let lost = self.scattered.iter().filter(|(_, targets)| targets.contains(&worker)).map(|(&key, _)| key);
        for key in lost.collect::<Vec<_>>() {
            self.model.excuse(key, crate::model::Excuse::Lost);
        }
    }
}
