"""Brings the bytes of one file to disk: receives, hashes, makes durable, within limits."""
