"""The whole way of images that are in a bucket, with a real worker that paints fast."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from PIL import Image

from tests.acceptance.conftest import Bench
from tests.buckets import Bucket
from tests.processes import PATIENCE_S

SPEC = """
name: in-a-bucket
base: {model: 'builtin:shapes', width: 320, height: 320, prompt: a cat}
axes: {steps: [2, 3], seed: {start: 0, count: 2}}
"""


@pytest.fixture
def made(bucket: Bucket, bench: Bench, tmp_path: Path) -> Bench:
    """Give a bench that has made the sweep."""
    bench.paint_with_the_stand_in()
    bench.extra.update(bucket.environment)
    file = tmp_path / "sweep.yaml"
    file.write_text(SPEC)
    bench.cli("submit", str(file))
    with working(bench):
        bench.finish("in-a-bucket")
    assert bench.states() == {"done": 4}
    return bench


@contextmanager
def working(bench: Bench) -> Iterator[None]:
    """Have a worker that ends with the block."""
    words = ("worker", "--device", "cpu", "--workers", "1", "--end-with-parent")
    with subprocess.Popen(
        bench.command(*words),
        env=bench.env,
        stdin=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as worker:
        yield
        worker.terminate()
        worker.wait(PATIENCE_S)


def test_every_command_works_on_images_in_a_bucket(
    made: Bench, bucket: Bucket, tmp_path: Path
) -> None:
    images = bucket.names(".png")
    assert len(images) == 4
    assert bucket.names(".webp") == [name.replace(".png", ".webp") for name in images]
    assert not list(made.home.rglob("*.png"))

    assert "4 images checked, nothing is wrong" in made.cli("verify", "--full").output
    paths = made.cli("find", "in-a-bucket", "--paths").stdout.split()
    assert sorted(paths) == [f"{bucket.url}/{name}" for name in images]
    key = Path(paths[0]).stem
    told = json.loads(made.cli("show", key, "--json").stdout)
    assert told["file"] == paths[0]

    sheet = made.cli("grid", "in-a-bucket").stdout.strip()
    with Image.open(sheet) as drawn:
        colours = {colour for _, colour in drawn.getcolors(2**20) or []}
    assert {tuple(bytes.fromhex(Path(path).stem[:6])) for path in paths} <= colours

    made.cli("export", "in-a-bucket", "--to", str(tmp_path / "out"))
    copies = (tmp_path / "out" / "images").rglob("*.png")
    assert sorted(map(Path.read_bytes, copies)) == sorted(map(bucket.read, images))

    made.cli("view", "in-a-bucket", "--export", str(tmp_path / "page"))
    assert len(list((tmp_path / "page" / "thumbs").iterdir())) == 4

    made.cli("rm", "in-a-bucket", "seed:1", "--yes")
    assert len(bucket.names(".png")) == len(bucket.names(".webp")) == 2
    made.cli("rm", "in-a-bucket", "--yes")
    assert bucket.names() == [".nightsweep.json"]


@pytest.mark.torch
def test_images_in_a_bucket_are_scored_and_reported(
    made: Bench, tmp_path: Path
) -> None:
    metric = ("--metric", "tests.own_metrics:Brightness")
    with working(made):
        made.cli("score", "in-a-bucket", *metric, "--wait")

    page = tmp_path / "report.html"
    words = ("--by", "steps", "--metric", "brightness", "--out", str(page))
    made.cli("report", "in-a-bucket", *words)

    assert page.read_text().count("data:image/webp") >= 2


def test_an_export_is_imported_into_a_bucket(
    made: Bench, bucket: Bucket, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    made.cli("export", "in-a-bucket", "--to", str(out))
    before = {name: bucket.read(name) for name in bucket.names(".png")}
    elsewhere = {**made.extra, "NIGHTSWEEP_IMAGES": f"{bucket.url}/there"}

    with closing(Bench(tmp_path / "there", elsewhere)) as there:
        there.cli("import", str(out))
        assert "nothing is wrong" in there.cli("verify", "--full").output

    names = [name for name in bucket.names(".png") if name.startswith("there/")]
    assert {name.removeprefix("there/"): bucket.read(name) for name in names} == before
    assert not [name for name in bucket.names() if name.endswith(".tmp")]
    assert not list(there.home.rglob("*.png"))


def test_an_export_cannot_link_to_a_bucket(made: Bench, tmp_path: Path) -> None:
    words = ("export", "in-a-bucket", "--to", str(tmp_path / "out"), "--link")

    said = made.cli(*words, code=2).output

    assert "--link must be for images in a folder, but they are in s3://" in said
    assert not (tmp_path / "out").exists()


def test_a_prefix_belongs_to_one_database(made: Bench, tmp_path: Path) -> None:
    with closing(Bench(tmp_path / "other", made.extra)) as other:
        other.cli("submit", str(tmp_path / "sweep.yaml"))

        said = other.cli("verify", code=2).output

    assert "belongs to another" in said
