"""Finds who signs: the environment, Amazon's files, a program they name, or the node's role."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Mapping

from resolverd.checkpoints.sources.s3 import role
from resolverd.checkpoints.sources.s3.settings import S3Settings
from resolverd.checkpoints.sources.s3.signing import Credentials
from resolverd.errors import SourceError

_PROCESS_TIMEOUT = 60.0  # seconds


def found(
    settings: S3Settings, environ: Mapping[str, str], profile: Mapping[str, str]
) -> Credentials | None:
    """The credentials to sign with; None: ask anonymously.

    Args:
        settings: What the operator says.
        environ: ``AWS_ACCESS_KEY_ID``, ``AWS_SECRET_ACCESS_KEY``, ``AWS_SESSION_TOKEN``; else
            ``AWS_WEB_IDENTITY_TOKEN_FILE`` and ``AWS_ROLE_ARN``.
        profile: What Amazon's files say.

    Raises:
        SourceError: When there are some that can't be used.
    """
    if settings.anonymous:
        return None
    return (
        (None if settings.profile else _from_environment(environ))
        or _from_profile(profile)
        or (role.credentials(environ) if settings.instance_role else None)
    )


def _from_environment(environ: Mapping[str, str]) -> Credentials | None:
    key, secret = environ.get("AWS_ACCESS_KEY_ID"), environ.get("AWS_SECRET_ACCESS_KEY")
    if key and secret:
        return Credentials(key, secret, environ.get("AWS_SESSION_TOKEN") or None)
    return role.web_identity(environ) if environ.get("AWS_WEB_IDENTITY_TOKEN_FILE") else None


def _from_profile(profile: Mapping[str, str]) -> Credentials | None:
    key, secret = profile.get("aws_access_key_id"), profile.get("aws_secret_access_key")
    if key and secret:
        return Credentials(key, secret, profile.get("aws_session_token") or None)
    if command := profile.get("credential_process"):
        return _from_process(command)
    _refuse_unknown(profile)
    return None


def _from_process(command: str) -> Credentials:
    """Run a profile's ``credential_process``."""
    try:
        arguments = shlex.split(command)
        done = subprocess.run(arguments, capture_output=True, timeout=_PROCESS_TIMEOUT, check=True)
        return Credentials.load(json.loads(done.stdout), "SessionToken")
    except (OSError, subprocess.SubprocessError, ValueError, LookupError, TypeError) as error:
        # What it printed may hold a secret.
        raise SourceError(
            f"credential_process of the AWS profile failed ({type(error).__name__}): run it as "
            "the daemon's user."
        ) from None


def _refuse_unknown(profile: Mapping[str, str]) -> None:
    for key in ("role_arn", "sso_session", "sso_start_url", "web_identity_token_file"):
        if key in profile:
            raise SourceError(
                f"the AWS profile asks for {key}: give it a credential_process, such as "
                "'aws configure export-credentials --profile NAME'."
            )
