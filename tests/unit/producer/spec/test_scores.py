"""The section `scores` of a sweep file."""

from pathlib import Path

import pytest

from producer.spec.scores import ScoreEntry
from producer.spec.sweepfile import read_spec
from storage.errors import SpecError


def scores_of(tmp_path: Path, text: str) -> list[tuple[str, str | None, int | None]]:
    return [(it.metric, it.model, it.steps) for it in read_all(tmp_path, text)]


def read_all(tmp_path: Path, text: str) -> tuple[ScoreEntry, ...]:
    file = tmp_path / "sweep.yaml"
    file.write_text(f"name: s\nbase: {{model: m, prompt: p}}\nscores: {text}\n")
    return read_spec(file).scores


def problem_of(tmp_path: Path, text: str) -> str:
    with pytest.raises(SpecError) as caught:
        read_all(tmp_path, text)
    (problem,) = caught.value.problems
    return str(problem)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("clip", [("clip", None, None)]),
        ("[clip, rmse, clip]", [("clip", None, None), ("rmse", None, None)]),
        ("['mine.metrics:Sharp']", [("mine.metrics:Sharp", None, None)]),
        (
            "[{metric: rmse, reference: {steps: 100}}, rmse]",
            [("rmse", None, 100), ("rmse", None, None)],
        ),
        ("{metric: clip, model: ./my-clip}", [("clip", "./my-clip", None)]),
    ],
)
def test_scores_are_names_or_mappings_each_once(
    tmp_path: Path, text: str, found: object
) -> None:
    assert scores_of(tmp_path, text) == found


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "[rsme]",
            "sweep.yaml line 3: a score must be a metric, or a class as package:Class, "
            "got rsme; did you mean `rmse`?",
        ),
        (
            "[{model: x}]",
            "sweep.yaml line 3: a score must have a metric, got a mapping without "
            "`metric`; add it",
        ),
        (
            "[{metric: rmse, reference: {steps: 3}}]",
            "sweep.yaml line 3: steps must be an integer from 4 to 1000, got 3; choose "
            "one in that range",
        ),
        (
            "[{metric: rmse, refrence: {steps: 8}}]",
            "sweep.yaml line 3: a score has no key `refrence`; did you mean "
            "`reference`?",
        ),
    ],
)
def test_a_wrong_score_is_named_with_its_line(
    tmp_path: Path, text: str, said: str
) -> None:
    assert problem_of(tmp_path, text) == said
