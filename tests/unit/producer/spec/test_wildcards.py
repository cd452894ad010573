"""Wildcards: every line of a file is a choice, and what cannot be one is refused."""

from pathlib import Path

import pytest

from producer.expansion.expand import read_jobs
from producer.spec.parameters import Prompt
from producer.spec.sweepfile import Spec, read_spec
from storage.errors import SpecError
from tests.unit.cards import describe_fake, write_axes


def write_wildcards(folder: Path, **lines: str) -> None:
    for name, text in lines.items():
        file = folder / "wild" / f"{name.replace('__', '/')}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")


def read_prompts(folder: Path, prompts: str, rest: str = "wildcards: wild") -> Spec:
    return read_spec(write_axes(folder, f"{{prompt: {prompts}}}", rest=rest))


def prompts_of(spec: Spec) -> list[Prompt]:
    (axis,) = spec.axes
    return [value.sets["prompt"] for value in axis.values]


def texts_of(folder: Path, prompts: str) -> list[str]:
    return [prompt.text for prompt in prompts_of(read_prompts(folder, prompts))]


def problems_of(folder: Path, prompts: str, rest: str = "wildcards: wild") -> list[str]:
    with pytest.raises(SpecError) as caught:
        read_prompts(folder, prompts, rest)
    return [str(problem) for problem in caught.value.problems]


def test_every_line_of_a_wildcard_is_a_choice(tmp_path: Path) -> None:
    write_wildcards(tmp_path, colour="\ufeff# colours\nred\r\n\n  green  \nred\n")

    spec = read_prompts(tmp_path, "'a __colour__ {cat|dog}'")

    template = "a __colour__ {cat|dog}"
    assert prompts_of(spec) == [
        Prompt("a red cat", template, ("red", "cat")),
        Prompt("a red dog", template, ("red", "dog")),
        Prompt("a green cat", template, ("green", "cat")),
        Prompt("a green dog", template, ("green", "dog")),
    ]
    assert spec.remarks == ()


def test_the_choices_of_wildcards_are_axes_of_the_grid(tmp_path: Path) -> None:
    write_wildcards(tmp_path, colour="red\ngreen\n", beast="cat\n")
    file = write_axes(
        tmp_path, "{prompt: 'a __colour__ __beast__'}", rest="wildcards: wild"
    )

    cells = [one.cell for one in read_jobs(file, describe_fake).jobs()]

    assert cells == [
        {"prompt": "a red cat", "prompt.1": "red", "prompt.2": "cat"},
        {"prompt": "a green cat", "prompt.1": "green", "prompt.2": "cat"},
    ]


def test_wildcards_are_in_folders_and_patterns_name_several(tmp_path: Path) -> None:
    write_wildcards(
        tmp_path, animals__cat="lion\ntiger\n", animals__dog="wolf\nlion\n", hat="cap\n"
    )

    assert texts_of(tmp_path, "__animals/cat__") == ["lion", "tiger"]
    assert texts_of(tmp_path, "__animals/*__") == ["lion", "tiger", "wolf"]
    assert texts_of(tmp_path, "__*__") == ["lion", "tiger", "wolf", "cap"]


def test_lines_and_choices_may_hold_choices_and_wildcards(tmp_path: Path) -> None:
    write_wildcards(
        tmp_path, pet="a {big|small} cat\na __colour__ dog\n", colour="red\ngreen\n"
    )

    pets = ["a big cat", "a small cat", "a red dog", "a green dog"]
    assert texts_of(tmp_path, "__pet__") == pets
    assert texts_of(tmp_path, "'{__pet__|a __colour__ bird|}!'") == [
        *(f"{pet}!" for pet in pets),
        *("a red bird!", "a green bird!", "!"),
    ]
    (first, *_) = prompts_of(read_prompts(tmp_path, "'{__pet__|none} here'"))
    assert first.choices == ("a big cat",)


def test_files_of_prompts_may_hold_wildcards(tmp_path: Path) -> None:
    write_wildcards(tmp_path, colour="red\ngreen\n")
    (tmp_path / "p.txt").write_text("a __colour__ cat\n", encoding="utf-8")
    assert texts_of(tmp_path, "{file: p.txt}") == ["a red cat", "a green cat"]


def test_without_wildcards_the_text_stays_and_a_warning_says_so(tmp_path: Path) -> None:
    write_wildcards(tmp_path, colour="red\ngreen\n")

    spec = read_prompts(tmp_path, "a __colour__ cat", rest="")

    assert prompts_of(spec) == [Prompt("a __colour__ cat")]
    (remark,) = spec.remarks
    assert remark.kind == (
        "__word__ is plain text here and stands for no file; name the folder of its "
        "file as `wildcards`, or write its lines as {a|b}"
    )


def test_weights_in_lines_are_told_to_be_text_with_their_place(tmp_path: Path) -> None:
    write_wildcards(tmp_path, colour="red\n(green:1.2)\n")

    spec = read_prompts(tmp_path, "[a __colour__ cat, a __colour__ dog]")

    (remark,) = spec.remarks
    assert remark.sentence.startswith(
        'colour.txt line 2: prompt "(green:1.2)": a weight such as (cat:1.3)'
    )


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ("a __colr__ cat", "a wildcard must be a file of {wild}, got `__colr__` and no "
         "colr.txt; did you mean `colour`?"),
        ("a __@colour__ cat", "a wildcard must be a file of {wild}, got `__@colour__` "
         "and no @colour.txt; did you mean `colour`?"),
        ("a __../secret__ cat", "a wildcard must be a file of {wild}, got "
         "`__../secret__` and no ../secret.txt; known are colour, empty, loop, weight "
         "and wrong"),
        ("a __z*__ cat", "a wildcard must be a file of {wild}, got `__z*__` and no "
         "z*.txt; known are colour, empty, loop, weight and wrong"),
        ("a __empty__ cat", "a wildcard must stand for at least one line, got none for "
         "`__empty__`; write one choice a line"),
        ("__loop__", "loop.txt line 1: a wildcard must not stand inside itself, got "
         "`__loop__` again; write its lines out"),
        ("__weight__", "weight.txt line 1: a line of a wildcard file must have no "
         "weight, got 3::red; leave its number and `::` out, since every line makes a "
         "prompt"),
        ("__wrong__", "wrong.txt line 2: a `}` has no `{` before it, got a } dog; write"
         " }} for a plain brace"),
        ("'{2$$red|green}'", "choices must not be combined by 2$$, got {2$$red|green}; "
         "spell each combination out, as in {a, b|a, c|b, c}"),
        ("'{0.5::red|green}'", "a choice must have no 0.5::, @, ~, ! or $$ before it, "
         "got {0.5::red|green}; leave them out, since {a|b} makes a prompt of each"),
        ("__lo*__", "loop.txt line 1: loop.txt line 1: a wildcard must not stand "
         "inside itself, got `__loop__` again; write its lines out"),
    ],
)  # fmt: skip
def test_what_cannot_be_a_choice_is_refused(
    tmp_path: Path, prompt: str, message: str
) -> None:
    write_wildcards(
        tmp_path,
        colour="red\n",
        empty="# none\n",
        loop="a __loop__\n",
        weight="3::red\n",
        wrong="a cat\na } dog\n",
    )
    (tmp_path / "secret.txt").write_text("secret\n")
    wild = str(tmp_path / "wild")
    expected = message.replace("{wild}", wild)
    assert problems_of(tmp_path, prompt) == [f"sweep.yaml line 3: {expected}"]


def test_too_many_choices_are_refused_before_they_are_made(tmp_path: Path) -> None:
    write_wildcards(tmp_path, n="\n".join(map(str, range(99))))
    rest = "wildcards: wild\nlimits: {max_jobs: 98}"
    (problem,) = problems_of(tmp_path, "__n__", rest)
    assert problem.endswith(
        "a wildcard must stand for at most 98 texts (limits.max_jobs), got more for "
        "`__n__`; name a shorter file or raise the limit"
    )
    many = " ".join(["__n__"] * 6)
    (problem,) = problems_of(tmp_path, many)
    assert "must give at most 100000 prompts (limits.max_jobs), got 941480149401" in (
        problem
    )


def test_a_folder_of_wildcards_must_be_there(tmp_path: Path) -> None:
    assert problems_of(tmp_path, "a __colour__ cat", "wildcards: none") == [
        f"sweep.yaml line 3: wildcards must be a folder, got {tmp_path}/none; name the "
        "folder of the files, such as that of colour.txt"
    ]
    assert problems_of(tmp_path, "a cat", "wildcards: ~no-such-user/a") == [
        "sweep.yaml line 4: wildcards must be a folder that can be read, got "
        "~no-such-user/a (nobody has that home directory); check the path"
    ]
