"""Copies of input images that no job names, and what keeps a copy."""

import os
from pathlib import Path

import pytest
from PIL import Image

from storage.files.inputs import InputFolder
from storage.files.orphans import SETTLED_S
from storage.files.unused_inputs import find_unused_inputs, remove_unused_inputs
from storage.jobs.sweeps import save_sweep
from storage.sql.database import Database
from tests.builders import make_planned, submit

pytestmark = pytest.mark.databases("sqlite", "postgresql")

YEAR_S = 365 * 86400


def copy(folder: Path, colour: str, *, age_s: float = 2 * SETTLED_S) -> str:
    """Copy an input image of one colour, used so long ago; return its digest."""
    inputs = InputFolder(folder)
    digest = inputs.save(Image.new("RGB", (8, 8), colour))
    file = inputs.path(digest)
    then = file.stat().st_mtime - age_s
    os.utime(file, (then, then))
    return digest


def name(database: Database, *digests: str) -> None:
    """Store jobs that begin with images."""
    extras = [{"image": digest, "strength": 0.5} for digest in digests]
    submit(database, [make_planned(extras=each) for each in extras])


def left(folder: Path) -> set[str]:
    return {file.stem for file in (folder / "inputs").iterdir()}


def test_a_copy_that_a_job_names_stays_and_another_goes(
    database: Database, tmp_path: Path
) -> None:
    used, unused = copy(tmp_path, "red"), copy(tmp_path, "blue")
    name(database, used)
    found = find_unused_inputs(database, tmp_path)
    assert list(found.digests) == [unused]
    assert found.size_bytes == InputFolder(tmp_path).path(unused).stat().st_size
    assert sum(remove_unused_inputs(database, found)) == 1
    assert left(tmp_path) == {used}


def test_a_copy_stays_for_an_hour_after_its_use(
    database: Database, tmp_path: Path
) -> None:
    copy(tmp_path, "red", age_s=0.9 * SETTLED_S)
    copy(tmp_path, "blue", age_s=YEAR_S / 2)
    assert len(find_unused_inputs(database, tmp_path).digests) == 1
    assert not find_unused_inputs(database, tmp_path, age_s=YEAR_S).digests


def test_a_copy_that_a_submission_takes_meanwhile_stays(
    database: Database, tmp_path: Path
) -> None:
    stored, copied = copy(tmp_path, "red"), copy(tmp_path, "blue")
    found = find_unused_inputs(database, tmp_path)
    name(database, stored)
    assert InputFolder(tmp_path).note_use(copied)
    assert sum(remove_unused_inputs(database, found)) == 0
    assert left(tmp_path) == {stored, copied}


def test_no_copy_goes_while_a_sweep_is_being_submitted(
    database: Database, tmp_path: Path
) -> None:
    digest = copy(tmp_path, "red")
    found = find_unused_inputs(database, tmp_path)
    save_sweep(database, "night", spec="", axes={}, submitting=1)
    assert sum(remove_unused_inputs(database, found)) == 0
    assert left(tmp_path) == {digest}


def test_other_files_beside_the_copies_stay(database: Database, tmp_path: Path) -> None:
    copy(tmp_path, "red")
    other = tmp_path / "inputs" / "mine.png"
    other.write_bytes(b"")
    os.utime(other, (0, 0))
    found = find_unused_inputs(database, tmp_path)
    assert sum(remove_unused_inputs(database, found)) == 1
    assert left(tmp_path) == {"mine"}


def test_a_folder_without_input_images_has_none_to_remove(
    database: Database, tmp_path: Path
) -> None:
    assert not find_unused_inputs(database, tmp_path).digests
