"""Signs of other programs in prompts: plain text here, and a warning says so once."""

from pathlib import Path

import pytest

from producer.expansion.expand import Expansion, read_jobs
from producer.spec.prompt_syntax import find_choices, find_file, find_signs
from storage.errors import SpecError
from tests.unit.cards import describe_fake, write_axes


def expand_axes(folder: Path, axes: str) -> Expansion:
    return read_jobs(write_axes(folder, axes), describe_fake)


SIGNS = {
    "a (cat:1.3) on grass": "a weight such as (cat:1.3)",
    "(cat, dog : .5)": "a weight such as (cat:1.3)",
    "((masterpiece)), cat": "a weight such as (cat:1.3)",
    "[[cat]]": "a weight such as (cat:1.3)",
    "a (red cat)1.4": "a weight such as (cat:1.3)",
    "cat::2 dog": "a weight such as (cat:1.3)",
    "a [cat|dog]": "[a|b]",
    "a [cat:dog:0.5]": "[a:b:0.5]",
    "a [cat:10]": "[a:b:0.5]",
    "a cat BREAK a dog": "BREAK",
    "a cat AND a dog": "AND",
    "a cat <lora:fur:0.8>": "<lora:name:1>",
    "a cat <hypernet:fur:1>": "<hypernet:name:1>",
    "a cat, embedding:bad-hands": "embedding:name",
    "a cat <ti:bad-hands:1>": "embedding:name",
    "a __animal__": "__word__",
    "a __beasts/big cats__": "__word__",
    "a __~animal__": "__word__",
    "{2$$red|green|blue} circle": "2$$",
    "{1-2$$ and $$red|green} circle": "2$$",
    "{0.5::red|0.3::green} star": "0.5::",
    "{@red|blue} ring": "0.5::",
    "{~red|blue} ring": "0.5::",
    "{$$red|blue} dot": "0.5::",
    "cat \\(animal\\)": "a backslash before a bracket",
    "a cat --ar 16:9": "an option such as --ar 3:2",
    "a cat --no dogs": "an option such as --ar 3:2",
    "a [cat::0.5]": "[a:b:0.5]",
    "masterpiece, (best quality), cat": "a weight such as (cat:1.3)",
    "[cat]": "a weight such as (cat:1.3)",
    "cat++ dog--": "a weight such as cat++",
    "a dog--, cat": "a weight such as cat++",
    "(cat)+ dog": "a weight such as cat++",
    "a (red cat)- there": "a weight such as cat++",
    '("a cat", "a dog").and()': ".and()",
    '("a cat", "a dog").blend(0.5, 0.5)': ".and()",
    "a cat.swap(dog)": ".and()",
    "red|blue": "a | outside",
    "a {red|green} cat | dog": "a | outside",
    "a cat\na dog\n": "a text of several lines",
    "a cat, Negative prompt: (bad:1.2)": "the parameters of an image",
    "a cat\nNegative prompt: bad\nSteps: 20, Seed: 1": "the parameters of an image",
    "a cat Steps: 20, Sampler: Euler a, Seed: 1": "the parameters of an image",
}
PLAIN = [
    "a cat (the animal) on grass, 16:9",
    "a (1:2) model of a (red) car (photo:realistic)",
    "a cat [sic] at 10:30, f/1.4, 50mm (wide)",
    "a {cat|dog} and a {red | green} box",
    "BREAKFAST AND coffee-AND-cake".replace(" AND ", " and "),
    "a <b> c, 3 < 4 > 2, $5, a_b, __, C++ -- and a dash - so",
    "{{braces}}; a \\ alone; {{a|b}}",
    "a cat-- or a dog -- (a red one) and [V] dog, 18+ and C++",
    "a cat (sitting), in 3 steps: 20, 30 and 40 cm",
    "a cat\n",
]


@pytest.mark.parametrize(("text", "kind"), SIGNS.items())
def test_a_sign_of_another_program_is_known(text: str, kind: str) -> None:
    (said,) = find_signs(text)
    assert said.startswith(kind)
    assert "plain text here" in said


@pytest.mark.parametrize("text", PLAIN)
def test_a_text_that_is_meant_as_it_stands_is_left_alone(text: str) -> None:
    assert list(find_signs(text)) == []


def test_each_kind_of_sign_is_told_once_for_a_spec(tmp_path: Path) -> None:
    prompts = ", ".join(f"'a (cat:1.{number})'" for number in range(9))
    negative = "negative_prompt: '(bad:1.4)'"
    warnings = expand_axes(
        tmp_path, f"{{prompt: [{prompts}, a BREAK], {negative}}}"
    ).warnings
    assert warnings[0] == (
        "a weight such as (cat:1.3), ((cat)) or [cat] is plain text here and changes "
        "no weight; leave out its signs and its number (10 times): "
        '"a (cat:1.0)" (sweep.yaml line 3); "a (cat:1.1)" (sweep.yaml line 3); '
        '"a (cat:1.2)" (sweep.yaml line 3); and so on'
    )
    assert warnings[1] == (
        'sweep.yaml line 3: prompt "a BREAK": BREAK is plain text here and begins no '
        "new chunk; leave it out"
    )
    assert len(warnings) == 2


def test_signs_in_a_file_of_prompts_are_told_with_their_line(tmp_path: Path) -> None:
    (tmp_path / "prompts.txt").write_text("a cat\n\na <lora:x:1> cat\n")
    warnings = expand_axes(tmp_path, "{prompt: {file: prompts.txt}}").warnings
    (told,) = warnings
    assert told.startswith('prompts.txt line 3: prompt "a <lora:x:1> cat": <lora:name')


@pytest.mark.parametrize("written", ["prompts.txt", "@prompts.txt", "file:prompts.txt"])
def test_the_name_of_a_file_is_told_to_be_read_or_not_to_be_there(
    tmp_path: Path, written: str
) -> None:
    said = (
        f'sweep.yaml line 3: prompt "{written}": the name of a file is plain text '
        "here, and %s; write {file: prompts.txt} for %s"
    )
    (told,) = expand_axes(tmp_path, f"{{prompt: '{written}'}}").warnings
    assert told == said % ("there is no such file", "the lines of one")
    (tmp_path / "prompts.txt").write_text("a cat\n")
    (told,) = expand_axes(tmp_path, f"{{prompt: '{written}'}}").warnings
    assert told == said % ("that file is not read", "its lines")


@pytest.mark.parametrize(
    "text", ["a cat, f/1.4", "a cat.", "St. Ives", "logo of x.com"]
)
def test_a_text_with_a_dot_is_no_files_name(tmp_path: Path, text: str) -> None:
    assert list(find_file(text, tmp_path)) == []


@pytest.mark.parametrize(
    ("written", "way_out"),
    [
        ("{bad|blurred}", "a list under `axes`"),
        ("[bad|blurred]", "a list under `axes`"),
        ("[bad:blurred:0.5]", "a list under `axes`"),
        ("bad | blurred", "a list under `axes`"),
        ("__neg__", "its lines as a list under `axes`"),
        ("{2$$bad|blurred}", "a list under `axes`"),
        ("{0.5::bad|blurred}", "a list under `axes`"),
        ("neg.txt", "the lines of one as a list under `axes`"),
    ],
)
def test_a_negative_prompt_is_never_told_to_have_choices_or_a_file(
    tmp_path: Path, written: str, way_out: str
) -> None:
    told = expand_axes(tmp_path, f"{{negative_prompt: ['{written}', bad]}}").warnings
    assert told
    assert {each.rpartition("; write ")[2] for each in told} == {way_out}


@pytest.mark.parametrize("written", ["{file: neg.txt}", "{bad|blurred}"])
def test_a_negative_prompt_that_is_a_mapping_is_told_all_it_may_be(
    tmp_path: Path, written: str
) -> None:
    with pytest.raises(SpecError, match=r"got a mapping; put quotes .* under `axes`$"):
        expand_axes(tmp_path, f"{{negative_prompt: {written}}}")


def test_choices_in_a_negative_prompt_are_told_to_be_none(tmp_path: Path) -> None:
    (told,) = expand_axes(
        tmp_path, "{negative_prompt: ['{bad|blurred}', bad]}"
    ).warnings
    assert "{a|b} is plain text in a negative prompt and makes no second one" in told


def test_a_text_that_cannot_be_a_path_is_no_files_name(tmp_path: Path) -> None:
    assert list(find_file("a" * 300 + ".txt", tmp_path)) == []
    assert list(find_file("é" * 190 + ".txt", tmp_path)) == []


@pytest.mark.parametrize(
    "text",
    [
        "(" + "a" * 100_000,
        "{" + "|" * 100_000,
        "a (" + " " * 100_000 + "b",
        "a" * 100_000 + "+",
        "(a:" + "1" * 100_000,
        "[" + "a:" * 50_000,
    ],
)
def test_the_longest_text_is_searched_in_one_go(text: str) -> None:
    assert len([*find_signs(text), *find_choices(text)]) <= 1
