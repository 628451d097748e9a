"""The synchronous client of resolverd."""
