"""An image folder that is copied into a bucket goes on as the same folder."""

from pathlib import Path

from storage.files.folders import look_at_folder, take_folder
from storage.files.markers import NAME
from storage.settings import Settings, read_settings
from storage.sql.database import Database
from tests.buckets import Bucket


def test_a_copy_with_its_marker_is_the_same_folder(
    bucket: Bucket, settings: Settings, database: Database, tmp_path: Path
) -> None:
    images = read_settings({"NIGHTSWEEP_HOME": str(tmp_path / "home")}).images
    assert isinstance(images, Path)
    images.mkdir()
    before = take_folder(database, images)
    bucket.write(NAME, (images / NAME).read_bytes())

    assert look_at_folder(database, settings.images).id == before.id
    assert take_folder(database, settings.images).id == before.id
    assert bucket.read(NAME) == (images / NAME).read_bytes()
