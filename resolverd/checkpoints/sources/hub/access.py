"""Where the Hub is, and who asks: read as huggingface_hub reads it, after the operator's word."""

from __future__ import annotations

import os
from collections.abc import Mapping

from resolverd.checkpoints.access import private
from resolverd.checkpoints.access.policy import Policy
from resolverd.checkpoints.access.rules import first
from resolverd.checkpoints.sources.hub.settings import HubSettings
from resolverd.errors import SourceError

PUBLIC = "https://huggingface.co"

_YES = {"1", "ON", "YES", "TRUE"}
_TOKEN_MOST = 1 << 12


def endpoint(settings: HubSettings, environ: Mapping[str, str]) -> str:
    """The Hub's URL, without a slash at its end."""
    return (settings.endpoint or environ.get("HF_ENDPOINT") or PUBLIC).rstrip("/")


def token_for(uri: str, rules: Policy, environ: Mapping[str, str]) -> str | None:
    """The token for one repository: its rule's, where one names a token, else that for all."""
    own = first(rules.rules, uri, lambda rule: rule.token)
    return private.read(own, environ) if own else hub_token(rules.hub, environ)


def hub_token(settings: HubSettings, environ: Mapping[str, str]) -> str | None:
    """The token that the daemon shows to the Hub; None to ask as anyone.

    Raises:
        SourceError: When a token is there that can't be read, or that no request can carry.
    """
    if settings.token_file:
        return _read(settings.token_file, secret=True)
    if environ.get("HF_HUB_DISABLE_IMPLICIT_TOKEN", "").upper() in _YES:
        return None
    told = environ.get("HF_TOKEN") or environ.get("HUGGING_FACE_HUB_TOKEN")
    if told is not None and _clean(told):
        return _sound(_clean(told), "HF_TOKEN")
    return _read(token_path(environ), secret=False)


def token_path(environ: Mapping[str, str]) -> str:
    """The file that ``hf auth login`` writes."""
    user = environ.get("HOME") or "~"
    cache = environ.get("XDG_CACHE_HOME") or os.path.join(user, ".cache")
    home = environ.get("HF_HOME") or os.path.join(cache, "huggingface")
    return os.path.expanduser(environ.get("HF_TOKEN_PATH") or os.path.join(home, "token"))


def _read(path: str, *, secret: bool) -> str | None:
    try:
        with open(path, "rb") as file:
            if secret:
                private.check(file.fileno(), path)
            text = file.read(_TOKEN_MOST).decode("ascii", "replace")
    except (FileNotFoundError, NotADirectoryError) as error:
        if secret:
            raise SourceError(
                f"{path}: {error.strerror}: put the token there, or unset hub.token_file."
            ) from None
        return None
    except OSError as error:
        raise SourceError(
            f"{path}: the Hub's token can't be read: {error.strerror}. Let the user the daemon "
            "runs as read it, or set HF_TOKEN or hub.token_file."
        ) from None
    return _sound(_clean(text), path) if _clean(text) else None


def _clean(text: str) -> str:
    return text.replace("\r", "").replace("\n", "").strip()


def _sound(token: str, place: str) -> str:
    """Refuse what no header can carry; without showing it."""
    if not token.isascii() or not token.isprintable() or " " in token:
        raise SourceError(f"{place}: holds no token: one is letters, digits and '_' alone.")
    private.remember(token)
    return token
