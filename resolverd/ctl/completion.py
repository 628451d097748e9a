"""Shell completion: the script that a shell reads, and the names it is offered."""

from __future__ import annotations

import os

import click
from click.shell_completion import CompletionItem, ShellComplete, get_completion_class
from resolverd_client import ResolverdError

from resolverd.ctl import output
from resolverd.ctl.command import Settings, command

_PROGRAM, _VARIABLE = "resolverctl", "_RESOLVERCTL_COMPLETE"
_PATIENCE = 0.5
SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS), required=False)
@command
def completion(settings: Settings, shell: str | None) -> None:
    r"""Print the completion script of a shell.

    Of the shell you use, unless SHELL names one. For all that you type, names of assets too:

    \b
      bash: resolverctl completion bash > ~/.local/share/bash-completion/completions/resolverctl
      zsh:  resolverctl completion zsh > "${fpath[1]}/_resolverctl"
      fish: resolverctl completion fish > ~/.config/fish/completions/resolverctl.fish
    """
    name = shell or os.path.basename(os.environ.get("SHELL", ""))
    made = get_completion_class(name) if name in SHELLS else None
    if made is None:
        raise click.UsageError(f"name your shell: {', '.join(SHELLS)}")
    script = made(click.get_current_context().find_root().command, {}, _PROGRAM, _VARIABLE)
    text = ShellComplete.source(script)  # bash need not be there to write its script
    if settings.json:
        output.print_json({"shell": name, "script": text})
    else:
        output.line(text)


def asset_names(
    context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Offer the assets that are served; nothing when there is no daemon to ask."""
    try:
        served = context.ensure_object(Settings).client(timeout=_PATIENCE).get_names()
    except ResolverdError:
        return []
    shown = (name.removesuffix("@") for name in served)
    return [CompletionItem(name) for name in shown if name.startswith(incomplete)]
