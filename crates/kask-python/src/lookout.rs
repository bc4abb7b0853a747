//! Telling a user who waits what the waiting is for: tasks that no worker may run.
//!
//! They ask for workers or resources that there are not. Somebody who starts these next minute need not be bothered, and a
//! misspelt name must not be waited for in silence. So who has waited for a while gets a warning, once for each such demand.

use crate::engine_core::EngineCore;
use crate::helpers;
use kask_wire::client::Unrunnable;
use kask_wire::{Query, Reply};
use pyo3::intern;
use pyo3::prelude::*;
use std::time::{Duration, Instant};

/// How long a wait lasts before the scheduler is asked, and then between questions.
const EVERY: Duration = Duration::from_secs(5);
/// How long the answer may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// Looks out during one wait.
pub struct Lookout {
    next: Instant,
    /// The warning, where warnings are errors.
    pub raised: Option<PyErr>,
}

impl Lookout {
    /// A wait begins.
    pub fn new() -> Lookout {
        Lookout { next: Instant::now() + EVERY, raised: None }
    }

    /// Called every now and then by the thread that waits. Ends the wait where warnings are errors.
    pub fn look(&mut self, core: &EngineCore) -> bool {
        if Instant::now() < self.next {
            return false;
        }
        if let Ok(Reply::Unrunnable(found)) = core.client.ask(Query::Unrunnable, Some(PATIENCE), &mut || false)
            && let Some(there) = core.client.workers_in_words()
        {
            for one in found.iter().filter(|one| core.is_news(&demand(one))) {
                self.warn(&text(one, &there));
            }
        }
        self.next = Instant::now() + EVERY;
        self.raised.is_some()
    }

    fn warn(&mut self, text: &str) {
        let warned = Python::try_attach(|py| helpers::get(py, intern!(py, "warn"))?.call1((text,)).map(drop));
        if let Some(Err(error)) = warned {
            self.raised = Some(error);
        }
    }
}

/// What the tasks ask for, as the user says it.
fn demand(one: &Unrunnable) -> String {
    let resources: Vec<String> = one.resources.iter().map(|(name, amount)| format!("{name:?}: {amount}")).collect();
    let workers = one.workers.as_ref().map(|only| format!("workers={:?}", only.workers));
    let resources = (!resources.is_empty()).then(|| format!("resources={{{}}}", resources.join(", ")));
    [workers, resources].into_iter().flatten().collect::<Vec<_>>().join(" and ")
}

fn text(one: &Unrunnable, there: &str) -> String {
    let (tasks, verb) = match one.tasks {
        1 => (format!("the task {:?}", one.example), "waits"),
        count => (format!("{count} tasks such as {:?}", one.example), "wait"),
    };
    let demand = match demand(one) {
        demand if demand.is_empty() => "any that takes tasks".to_string(),
        demand => demand,
    };
    format!("{tasks} {verb} for a worker that fits {demand}; there are {there}, and none of them does")
}
