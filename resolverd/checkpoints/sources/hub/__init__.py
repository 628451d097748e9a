"""``hg://`` repositories of the Hugging Face Hub.

:mod:`~resolverd.checkpoints.sources.hub.source` is what a download uses; ``endpoint`` brings the
Hub's answers and alone holds the token, ``listing`` reads which files there are, ``errors``
translates what the Hub refuses, ``access`` tells where the Hub is and who asks.
"""
