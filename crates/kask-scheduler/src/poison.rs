//! Tasks that kill their workers.
//!
//! Every task that was on a worker when it died is a *suspect* until it has a result. At most one suspect is on a
//! worker at a time, so that the next death has one suspect at most besides tasks that were never seen at a death. A
//! death certificate that names the task that was running clears the others, also when it comes late. A task with
//! `allowed_deaths` deaths fails; deaths by lack of memory count towards a limit of their own, and raise what the task
//! is taken to need.
//!
//! Results that take more than anybody knows of kill a worker whatever it runs, each time another task, and what is lost
//! is computed again and again. When many deaths by lack of memory in a row have brought nothing new, suspects fail.
//!
//! Suspects that are ready are in `parked`, looked at whenever a worker or a certificate may have become available.

use crate::scheduler::Scheduler;
use crate::tasks::{Death, Slot, State};
use crate::workers::Worker;
use kask_types::{Certificate, DeathCause, Failure, Incarnation, TaskId, Tick};
use std::collections::VecDeque;
use std::sync::Arc;

/// Deaths that a late certificate may still explain.
const REMEMBERED: usize = 64;

/// A death, and whom it was counted against.
pub(crate) struct RecentDeath {
    incarnation: Incarnation,
    tasks: Vec<TaskId>,
    memory_limit_bytes: u64,
    is_of_memory: bool,
    /// No verdict on these tasks before; `None` once the certificate is there or nobody will send one.
    awaited_until: Option<Tick>,
}

/// Deaths by lack of memory since there were more results than ever before.
#[derive(Debug, Default)]
pub(crate) struct VainDeaths {
    count: usize,
    /// The most results that there were at a death, less those that had been lost before.
    most_results: u64,
}

/// So many for each worker, and for each death that a task is allowed, are too many.
const VAIN: usize = 3;

/// See [`RecentDeath`].
pub(crate) type RecentDeaths = VecDeque<RecentDeath>;

impl Scheduler {
    pub(crate) fn is_suspect(&self, slot: Slot) -> bool {
        self.tasks.rare(slot).is_some_and(|rare| !rare.deaths.is_empty())
    }

    fn is_suspect_of(&self, slot: Slot, incarnation: Incarnation) -> bool {
        self.tasks.rare(slot).is_some_and(|rare| rare.deaths.iter().any(|death| death.incarnation == incarnation))
    }

    /// Counts a worker's death against the tasks that were on it, or against the one that the certificate names.
    pub(crate) fn count_death(&mut self, worker: &Worker, orphans: &[Slot], certificate: Option<Certificate>) {
        let supervised = self.supervisors.of(worker.info.incarnation).is_some();
        let explained = certificate.as_ref().is_some_and(|known| known.cause != DeathCause::Disconnected);
        let certificate = certificate.unwrap_or_else(|| Certificate {
            worker: worker.info.name.clone(),
            cause: DeathCause::Disconnected,
            peak_memory_bytes: None,
            last_task: None,
        });
        let incarnation = worker.info.incarnation;
        let culprits = self.culprits(orphans.iter().copied(), &certificate);
        let memory_limit_bytes = worker.info.memory_limit_bytes;
        let is_of_memory = certificate.cause == DeathCause::OutOfMemory;
        if is_of_memory {
            self.count_memory_death();
            self.raise_needs(&culprits, memory_limit_bytes);
        }
        for &slot in &culprits {
            let death = Death { incarnation, certificate: certificate.clone() };
            self.tasks.rare_mut(slot).deaths.push(death);
        }
        let awaited_until = (supervised && !explained).then(|| self.now.after_ms(self.config.certificate_wait_ms));
        let tasks = culprits.iter().map(|&slot| self.tasks.id(slot)).collect();
        let death = RecentDeath { incarnation, tasks, memory_limit_bytes, is_of_memory, awaited_until };
        self.recent_deaths.push_back(death);
        if self.recent_deaths.len() > REMEMBERED {
            self.recent_deaths.pop_front();
        }
        self.look_at_parked = true;
    }

    /// Those of the tasks that the certificate does not clear.
    fn culprits(&self, tasks: impl Iterator<Item = Slot>, certificate: &Certificate) -> Vec<Slot> {
        match &certificate.last_task {
            None => tasks.collect(),
            Some(name) => tasks.filter(|&slot| self.tasks.printed(slot) == *name).collect(),
        }
    }

    /// A supervisor explains the death of a worker that is gone already.
    pub(crate) fn explain_death(&mut self, incarnation: Incarnation, certificate: &Certificate) {
        let Some(recent) = self.recent_deaths.iter_mut().find(|recent| recent.incarnation == incarnation) else {
            return;
        };
        recent.awaited_until = None;
        let tasks = recent.tasks.clone();
        let (was_of_memory, limit) = (recent.is_of_memory, recent.memory_limit_bytes);
        recent.is_of_memory = certificate.cause == DeathCause::OutOfMemory;
        let turns_out = recent.is_of_memory && !was_of_memory;
        if turns_out {
            self.count_memory_death();
        }
        let alive: Vec<Slot> = tasks.into_iter().filter_map(|id| self.tasks.current(id)).collect();
        let culprits = self.culprits(alive.iter().copied(), certificate);
        let asked = certificate.cause == DeathCause::Retired;
        if turns_out {
            let guilty = |&slot: &Slot| culprits.contains(&slot) && self.is_suspect_of(slot, incarnation);
            let guilty: Vec<Slot> = alive.iter().copied().filter(guilty).collect();
            self.raise_needs(&guilty, limit);
        }
        for slot in alive {
            if self.tasks.rare(slot).is_none() {
                continue;
            }
            let deaths = &mut self.tasks.rare_mut(slot).deaths;
            if asked || !culprits.contains(&slot) {
                deaths.retain(|death| death.incarnation != incarnation);
            } else if let Some(death) = deaths.iter_mut().find(|death| death.incarnation == incarnation) {
                death.certificate = certificate.clone();
            }
            self.clear_suspicion(slot);
        }
        self.look_at_parked = true;
    }

    fn count_memory_death(&mut self) {
        self.counters.memory_deaths += 1;
        let results = self.counters.finished.saturating_sub(self.counters.recomputed);
        let vain = &mut self.vain_deaths;
        if results > vain.most_results {
            *vain = VainDeaths { count: 0, most_results: results };
        }
        vain.count += 1;
    }

    /// Whether workers die of want of memory all the time, and nothing comes of it.
    fn all_is_in_vain(&self) -> bool {
        let workers = self.workers.len() + 1;
        self.vain_deaths.count >= VAIN * workers * self.config.allowed_memory_deaths.max(1) as usize
    }

    /// A task that runs and is no suspect any more makes room for one.
    fn clear_suspicion(&mut self, slot: Slot) {
        if let State::Processing { worker, .. } = self.tasks[slot].state
            && !self.is_suspect(slot)
            && self.workers[worker].suspect == Some(slot)
        {
            self.workers[worker].suspect = None;
        }
    }

    /// When a verdict that waits for a certificate is due in any case.
    pub(crate) fn verdict_due(&self) -> Option<Tick> {
        if self.parked.is_empty() {
            return None;
        }
        self.recent_deaths.iter().filter_map(|recent| recent.awaited_until).min()
    }

    /// Certificates that did not come in time are not waited for any longer.
    pub(crate) fn end_certificate_waits(&mut self) {
        for recent in &mut self.recent_deaths {
            if recent.awaited_until.is_some_and(|until| until <= self.now) {
                recent.awaited_until = None;
                self.look_at_parked = true;
            }
        }
    }

    /// Passes verdicts on the parked suspects, and sends those that may live to workers without one.
    pub(crate) fn place_parked(&mut self) {
        if !std::mem::take(&mut self.look_at_parked) || self.parked.is_empty() {
            return;
        }
        let suspects: Vec<Slot> = self.parked.iter().copied().collect();
        for slot in suspects {
            if !self.parked.contains(&slot) {
                // The failure of another one took it along.
                continue;
            }
            if !self.is_suspect(slot) {
                self.parked.remove(&slot);
                self.tasks.set_state(slot, State::Waiting { missing: 0 });
                self.make_ready(slot);
            } else if self.has_killed_enough(slot) {
                if !self.awaits_certificate(slot) {
                    self.convict(slot);
                }
            } else {
                self.send_suspect(slot);
            }
        }
    }

    fn send_suspect(&mut self, slot: Slot) {
        let free = |core: &Scheduler, ix| core.workers[ix].suspect.is_none();
        let chosen = self.choose_worker_where(slot, None, free).or_else(|| self.full_worker_for(slot));
        if let Some(worker) = chosen {
            self.parked.remove(&slot);
            self.workers[worker].suspect = Some(slot);
            self.dispatch(slot, worker);
        }
    }

    fn has_killed_enough(&self, slot: Slot) -> bool {
        let deaths = &self.tasks.rare(slot).expect("a suspect has deaths").deaths;
        let counted = deaths.iter().filter(|death| !death.is_of_memory()).count();
        counted >= self.config.allowed_deaths.max(1) as usize
            || self.is_killed_in_vain(slot)
            || deaths.len() >= self.config.allowed_memory_deaths.max(1) as usize
    }

    fn is_killed_in_vain(&self, slot: Slot) -> bool {
        self.all_is_in_vain() && self.tasks.rare(slot).is_some_and(|rare| rare.deaths.iter().any(Death::is_of_memory))
    }

    fn awaits_certificate(&self, slot: Slot) -> bool {
        let id = self.tasks.id(slot);
        let awaited = self.recent_deaths.iter().filter(|recent| recent.awaited_until.is_some());
        awaited.flat_map(|recent| &recent.tasks).any(|&task| task == id)
    }

    fn convict(&mut self, slot: Slot) {
        let rare = self.tasks.rare(slot).expect("a suspect has deaths");
        let failure = if rare.deaths.len() < self.config.allowed_memory_deaths as usize && self.is_killed_in_vain(slot)
        {
            let reason = format!(
                "workers were ended for their use of memory {} times in a row, whatever they ran, and nothing new came of \
                 it: what is kept there takes more than is known; tell kask.sizeof of your types, return copies of what \
                 you need and not views, or allow workers more memory",
                self.vain_deaths.count
            );
            Failure::OutOfMemory { task: self.tasks.printed(slot), reason: reason.into() }
        } else {
            let deaths = rare.deaths.iter().map(|death| death.certificate.clone()).collect();
            Failure::KilledWorker { task: self.tasks.printed(slot), deaths }
        };
        self.fail(slot, &Arc::new(failure));
    }
}
