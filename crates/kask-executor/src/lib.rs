//! The worker shell: runners, values, peer transfer, and supervised worker processes.
