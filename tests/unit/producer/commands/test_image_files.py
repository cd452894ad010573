"""From a picture to its row: `show` and `open` take any copy of a stored image."""

import json
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from producer.cli import cli
from storage.files.images import relative_path
from storage.job import PlannedJob
from tests.unit.filled_store import filled


@pytest.fixture
def planned(tmp_path: Path) -> list[PlannedJob]:
    return filled(tmp_path)[1]


@pytest.fixture
def stored(tmp_path: Path, planned: list[PlannedJob]) -> Path:
    return tmp_path / "images" / relative_path(planned[0].job.key)


def call(tmp_path: Path, *words: str) -> Result:
    return CliRunner(env={"NIGHTSWEEP_HOME": str(tmp_path)}).invoke(cli, words)


def mark(file: Path, key: str) -> None:
    """Save it again with the metadata that a worker writes."""
    info = PngInfo()
    info.add_text("nightsweep", json.dumps({"key": key, "seed": 3}))
    with Image.open(file) as image:
        image.save(file, pnginfo=info)


def test_a_renamed_copy_is_found_by_the_key_in_its_metadata(
    tmp_path: Path, planned: list[PlannedJob], stored: Path
) -> None:
    copy = tmp_path / "my favourite: one.PNG"
    copy.write_bytes(stored.read_bytes())
    mark(copy, planned[0].job.key)
    result = call(tmp_path, "show", str(copy))
    assert result.stdout.startswith(f"key  {planned[0].job.key}\n")
    assert "pixels" not in result.stderr


def test_a_copy_without_metadata_is_found_by_its_pixels(
    tmp_path: Path, planned: list[PlannedJob], stored: Path
) -> None:
    copy = tmp_path / "copy.bmp"
    with Image.open(stored) as image:
        image.convert("RGB").save(copy)
    assert call(tmp_path, "show", str(copy), "--json").stdout.count("\n") == 1
    result = call(tmp_path, "show", str(copy))
    assert result.stdout.startswith(f"key  {planned[0].job.key}\n")


def test_a_changed_copy_is_found_by_its_name_and_said_to_be_changed(
    tmp_path: Path, planned: list[PlannedJob], stored: Path
) -> None:
    copy = tmp_path / f"{planned[0].job.key}.webp"
    with Image.open(stored) as image:
        image.convert("RGB").resize((8, 8)).save(copy)
    result = call(tmp_path, "show", str(copy))
    assert result.stdout.startswith(f"key  {planned[0].job.key}\n")
    assert result.stderr.startswith(f"The pixels of {copy}"[:40])


def test_an_object_of_a_bucket_is_found_by_its_name(
    tmp_path: Path, planned: list[PlannedJob], stored: Path
) -> None:
    key = planned[0].job.key
    result = call(tmp_path, "show", f"s3://pictures/sweeps/ab/cd/{key}.png")
    assert result.stdout.startswith(f"key  {key}\n")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("gone.png", None, "must be there to be looked up, got"),
        ("text.png", b"no picture", "Pillow cannot read"),
        ("other.png", "red", "nor its pixels are known in"),
    ],
)
def test_other_files_are_refused_in_one_sentence(
    name: str,
    content: str | bytes | None,
    said: str,
    tmp_path: Path,
    planned: list[PlannedJob],
) -> None:
    assert planned
    file = tmp_path / name
    if isinstance(content, bytes):
        file.write_bytes(content)
    elif content:
        Image.new("RGB", (64, 64), content).save(file)
    result = call(tmp_path, "show", str(file))
    assert result.exit_code == 2
    assert said in " ".join(result.stderr.split())


@pytest.mark.parametrize("metadata", ["{", "[1]", '{"key": 5}', '{"key": "../../x"}'])
def test_foreign_metadata_harms_nothing(
    metadata: str, tmp_path: Path, planned: list[PlannedJob]
) -> None:
    assert planned
    info = PngInfo()
    info.add_text("nightsweep", metadata)
    Image.new("RGB", (64, 64), "red").save(tmp_path / "x.png", pnginfo=info)
    result = call(tmp_path, "show", str(tmp_path / "x.png"))
    assert "nor its pixels are known" in " ".join(result.stderr.split())


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], list[str]]:
    """Return what lets the system's viewer answer with an exit code."""

    def answer(code: int) -> list[str]:
        files: list[str] = []

        def launch(file: str) -> int:
            files.append(file)
            return code

        monkeypatch.setattr(click, "launch", launch)
        return files

    return answer


def test_open_shows_images_in_the_viewer(
    tmp_path: Path,
    planned: list[PlannedJob],
    stored: Path,
    opened: Callable[[int], list[str]],
) -> None:
    files = opened(0)
    result = call(tmp_path, "open", planned[0].job.key[:20])
    assert (result.exit_code, result.output) == (0, "")
    assert files == [str(stored)]


def test_open_prints_the_file_where_there_is_no_viewer(
    tmp_path: Path,
    planned: list[PlannedJob],
    stored: Path,
    opened: Callable[[int], list[str]],
) -> None:
    opened(1)
    result = call(tmp_path, "open", planned[0].job.key[:20])
    assert result.stdout == f"{stored}\n"
    assert " view` shows images in a browser" in " ".join(result.stderr.split())


def test_open_says_that_an_image_is_not_made(
    tmp_path: Path, planned: list[PlannedJob], opened: Callable[[int], list[str]]
) -> None:
    assert opened(0) == []
    key = planned[7].job.key
    result = call(tmp_path, "open", key[:20])
    assert result.exit_code == 2
    said = " ".join(result.stderr.split())
    assert said.startswith(f"Error: an image must be made to be opened, but {key}: it")
