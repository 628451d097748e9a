"""``s3://`` origins: Amazon's, and the many others that speak its protocol.

Bytes come over the same transfer as HTTP's, so that ranges, resuming, the policy's guard and
proxies are the same; what is S3's own is here. ``location`` reads URIs and makes URLs, ``signing``
signs, ``credentials`` finds what to sign with (``profile``: in Amazon's files, ``role``: from the
node), ``answers`` and ``errors`` read what the server says, ``source`` is what a download uses.
"""
