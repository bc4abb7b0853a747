//! The clients, and what each wants.
//!
//! Invariant: a client's `wants` are exactly the tasks whose `wanted_by` names the client; its `pins` exactly the blobs
//! that list it.

use crate::slotset::SlotSet;
use kask_types::{BlobId, ClientId};
use kask_wire::client::ClientInfo;
use std::collections::{BTreeMap, BTreeSet};

/// A client's place in the table of clients; reused once nothing refers to the client any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ClientIx(pub(crate) u32);

/// A client incarnation.
pub(crate) struct Client {
    pub(crate) id: ClientId,
    pub(crate) info: ClientInfo,
    pub(crate) wants: SlotSet,
    pub(crate) pins: BTreeSet<BlobId>,
}

/// All clients.
#[derive(Default)]
pub(crate) struct Clients {
    slots: Vec<Option<Client>>,
    free: Vec<ClientIx>,
    by_id: BTreeMap<ClientId, ClientIx>,
}

impl std::ops::Index<ClientIx> for Clients {
    type Output = Client;
    fn index(&self, ix: ClientIx) -> &Client {
        self.slots[ix.0 as usize].as_ref().expect("no state names a client that is gone")
    }
}

impl std::ops::IndexMut<ClientIx> for Clients {
    fn index_mut(&mut self, ix: ClientIx) -> &mut Client {
        self.slots[ix.0 as usize].as_mut().expect("no state names a client that is gone")
    }
}

impl Clients {
    pub(crate) fn find(&self, id: ClientId) -> Option<ClientIx> {
        self.by_id.get(&id).copied()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (ClientIx, &Client)> {
        self.by_id.values().map(|&ix| (ix, &self[ix]))
    }

    pub(crate) fn insert(&mut self, id: ClientId, info: ClientInfo) -> ClientIx {
        let client = Client { id, info, wants: SlotSet::default(), pins: BTreeSet::new() };
        let ix = match self.free.pop() {
            Some(ix) => {
                self.slots[ix.0 as usize] = Some(client);
                ix
            }
            None => {
                self.slots.push(Some(client));
                ClientIx(self.slots.len() as u32 - 1)
            }
        };
        self.by_id.insert(id, ix);
        ix
    }

    /// Takes the client out; nothing may name it any more.
    pub(crate) fn remove(&mut self, ix: ClientIx) {
        let client = self.slots[ix.0 as usize].take().expect("only a client that is there is removed");
        self.by_id.remove(&client.id);
        self.free.push(ix);
    }
}
