"""The command `import`: what `export` wrote is taken into another home."""

import hashlib
import io
import json
import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from PIL import Image

from storage.jobs.renaming import rename
from storage.jobs.sweeps import find_sweep
from storage.ratings.rating import rate
from storage.scores import asking
from storage.scores.identities import find_metric
from storage.sql.database import open_database
from storage.sql.schema import jobs, ratings, scores, votes
from tests.builders import take_these
from tests.databases import open_new
from tests.unit.filled_store import finish, make_settings, plan, submit
from tests.unit.shared_store import (
    CLIP,
    OWN,
    done,
    fill,
    give,
    ids_of,
    refused,
    store,
)

#: A sweep, as the header of an export has it.
SWEEP: dict[str, Any] = {
    "name": "a",
    "digest": "",
    "spec": "",
    "axes": {},
    "state": "active",
    "priority": 5,
    "min_free_bytes": 0,
    "jobs": 1,
    "reference_of": None,
}
#: A place of an image in a sweep, as a manifest has it.
MEMBER: dict[str, Any] = {
    "sweep": "shapes",
    "position": 0,
    "label": None,
    "template": None,
    "cell": {},
    "is_current": True,
}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a home with images of every kind, which tests only read."""
    return fill(tmp_path_factory.mktemp("source") / "home").home


@pytest.fixture(scope="module")
def export(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an export of the sweep `shapes`, which tests only read."""
    to = tmp_path_factory.mktemp("export") / "shapes"
    done(source, "export", "shapes", "--to", to, "--names", "{seed}/{scheduler}")
    return to


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return a home with an empty database."""
    settings = make_settings(tmp_path / "new-home")
    open_new(settings.database_url).close()
    return settings.home


@pytest.fixture
def broken(export: Path, tmp_path: Path) -> Path:
    """Return a copy of the export, for tests that change it."""
    return Path(shutil.copytree(export, tmp_path / "broken"))


def facts(home: Path, query: str = "shapes") -> list[dict[str, Any]]:
    """Return all that is known of images, but for what belongs to a home."""
    found = []
    with store(home) as stored:
        for row in stored.find(query):
            shown = stored.show(row["key"])
            for name in ("created_at", "file", "folder", "attempts", "error"):
                del shown[name]
            shown["state"] = {"failed": "pending"}.get(shown["state"], shown["state"])
            shown["sweeps"] = [e for e in shown["sweeps"] if e["sweep"] == "shapes"]
            found.append(shown)
    return sorted(found, key=lambda row: str(row["key"]))


def change_lines(export: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the images of a manifest."""
    file = export / "manifest.jsonl"
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    for line in lines:
        if line["kind"] == "image":
            change(line["image"])
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))


def change_header(export: Path, **changes: object) -> None:
    file = export / "nightsweep.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


@pytest.mark.parametrize("form", ["folder", "zip"])
def test_another_home_gets_all_that_is_known(
    source: Path, home: Path, tmp_path: Path, form: str
) -> None:
    to = tmp_path / ("out.zip" if form == "zip" else "out")
    done(source, "export", "shapes", "--to", to, "--no-sheet")
    said = done(home, "import", to)
    assert "shapes: 13 images, 10 new, 0 here already." in said
    assert "Also new: 5 scores, 3 ratings, 1 votes." in said
    assert facts(home) == facts(source)
    assert facts(home, "shapes.reference") == facts(source, "shapes.reference")
    assert "10 images checked, nothing is wrong" in done(home, "verify", "--full")


@pytest.mark.databases("postgresql")
def test_a_home_on_postgresql_gets_all_that_is_known(
    database_url: str,
    source: Path,
    export: Path,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for new in (10, 0):
        said = done(home, "import", export)
        assert f"13 images, {new} new, {10 - new} here already." in said
    assert store(home).settings.database_url == database_url
    assert count_rows(home, votes) == 1
    found = facts(home)
    monkeypatch.delenv("NIGHTSWEEP_DATABASE_URL")
    assert found == facts(source)


def test_an_import_that_is_given_again_changes_nothing(
    source: Path, export: Path, home: Path
) -> None:
    done(home, "import", export)
    before = facts(home)
    times = [path.stat().st_mtime_ns for path in sorted(home.rglob("*.png"))]
    said = done(home, "import", export)
    assert "shapes: 13 images, 0 new, 10 here already." in said
    assert "Also new" not in said
    assert facts(home) == before
    assert [path.stat().st_mtime_ns for path in sorted(home.rglob("*.png"))] == times
    assert count_rows(home, ratings) == 3


def count_rows(home: Path, table: sa.Table) -> int:
    url = store(home).settings.database_url
    count = sa.select(sa.func.count()).select_from(table)
    with closing(open_database(url)) as database, database.read() as connection:
        return int(connection.execute(count).scalar_one())


def state_of(home: Path, name: str) -> tuple[str, str | None]:
    with closing(open_database(store(home).settings.database_url)) as database:
        sweep = find_sweep(database, name)
        assert sweep is not None
        return sweep.state, sweep.reason


def test_a_sweep_with_images_to_make_is_paused(export: Path, home: Path) -> None:
    said = done(home, "import", export)
    assert "shapes is paused, with 2 images to make; " in said
    state, reason = state_of(home, "shapes")
    assert (state, reason) == ("paused", reason)
    assert reason is not None
    assert reason.startswith("it was imported with images to make")
    assert "cut off" not in done(home, "status")


def test_a_sweep_whose_images_are_all_there_is_as_it_was(
    home: Path, tmp_path: Path
) -> None:
    settings = make_settings(tmp_path / "made")
    planned = plan({"seed": range(3)})
    submit(settings, "made", planned)
    finish(settings, planned)
    done(settings.home, "export", "made", "--to", tmp_path / "out", "--no-sheet")
    assert "paused" not in done(home, "import", tmp_path / "out")
    assert state_of(home, "made") == ("active", None)


def test_a_part_of_a_sweep_is_known_to_be_one(
    source: Path, home: Path, tmp_path: Path
) -> None:
    to = tmp_path / "part.zip"
    done(source, "export", "shapes", "seed:1,2", "--to", to, "--no-sheet")
    said = done(home, "import", to)
    assert "shapes: 4 images, 4 new" in said
    assert "shapes is paused: the export lacks 8 images of it; " in said
    assert "4 of 12 images stored" in done(home, "status", "shapes")


def test_the_rest_of_a_sweep_completes_it(
    source: Path, export: Path, home: Path, tmp_path: Path
) -> None:
    to = tmp_path / "part.zip"
    done(source, "export", "shapes", "seed:1,2", "--to", to, "--no-sheet")
    done(home, "import", to)
    assert "13 images, 6 new, 4 here already" in done(home, "import", export)
    assert facts(home) == facts(source)
    assert "images stored" not in done(home, "status", "shapes")


def test_images_of_any_sweep_bring_their_sweeps(
    source: Path, home: Path, tmp_path: Path
) -> None:
    done(source, "export", "seed:0", "--to", tmp_path / "out", "--no-sheet")
    done(home, "import", tmp_path / "out")
    with store(home) as stored:
        names = {each["name"] for each in stored.sweeps()}
        assert names == {"shapes", "other", "shapes.reference"}
        assert stored.count("other") == 2


def submit_other(home: Path) -> None:
    """Have another sweep by the name of the export's."""
    settings = store(home).settings
    submit(settings, "shapes", plan({"seed": [70]}))


def test_a_name_of_another_sweep_is_not_taken(export: Path, home: Path) -> None:
    submit_other(home)
    said = refused(home, "import", export)
    assert "but shapes is another sweep here" in said
    assert "give this one another name with --name" in said
    assert store(home).count("shapes") == 1


def test_an_imported_sweep_may_have_another_name(broken: Path, home: Path) -> None:
    submit_other(home)
    header = json.loads((broken / "nightsweep.json").read_text())
    header["sweeps"][0]["spec"] = "name: shapes  # mine\nbase: {model: a}\n"
    change_header(broken, sweeps=header["sweeps"])
    words = ("import", broken, "--name", "theirs")
    assert "theirs: 13 images, 10 new" in done(home, *words)
    assert "0 new, 10 here already" in done(home, *words)
    with store(home) as stored:
        assert stored.count("theirs") == 12
        assert stored.count("theirs.reference") == 1
        (spec,) = [e["spec"] for e in stored.sweeps() if e["name"] == "theirs"]
    assert "name: theirs" in spec
    assert "base: {model: a}" in spec
    assert "name must be 1 to 64 letters" in refused(home, *words[:3], "a/b")


def test_two_sweeps_that_were_renamed_are_not_taken_for_one(
    home: Path, tmp_path: Path
) -> None:
    there = make_settings(tmp_path / "there")
    for settings, seed in ((there, 70), (store(home).settings, 71)):
        submit(settings, "old", plan({"seed": [seed]}))
        with closing(open_database(settings.database_url)) as database:
            found = find_sweep(database, "old")
            assert found is not None
            rename(database, found, "new", spec=f"name: new  # {seed}")
    out = tmp_path / "out"
    done(there.home, "export", "new", "--to", out, "--no-sheet")
    assert "but new is another sweep here" in refused(home, "import", out)
    for _ in range(2):
        assert "theirs: 1 image" in done(home, "import", out, "--name", "theirs")


def test_an_export_of_several_sweeps_cannot_get_one_name(
    source: Path, home: Path, tmp_path: Path
) -> None:
    done(source, "export", "seed:0", "--to", tmp_path / "out", "--no-sheet")
    said = refused(home, "import", tmp_path / "out", "--name", "one")
    assert "--name must be for one sweep, but the export has 2 (shapes, other)" in said


def test_what_was_removed_or_is_made_here_is_left_alone(
    export: Path, home: Path, tmp_path: Path
) -> None:
    settings = store(home).settings
    planned = plan({"seed": range(3), "scheduler": ("ddim",)}, steps=4)
    submit(settings, "mine", planned)
    finish(settings, planned[:1], paint=lambda job: Image.new("RGB", (64, 64), "red"))
    with closing(open_database(settings.database_url)) as database:
        assert take_these(database, [planned[1].job.key])
    done(home, "rm", "mine", "seed:0", "--yes")
    said = done(home, "import", export)
    assert "13 images, 8 new, 0 here already" in said
    assert "2 removed, there or here, 1 left to workers of this home" in said
    with store(home) as stored:
        states = {row["seed"]: row["state"] for row in stored.find("mine")}
    assert states == {0: "evicted", 1: "leased", 2: "done"}


def test_of_two_ratings_of_one_person_the_later_stays(export: Path, home: Path) -> None:
    done(home, "import", export)
    with store(home) as stored:
        rated = stored.find("shapes rating:4 seed:0 scheduler:ddim")[0]["key"]
    with closing(open_database(store(home).settings.database_url)) as database:
        rate(database, [rated], who="ann", stars=1)
        rate(database, [rated], who="cy", stars=2)
    done(home, "import", export)
    with store(home) as stored:
        stars = {each["who"]: each["stars"] for each in stored.show(rated)["ratings"]}
    assert stars == {"ann": 1, "cy": 2}


def test_scores_of_other_pixels_are_not_taken(export: Path, home: Path) -> None:
    settings = store(home).settings
    planned = plan({"seed": [0], "scheduler": ("ddim",)}, steps=4)
    submit(settings, "mine", planned)
    finish(settings, planned, paint=lambda job: Image.new("RGB", (64, 64), "red"))
    said = done(home, "import", export)
    assert "Also new: 2 scores, 3 ratings, 1 votes." in said


def test_scores_of_an_image_that_was_removed_there_are_not_computed(
    export: Path, home: Path
) -> None:
    settings = store(home).settings
    planned = plan({"seed": [4], "scheduler": ("ddim",)}, steps=4)
    submit(settings, "mine", planned)
    with closing(open_database(settings.database_url)) as database:
        (row,) = ids_of(database, [planned[0].job.key])
        asking.ask(database, CLIP, {row: None})
        done(home, "cancel", "mine")
        done(home, "import", export)
        with database.read() as connection:
            states = connection.execute(
                sa.select(jobs.c.state, scores.c.state)
                .join(scores, scores.c.job_id == jobs.c.id)
                .where(jobs.c.id == row)
            ).all()
    assert states == [("evicted", "failed")]


def test_where_the_class_of_a_metric_was_is_not_taken(export: Path, home: Path) -> None:
    done(home, "import", export)
    with closing(open_database(store(home).settings.database_url)) as database:
        found = find_metric(database, OWN.digest)
    assert found is not None
    assert (found[1].name, found[1].source) == ("mine", "mine")


def test_what_schedulers_are_called_here_stays(broken: Path, home: Path) -> None:
    settings = store(home).settings
    submit(settings, "mine", plan({"seed": [0], "scheduler": ("ddim",)}, steps=4))
    others = {"scheduler": "fake", "scheduler_names": ["fake"]}
    change_lines(broken, lambda image: image.update(others))
    done(home, "import", broken)
    assert [row["scheduler"] for row in store(home).find("mine")] == ["ddim"]
    assert store(home).count("shapes scheduler:fake") == 11


def first_picture(export: Path) -> Path:
    return export / "images" / "1" / "ddim.png"


def test_a_picture_that_was_cut_short_is_not_taken(
    export: Path, broken: Path, home: Path
) -> None:
    content = first_picture(broken).read_bytes()
    first_picture(broken).write_bytes(content[:-20])
    said = give(home, "import", broken)
    assert said.exit_code == 1
    assert "Not taken: images/1/ddim.png is cut short or was changed." in said.output
    assert store(home).count("shapes state:done") == 8
    assert not list(home.rglob("*.tmp"))
    assert "13 images, 1 new, 9 here already." in done(home, "import", export)


def put(export: Path, path: Path, content: bytes) -> None:
    """Replace a picture, and have the manifest describe the new file."""
    path.write_bytes(content)
    name = path.relative_to(export).as_posix()

    def change(image: dict[str, Any]) -> None:
        if image["file"] and image["file"]["name"] == name:
            digest = hashlib.sha256(content).hexdigest()
            image["file"] |= {"size_bytes": len(content), "sha256": digest}

    change_lines(export, change)


def encoded(size: tuple[int, int], form: str = "PNG") -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, "red").save(out, form)
    return out.getvalue()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (encoded((64, 64)), "has other pixels than were recorded"),
        (encoded((2000, 2000)), "has more pixels than its image"),
        (bytes(2**21), "has more bytes than its image"),
        (encoded((64, 64), "BMP"), "is no PNG that can be read"),
        (b"", "is no PNG that can be read"),
    ],
)
def test_a_picture_other_than_the_recorded_one_is_not_taken(
    broken: Path, home: Path, content: bytes, said: str
) -> None:
    put(broken, first_picture(broken), content)
    found = give(home, "import", broken)
    assert found.exit_code == 1
    assert f"Not taken: images/1/ddim.png {said}." in found.output
    assert store(home).count("shapes state:done") == 8


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "images/../../secret.png", "nightsweep.json", "../a.png"]
)
def test_no_name_leads_out_of_an_export(broken: Path, home: Path, name: str) -> None:
    def change(image: dict[str, Any]) -> None:
        if image["file"]:
            image["file"]["name"] = name

    change_lines(broken, change)
    said = give(home, "import", broken)
    assert said.exit_code == 1
    assert f"no picture of an export can be called '{name}'" in said.output
    assert store(home).count("shapes state:done") == 0


def test_a_link_out_of_an_export_is_not_followed(broken: Path, home: Path) -> None:
    outside = broken.parent / "outside.png"
    first_picture(broken).rename(outside)
    first_picture(broken).symlink_to(outside)
    said = give(home, "import", broken)
    assert said.exit_code == 1
    assert "Not taken: images/1/ddim.png cannot be read." in said.output


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"format": 2}, "but {where} has format 2 and schema"),
        ({"schema": "9999"}, "and schema 9999; install a newer nightsweep"),
        ({"sweeps": [{}]}, "nightsweep.json in {where} is not ("),
        ({"sweeps": []}, "but {where} has no shapes; export it again"),
        ({"sweeps": [{**SWEEP, "name": "../a"}]}, "a sweep cannot be called '../a'"),
        ({"sweeps": [{**SWEEP, "axes": {"seed": 1}}]}, "the axes of a sweep cannot be"),
        ({"sweeps": [{**SWEEP, "reference_of": "b"}]}, "it has references of {{'b'}}"),
    ],
)
def test_an_export_of_another_version_is_refused(
    broken: Path, home: Path, changes: dict[str, Any], said: str
) -> None:
    change_header(broken, **changes)
    assert said.format(where=broken) in refused(home, "import", broken)
    assert count_rows(home, ratings) == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"key": "0" * 32},
        {"ratings": [{"who": "a", "stars": 6, "verdict": None, "rated_at": ""}]},
        {"members": [{}]},
        {"members": []},
        {"members": [{**MEMBER, "cell": {"steps": float("inf")}}]},
        {"scheduler": "\ud800"},
        {"evaluations": 2**70},
        {"evaluations": True},
        {"scheduler": "a\x00b"},
        {"model": "unknown"},
    ],
)
def test_a_manifest_that_was_changed_is_refused(
    broken: Path, home: Path, changes: dict[str, Any]
) -> None:
    change_lines(broken, lambda image: image.update(changes))
    said = refused(home, "import", broken)
    assert "An export must be as `nightsweep export` wrote it, but line " in said
    assert store(home).count("shapes") == 0


def test_what_is_no_export_is_refused(home: Path, tmp_path: Path) -> None:
    (tmp_path / "file.zip").write_bytes(b"PK")
    assert "file.zip is neither" in refused(home, "import", tmp_path / "file.zip")
    assert "gone.zip is neither" in refused(home, "import", tmp_path / "gone.zip")
    assert "has no nightsweep.json" in refused(home, "import", tmp_path)
