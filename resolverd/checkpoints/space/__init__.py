"""Keeps the cache within its bounds, and what is in it sound: claims, eviction, scrub."""
