//! New identities for workers, clients and schedulers.

use kask_types::Incarnation;

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
#[error("the operating system gives no random numbers, which an identity is made of: {0}")]
pub struct IncarnationError(getrandom::Error);

/// A random identity, which nobody else has.
///
/// ```
/// assert_ne!(kask_net::new_incarnation()?, kask_net::new_incarnation()?);
/// # Ok::<(), kask_net::IncarnationError>(())
/// ```
///
/// # Errors
/// When the operating system gives no random numbers.
pub fn new_incarnation() -> Result<Incarnation, IncarnationError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(IncarnationError)?;
    Ok(Incarnation(u128::from_le_bytes(bytes)))
}
