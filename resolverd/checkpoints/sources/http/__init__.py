"""``http://`` and ``https://`` origins.

:mod:`~resolverd.checkpoints.sources.http.source` is what a download uses; ``connections`` brings
answers, ``headers`` reads them, ``transfer`` is a body, ``errors`` translates what goes wrong.
"""
