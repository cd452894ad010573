"""A user's own metric: found in a package, in a file, or by an entry point."""

import sys
from pathlib import Path

import pytest

from storage.errors import MetricError
from storage.metrics.identity import find_kind
from storage.metrics.kinds import KINDS, MetricKind
from workers.metrics.registry import load

SHARPNESS = """\
class Sharpness:
    name = "sharpness"
    version = "2"
    higher_is_better = True
    needs_reference = False
    batch_size = 8

    def __init__(self, device):
        self.device = device

    def score(self, samples):
        return [1.0 for _ in samples]
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the file of the module `own_metrics`, which is importable."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "own_metrics", raising=False)
    file = tmp_path / "own_metrics.py"
    file.write_text(SHARPNESS)
    return file


def offer(folder: Path, package: str, *lines: str) -> None:
    """Lay out an installed package that offers metrics."""
    info = folder / f"{package}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n"
    )
    (info / "entry_points.txt").write_text("\n".join(["[nightsweep.metrics]", *lines]))


def refused(source: str) -> str:
    with pytest.raises(MetricError) as raised:
        find_kind(source)
    return str(raised.value)


def test_a_class_of_a_package_is_a_metric(package: Path) -> None:
    source = "own_metrics:Sharpness"
    assert find_kind(source) == MetricKind(
        name="sharpness",
        version="2",
        higher_is_better=True,
        needs_reference=False,
        source=source,
    )
    metric = load(source, model="", device="cpu")
    assert (metric.name, metric.batch_size, vars(metric)) == (
        "sharpness",
        8,
        {"device": "cpu"},
    )


def test_a_class_in_a_file_is_a_metric_wherever_the_caller_is(tmp_path: Path) -> None:
    (tmp_path / "my metric.py").write_text(SHARPNESS)
    kind = find_kind("./my metric.py:Sharpness", base_dir=tmp_path)
    assert kind.source == f"{tmp_path}/my metric.py:Sharpness"
    assert load(kind.source, model="", device="cpu").version == "2"


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "own.py"
    file.write_text(SHARPNESS)
    assert find_kind(f"{file}:Sharpness").version == "2"
    file.write_text(SHARPNESS.replace('"2"', '"3"'))
    assert find_kind(f"{file}:Sharpness").version == "3"


def test_a_package_offers_a_metric_by_an_entry_point(package: Path) -> None:
    offer(package.parent, "sharp", "sharpness = own_metrics:Sharpness")
    kind = find_kind("sharpness")
    assert (kind.name, kind.source) == ("sharpness", "sharpness")
    assert load("sharpness", model="", device="cpu").name == "sharpness"


def test_two_packages_that_offer_one_name_are_told_apart(package: Path) -> None:
    offer(package.parent, "sharp", "sharpness = own_metrics:Sharpness")
    offer(package.parent, "blunt", "sharpness = blunt:Sharpness")
    assert refused("sharpness") == (
        "one package must offer the metric sharpness, but 2 do: blunt:Sharpness,"
        " own_metrics:Sharpness; name one of these instead"
    )


def test_an_unknown_name_is_answered_with_those_there_are(package: Path) -> None:
    offer(package.parent, "sharp", "sharpness = own_metrics:Sharpness")
    assert refused("clop") == (
        f"a metric is one of {', '.join(KINDS)}, sharpness, a class as"
        " package.module:Class, or one in a file as ./file.py:Class, got 'clop'; name"
        " one of these"
    )


def test_a_missing_package_is_named(package: Path) -> None:
    assert refused("not_there.at_all:Sharpness") == (
        "the metric not_there.at_all:Sharpness needs the package not_there, which"
        " cannot be imported here (No module named 'not_there'); install it wherever"
        " workers run, or correct the name"
    )
    package.write_text(f"import not_there.either\n{SHARPNESS}")
    assert refused("own_metrics:Sharpness") == (
        "the metric own_metrics:Sharpness needs the package not_there, which cannot be"
        " imported here (No module named 'not_there'); install it wherever workers run,"
        " or correct the name"
    )


def test_a_file_that_is_named_as_a_module_is_told_how_to_name_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "drafts").mkdir()
    (tmp_path / "drafts" / "own.py").write_text(SHARPNESS)
    monkeypatch.chdir(tmp_path)
    # As for an installed command: its own folder is importable, the current one is not.
    monkeypatch.setattr(sys, "path", [folder for folder in sys.path if folder])
    assert refused("drafts.own:Sharpness") == (
        "the metric drafts.own:Sharpness needs the package drafts, which cannot be"
        " imported here (No module named 'drafts'); for the file, write"
        " ./drafts/own.py:Sharpness"
    )
    assert find_kind("./drafts/own.py:Sharpness").name == "sharpness"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "gone.py"
    assert refused(f"{file}:Sharpness") == (
        f"the metric {file}:Sharpness needs the file {file}, which cannot be read here"
        " (No such file or directory); correct the path"
    )


def test_a_module_that_fails_says_how(package: Path) -> None:
    package.write_text("1 / 0")
    assert refused("own_metrics:Sharpness") == (
        "the module of the metric own_metrics:Sharpness must be importable, but fails"
        " with ZeroDivisionError: division by zero; mend it"
    )


def test_a_missing_class_is_answered_with_those_there_are(package: Path) -> None:
    assert refused("own_metrics:Sharp") == (
        "the metric own_metrics:Sharp must name a class, but its module has no class"
        " Sharp; it has Sharpness"
    )


@pytest.mark.parametrize(
    ("line", "other", "said"),
    [
        ('name = "sharpness"', "", "`name`, a str, but that of {} has None"),
        ('version = "2"', "version = 2", "`version`, a str, but that of {} has 2"),
        (
            "higher_is_better = True",
            "higher_is_better = 1",
            "`higher_is_better`, a bool, but that of {} has 1",
        ),
        (
            "needs_reference = False",
            "needs_reference: bool",
            "`needs_reference`, a bool, but that of {} has None",
        ),
        (
            "def score",
            "def rate",
            "a method `score(samples)`, but that of {} has none",
        ),
    ],
)
def test_a_class_that_lacks_a_part_of_a_metric_is_told_which(
    package: Path, line: str, other: str, said: str
) -> None:
    package.write_text(SHARPNESS.replace(line, other))
    source = "own_metrics:Sharpness"
    rest = f"{said.format(source)}; add it to the class"
    assert refused(source) == f"the class of a metric must have {rest}"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "Sharp!",
            "`name` of a metric must be a word of small letters, digits and _, but that"
            " of own_metrics:Sharpness is 'Sharp!'; change it",
        ),
        (
            "clip",
            "the name clip belongs to a built-in metric, but own_metrics:Sharpness has"
            " it too; change `name` in its class",
        ),
    ],
)
def test_a_name_must_be_a_word_of_its_own(
    package: Path, name: str, message: str
) -> None:
    package.write_text(SHARPNESS.replace('"sharpness"', f'"{name}"'))
    assert refused("own_metrics:Sharpness") == message


@pytest.mark.parametrize(
    ("line", "other", "message"),
    [
        (
            "def __init__(self, device):",
            "def __init__(self):",
            "the class of the metric own_metrics:Sharpness must be made by"
            " `Class(device=...)`, but fails with TypeError: Sharpness.__init__() got"
            " an unexpected keyword argument 'device'; mend its `__init__`",
        ),
        (
            "batch_size = 8",
            "batch_size = 0",
            "a metric must have `batch_size`, 1 or more, but that of"
            " own_metrics:Sharpness has 0; add it to the class",
        ),
    ],
)
def test_a_class_that_cannot_be_used_says_why(
    package: Path, line: str, other: str, message: str
) -> None:
    package.write_text(SHARPNESS.replace(line, other))
    with pytest.raises(MetricError) as raised:
        load("own_metrics:Sharpness", model="", device="cpu")
    assert str(raised.value) == message


def test_a_metric_of_ones_own_takes_no_model(package: Path) -> None:
    with pytest.raises(MetricError) as raised:
        load("own_metrics:Sharpness", model="builtin:clip", device="cpu")
    assert str(raised.value) == (
        "the metric sharpness takes no model, got builtin:clip; leave it out"
    )
