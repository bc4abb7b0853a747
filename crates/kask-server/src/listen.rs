//! Connections: each becomes a link of the scheduler host for as long as it lasts.

use crate::host::SchedulerHost;
use kask_net::link::Outgoing;
use kask_net::reactor::{Link, drive};
use kask_net::{Accepted, Address, BindError, Connection, Listener, Security, runtime};
use kask_wire::{ClientToScheduler, Role, SupervisorToScheduler, WorkerToScheduler};
use serde::de::DeserializeOwned;
use std::sync::Arc;
use thiserror::Error;
use tracing::debug;

/// Why the scheduler does not listen.
#[derive(Debug, Error)]
pub enum ServeError {
    /// The address cannot be used.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// No network thread.
    #[error("the operating system gave no network thread: {0}")]
    Runtime(#[from] std::io::Error),
}

impl SchedulerHost {
    /// Listens for clients, workers and supervisors until the host closes; gives the address with its real port.
    ///
    /// # Errors
    /// When the address cannot be bound, or must not be without TLS.
    pub fn listen(self: &Arc<Self>, address: &Address, security: &Security) -> Result<Address, ServeError> {
        let network = runtime::handle()?;
        let _inside = network.enter();
        let mut listener = Listener::bind(address, security, self.incarnation())?;
        let bound = listener.address().clone();
        let host = self.clone();
        network.spawn(async move {
            loop {
                tokio::select! {
                    () = host.closed() => return,
                    accepted = listener.accept() => match accepted {
                        Ok(accepted) => drop(tokio::spawn(serve(host.clone(), accepted))),
                        Err(error) => {
                            debug!(%error, "accepting a connection failed");
                            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                        }
                    },
                }
            }
        });
        Ok(bound)
    }
}

async fn serve(host: Arc<SchedulerHost>, accepted: Accepted) {
    let Accepted { hello, connection } = accepted;
    match hello.role {
        Role::Client => {
            let uplink = host.add_client(Outgoing::new(connection.sender.clone()));
            relay::<ClientToScheduler>(connection, uplink).await;
        }
        Role::Worker => {
            let uplink = host.add_worker(Outgoing::new(connection.sender.clone()));
            relay::<WorkerToScheduler>(connection, uplink).await;
        }
        Role::Supervisor => {
            let uplink = host.add_supervisor(Outgoing::new(connection.sender.clone()));
            relay::<SupervisorToScheduler>(connection, uplink).await;
        }
        Role::Data => connection.sender.close(),
    }
}

async fn relay<M: DeserializeOwned>(mut connection: Connection, uplink: Arc<dyn Link<M>>) {
    loop {
        match connection.receiver.recv::<M>().await {
            Ok(Some(message)) => {
                uplink.post(message);
                drive(uplink.clone());
            }
            Ok(None) => break,
            Err(error) => {
                debug!(%error, "a connection broke");
                break;
            }
        }
    }
    // The uplink's end tells the scheduler.
    connection.sender.close();
}
