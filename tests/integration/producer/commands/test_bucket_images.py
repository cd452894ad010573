from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from producer.cli import cli
from storage.files.images import relative_path
from tests.buckets import Bucket
from tests.unit.filled_store import filled


def test_a_copy_of_an_image_in_a_bucket_is_opened(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, planned = filled(tmp_path / "home")
    path = relative_path(planned[0].job.key)
    files: list[str] = []
    monkeypatch.setattr(click, "launch", lambda file: files.append(file) or 0)
    monkeypatch.setenv("NIGHTSWEEP_HOME", str(settings.home))

    asked = ["open", f"{settings.images}/{path}"]
    result = CliRunner().invoke(cli, asked)
    assert (result.exit_code, result.output) == (0, "")
    assert Path(files[0]).read_bytes() == bucket.read(path)

    bucket.remove(path)
    lost = CliRunner().invoke(cli, asked)
    assert lost.exit_code == 2
    assert "verify --repair` makes lost images again" in " ".join(lost.output.split())
