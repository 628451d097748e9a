"""How S3 is reached, as the operator says; Amazon's own variables and files say the rest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class S3Settings:
    """Settings of all ``s3://`` sources.

    Attributes:
        endpoint: URL of a server other than Amazon's; None: ``AWS_ENDPOINT_URL_S3``,
            ``AWS_ENDPOINT_URL``, or the profile's.
        region: None: ``AWS_REGION``, ``AWS_DEFAULT_REGION``, or the profile's.
        profile: Section of Amazon's files; None: ``AWS_PROFILE``, or ``default``.
        addressing: Whether a bucket is named in the path or in the host; ``auto``: in the path for
            an endpoint of one's own, in the host for Amazon's.
        anonymous: Never sign, whatever credentials there are.
        instance_role: Take credentials from the machine's or container's role, where no others are.
    """

    endpoint: str | None = None
    region: str | None = None
    profile: str | None = None
    addressing: Literal["auto", "path", "virtual"] = "auto"
    anonymous: bool = False
    instance_role: bool = False
