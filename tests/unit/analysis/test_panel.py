"""Rows become panels, whatever their order."""

import math
import tracemalloc

import numpy as np
import pytest

from analysis.panel import Panel, average_seeds
from storage.errors import UsageError
from tests.panels import make_panel

ROWS = [
    ("a fox", 0, "ddim", 1.0),
    ("a fox", 1, "ddim", 2.0),
    ("a fox", 0, "euler", 3.0),
    ("a cat", 1, "ddim", 4.0),
    ("a cat", 10, "euler", 5.0),
]


def read(rows: list) -> Panel:
    return Panel.from_rows(rows, metric="clip", higher_is_better=True)


def test_every_value_has_its_place_and_the_others_are_missing() -> None:
    panel = read(ROWS)
    assert panel.prompts == ("a cat", "a fox")
    assert panel.seeds == (0, 1, 10)
    assert panel.settings == ("ddim", "euler")
    nan = math.nan
    np.testing.assert_array_equal(
        panel.values,
        [
            [[nan, nan], [4.0, nan], [nan, 5.0]],
            [[1.0, 3.0], [2.0, nan], [nan, nan]],
        ],
    )


def test_the_order_of_rows_does_not_move_prompts_and_seeds() -> None:
    panel = read(ROWS[::-1])
    assert (panel.prompts, panel.seeds) == (read(ROWS).prompts, read(ROWS).seeds)
    np.testing.assert_array_equal(panel.of("euler"), read(ROWS).of("euler"))


def test_labels_of_several_types_are_sorted_too() -> None:
    rows = [("x", seed, "ddim", 1.0) for seed in ("b", 10, 9, "a")]
    assert read(rows).seeds == (9, 10, "a", "b")


def test_rows_without_a_value_leave_no_trace() -> None:
    rows = [*ROWS, ("a dog", 5, "heun", None), ("a dog", 6, "lms", math.nan)]
    panel = read(rows)
    assert (panel.prompts, panel.settings) == (read(ROWS).prompts, ("ddim", "euler"))


def test_two_values_for_one_place_are_refused() -> None:
    with pytest.raises(UsageError) as caught:
        read([*ROWS, ("a fox", 1, "ddim", 2.0)])
    assert str(caught.value) == (
        "one prompt and seed must have one value of clip for each setting, but prompt "
        "'a fox', seed 1, setting ddim has two; narrow the query, or compare by more "
        "columns."
    )


def test_the_first_of_several_wrong_rows_is_named() -> None:
    infinite = ("a fox", 7, "ddim", math.inf)
    with pytest.raises(UsageError, match="seed 7, setting ddim is infinite"):
        read([*ROWS, infinite, ROWS[2]])
    with pytest.raises(UsageError, match="seed 0, setting euler has two"):
        read([*ROWS, ROWS[2], infinite])


def test_a_row_takes_a_few_bytes() -> None:
    rows = ((f"{n % 50}", n // 2500, f"{n // 50 % 50}", n / 7) for n in range(50_000))
    tracemalloc.start()
    assert read(rows).values.shape == (50, 20, 50)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100 * 50_000


def test_an_infinite_value_is_refused() -> None:
    with pytest.raises(UsageError) as caught:
        read([("a fox", 0, "ddim", math.inf)])
    assert str(caught.value) == (
        "a value of clip must be a finite number, but that of prompt 'a fox', seed 0, "
        "setting ddim is infinite; choose another metric."
    )


def test_a_setting_without_values_is_refused() -> None:
    with pytest.raises(UsageError) as caught:
        read(ROWS).of("heun")
    assert str(caught.value) == (
        "a setting must have values of clip, but heun has none; score its images "
        "first, or choose another setting."
    )


def test_seeds_are_averaged_as_far_as_they_are_there() -> None:
    nan = math.nan
    panel = make_panel([[[1.0], [3.0]], [[5.0], [nan]], [[nan], [nan]]])
    np.testing.assert_array_equal(average_seeds(panel.values), [[2.0], [5.0], [nan]])
