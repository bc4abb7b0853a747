//! Actions on their way out.
//!
//! Messages of one kind that follow each other become one message. Actions keep their order among themselves, messages
//! theirs; messages leave after actions, so that what was said is true when it is heard. Values to throw away leave
//! first, and only those that did not come back meanwhile.

use crate::api::Action;
use kask_types::{Attempt, BlobId, TaskId, ValueId, WorkerId};
use kask_wire::WorkerToScheduler;
use kask_wire::worker::{FetchProblem, Finished};
use std::collections::VecDeque;
use std::sync::Arc;

#[derive(Debug, Default)]
pub(crate) struct Outbox {
    actions: VecDeque<Action>,
    drops: Vec<ValueId>,
    messages: VecDeque<WorkerToScheduler>,
    closing: Option<Arc<str>>,
}

impl Outbox {
    pub(crate) fn act(&mut self, action: Action) {
        self.actions.push_back(action);
    }

    pub(crate) fn say(&mut self, message: WorkerToScheduler) {
        self.messages.push_back(message);
    }

    /// Nobody wants this value, unless it is held (again) when the actions are drained.
    pub(crate) fn drop_value(&mut self, value: ValueId) {
        self.drops.push(value);
    }

    pub(crate) fn recall(&mut self, task: TaskId, attempt: Attempt) {
        if let Some(Action::Recall(list)) = self.actions.back_mut() {
            list.push((task, attempt));
        } else {
            self.actions.push_back(Action::Recall(vec![(task, attempt)]));
        }
    }

    pub(crate) fn spill(&mut self, tasks: Vec<TaskId>) {
        self.actions.push_back(Action::Spill(tasks));
    }

    pub(crate) fn evict(&mut self, task: TaskId) {
        if let Some(Action::Evict(tasks)) = self.actions.back_mut() {
            tasks.push(task);
        } else {
            self.actions.push_back(Action::Evict(vec![task]));
        }
    }

    pub(crate) fn unspill(&mut self, task: TaskId) {
        if let Some(Action::Unspill(tasks)) = self.actions.back_mut() {
            tasks.push(task);
        } else {
            self.actions.push_back(Action::Unspill(vec![task]));
        }
    }

    pub(crate) fn drop_blob(&mut self, blob: BlobId) {
        if let Some(Action::DropBlobs(blobs)) = self.actions.back_mut() {
            blobs.push(blob);
        } else {
            self.actions.push_back(Action::DropBlobs(vec![blob]));
        }
    }

    pub(crate) fn finished(&mut self, finished: Finished) {
        if let Some(WorkerToScheduler::Finished(list)) = self.messages.back_mut() {
            list.push(finished);
        } else {
            self.messages.push_back(WorkerToScheduler::Finished(vec![finished]));
        }
    }

    pub(crate) fn lingering(&mut self, task: TaskId, attempt: Attempt) {
        if let Some(WorkerToScheduler::Lingering(list)) = self.messages.back_mut() {
            list.push((task, attempt));
        } else {
            self.messages.push_back(WorkerToScheduler::Lingering(vec![(task, attempt)]));
        }
    }

    pub(crate) fn holding(&mut self, task: TaskId, nbytes: u64) {
        if let Some(WorkerToScheduler::Holding(list)) = self.messages.back_mut() {
            list.push((task, nbytes));
        } else {
            self.messages.push_back(WorkerToScheduler::Holding(vec![(task, nbytes)]));
        }
    }

    pub(crate) fn missing(&mut self, tried: impl IntoIterator<Item = (TaskId, WorkerId, FetchProblem)>) {
        if let Some(WorkerToScheduler::Missing(list)) = self.messages.back_mut() {
            list.extend(tried);
        } else {
            self.messages.push_back(WorkerToScheduler::Missing(tried.into_iter().collect()));
        }
    }

    /// The last action of all, after everything that was to be done and said.
    pub(crate) fn close(&mut self, reason: Arc<str>) {
        self.closing = Some(reason);
    }

    pub(crate) fn pop(&mut self, is_held: impl Fn(ValueId) -> bool) -> Option<Action> {
        if !self.drops.is_empty() {
            let mut gone = std::mem::take(&mut self.drops);
            gone.retain(|&value| !is_held(value));
            if !gone.is_empty() {
                return Some(Action::Drop(gone));
            }
        }
        if let Some(action) = self.actions.pop_front() {
            return Some(action);
        }
        if let Some(message) = self.messages.pop_front() {
            return Some(Action::ToScheduler(message));
        }
        self.closing.take().map(|reason| Action::Close { reason })
    }
}
