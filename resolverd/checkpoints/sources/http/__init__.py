"""``http://`` and ``https://`` origins.

:mod:`~resolverd.checkpoints.sources.http.source` is what a download uses; ``connections`` brings
answers, ``headers`` reads them, ``transfer`` is a body, ``errors`` translates what goes wrong, and
``dialect`` says what other protocols on top of HTTP word in their own way.
"""
