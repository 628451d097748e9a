"""The examples that are shipped: complete, true, and good to use as they are."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from resolverd.config import AT_START, Settings, load
from resolverd.rule_settings import RuleSettings
from resolverd.units import folder
from tests.daemon.running import daemon, eventually, write

EXAMPLES = folder() / "examples"
CONFIG = EXAMPLES / "config.toml"
_KEY = re.compile(r"^(#?)(\w+) = ")
_COMMENTED = re.compile(r"^#(?=\S)", re.MULTILINE)


def keys_of(kind: type[msgspec.Struct], table: str) -> Iterator[str]:
    for field in msgspec.structs.fields(kind):
        if isinstance(inner := field.default, msgspec.Struct):
            yield from keys_of(type(inner), field.encode_name)
        elif (table, field.encode_name) == ("fetch", "rules"):
            yield from keys_of(RuleSettings, "fetch.rules")
        else:
            yield f"{table}.{field.encode_name}"


def shown() -> list[tuple[str, bool, str]]:
    """Read what the example shows: key, whether it is only an example, and the comment above."""
    found, table, comment = [], "", ""
    for line in CONFIG.read_text("utf-8").splitlines():
        if heading := re.match(r"^#?\[+([\w.]+)\]+$", line):
            table = heading[1]
        elif key := _KEY.match(line):
            found.append((f"{table}.{key[2]}", bool(key[1]), comment))
        comment = f"{comment} {line}" if line.startswith("# ") else ""
    return found


def test_the_configurations_values_are_the_defaults() -> None:
    assert load(CONFIG, {}) == Settings()


def test_the_configuration_shows_every_key_once_and_no_other() -> None:
    wanted = list(keys_of(Settings, ""))
    names = [name for name, _, _ in shown()]
    assert set(names) == set(wanted), "document new keys in systemd/examples/config.toml"
    assert sorted(each for each in names if each != "fetch.rules.from") == sorted(
        each for each in wanted if each != "fetch.rules.from"
    )


def test_only_keys_without_a_default_are_commented_out() -> None:
    defaults = Settings()
    for name, commented, _ in shown():
        table, _, key = name.rpartition(".")
        if table != "fetch.rules":
            default = getattr(getattr(defaults, table), key)
            assert commented == (default is None), name


def test_what_needs_a_restart_is_marked() -> None:
    marked = {name for name, _, comment in shown() if "(at start)" in comment}
    assert marked == AT_START


def test_the_commented_values_are_good_too(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.touch(0o600)
    text = _COMMENTED.sub("", CONFIG.read_text("utf-8"))
    text = text.replace("/etc/resolverd/models-token", str(token))
    (tmp_path / "all.toml").touch(0o600)
    (tmp_path / "all.toml").write_text(text)
    settings = load(tmp_path / "all.toml", {})
    assert len(settings.fetch.rules) == 8
    assert settings.metrics.listen == "127.0.0.1:9464"


@pytest.fixture(scope="module")
def page() -> str:
    """What a daemon shows."""
    with daemon(start=False) as node:
        file = node.folder / "metrics.prom"
        config = write(node.folder / "config.toml", f"[metrics]\ntextfile = '{file}'\n")
        node.arguments = ["--config", str(config)]
        node.start()
        eventually(file.exists)
        return file.read_text()


@pytest.fixture(scope="module")
def series(page: str) -> set[str]:
    """Every series of it, as Prometheus stores it."""
    suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"], "gauge": [""]}
    return {
        family.name + suffix
        for family in text_string_to_metric_families(page)
        for suffix in suffixes[family.type]
    }


def expressions(value: object) -> Iterator[str]:
    """Find the PromQL of a dashboard, or of rules."""
    if isinstance(value, dict):
        if isinstance(value.get("expr"), str):
            yield value["expr"]
        for each in value.values():
            yield from expressions(each)
    elif isinstance(value, list):
        for each in value:
            yield from expressions(each)


def dashboard() -> dict[str, object]:
    loaded: dict[str, object] = json.loads((EXAMPLES / "grafana.json").read_text("utf-8"))
    return loaded


def rules() -> dict[str, list[dict[str, object]]]:
    loaded: dict[str, list[dict[str, object]]] = yaml.safe_load(
        (EXAMPLES / "alerts.yml").read_text("utf-8")
    )
    return loaded


@pytest.mark.parametrize("document", [dashboard(), rules()], ids=["grafana.json", "alerts.yml"])
def test_each_metric_that_is_asked_for_exists(
    series: set[str], document: dict[str, object]
) -> None:
    asked = [name for each in expressions(document) for name in re.findall(r"resolverd_\w+", each)]
    assert asked
    assert set(asked) <= series


def test_the_dashboards_panels_do_not_overlap_and_have_numbers_of_their_own() -> None:
    panels = dashboard()["panels"]
    assert isinstance(panels, list)
    numbers = [panel["id"] for panel in panels]
    assert len(set(numbers)) == len(numbers)
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24


def test_each_alert_says_what_it_means_and_what_to_do() -> None:
    for group in rules()["groups"]:
        assert isinstance(group["rules"], list)
        for rule in group["rules"]:
            assert {"alert", "expr", "for", "labels", "annotations"} == set(rule)
            assert {"summary", "description"} == set(rule["annotations"])
            assert rule["labels"]["severity"] in {"critical", "warning"}


needs_promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="no promtool")


@needs_promtool
def test_promtool_finds_the_alerts_and_the_dashboards_expressions_good(tmp_path: Path) -> None:
    asked = [
        each.replace("$__rate_interval", "5m").replace("$instance", ".*")
        for each in expressions(dashboard())
    ]
    panels = [{"record": f"panel:{number}", "expr": each} for number, each in enumerate(asked)]
    file = tmp_path / "panels.yml"
    file.write_text(json.dumps({"groups": [{"name": "panels", "rules": panels}]}))
    subprocess.run(
        ["promtool", "check", "rules", str(EXAMPLES / "alerts.yml"), str(file)], check=True
    )


@needs_promtool
def test_promtool_finds_the_metrics_good(page: str) -> None:
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=page, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_command_lists_and_prints_the_examples() -> None:
    def told(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "resolverd", "example", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    assert {"config.toml", "grafana.json", "alerts.yml"} <= set(told().stdout.split())
    assert told("config.toml").stdout == CONFIG.read_text("utf-8")
    assert told("nothing").returncode == 1
    assert "config.toml" in told("nothing").stderr
