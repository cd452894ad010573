"""Copies of input images that `prune` takes while a sweep is being submitted."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from producer.commands.submit import submit
from producer.submission import submission
from storage.files.inputs import INPUTS
from storage.jobs.sweeps import save_sweep
from storage.settings import Settings
from storage.sql.database import open_database
from tests.builders import job_rows


@pytest.mark.usefixtures("app")
def test_a_copy_that_was_removed_before_the_sweep_was_stored_is_made_again(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("RGB", (64, 64), "red").save(tmp_path / "red.png")
    spec = tmp_path / "sweep.yaml"
    spec.write_text(
        "name: night\naxes: {seed: [1, 2]}\nbase: {model: 'builtin:shapes', "
        "prompt: a cat, image: red.png, strength: 0.8, steps: 4}\n"
    )
    removed: list[Path] = []

    def save_late(*words: Any, **more: Any) -> object:
        for copy in (settings.images / INPUTS).iterdir():
            removed.append(copy)
            copy.unlink()
        return save_sweep(*words, **more)

    monkeypatch.setattr(submission.sweeps, "save_sweep", save_late)
    submit(str(spec), settings=settings)
    database = open_database(settings.database_url)
    assert len(job_rows(database)) == 2
    database.close()
    assert len(removed) == 1
    assert removed[0].exists()
