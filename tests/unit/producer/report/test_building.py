"""The content of a report on a real store with real image files."""

from pathlib import Path
from typing import Any

import pytest

from analysis.conclusion import EVALUATIONS
from analysis.settings import setting_of
from analysis.trade_off import TradeOff, read_panel, weigh
from producer.report.building import Source, ask, build
from producer.report.content import Content
from storage.store import Store
from tests.unit.producer.report.scored_store import BY, make_scored, score_of


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(make_scored(tmp_path_factory.mktemp("report")))


def _rows(store: Store) -> list[dict[str, Any]]:
    rows = [dict(row) for row in store.find(sweep="answer")]
    for row in rows:
        score = score_of(
            row["prompt"], row["seed"], name=row["scheduler"], steps=row["steps"]
        )
        row["score"] = score if row["state"] == "done" else None
    return rows


def _weigh(rows: list[dict[str, Any]]) -> TradeOff:
    panel = read_panel(rows, by=BY, metric="clip", higher_is_better=True)
    costs = {setting_of(row, BY): float(row["evaluations"]) for row in rows}
    return weigh(panel, costs)  # type: ignore[arg-type]


def _build(store: Store, **changes: Any) -> Content:
    rows = _rows(store)
    values: dict[str, Any] = {
        "title": "answer",
        "rows": rows,
        "by": BY,
        "cost": EVALUATIONS,
        "images": store.settings.images,
        "details": ['{"torch": "2.13.0"}'],
        "spec": "name: answer",
        "commands": ["nightsweep report answer"],
    }
    return build(Source(**{**values, **changes}), _weigh(rows))


def test_the_question_names_what_is_compared() -> None:
    assert ask(BY) == "Which scheduler, and how many steps?"
    assert ask(("guidance",)) == "Which guidance?"
    assert ask(("scheduler", "steps", "width")) == (
        "Which scheduler, how many steps, and which width?"
    )


def test_every_setting_has_an_example_to_point_at(store: Store) -> None:
    content = _build(store)

    points = content.charts[0].spec["data"]["values"]
    assert len(points) == 4
    assert all(
        point["picture"].startswith("data:image/webp;base64,") for point in points
    )


def test_no_image_is_read_aloud_letter_by_letter(store: Store) -> None:
    trade_off, curves, *_ = _build(store).charts

    texts = [point["text"] for point in trade_off.spec["data"]["values"]]
    assert "unipc at 2 steps: 0.778 for 2 evaluations, on the front" in texts
    marks = trade_off.spec["layer"][2]["encoding"]
    assert marks["description"] == {"field": "text"}
    line = curves.spec["spec"]["layer"][-1]["encoding"]
    assert line["description"] == {"field": "text"}
    assert curves.spec["data"]["values"][0]["text"].startswith("ddim at 2 steps: 0.")


def test_the_grid_shows_the_settings_that_the_answer_names(store: Store) -> None:
    grid = _build(store).grid

    assert grid is not None
    assert [column.partition(" (")[2] for column in grid.columns][-1] == "the cheapest)"
    assert "the best by clip)" in [column.partition(" (")[2] for column in grid.columns]
    assert len(grid.rows) == 4
    assert all(picture for row in grid.rows for picture in row.pictures)


def test_the_table_has_every_setting_the_cheapest_first(store: Store) -> None:
    table = _build(store).charts[0].table

    assert [row[1] for row in table.rows] == ["2", "2", "20", "20"]
    assert len(table.marked) == 1


def test_what_is_not_done_is_counted(store: Store) -> None:
    content = _build(store)

    assert content.coverage.columns == ("series", "images", "done", "failed", "pending")
    assert {row[0]: row[1:] for row in content.coverage.rows} == {
        "ddim": ("48", "47", "1", "0"),
        "unipc": ("48", "46", "0", "2"),
    }
    assert content.failures is not None
    assert [row[:2] for row in content.failures.rows] == [("1", "latents are NaN")]


def test_curves_have_one_chart_for_each_scheduler(store: Store) -> None:
    curves = _build(store).charts[1]

    assert curves.name == "curves"
    points = curves.spec["data"]["values"]
    assert {point["series"] for point in points} == {"ddim", "unipc"}
    assert all(point["low"] < point["score"] < point["high"] for point in points)


def test_the_phases_are_named_in_two_columns_which_fit_a_phone(store: Store) -> None:
    times = _build(store).charts[-1]

    assert times.name == "times"
    assert times.spec["encoding"]["color"]["legend"]["columns"] == 2


def test_pictures_that_are_gone_leave_an_honest_page(
    store: Store, tmp_path: Path
) -> None:
    content = _build(store, images=tmp_path)

    assert content.grid is None
    points = content.charts[0].spec["data"]["values"]
    assert {point["picture"] for point in points} == {None}


def test_several_gpus_are_said_and_their_times_are_not_compared(store: Store) -> None:
    rows = [{**row, "gpu": "H100" if row["seed"] else "H200"} for row in _rows(store)]

    content = _build(store, rows=rows)

    assert [chart.name for chart in content.charts] == ["trade-off", "curves"]
    assert (
        "Images were made on H100, H200, so times are not compared; evaluations are "
        "the same on each."
    ) in content.caveats


def test_what_made_the_images_is_listed(store: Store) -> None:
    environment = dict(_build(store).environment)

    assert environment["gpu"] == "CPU"
    assert environment["torch"] == "2.13.0"
    assert environment["model"] == "builtin:shapes"
