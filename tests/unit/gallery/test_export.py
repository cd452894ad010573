"""The folder of an export: one page that needs no server, and copies of pictures."""

import base64
import hashlib
import html
import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from gallery import static_files
from gallery.export import export
from gallery.module_bundle import BundleError
from producer.cli import cli
from storage.errors import ImageStoreError, UsageError
from storage.files.images import relative_path
from storage.job import PlannedJob
from storage.ratings.rating import rate
from storage.settings import Settings
from storage.sql.database import open_database
from tests.unit.filled_store import AXES, filled, finish, make_settings, plan, submit

EVIL = "a red circle on a blue </script><script>alert(1)</script><!-- 🦊 background"


@pytest.fixture(autouse=True)
def small_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Modules of their own, which are quickly read."""
    static = tmp_path / "static"
    static.mkdir()
    (static / "texts.js").write_text('export const T = {name: "grid"};\n')
    (static / "grid.js").write_text('import {T} from "./texts.js";\nconsole.log(T);\n')
    for name in static_files.STYLES:
        (static / name).write_text(f"/* {name} */\n")
    monkeypatch.setattr(static_files, "FOLDER", static)
    return static


@pytest.fixture
def store(tmp_path: Path) -> tuple[Settings, list[PlannedJob]]:
    """The sweep `shapes`: 6 images of 64 pixels, one failed, one pending."""
    return filled(tmp_path / "store")


def data_of(folder: Path) -> Any:
    page = (folder / "index.html").read_text(encoding="utf-8")
    (text,) = re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', page)
    return json.loads(text)


def hash_of(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def test_a_page_has_its_script_and_styles_in_it_and_allows_no_others(
    store: tuple[Settings, list[PlannedJob]], tmp_path: Path
) -> None:
    export(store[0], "shapes", tmp_path / "out")
    page = (tmp_path / "out/index.html").read_text(encoding="utf-8")
    (script,) = re.findall(r'<script type="module">(.*?)</script>', page, re.DOTALL)
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    assert 'const T = {name: "grid"};' in script
    assert "/* grid.css */" in style
    (policy,) = re.findall(r'Content-Security-Policy" content="(.*?)"', page)
    said = html.unescape(policy).split("; ")
    rules = dict(each.split(" ", 1) for each in said)
    assert rules["script-src"] == hash_of(script)
    assert rules["style-src"] == hash_of(style)
    assert rules["default-src"] == "'none'"
    assert "://" not in page


def test_a_folder_has_the_pivot_the_parameters_and_the_pictures(
    store: tuple[Settings, list[PlannedJob]], tmp_path: Path
) -> None:
    settings, planned = store
    database = open_database(settings.database_url)
    rate(database, [planned[0].job.key], who="ann", stars=4, verdict="rejected")
    database.close()
    done = export(settings, "shapes", tmp_path / "out", who="ann")
    assert (done.images, done.unmade, done.gone) == (6, 2, {})
    files = [path for path in done.folder.rglob("*") if path.is_file()]
    assert done.size_bytes == sum(path.stat().st_size for path in files)
    assert len(files) == 7
    data = data_of(done.folder)
    assert [axis["name"] for axis in data["pivot"]["axes"]] == [*AXES]
    assert (data["pivot"]["stars"][0], data["pivot"]["verdict"][0]) == (4, 2)
    key = planned[0].job.key
    assert data["images"][key]["steps"] == 2
    assert data["images"][key]["scheduler_options"] == {}
    assert data["thumbs"][key] == f"thumbs/{key}.png"  # as small as a thumbnail
    assert data["files"] == {}
    small = (done.folder / data["thumbs"][key]).read_bytes()
    assert small == (settings.images / relative_path(key)).read_bytes()
    page = (done.folder / "index.html").read_text(encoding="utf-8")
    assert str(settings.home) not in page
    assert "night3" not in page  # its host


def test_images_in_full_come_along_if_they_are_wanted(tmp_path: Path) -> None:
    settings = make_settings(tmp_path / "store")
    planned = plan({"steps": (2,)}, width=320, height=272)
    submit(settings, "wide", planned)
    finish(settings, planned)
    key = planned[0].job.key
    done = export(settings, "wide", tmp_path / "out", originals=True)
    original = (settings.images / relative_path(key)).read_bytes()
    assert (done.folder / f"images/{key}.png").read_bytes() == original
    assert (done.folder / f"thumbs/{key}.webp").read_bytes()[:4] == b"RIFF"
    data = data_of(done.folder)
    assert (data["files"], data["thumbs"]) == ({key: f"images/{key}.png"}, {})
    without = export(settings, "wide", tmp_path / "out")
    assert not (without.folder / "images").exists()


def test_no_prompt_can_end_the_data(tmp_path: Path) -> None:
    settings = make_settings(tmp_path / "store")
    planned = plan({"prompt": (EVIL, "a green star on a pink background")})
    submit(settings, "evil", planned)
    finish(settings, planned)
    done = export(settings, "evil", tmp_path / "out", who="<b>ann</b>")
    page = (done.folder / "index.html").read_text(encoding="utf-8")
    assert "alert(1)</script>" not in page
    assert "<b>ann" not in page
    assert page.count("</script>") == 2
    data = data_of(done.folder)
    assert data["pivot"]["axes"][0]["labels"][0] == EVIL
    assert data["images"][planned[0].job.key]["prompt"] == EVIL


def test_an_image_whose_file_is_gone_is_shown_so(
    store: tuple[Settings, list[PlannedJob]], tmp_path: Path
) -> None:
    settings, planned = store
    key = planned[1].job.key
    (settings.images / relative_path(key)).unlink()
    done = export(settings, "shapes", tmp_path / "out")
    assert done.images == 5
    assert "No such file" in done.gone[key]
    pivot = data_of(done.folder)["pivot"]
    place = pivot["keys"].index(key)
    assert pivot["states"][pivot["state"][place]] == "failed"
    assert "gone" in pivot["errors"][str(place)]


def test_only_an_earlier_export_or_an_empty_folder_is_replaced(
    store: tuple[Settings, list[PlannedJob]], tmp_path: Path
) -> None:
    settings, _ = store
    out = tmp_path / "out"
    out.mkdir()
    export(settings, "shapes", out)
    (out / "thumbs/left over.png").write_bytes(b"")
    export(settings, "shapes steps:2", out)
    assert data_of(out)["pivot"]["query"] == "shapes steps:2"
    assert not (out / "thumbs/left over.png").exists()
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "index.html").write_text("<p>mine")
    for folder in (theirs, theirs / "index.html"):
        with pytest.raises(UsageError, match="has other files in it; name another"):
            export(settings, "shapes", folder)
    assert (theirs / "index.html").read_text() == "<p>mine"
    found = {path.name for path in tmp_path.iterdir()}
    assert found == {"out", "static", "store", "theirs"}


@pytest.mark.parametrize(
    ("query", "most", "said"),
    [
        ("shapes", 5, "must have at most 5 images, got 8"),
        (
            "shapes seed:9",
            5,
            "must have an image, but none is meant by 'shapes seed:9'",
        ),
        ("shapes step:9", 5, "did you mean steps"),
    ],
)
def test_what_cannot_be_exported_is_refused_before_anything_is_written(
    store: tuple[Settings, list[PlannedJob]],
    tmp_path: Path,
    query: str,
    most: int,
    said: str,
) -> None:
    with pytest.raises(UsageError, match=said):
        export(store[0], query, tmp_path / "out", most=most)
    assert not (tmp_path / "out").exists()


def test_an_export_that_fails_leaves_the_earlier_one_and_nothing_else(
    store: tuple[Settings, list[PlannedJob]], tmp_path: Path, small_modules: Path
) -> None:
    settings, _ = store
    out = tmp_path / "here/out"
    export(settings, "shapes", out)
    before = (out / "index.html").read_bytes()
    (small_modules / "grid.js").write_text("export default 1;\n")
    with pytest.raises(BundleError):
        export(settings, "shapes steps:2", out)
    assert (out / "index.html").read_bytes() == before
    assert [path.name for path in out.parent.iterdir()] == ["out"]


def test_a_folder_that_cannot_be_written_is_said(
    store: tuple[Settings, list[PlannedJob]], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ImageStoreError, match=r"writable, but .* gives: Not a"):
        export(store[0], "shapes", tmp_path / "file/out")


def test_an_export_needs_a_database(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no database"):
        export(make_settings(tmp_path / "empty"), "shapes", tmp_path / "out")


def test_the_command_says_what_it_wrote_and_what_is_missing(
    store: tuple[Settings, list[PlannedJob]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings, planned = store
    monkeypatch.setenv("NIGHTSWEEP_HOME", str(settings.home))
    (settings.images / relative_path(planned[0].job.key)).unlink()
    out = tmp_path / "out"
    words = ["view", "shapes", "--export", str(out)]
    found = CliRunner().invoke(cli, words)
    assert found.exit_code == 0, found.output
    assert found.stdout == f"{out}\n"
    sentences = found.stderr.splitlines()
    assert re.match(
        rf"5 images, [\d.]+ kB; open {out}/index\.html in a br", sentences[0]
    )
    assert sentences[1] == "Not made: 2 images; their cells say so."
    assert sentences[2].startswith("Warning: An image must be a readable file, but")
    alone = CliRunner().invoke(cli, ["view", "--originals"])
    assert alone.exit_code == 2
    assert "--originals must come with --export" in alone.stderr
