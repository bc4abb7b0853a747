//! The scheduler shell: drives the scheduler core over real connections and timers.
