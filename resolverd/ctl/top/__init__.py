"""``resolverctl top``: what the daemon is doing, second by second."""
