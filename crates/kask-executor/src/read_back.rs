//! Values that come back from disk, for the core, for runners and for peers. Called by the disk's readers.

use crate::disk::problem;
use crate::host::WorkerHost;
use crate::runtime::Value;
use crate::spill::{Content, SpillError, Spilled};
use crate::store::{Found, Stored};
use kask_net::reactor::drive;
use kask_types::{TaskId, ValueId};
use kask_worker::{Event, SpillProblem};
use std::sync::Arc;
use tracing::warn;

/// Why a value was not read back.
#[derive(Clone, Copy, Debug)]
enum NotRead {
    /// It had been let go of.
    Gone,
    /// It is lost.
    Lost(SpillProblem),
}

/// Reading.
impl WorkerHost {
    /// Reads a value, or a part of it, from disk. A copy that cannot be read is given up.
    fn read_back(self: &Arc<Self>, spilled: &Arc<Spilled>, part: Option<u32>) -> Result<Value, NotRead> {
        let Some(folder) = self.disk.folder() else { return Err(NotRead::Lost(SpillProblem::Io)) };
        let read = match part {
            None => folder.read(spilled),
            Some(part) => folder.read_part(spilled, part).map(Content::Whole),
        };
        match read {
            Ok(content) => Ok(Value::read_back(content)),
            Err(SpillError::Gone { .. }) => Err(NotRead::Gone),
            Err(error) => {
                warn!(%error, "a spilled value is lost");
                self.store.lost(spilled);
                self.disk.remove(self, vec![spilled.clone()]);
                Err(NotRead::Lost(problem(&error)))
            }
        }
    }

    /// Brings a value from disk to memory, and says so to the core.
    pub(crate) fn unspill(self: &Arc<Self>, task: TaskId) {
        let answer = match self.store.get(task) {
            Some(Found::Memory(_)) => Ok(()),
            Some(Found::Disk { spilled, part: _ }) => match self.read_back(&spilled, None) {
                Ok(value) => {
                    self.store.unspilled(&spilled, value);
                    Ok(())
                }
                Err(NotRead::Lost(problem)) => Err(problem),
                Err(NotRead::Gone) => Err(SpillProblem::Io),
            },
            // It was let go of: the core expects no particular answer.
            None => Err(SpillProblem::Io),
        };
        self.post(Event::Unspilled(vec![(task, answer)]));
        drive(self.clone());
    }

    /// A value or a part of one, from memory or from disk; `None` when it is not here (any more). Called by readers. Where
    /// a copy is lost, the core is told.
    pub(crate) fn find(self: &Arc<Self>, id: ValueId) -> Option<Stored> {
        loop {
            match self.store.get(id)? {
                Found::Memory(stored) => return Some(stored),
                Found::Disk { spilled, part } => match self.read_back(&spilled, part) {
                    Ok(value) => return Some(Stored::Value(value)),
                    // Now it may be elsewhere, or nowhere.
                    Err(NotRead::Gone) => {}
                    Err(NotRead::Lost(problem)) => {
                        self.post(Event::Unspilled(vec![(id.task, Err(problem))]));
                        drive(self.clone());
                    }
                },
            }
        }
    }
}
