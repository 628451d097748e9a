"""Tokens come to the daemon as systemd's credentials."""

from __future__ import annotations

import re
from pathlib import Path

from node import client, dropped_in, main_pid, run

EXAMPLE = "/opt/resolverd/lib/python3.11/site-packages/resolverd/systemd/examples/credentials.conf"
READ = """
import os, sys
from resolverd.checkpoints.access import private
with open(sys.argv[1]) as file:
    private.check(file.fileno(), sys.argv[1])
    print(os.geteuid() != 0, file.read())
"""


def test_the_daemon_alone_can_read_a_token_that_it_is_handed() -> None:
    lines = [line for line in Path(EXAMPLE).read_text().splitlines() if re.match("[A-Z]", line)]
    for name in re.findall(r"(?m)^LoadCredential=.*:(.*)$", "\n".join(lines)):
        Path(name).write_text("secret")
        Path(name).chmod(0o600)
    with dropped_in("\n".join(lines)):
        client().status()
        environ = Path(f"/proc/{main_pid()}/environ").read_text().split("\0")
        token = dict(line.partition("=")[::2] for line in environ)["RESOLVERD_HUB__TOKEN_FILE"]
        assert token == "/run/credentials/resolverd.service/hub-token"
        into = ["nsenter", "--mount", f"--target={main_pid()}", "--", "runuser", "-u", "resolverd"]
        place = ["env", "CREDENTIALS_DIRECTORY=/run/credentials/resolverd.service"]
        reader = ["/opt/resolverd/bin/python", "-c", READ, token]
        assert run(*into, "--", *place, *reader) == "True secret\n"
