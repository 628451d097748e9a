"""resolverctl: the operator's and the researcher's command line, on the client alone.

Exit codes: 0 done, 1 failed, 2 usage, 3 daemon unreachable, 4 no such asset.
"""

from __future__ import annotations

import click

from resolverd import __version__
from resolverd.ctl import cache, cards, checkpoints, status
from resolverd.ctl.command import shared_options
from resolverd.ctl.completion import completion
from resolverd.ctl.doctor.command import doctor
from resolverd.ctl.schema import schema
from resolverd.ctl.top.command import top


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done, 1 failed, 2 wrong usage, 3 no daemon, 4 no such asset. "
    "The socket: --socket, else RESOLVERD_SOCKET, else the user's daemon, else the system's.",
)
@click.version_option(__version__, prog_name="resolverctl")
@shared_options
def main() -> None:
    """Ask the node's resolverd about asset cards and checkpoints.

    First steps: 'status' shows what is served, 'list' and 'show NAME' the cards, 'prefetch NAME'
    brings a checkpoint to this node, and 'doctor' says what is wrong.
    """


for _command in (
    status.status,
    cards.list_assets,
    cards.show,
    cards.get,
    cards.watch,
    cards.lint,
    checkpoints.prefetch,
    checkpoints.path,
    checkpoints.verify,
    cache.cache,
    doctor,
    top,
    completion,
    schema,
):
    main.add_command(_command)
