//! The worker core: what to fetch, run, keep and refuse. No I/O, no clock.
