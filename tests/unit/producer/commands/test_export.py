"""The command `export`: images with readable names, and all that is known of them."""

import csv
import json
import shutil
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from producer.sharing.destinations import opened
from storage.files.images import relative_path
from tests.unit.filled_store import finish, make_settings, plan, submit
from tests.unit.shared_store import OWN, done, fill, give, refused, store


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a home with images of every kind, which tests only read."""
    return fill(tmp_path_factory.mktemp("source") / "home").home


@pytest.fixture(scope="module")
def export(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an export of the sweep `shapes`, which tests only read."""
    to = tmp_path_factory.mktemp("export") / "shapes"
    said = done(source, "export", "shapes", "--to", to, "--names", "{seed}/{scheduler}")
    assert "Exported 9 images, and 1 image to compare them with" in said
    assert "without a picture: 2 not made, 1 removed before." in said
    return to


def test_images_have_readable_names_and_all_of_their_bytes(
    source: Path, export: Path
) -> None:
    with store(source) as stored:
        rows = stored.find("shapes state:done")
        names = {f"{row['seed']}/{row['scheduler']}.png": row for row in rows}
        made = (export / "images").rglob("*.png")
        found = {path.relative_to(export / "images").as_posix(): path for path in made}
        assert sorted(found) == sorted(names)
        for name, path in found.items():
            original = stored.settings.images / str(names[name]["path"])
            assert path.read_bytes() == original.read_bytes()


def test_tables_have_every_image_and_the_name_of_its_file(export: Path) -> None:
    with (export / "images.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    lines = [
        json.loads(line) for line in (export / "images.jsonl").read_text().splitlines()
    ]
    assert len(rows) == len(lines) == 12
    assert [row["key"] for row in rows] == [line["key"] for line in lines]
    made = [row for row in rows if row["state"] == "done"]
    assert len(made) == 9
    assert all((export / row["file"]).is_file() for row in made)
    assert {row["file"] for row in rows if row["state"] != "done"} == {""}
    assert lines[0]["ratings"][0]["who"] == "ann"
    assert {score["metric"] for score in lines[0]["scores"]} >= {OWN.digest}


def test_specs_and_contact_sheets_are_there(source: Path, export: Path) -> None:
    (spec,) = (export / "specs").iterdir()
    assert spec.name == "shapes.yaml"
    assert spec.read_text() == store(source).sweeps()[0]["spec"]
    with Image.open(export / "sheets" / "shapes.png") as sheet:
        assert sheet.width > 64


def test_nothing_but_the_export_is_left(export: Path) -> None:
    assert [path.name for path in export.parent.iterdir()] == ["shapes"]
    assert not (export / ".export.json").exists()


def test_a_picture_without_its_file_is_counted(tmp_path: Path, source: Path) -> None:
    settings = make_settings(tmp_path / "own")
    planned = plan({"seed": range(3)})
    submit(settings, "made", planned)
    finish(settings, planned)
    settings.images.joinpath(relative_path(planned[0].job.key)).unlink()
    settings.images.joinpath(relative_path(planned[1].job.key)).write_bytes(b"PNG")
    said = give(settings.home, "export", "made", "--to", tmp_path / "out")
    assert said.exit_code == 1
    assert "Exported 1 image, " in said.output
    assert (
        "1 with no file in the image folder, 1 with a file of another size than was "
        "recorded." in said.output
    )
    assert len(list((tmp_path / "out" / "images").rglob("*.png"))) == 1


def test_an_export_adds_what_was_made_meanwhile(tmp_path: Path) -> None:
    settings = make_settings(tmp_path / "own")
    planned = plan({"seed": range(3)})
    words = ("export", "made", "--to", tmp_path / "out", "--no-sheet", "--names", "x")
    submit(settings, "made", planned)
    finish(settings, planned[1:])
    done(settings.home, *words)
    # The first one has the name, though it is not made yet.
    names = {f"x-{one.job.key[:8]}.png" for one in planned[1:]}
    assert {path.name for path in (tmp_path / "out" / "images").iterdir()} == names
    finish(settings, planned[:1])
    assert "Exported 3 images" in done(settings.home, *words)
    names.add("x.png")
    assert {path.name for path in (tmp_path / "out" / "images").iterdir()} == names
    assert not list(tmp_path.glob("*.partial"))


@pytest.mark.parametrize("name", ["shapes", "notes", "out.zip"])
def test_an_export_replaces_nothing(
    source: Path, export: Path, tmp_path: Path, name: str
) -> None:
    to = tmp_path / name
    if name == "shapes":
        shutil.copytree(export, to)
    elif name == "notes":
        to.mkdir()
        (to / "notes.txt").touch()
    else:
        to.touch()
    before = sorted(tmp_path.rglob("*"))
    said = refused(source, "export", "shapes", "seed:1", "--to", to)
    assert "An export must go to a new place, but" in said
    assert sorted(tmp_path.rglob("*")) == before


def test_two_exports_to_one_place_do_not_meet(source: Path, tmp_path: Path) -> None:
    to = tmp_path / "out"
    with opened(to, {}, is_linked=False):
        said = refused(source, "export", "shapes", "--to", to)
    assert f"but another one writes {to}; wait for its end" in said


def begin(to: Path) -> None:
    """Begin an export of another query, and be interrupted."""
    with opened(to, {"query": "x"}, is_linked=False) as destination:
        (destination.texts / "images").mkdir()
        (destination.texts / "images" / "other.png").touch()
        raise RuntimeError


def test_what_an_export_of_another_query_has_left_goes(
    source: Path, tmp_path: Path
) -> None:
    to = tmp_path / "out"
    with pytest.raises(RuntimeError):
        begin(to)
    assert (tmp_path / "out.partial").exists()
    done(source, "export", "shapes", "--to", to, "--no-sheet")
    assert not list(to.rglob("other.png"))
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_folder_that_is_in_the_way_is_left_alone(
    source: Path, tmp_path: Path
) -> None:
    (tmp_path / "out.partial").mkdir()
    (tmp_path / "out.partial" / "mine.txt").touch()
    said = refused(source, "export", "shapes", "--to", tmp_path / "out")
    assert "out.partial is in the way of" in said
    assert (tmp_path / "out.partial" / "mine.txt").exists()


def test_pictures_may_be_links(source: Path, tmp_path: Path) -> None:
    done(source, "export", "shapes", "--to", tmp_path / "out", "--link", "--no-sheet")
    made = list((tmp_path / "out" / "images").rglob("*.png"))
    assert [path.stat().st_nlink for path in made] == [2] * 9
    for path in made:
        path.unlink()
    said = refused(source, "export", "shapes", "--to", tmp_path / "o.zip", "--link")
    assert "--link must be for a folder" in said


def test_a_zip_file_stores_pictures_as_they_are_and_is_the_same_each_time(
    source: Path, tmp_path: Path
) -> None:
    both = [tmp_path / "a.zip", tmp_path / "b.zip"]
    for to in both:
        done(source, "export", "shapes", "--to", to, "--no-sheet")
    with zipfile.ZipFile(both[0]) as first, zipfile.ZipFile(both[1]) as second:
        entries = first.infolist()
        assert [e.CRC for e in entries if e.filename != "nightsweep.json"] == [
            e.CRC for e in second.infolist() if e.filename != "nightsweep.json"
        ]
        pictures = [e for e in entries if e.filename.endswith(".png")]
        assert {e.compress_type for e in pictures} == {zipfile.ZIP_STORED}
        assert first.testzip() is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zip", "b.zip"]


def test_a_mistake_in_names_is_told_before_anything_is_written(
    source: Path, tmp_path: Path
) -> None:
    words = ("export", "shapes", "--to", tmp_path / "out", "--names")
    assert "but promt is none" in refused(source, *words, "{promt}")
    assert "a format that seed can have" in refused(source, *words, "{seed:.4}")
    assert list(tmp_path.iterdir()) == []


def test_an_export_of_nothing_is_refused(source: Path, tmp_path: Path) -> None:
    said = refused(source, "export", "shapes", "seed:999", "--to", tmp_path / "out")
    assert "but none matches 'shapes seed:999'" in said
    assert list(tmp_path.iterdir()) == []


def test_an_export_without_room_is_refused(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("producer.commands.export.free_bytes", lambda folder: 1000)
    said = refused(source, "export", "shapes", "--to", tmp_path / "out")
    assert "The disk must have room for 9 images, 4" in said
    assert list(tmp_path.iterdir()) == []


def test_the_default_names_tell_what_differs(source: Path, tmp_path: Path) -> None:
    done(source, "export", "seed:7,8", "--to", tmp_path / "out", "--no-sheet")
    (made,) = (tmp_path / "out" / "images").rglob("*.png")
    assert made.relative_to(tmp_path / "out" / "images").as_posix() == (
        "a red circle on a blue background/"
        "ddim-20steps-cfg2.5-seed7-strength0-resizenone.png"
    )
