"""Stores on disk: finding, scanning, reading and watching them.

``wellknown`` names the stores, ``watch.watch`` is the one entry for the daemon, and what it reports
is ``resolverd.cards.file.StoreChange``. Everything below it: ``follow`` (one store's task),
``eyes`` and ``events`` (what the kernel tells), ``tracked`` (one store as last seen, blocking; its
directories are a ``tree``, its files ``contents``, and ``hints`` lead to what changed), ``roots``,
``package``, ``mounts``, ``scan`` and ``read``.
"""
