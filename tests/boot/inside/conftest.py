"""A node with one store that has one card."""

from __future__ import annotations

import pytest
from node import STORE, configure, write_card


@pytest.fixture(scope="session", autouse=True)
def _a_store() -> None:
    configure(f'[stores]\npaths = ["{STORE}"]\n[fetch]\nfile_roots = ["{STORE}"]\n')
    write_card("first", model_arch="one")
