//! The client: submits graphs, follows futures, gathers results directly from workers.
