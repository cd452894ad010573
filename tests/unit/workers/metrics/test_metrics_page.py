"""What the page on metrics shows is true: its table, and the metric of ten lines."""

import re
from pathlib import Path

import numpy as np
import pytest

from storage.metrics.kinds import KINDS, MetricKind
from storage.metrics.own_classes import ATTRIBUTES
from tests.samples import make_noise, make_sample
from workers.metrics.measuring import measure
from workers.metrics.registry import load

PAGE = (Path(__file__).parents[4] / "docs" / "metrics.md").read_text()


def shown(kind: MetricKind) -> list[str]:
    """Return the cells of a metric's row, but for the range."""
    return [
        "a reference" if kind.needs_reference else "its prompt",
        "higher" if kind.higher_is_better else "lower",
        f"`{kind.needs.default}`" if kind.needs else "none",
    ]


def test_the_page_has_a_row_for_every_metric() -> None:
    rows = re.findall(
        r"^\| `(\w+)` \| ([^|]*) \| (\w+) \| [^|]* \| ([^|]*) \|$", PAGE, re.MULTILINE
    )
    found = {name: cells for name, *cells in rows}
    assert found == {name: shown(kind) for name, kind in KINDS.items()}
    blind = re.findall(r"^\| `(\w+)` \| [^|]* \| [^|]* \|$", PAGE, re.MULTILINE)
    assert set(blind) == set(KINDS)


def test_the_page_names_every_attribute_and_who_rises_with_guidance() -> None:
    missing = [name for name in ATTRIBUTES if f"| `{name}` |" not in PAGE]
    assert missing == []
    rising = " and ".join(
        f"`{k.name}`" for k in KINDS.values() if k.rises_with_guidance
    )
    assert f"**More guidance raises {rising}**" in PAGE


def test_the_metric_of_the_page_works_as_it_stands(tmp_path: Path) -> None:
    block = re.search(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert block is not None
    file = tmp_path / "sharpness.py"
    file.write_text(block[1])
    metric = load(f"{file}:Sharpness", model="", device="cpu")
    assert metric.name == "sharpness"
    noise = make_noise(np.random.default_rng(1))
    flat = np.full((20, 24, 3), 100, np.uint8)
    ramp = np.repeat(np.arange(0, 48, 2, dtype=np.uint8), 3).reshape(1, 24, 3)
    scores = measure(metric, [make_sample(image=each) for each in (noise, flat, ramp)])
    assert scores[1:] == pytest.approx([0, 2])
    assert isinstance(scores[0], float)
    assert scores[0] > 10
