"""Checkpoints: fetched once, verified, published, leased.

:class:`~resolverd.checkpoints.service.Checkpoints` is what the daemon uses; everything that touches
bytes runs in :mod:`resolverd.checkpoints.worker`, a process of its own.

In the daemon: ``service`` looks up what is there (``lookup``), joins requests (``single_flight``),
asks the worker (``link``) and gives ``results`` and ``leases``; ``holdings`` is what an operator
sees, ``restoring`` has fetched again what went bad. Between the two: ``messages`` and ``wire``. In
the worker: ``fetch`` decides, ``ingest`` brings an asset, ``verify`` one file of it, ``download``
its bytes (``receive``, ``follow``, ``arrival``), ``assemble`` the object; ``traffic`` is what
downloads share; ``in_place`` is for files that stay where they are; ``room`` keeps the cache within
its bounds by what downloads ``claim``, ``scrub`` hashes again what is published, ``housekeeping``
does what an operator wants. ``sources`` are the origins, ``disk`` is the cache, and ``plan``,
``eviction``, ``pace``, ``slots``, ``bucket``, ``state``, ``digest``, ``target``, ``policy`` and
``manifest`` are pure.
"""
