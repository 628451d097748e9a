"""Answers lookups and requests over a Unix socket."""
