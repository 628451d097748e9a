"""Checkpoints: fetched once, verified, published, leased.

:class:`~resolverd.checkpoints.service.Checkpoints` is what the daemon uses; everything that touches
bytes runs in :mod:`resolverd.checkpoints.worker`, a process of its own.
"""
