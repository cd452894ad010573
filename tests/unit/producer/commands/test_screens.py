"""What commands show at a terminal: it fits, and in a pipe it is the same, whole."""

from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.cells import cell_len

from producer.cli import cli
from tests.processes import at_terminal

BAD = """
name: bad
base: {model: "builtin:shapes", prompt: a cat, stpes: 3, seed: "1:30", wdht: 3}
axes: {scheduler: [ddimm], stepz: [3], sedd: [3]}
"""
GOOD = """
name: good
base: {model: "builtin:shapes", prompt: "a (red:1.3) 猫 and [a|b] and __animal__"}
axes:
  seed: {start: 0, count: 50}
  scheduler: [all, "DPM++ 2M SDE Karras"]
"""


def in_a_pipe(*words: object) -> list[str]:
    return CliRunner().invoke(cli, list(map(str, words))).output.splitlines()


def sentences(screen: str, *, indent: int = 2) -> list[str]:
    """Put together again what was wrapped."""
    return screen.replace("\n" + " " * indent, " ").splitlines()


def written(folder: Path, text: str) -> Path:
    file = folder / "sweep.yaml"
    file.write_text(text)
    return file


@pytest.mark.parametrize("columns", [80, 200])
def test_errors_are_wrapped_at_words_with_a_hanging_indent(
    tmp_path: Path, columns: int
) -> None:
    file = written(tmp_path, BAD)

    code, screen = at_terminal("plan", file, columns=columns)

    assert code == 2
    assert max(map(cell_len, screen.splitlines())) <= columns
    whole = in_a_pipe("plan", file)
    assert max(map(cell_len, whole)) > 80
    assert sentences(screen) == whole


def test_warnings_fit_their_terminal_where_the_answer_goes_into_a_pipe(
    tmp_path: Path,
) -> None:
    file = written(tmp_path, GOOD)

    code, screen = at_terminal("plan", file, columns=60, is_piped=True)

    assert code == 0
    assert max(map(cell_len, screen.splitlines())) <= 60
    assert sentences(screen) == [
        line for line in in_a_pipe("plan", file) if line.startswith("Warning: ")
    ]


@pytest.mark.parametrize("columns", [80, 200])
def test_a_plan_fits_the_terminal(tmp_path: Path, columns: int) -> None:
    file = written(tmp_path, GOOD)

    code, screen = at_terminal("plan", file, columns=columns)

    assert code == 0
    assert max(map(cell_len, screen.splitlines())) <= columns
    whole = in_a_pipe("plan", file)
    assert max(map(cell_len, whole)) > 200
    assert "".join(screen.split("Schedulers")[1].split()) == "".join(
        "\n".join(whole).split("Schedulers")[1].split()
    )


def test_what_click_refuses_is_wrapped_too() -> None:
    words = ("run", "sweep.yaml", "--device", "the-first-one-of-this-machine")

    code, screen = at_terminal(*words, columns=60)

    assert code == 2
    assert max(map(cell_len, screen.splitlines())) <= 60
    assert sentences(screen)[-1] == in_a_pipe(*words)[-1]
