"""The files in `deploy/` are true: their metrics exist, and promtool accepts them."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from producer.commands.metrics_export import PORT
from producer.monitoring.exposition import exposed
from producer.monitoring.figures import Figures
from storage.sql.database import Database

ROOT = Path(__file__).parents[3]
PROMETHEUS = ROOT / "deploy/prometheus"
RULES = PROMETHEUS / "nightsweep-rules.yml"
DASHBOARD = ROOT / "deploy/grafana/nightsweep.json"
PAGE = ROOT / "docs/monitoring.md"
#: What only some file systems have.
OPTIONAL = "nightsweep_image_disk_free_inodes"


def named_in(file: Path) -> set[str]:
    return set(re.findall(r"\bnightsweep_\w+", file.read_text()))


def promtool(*words: str) -> None:
    if not shutil.which("promtool"):
        pytest.skip("there is no promtool; install the package prometheus")
    done = subprocess.run(
        ["promtool", *words], cwd=PROMETHEUS, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("file", [RULES, DASHBOARD, PAGE], ids=lambda file: file.name)
def test_every_metric_that_a_file_names_is_exported(
    file: Path, database: Database, tmp_path: Path
) -> None:
    exported = {family.name for family in Figures(tmp_path).read(database)}
    assert named_in(file) <= exported | {OPTIONAL}
    assert named_in(file)


def test_the_page_names_every_metric_and_alert(
    database: Database, tmp_path: Path
) -> None:
    exported = {family.name for family in Figures(tmp_path).read(database)}
    assert exported <= named_in(PAGE)
    alerts = re.findall(r"alert: (\w+)", RULES.read_text())
    assert re.findall(r"^\| `(Nightsweep\w+)`", PAGE.read_text(), re.M) == alerts


def test_prometheus_accepts_the_config_and_the_rules() -> None:
    assert f"127.0.0.1:{PORT}]" in (PROMETHEUS / "prometheus.yml").read_text()
    promtool("check", "config", "prometheus.yml")


def test_the_alerts_fire_when_they_should_and_only_then() -> None:
    promtool("test", "rules", "nightsweep-rules-test.yml")


def test_prometheus_accepts_the_metrics(database: Database, tmp_path: Path) -> None:
    if not shutil.which("promtool"):
        pytest.skip("there is no promtool; install the package prometheus")
    done = subprocess.run(
        ["promtool", "check", "metrics"],
        input=exposed(Figures(tmp_path).read(database)),
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_prometheus_accepts_the_questions_of_the_dashboard(tmp_path: Path) -> None:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    asked = [one["expr"] for panel in panels for one in panel["targets"]]
    rules = [
        {"record": f"n{number}", "expr": expr.replace("$__rate_interval", "1m")}
        for number, expr in enumerate(asked)
    ]
    file = tmp_path / "asked.yml"
    file.write_text(json.dumps({"groups": [{"name": "asked", "rules": rules}]}))
    promtool("check", "rules", str(file))


def test_the_dashboard_has_panels_that_do_not_overlap() -> None:
    panels: list[dict[str, Any]] = json.loads(DASHBOARD.read_text())["panels"]
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    assert len({panel["id"] for panel in panels}) == len(panels)
