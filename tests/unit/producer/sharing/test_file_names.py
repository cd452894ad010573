"""Names of exported files are readable, safe on every system, and each one's own."""

import pytest

from producer.sharing.file_names import MOST_BYTES, Names, Template, safe_name
from storage.errors import UsageError

FAMILY = "\N{WOMAN}\u200d\N{WOMAN}\u200d\N{GIRL} at home"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("a red fox", "a red fox"),
        ("a/b\\c", "a_b_c"),
        ('<a> "b" c:d|e?f*', "_a_ _b_ c_d_e_f_"),
        ("two\nlines\x00", "two_lines_"),
        ("the end. . ", "the end"),
        ("CON", "_CON"),
        ("nul.txt", "_nul.txt"),
        ("com¹", "_com¹"),
        ("console", "console"),
        ("..", "_"),
        ("", "_"),
        (".hidden", "_.hidden"),
        ("-rf", "_-rf"),
        ("cafe\u0301", "caf\u00e9"),
        ("\u202egnp.exe", "gnp.exe"),
        (FAMILY, FAMILY),
    ],
)
def test_a_name_is_safe_on_every_system(text: str, name: str) -> None:
    assert safe_name(text) == name


@pytest.mark.parametrize("letter", ["x", "\u00e9", "\u4e2d", "\N{GRINNING FACE}"])
def test_a_long_name_is_cut_between_letters(letter: str) -> None:
    name = safe_name(letter * 1000)
    assert set(name) == {letter}
    assert MOST_BYTES - 4 < len(name.encode()) <= MOST_BYTES


def test_values_are_written_as_the_template_says() -> None:
    template = Template("{prompt:.5}/{steps:03d}-{guidance}-{seed}-{eta}-{strict}")
    row = {
        "prompt": "a/b fox",
        "steps": 8,
        "guidance": 7.0,
        "seed": 2**62,
        "eta": None,
        "strict": True,
    }
    assert str(template.name(row)) == f"a_b f/008-7-{2**62}-none-yes"


def test_a_column_may_have_its_other_name() -> None:
    template = Template("{total_s:.1f}")
    assert [column.name for column in template.columns] == ["time"]
    assert str(template.name({"time": 1.25})) == "1.2"


def test_images_of_one_name_are_told_apart_by_their_keys() -> None:
    names = Names(Template("{prompt}"))
    assert names.give("a" * 32, {"prompt": "Stra\u00dfe"}) == "Stra\u00dfe.png"
    # Equal where case does not count.
    assert names.give("b" * 32, {"prompt": "STRASSE"}) == "STRASSE-bbbbbbbb.png"
    assert names.give("b" * 31 + "c", {"prompt": "strasse"}) == (
        f"strasse-{'b' * 31}c.png"
    )


def test_one_name_written_in_two_ways_is_one_name() -> None:
    names = Names(Template("{prompt}"))
    names.give("a" * 32, {"prompt": "caf\u00e9"})
    assert names.give("b" * 32, {"prompt": "CAFE\u0301"}).endswith("-bbbbbbbb.png")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{promt}", "columns of images, which are key, sweep, "),
        ("{promt}", "and score.METRIC, but promt is none, got '{promt}'"),
        ("{seed", "Python's formats, but expected '}' before end of string"),
        ("{}", "columns between braces, such as {seed}, got '{}'"),
        ("{seed!r}", "columns between braces"),
        ("../{seed}", "folders and a file with names of their own, got '../{seed}'"),
        ("/{seed}", "folders and a file with names of their own"),
        ("{seed}/", "folders and a file with names of their own"),
        ("", "folders and a file with names of their own"),
    ],
)
def test_a_template_that_cannot_be_read_is_refused(text: str, said: str) -> None:
    with pytest.raises(UsageError) as refused:
        Template(text)
    assert said in str(refused.value)


def test_a_value_that_does_not_fit_the_template_is_told() -> None:
    with pytest.raises(UsageError, match="a format that seed can have, but 3 gives"):
        Template("{seed:.40}").name({"seed": 3})
