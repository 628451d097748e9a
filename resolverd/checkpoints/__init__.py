"""Checkpoints: fetched once, verified, published, leased.

:class:`~resolverd.checkpoints.service.Checkpoints` is what the daemon uses; everything that touches
bytes runs in :mod:`resolverd.checkpoints.process.worker`, a process of its own.

In the daemon: ``service`` looks up what is there (``lookup``), joins requests (``single_flight``),
asks the worker (``process.link``) and gives ``results`` and ``leases``; ``holdings`` is what an
operator sees, ``restoring`` has fetched again what went bad, ``slots`` says whose turn it is.

In the worker: ``intake`` makes a published object of what an origin has, ``transfer`` brings the
bytes of one file, ``archive`` unpacks, ``space`` keeps the cache within its bounds and sound.
``sources`` are the origins, ``disk`` is the cache, ``access`` says what may be read and by whom,
``asset`` is what is wanted and known, all of it pure. ``process`` is the worker itself, and what
daemon and worker say to each other.
"""
