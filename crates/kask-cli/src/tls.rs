//! `kask tls`.

use crate::CommandError;
use crate::arguments::{TlsArguments, TlsCommand};

pub(crate) fn run(arguments: TlsArguments) -> Result<(), CommandError> {
    match arguments.command {
        TlsCommand::Create { directory, host } => {
            let created = kask_net::certificates::create(&directory, &host)?;
            for file in &created.files {
                println!("{}", file.display());
            }
            println!("A scheduler with these certificates can be reached as: {}", created.hosts.join(", "));
            println!("Copy ca.pem and worker*.pem to the workers' machines, ca.pem and client*.pem to the clients'.");
            println!("Keep ca-key.pem to yourself: whoever has it can join.");
            Ok(())
        }
    }
}
