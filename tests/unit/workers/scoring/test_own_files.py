"""Files of metrics that workers take, and those that somebody else may have written."""

from pathlib import Path

import pytest

from storage.errors import MetricError
from workers.scoring.own_files import require_own_file


def test_packages_and_own_files_are_taken(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.touch(0o644)
    sources = ("clip", "package.module:Class", f"{file}:Class", "/no/such.py:Class")
    for source in sources:
        require_own_file(source, tmp_path / "images")


@pytest.mark.parametrize("place", ["images/any.py", "open.py"])
def test_files_that_others_may_have_written_are_refused(
    tmp_path: Path, place: str
) -> None:
    file = tmp_path / place
    file.parent.mkdir(exist_ok=True)
    file.touch()
    file.chmod(0o666 if place == "open.py" else 0o644)
    with pytest.raises(MetricError) as caught:
        require_own_file(f"{file}:Class", tmp_path / "images")
    assert str(caught.value) == (
        "the file of a metric must be the worker's own user's, not writable for "
        f"everybody, and outside the image folder, which {file} is not; move it, or "
        "install it as a package"
    )
