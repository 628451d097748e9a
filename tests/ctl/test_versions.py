"""resolverctl beside a daemon of another version."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from resolverd.ctl import command, main
from tests.client.test_versions import daemon_of_another_version, old_status


def test_an_answer_that_lacks_what_is_needed_names_both_versions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "__version__", "2.0")
    with daemon_of_another_version(tmp_path, old_status):
        done = CliRunner().invoke(main, ["status", "--socket", str(tmp_path / "s")])
    assert done.exit_code == 1
    assert "the daemon is version 0.9, resolverctl 2.0" in done.output
    assert "upgrade" in done.output
