"""How a query goes on while it is typed, its terms, and what is wrong with it."""

from typing import Any

import pytest

from gallery.completion import complete
from storage.sql.database import Database
from tests.builders import make_planned
from tests.unit.filled_store import plan
from tests.unit.gallery.test_pivot import FOX, KOREAN, submit

pytestmark = pytest.mark.databases("sqlite", "postgresql")


@pytest.fixture
def filled(database: Database) -> Database:
    """The sweeps `one`, of 12 images by three schedulers, and `two day`."""
    axes = {"scheduler": ("ddim", "heun", "euler"), "steps": (4, 20), "seed": (0, 1)}
    submit(database, plan(axes, prompt=FOX)[1:], "one")
    submit(database, plan({"seed": (7, 8)}, prompt=KOREAN), "two")
    return database


def ask(database: Database, typed: str) -> dict[str, Any]:
    """Complete a text at the sign `|` in it."""
    before, _, after = typed.partition("|")
    return complete(database, before + after, len(before))


def texts(database: Database, typed: str) -> list[str]:
    return [each["text"] for each in ask(database, typed)["options"]]


def accepted(database: Database, typed: str, option: str) -> str:
    """Return the query once an option was taken."""
    found = ask(database, typed)
    assert option in [each["text"] for each in found["options"]]
    text = typed.replace("|", "")
    return text[: found["from"]] + option + text[found["to"] :]


def test_an_empty_query_goes_on_with_sweeps_and_columns(filled: Database) -> None:
    found = texts(filled, "|")
    assert found[:4] == ["two", "one", "key:", "sweep:"]
    assert len(found) == 20
    assert texts(filled, "one |")[:2] == ["two", "key:"]
    assert "two" not in texts(filled, "steps:4 |")


def test_a_word_goes_on_with_what_begins_with_it_and_then_with_what_has_it(
    filled: Database,
) -> None:
    assert texts(filled, "st|") == ["steps:", "strength:", "strict:", "state:", "host:"]
    assert texts(filled, "one -sch|") == [
        "scheduler:",
        "schedule:",
        "cell.scheduler:",
    ]
    assert accepted(filled, "one -sch|", "scheduler:") == "one -scheduler:"
    assert accepted(filled, "te|eps:4 seed:1", "template:") == "template:4 seed:1"
    assert "call.true_cfg_scale:" in texts(filled, "call.true|")


def test_values_are_those_of_the_images_so_far_the_most_frequent_first(
    filled: Database,
) -> None:
    found = ask(filled, "scheduler:|")["options"]
    assert found[0] == {"text": "scheduler:ddim", "about": "5 images"}
    assert {each["text"]: each["about"] for each in found[1:3]} == {
        "scheduler:heun": "4 images",
        "scheduler:euler": "4 images",
    }
    assert texts(filled, "two scheduler:|")[:2] == ["scheduler:ddim", "scheduler:*"]
    found_here = texts(filled, "one scheduler:EU|")
    assert found_here == ["scheduler:euler", "scheduler:heun"]
    assert accepted(filled, "one scheduler:he|", "scheduler:heun") == (
        "one scheduler:heun"
    )
    assert texts(filled, "state:|")[:2] == ["state:pending", "state:leased"]
    assert texts(filled, "sweep:t|") == ["sweep:two"]
    assert texts(filled, "strict:|")[0] == "strict:no"


def test_further_values_of_a_term_replace_only_themselves(filled: Database) -> None:
    assert accepted(filled, "one steps:4,| seed:1", "20") == "one steps:4,20 seed:1"
    typed = 'scheduler:"ddim",h|xx,euler'
    assert accepted(filled, typed, "heun") == 'scheduler:"ddim",heun,euler'


def test_texts_of_prompts_are_quoted(filled: Database) -> None:
    wanted = 'prompt:"눈 속의 빨간 여우, 수채화"'
    assert texts(filled, "prompt:여우|") == [wanted]
    assert accepted(filled, 'seed:7 prompt:"빨간 여|', wanted) == f"seed:7 {wanted}"
    assert texts(filled, "one prompt:여우|") == []


def test_numbers_and_dates_have_signs_too(filled: Database) -> None:
    assert texts(filled, "one steps:|") == [
        *("steps:20", "steps:4", "steps:<=", "steps:>=", "steps:<", "steps:>"),
        "steps:*",
    ]
    assert texts(filled, "steps:<|") == ["steps:<=", "steps:<"]
    assert texts(filled, "time:|")[0] == "time:<="
    assert texts(filled, "submitted:|")[0].startswith("submitted:20")
    assert "steps:<=" not in texts(filled, "model:|")


def test_axes_of_the_named_sweep_are_columns_with_their_labels(
    filled: Database,
) -> None:
    assert texts(filled, "one cell.s|") == [
        *("cell.scheduler:", "cell.steps:", "cell.seed:")
    ]
    assert texts(filled, "one cell.steps:|")[:2] == ["cell.steps:20", "cell.steps:4"]
    assert texts(filled, "cell.|") == []


def test_terms_have_their_places_up_to_a_mistake(filled: Database) -> None:
    text = f'one  -scheduler:ddim,"heun" "{FOX}" steps:many seed:1'
    found = complete(filled, text, 0)
    assert [text[each["start"] : each["end"]] for each in found["terms"]] == [
        *("one", '-scheduler:ddim,"heun"', f'"{FOX}"')
    ]
    assert found["terms"][1] == {
        "text": '-scheduler:ddim,"heun"',
        "start": 5,
        "end": 27,
    }
    assert text[found["error_start"] : found["error_end"]] == "many"
    assert found["error"].startswith("steps must be a number or a range")
    assert "\n" not in found["error"]


@pytest.mark.parametrize(
    ("text", "terms", "said"),
    [
        ("", [], None),
        ("  ", [], None),
        ("steps:4 seed:0", ["steps:4", "seed:0"], None),
        ('one "red fox', ["one"], "a quote must be closed"),
        ("sweep:on", ["sweep:on"], "sweep must be one that was submitted, got 'on'"),
        ("scheduler:nope", ["scheduler:nope"], "scheduler must be a name"),
        ("score.clip:1", ["score.clip:1"], "a score must be of a metric"),
        ("steps<4 seed:1", [], "a column must be followed by a colon"),
    ],
)
def test_what_is_wrong_is_one_sentence(
    filled: Database, text: str, terms: list[str], said: str | None
) -> None:
    found = complete(filled, text, len(text))
    assert [each["text"] for each in found["terms"]] == terms
    if said is None:
        assert found["error"] is None
    else:
        assert said in found["error"]


def test_any_place_in_any_text_has_an_answer(database: Database) -> None:
    submit(database, [make_planned()])
    text = 'night -"a \\"b" x:,y (a,b call.x:1 cell.:2 steps:4,,"5 \n눈'
    for cut in range(len(text) + 1):
        for at in (0, cut // 2, cut, cut + 5, -1):
            found = complete(database, text[:cut], at)
            assert 0 <= found["from"] <= found["to"] <= cut
