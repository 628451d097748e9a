"""What every command shares: the options, the connection, and errors turned into exit codes."""

from __future__ import annotations

import errno
import functools
from collections.abc import Callable
from typing import TypeVar

import click
from resolverd_client import AssetNotFoundError, Client, DaemonUnavailableError, ResolverdError

from resolverd import __version__
from resolverd.ctl.output import complain

FAILED, USAGE, UNREACHABLE, NO_SUCH_ASSET = 1, 2, 3, 4

F = TypeVar("F", bound=Callable[..., object])


class Settings:
    """Options that are taken before or after the command's name."""

    def __init__(self) -> None:
        self.socket: str | None = None
        self.json = False

    def client(self, timeout: float = 5.0) -> Client:
        """Make a client for the daemon the user means.

        Args:
            timeout: Seconds that a lookup may take, reconnects included.
        """
        return Client(socket_path=self.socket, timeout=timeout)


def _suggestion(context: click.Context, given: dict[str, object]) -> str:
    """Name assets that look like the one that was asked for; here, as it costs time."""
    wanted = given.get("name") or given.get("target")
    if not isinstance(wanted, str):
        return ""
    import difflib  # noqa: PLC0415 -- only a miss needs it

    names = [
        name.removesuffix("@") for name in context.ensure_object(Settings).client().get_names()
    ]
    close = [] if wanted in names else difflib.get_close_matches(wanted, names)
    return f" Did you mean {' or '.join(close)}?" if close else ""


def _other_version(context: click.Context) -> str:
    """Say that the daemon is of another version; empty when it is not, or is gone."""
    try:
        daemon = context.ensure_object(Settings).client().status().get("version")
    except ResolverdError:
        return ""
    if daemon == __version__:
        return ""
    return (
        f"the daemon is version {daemon}, resolverctl {__version__}, and they do not understand "
        "each other here: upgrade the older one, and restart the daemon if it is that"
    )


def shared_options(function: F) -> F:
    """Give a command ``--socket`` and ``--json``."""

    def store(context: click.Context, option: click.Parameter, value: object) -> None:
        settings = context.ensure_object(Settings)
        if value and option.name is not None:
            setattr(settings, option.name, value)

    function = click.option(
        "--json",
        is_flag=True,
        expose_value=False,
        callback=store,
        help="Print JSON, as 'resolverctl schema' describes it.",
    )(function)
    return click.option(
        "--socket", metavar="PATH", expose_value=False, callback=store, help="The daemon's socket."
    )(function)


def command(function: F) -> F:
    """Finish a command: shared options, settings as first argument, errors as exit codes."""

    @functools.wraps(function)
    def run(*args: object, **kwargs: object) -> None:
        context = click.get_current_context()
        try:
            code = function(context.ensure_object(Settings), *args, **kwargs)
        except AssetNotFoundError as error:
            complain(f"{str(error).removesuffix('.')}.{_suggestion(context, kwargs)}")
            code = NO_SUCH_ASSET
        except DaemonUnavailableError as error:
            complain(str(error))
            code = UNREACHABLE
        except ResolverdError as error:
            complain(str(error))
            code = FAILED
        except OSError as error:
            if error.errno == errno.EPIPE:  # the reader has seen enough: click ends quietly
                raise
            complain(f"{error.filename or 'the output'}: {error.strerror or error}")
            code = FAILED
        except (KeyError, TypeError):
            # What an answer lacks, another version of the daemon may not know yet, or no more
            if not (versions := _other_version(context)):
                raise
            complain(versions)
            code = FAILED
        if code:
            context.exit(int(str(code)))

    return shared_options(run)  # type: ignore[return-value]  # click replaces what it decorates
