//! A whole seeded cluster of scheduler and worker cores under a virtual clock and network, with faults.
