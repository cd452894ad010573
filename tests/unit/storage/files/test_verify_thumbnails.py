"""`nightsweep verify` and thumbnails, which go where their images go."""

import io
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from PIL import Image

from storage.files import orphans, repairs
from storage.files.disk import thumbnail_beside
from storage.files.images import ImageFolder
from storage.settings import Settings
from tests.builders import make_job, plan_seeds, submit
from tests.unit.storage.files.test_verify import (
    OLD_S,
    file_of,
    found,
    found_by,
    make_images,
    make_old,
    verify,
)


def lines(said: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in said.stdout.splitlines()]


def below(settings: Settings, path: Path) -> str:
    return str(path.relative_to(settings.images))


def small_copy(image: Path, *, age_s: float = 0, content: bytes | None = None) -> Path:
    """Write the thumbnail of an image that is there or not, with an image's age."""
    out = io.BytesIO()
    Image.new("RGB", (256, 256), "red").save(out, "WEBP")
    path = thumbnail_beside(image)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(out.getvalue() if content is None else content)
    os.utime(path, (time.time() - age_s,) * 2)
    return path


def test_a_thumbnail_beside_its_image_is_right_and_is_no_image(
    settings, database
) -> None:
    make_images(settings, database, 1, 2)
    small_copy(file_of(settings, 1), age_s=OLD_S)
    for options in ((), ("--full",), ("--repair",)):
        said = verify(*options)
        assert (said.exit_code, said.stdout) == (0, "")
        assert said.stderr == "2 images checked, nothing is wrong.\n"
    assert thumbnail_beside(file_of(settings, 1)).exists()


@pytest.mark.parametrize("content", [b"", b"RIFF\x10\0\0\0WEBPVP8 ", bytes(5000)])
def test_a_damaged_thumbnail_is_found_and_removed(settings, database, content) -> None:
    make_images(settings, database, 1, 2)
    damaged = small_copy(file_of(settings, 1), content=content)
    small_copy(file_of(settings, 2))
    said = verify()
    assert json.loads(said.stdout) == {
        "problem": "damaged",
        "key": make_job(seed=1).key,
        "path": below(settings, damaged),
        "detail": "a thumbnail that is cut short or no WebP file",
        "repair": None,
    }
    assert said.stderr == "2 images checked: 1 damaged; --repair mends that.\n"
    said = verify("--repair")
    assert (said.exit_code, json.loads(said.stdout)["repair"]) == (0, "removed")
    assert not damaged.exists()
    assert verify().stderr == "2 images checked, nothing is wrong.\n"


def test_a_thumbnail_without_an_image_is_removed_and_a_picture_is_moved(
    settings, database
) -> None:
    make_images(settings, database, 1)
    submit(database, plan_seeds(2, 3))
    small_copy(file_of(settings, 2))  # its worker lost its lease a moment ago
    late = small_copy(file_of(settings, 3), age_s=OLD_S)
    stranger = small_copy(ImageFolder(settings.images).path("0" * 32))
    said = verify()
    details = {
        line["path"]: (line["problem"], line["detail"])
        for line in map(json.loads, said.stdout.splitlines())
    }
    assert details == {
        str(path.relative_to(settings.images)): (
            "orphaned",
            f"a thumbnail without an image; {why}",
        )
        for path, why in (
            (late, "its job is pending"),
            (stranger, "no job has this key"),
        )
    }
    said = verify("--repair")
    assert said.exit_code == 0
    assert "1 image checked: 2 orphaned; 2 repaired." in said.stderr
    assert not late.exists()
    assert not stranger.exists()
    assert thumbnail_beside(file_of(settings, 2)).exists()
    assert not (settings.images / repairs.ORPHANS).exists()


def test_a_thumbnail_goes_when_its_picture_is_moved_away_and_counts_as_one(
    settings, database
) -> None:
    make_images(settings, database, 1, 2, 3, 4)
    file_of(settings, 1).unlink()
    file_of(settings, 2).write_bytes(b"short")
    make_old(ImageFolder(settings.images).path("0" * 32))
    make_old(settings.images / "00" / "00" / file_of(settings, 4).name)
    images = set(settings.images.glob("??/??/*.png"))
    images.add(file_of(settings, 1))
    for image in images:
        small_copy(image)
    said = verify("--repair")
    assert said.exit_code == 0
    assert "1 missing, 1 truncated, 2 orphaned; 4 repaired." in said.stderr
    left = {path.stem for path in settings.images.rglob("*.webp")}
    assert left == {make_job(seed=seed).key for seed in (3, 4)}
    assert verify().exit_code == 0


def test_the_thumbnail_of_another_databases_image_is_left_alone(
    settings, database
) -> None:
    make_old(ImageFolder(settings.images).path("0" * 32))
    kept = [
        small_copy(ImageFolder(settings.images).path(digit * 32), age_s=OLD_S)
        for digit in ("0", "1")
    ]
    make_images(settings, database, 1)
    said = verify("--repair")
    assert said.exit_code == 0
    assert set(found(said).values()) == {"foreign"}
    assert "Left alone: 2 foreign" in said.stderr
    assert all(path.exists() for path in kept)
    assert verify("--repair", "--force").exit_code == 0
    assert not any(path.exists() for path in kept)


def test_a_thumbnail_that_a_killed_worker_began_is_found_when_it_is_old(
    settings, database
) -> None:
    make_images(settings, database, 1)
    small = thumbnail_beside(file_of(settings, 1))
    small.with_name(f".{small.name}.0123456789abcdef.tmp").write_bytes(b"young")
    old = make_old(small.with_name(f".{small.name}.fedcba9876543210.tmp"))
    said = verify("--repair")
    assert found(said) == {below(settings, old): "leftover"}
    assert not old.exists()


def test_a_thumbnail_that_was_made_again_meanwhile_is_left_alone(
    settings, database
) -> None:
    make_images(settings, database, 1)
    small_copy(file_of(settings, 1), content=b"")
    seen = found_by([*orphans.check_files(database, settings.images)])
    whole = small_copy(file_of(settings, 1))
    assert [*repairs.mend(database, settings.images, seen)] == seen
    assert whole.exists()
