//! Abstract quantities that a worker offers and a task needs, such as `{"GPU": 1}`.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Named amounts. Compared and subtracted as fixed-point thousandths, so that 0.1 ten times is 1.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources(BTreeMap<Arc<str>, u64>);

impl Resources {
    /// Amounts by name; an amount below 0, not finite or above 10^12 is refused by name.
    pub fn new<'a>(amounts: impl IntoIterator<Item = (&'a str, f64)>) -> Result<Resources, String> {
        let mut map = BTreeMap::new();
        for (name, amount) in amounts {
            if !amount.is_finite() || !(0.0..=1e12).contains(&amount) {
                return Err(format!("resource {name:?} needs an amount from 0 to 1e12, not {amount}"));
            }
            map.insert(Arc::from(name), (amount * 1000.0).round() as u64);
        }
        Ok(Resources(map))
    }

    /// Whether nothing is named.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `self` offers at least `needed`.
    ///
    /// ```
    /// # use kask_types::Resources;
    /// let offer = Resources::new([("GPU", 2.0)]).unwrap();
    /// assert!(offer.covers(&Resources::new([("GPU", 1.5)]).unwrap()));
    /// assert!(!offer.covers(&Resources::new([("FPGA", 1.0)]).unwrap()));
    /// ```
    pub fn covers(&self, needed: &Resources) -> bool {
        needed.0.iter().all(|(name, amount)| self.0.get(name).copied().unwrap_or(0) >= *amount)
    }

    /// Takes `used` out; the caller has checked [`Resources::covers`].
    pub fn subtract(&mut self, used: &Resources) {
        for (name, amount) in &used.0 {
            let left = self.0.get_mut(name).expect("covers() was checked before subtract()");
            *left = left.checked_sub(*amount).expect("covers() was checked before subtract()");
        }
    }

    /// Puts `returned` back.
    pub fn add(&mut self, returned: &Resources) {
        for (name, amount) in &returned.0 {
            *self.0.entry(name.clone()).or_insert(0) += amount;
        }
    }

    /// Names and amounts, in name order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, f64)> {
        self.0.iter().map(|(name, amount)| (&**name, *amount as f64 / 1000.0))
    }
}
