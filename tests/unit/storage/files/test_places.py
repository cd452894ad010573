"""A place is a disk, or a bucket, whose package is an extra."""

import subprocess
import sys
from pathlib import Path

import pytest

from storage.errors import UsageError
from storage.files.disk import Disk
from storage.files.places import find_local, place_at
from storage.image_address import BucketAddress
from tests.processes import ROOT

ADDRESS = BucketAddress(
    scheme="s3", bucket="nights", prefix="", cache=Path("cache"), cache_bytes=1
)
#: All that commands and workers import at first, without torch.
IMPORTS = "import producer.cli, producer.commands.doctor, storage.store, workers.cli"


def test_a_folder_is_a_place(tmp_path: Path) -> None:
    place = place_at(tmp_path)
    assert place == Disk(tmp_path)
    assert find_local(tmp_path, "ab/x.png") is None
    place.save("ab/x.png", b"png")
    assert find_local(tmp_path, "ab/x.png") == tmp_path / "ab" / "x.png"


def test_without_the_package_for_buckets_an_error_names_the_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delitem(sys.modules, "storage.files.bucket", raising=False)
    monkeypatch.setitem(sys.modules, "obstore", None)
    said = r"NIGHTSWEEP_IMAGES is s3://nights; run `pip install 'nightsweep\[s3\]'`"
    with pytest.raises(UsageError, match=said):
        place_at(ADDRESS)


def test_the_package_for_buckets_is_imported_only_for_a_bucket() -> None:
    code = f"import sys; {IMPORTS}; sys.exit('obstore' in sys.modules)"
    assert subprocess.run([sys.executable, "-P", "-c", code], cwd=ROOT).returncode == 0
