"""The worker process, and what the daemon and it say to each other."""
