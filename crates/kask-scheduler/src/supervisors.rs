//! The supervisors of worker processes, and which lives are theirs.

use crate::event::{Action, SupervisorId};
use crate::scheduler::Scheduler;
use kask_types::{Incarnation, Tick};
use kask_wire::SupervisorToScheduler;
use std::collections::{BTreeMap, BTreeSet};

/// One of them.
struct Supervisor {
    lives: BTreeSet<Incarnation>,
}

/// All of them. Invariant: `by_life` is the inverse of the supervisors' `lives`.
#[derive(Default)]
pub(crate) struct Supervisors {
    all: BTreeMap<SupervisorId, Supervisor>,
    by_life: BTreeMap<Incarnation, SupervisorId>,
    /// Lives that were retired: they shall not be started again.
    retired: BTreeSet<Incarnation>,
}

impl Supervisors {
    /// Whose life this is.
    pub(crate) fn of(&self, incarnation: Incarnation) -> Option<SupervisorId> {
        self.by_life.get(&incarnation).copied()
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = SupervisorId> + '_ {
        self.all.keys().copied()
    }

    pub(crate) fn retire(&mut self, incarnation: Incarnation) {
        if self.by_life.contains_key(&incarnation) {
            self.retired.insert(incarnation);
        }
    }

    fn end_life(&mut self, incarnation: Incarnation) {
        self.retired.remove(&incarnation);
        if let Some(id) = self.by_life.remove(&incarnation)
            && let Some(supervisor) = self.all.get_mut(&id)
        {
            supervisor.lives.remove(&incarnation);
        }
    }

    pub(crate) fn check(&self) {
        for (life, id) in &self.by_life {
            let of = self.all.get(id).expect("a life belongs to a supervisor that is there");
            assert!(of.lives.contains(life), "supervisor {id:?} does not know its life {life}");
        }
        let lives: usize = self.all.values().map(|supervisor| supervisor.lives.len()).sum();
        assert_eq!(lives, self.by_life.len(), "lives of supervisors and the index of lives differ");
    }
}

impl Scheduler {
    pub(crate) fn supervisor_message(&mut self, id: SupervisorId, message: SupervisorToScheduler) {
        match message {
            SupervisorToScheduler::Register { host: _, pid: _ } => {
                self.supervisors.all.entry(id).or_insert(Supervisor { lives: BTreeSet::new() });
            }
            SupervisorToScheduler::Started { incarnation } => {
                if let Some(supervisor) = self.supervisors.all.get_mut(&id)
                    && self.supervisors.by_life.insert(incarnation, id).is_none_or(|before| before == id)
                {
                    supervisor.lives.insert(incarnation);
                }
            }
            SupervisorToScheduler::WorkerDied { incarnation, certificate, restarting } => {
                let found = self.workers.iter().find(|(_, worker)| worker.info.incarnation == incarnation);
                if let Some((ix, worker)) = found {
                    // The supervisor was faster than the connection.
                    let (worker, reason) = (worker.id, certificate.to_string().into());
                    self.lose_worker(ix, Some(certificate.clone()));
                    self.out.last(Action::DisconnectWorker { worker, reason });
                } else {
                    self.explain_death(incarnation, &certificate);
                }
                self.supervisors.end_life(incarnation);
                if !restarting {
                    self.will_not_return(incarnation);
                }
            }
        }
    }

    pub(crate) fn supervisor_lost(&mut self, id: SupervisorId) {
        if let Some(supervisor) = self.supervisors.all.remove(&id) {
            for life in supervisor.lives {
                if self.supervisors.by_life.get(&life) == Some(&id) {
                    self.supervisors.by_life.remove(&life);
                }
                self.supervisors.retired.remove(&life);
            }
        }
    }

    /// Whether the life was retired for good.
    pub(crate) fn is_to_stay_away(&self, incarnation: Incarnation) -> bool {
        self.supervisors.retired.contains(&incarnation)
    }

    /// The earlier of two deadlines.
    pub(crate) fn sooner(a: Option<Tick>, b: Option<Tick>) -> Option<Tick> {
        match (a, b) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, None) => a,
            (None, b) => b,
        }
    }
}
