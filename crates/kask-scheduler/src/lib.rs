//! The scheduler core: task lifecycle, placement, stealing, recovery. No I/O, no clock.
