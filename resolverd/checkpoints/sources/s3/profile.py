"""Amazon's own files: ``~/.aws/credentials`` and ``~/.aws/config``, as its tools read them."""

from __future__ import annotations

import configparser
import os
from collections.abc import Mapping

from resolverd.checkpoints.access import private
from resolverd.errors import SourceError

CREDENTIAL = "aws-credentials"
"""Name of the systemd credential that stands for the first file."""


def read(name: str | None, environ: Mapping[str, str]) -> Mapping[str, str]:
    """One profile of both files; of what both say, the credentials file's counts.

    Args:
        name: Which; None: ``AWS_PROFILE``, or ``default``.
        environ: ``AWS_SHARED_CREDENTIALS_FILE``, ``AWS_CONFIG_FILE``, ``HOME`` and
            ``CREDENTIALS_DIRECTORY`` say where the files are.

    Raises:
        SourceError: When a file can't be read, others can read a secret in it, or neither has a
            profile that was asked for by its name.
    """
    asked = name or environ.get("AWS_PROFILE") or environ.get("AWS_DEFAULT_PROFILE")
    chosen = asked or "default"
    home = environ.get("HOME") or os.path.expanduser("~")
    config = environ.get("AWS_CONFIG_FILE") or os.path.join(home, ".aws", "config")
    general = _section(config, "default" if chosen == "default" else f"profile {chosen}")
    secret = _section(_credentials_file(environ, home), chosen)
    if asked and not (general or secret):
        raise SourceError(f"there is no profile {asked!r} in {config}: set s3.profile.")
    return {**general, **secret}


def _credentials_file(environ: Mapping[str, str], home: str) -> str:
    handed = os.path.join(environ.get("CREDENTIALS_DIRECTORY", ""), CREDENTIAL)
    if "CREDENTIALS_DIRECTORY" in environ and os.path.exists(handed):
        return handed
    named = environ.get("AWS_SHARED_CREDENTIALS_FILE")
    return named or os.path.join(home, ".aws", "credentials")


def _section(path: str, name: str) -> Mapping[str, str]:
    path = os.path.expanduser(path)
    if not os.path.exists(path):
        return {}
    parser = configparser.RawConfigParser(default_section="", strict=False)
    try:
        with open(path, encoding="utf-8") as file:
            parser.read_file(file)
            found = dict(parser[name]) if parser.has_section(name) else {}
            if "aws_secret_access_key" in found:
                private.check(file.fileno(), path)
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror}. Let the daemon read it.") from None
    except (configparser.Error, UnicodeDecodeError) as error:
        text = str(error).splitlines()[0] if isinstance(error, configparser.Error) else "no UTF-8"
        raise SourceError(f"{path}: can't be read: {text}") from None
    return found
