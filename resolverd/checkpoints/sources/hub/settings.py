"""How the Hub is reached, as the operator says; huggingface_hub's own variables say the rest."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HubSettings:
    """Settings of all ``hg://`` sources.

    Attributes:
        endpoint: URL of a Hub or a mirror of it; None: ``HF_ENDPOINT``, else Hugging Face's own.
        token_file: A file that holds the token and that the daemon alone can read; None:
            ``HF_TOKEN``, else the file that ``hf auth login`` writes.
    """

    endpoint: str | None = None
    token_file: str | None = None
