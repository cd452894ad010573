"""A bucket belongs to one database, and is checked and repaired as a folder is."""

import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
import sqlalchemy as sa
from click.testing import CliRunner
from PIL import Image

from producer.cli import cli
from producer.health.holdings import check_images
from storage.errors import ImageStoreError, WrongFolderError
from storage.files.folders import count_missing, look_at_folder, take_folder
from storage.files.images import ImageFolder, relative_path
from storage.files.inputs import InputFolder, path_of_input
from storage.files.markers import NAME
from storage.files.places import place_at
from storage.settings import Settings
from storage.sql.database import Database, open_database
from storage.sql.schema import folder_places
from tests import buckets
from tests.builders import make_job, make_planned, states, submit
from tests.unit.storage.files.test_verify import found, make_images, png, verify

pytestmark = pytest.mark.databases("sqlite")


def path_of(seed: int) -> str:
    return relative_path(make_job(seed=seed).key)


def test_images_in_a_bucket_are_right(
    bucket: buckets.Bucket, settings: Settings, database: Database
) -> None:
    make_images(settings, database, 1, 2, 3)
    said = verify("--full")
    assert (said.exit_code, said.stdout) == (0, "")
    assert said.stderr == "3 images checked, nothing is wrong.\n"
    assert len(bucket.names(".png")) == 3


def test_what_is_wrong_in_a_bucket_is_found_and_repaired(
    bucket: buckets.Bucket, settings: Settings, database: Database
) -> None:
    make_images(settings, database, 1, 2, 3, 4)
    stranger = relative_path("0" * 32)
    bucket.remove(path_of(1))
    bucket.write(path_of(2), b"short")
    bucket.write(path_of(3), png("blue"))
    bucket.write(stranger, b"png")
    wrong = {
        path_of(1): "missing",
        path_of(2): "truncated",
        path_of(3): "wrong_digest",
        stranger: "orphaned",
    }
    assert found(verify("--full")) == wrong
    assert found(verify("--full", "--repair")) == wrong
    assert states(database) == {1: "pending", 2: "pending", 3: "pending", 4: "done"}
    moved = [path_of(2), path_of(3), stranger]
    assert bucket.names(".png") == sorted(
        [path_of(4), *(f"orphans/{path}" for path in moved)]
    )
    assert verify("--full").exit_code == 0


def test_a_bucket_that_is_gone_repairs_nothing(
    bucket: buckets.Bucket, settings: Settings, database: Database
) -> None:
    make_images(settings, database, 1, 2)
    bucket.server.inject(buckets.GONE)
    said = verify("--repair")
    assert said.exit_code == 1
    assert "The bucket of the images must be there" in said.stderr
    assert set(states(database).values()) == {"done"}


def test_a_bucket_that_was_emptied_is_noticed(
    bucket: buckets.Bucket, settings: Settings, database: Database
) -> None:
    make_images(settings, database, 1, 2)
    bucket.remove(*bucket.names())
    assert count_missing(database, look_at_folder(database, settings.images)) == 2


def test_a_bucket_is_one_place_for_all_hosts(
    bucket: buckets.Bucket,
    settings: Settings,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = take_folder(database, settings.images)
    monkeypatch.setattr("storage.files.folder_places.my_host", lambda: "another")
    assert take_folder(database, settings.images) == first
    assert first.place == bucket.url
    with database.read() as connection:
        (row,) = connection.execute(sa.select(folder_places)).all()
    assert f"{row.host}:{row.path}" == bucket.url
    assert bucket.names() == [NAME]


def test_of_workers_that_take_a_bucket_at_once_all_have_the_same_folder(
    bucket: buckets.Bucket, settings: Settings, database: Database
) -> None:
    with ThreadPoolExecutor(6) as pool:
        taken = [*pool.map(lambda _: take_folder(database, settings.images), range(6))]
    assert len({each.id for each in taken}) == 1
    assert bucket.names() == [NAME]


def test_a_bucket_of_another_database_is_refused(
    bucket: buckets.Bucket, settings: Settings, database: Database, tmp_path
) -> None:
    take_folder(database, settings.images)
    with (
        closing(open_database(f"sqlite:///{tmp_path / 'other.db'}")) as other,
        pytest.raises(WrongFolderError, match=re.escape(bucket.url)),
    ):
        take_folder(other, settings.images)


def test_objects_from_before_are_foreign(
    bucket: buckets.Bucket, settings: Settings, database: Database
) -> None:
    stranger = relative_path("0" * 32)
    bucket.write(stranger, b"png")
    folder = take_folder(database, settings.images)
    assert folder.since_ns > 0
    assert bucket.names() == [NAME, stranger]
    seen = place_at(settings.images).look_at(stranger)
    assert seen
    assert seen.written_ns <= folder.since_ns


def test_a_removed_sweep_takes_its_objects_along(
    bucket: buckets.Bucket, settings: Settings, database: Database
) -> None:
    make_images(settings, database, 1, 2)
    place_at(settings.images).save(path_of(1), png("red"), b"thumbnail")
    said = CliRunner().invoke(cli, ["rm", "night", "--yes"], catch_exceptions=False)
    assert said.exit_code == 0, said.output
    assert "Removed 2 images" in said.stderr
    assert bucket.names() == [NAME]


def test_copies_of_input_images_are_in_the_bucket(
    bucket: buckets.Bucket, settings: Settings, database: Database
) -> None:
    inputs = InputFolder(settings.images)
    digest = inputs.save(Image.new("RGB", (8, 8), "red"))
    assert bucket.names() == [path_of_input(digest)]
    assert inputs.note_use(digest)
    assert inputs.read(digest).getpixel((0, 0)) == (255, 0, 0)
    submit(database, [make_planned(extras={"image": digest})])
    bucket.write(path_of_input(digest), b"cut")
    assert found(verify()) == {path_of_input(digest): "lost_input"}
    inputs.save(Image.new("RGB", (8, 8), "red"))
    assert verify().exit_code == 0


def test_the_doctor_checks_a_bucket(
    bucket: buckets.Bucket, settings: Settings, database: Database
) -> None:
    make_images(settings, database, 1)
    (check, _) = check_images(settings, database)
    assert (check.name, check.verdict) == ("image bucket", "ok")
    assert check.detail.startswith(f"{bucket.url} can be read and written; a put takes")
    assert bucket.names() == sorted([NAME, path_of(1)])
    bucket.server.inject(buckets.DENIED, methods=("PUT",))
    with pytest.raises(ImageStoreError, match="rights to list, get, put and delete"):
        list(check_images(settings, database))


@pytest.mark.parametrize("ignored", ["HTTP_IF_NONE_MATCH", "HTTP_IF_MATCH"])
def test_the_doctor_tells_of_a_store_that_ignores_conditions_of_puts(
    bucket: buckets.Bucket,
    settings: Settings,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    ignored: str,
) -> None:
    make_images(settings, database, 1)
    serve = bucket.server.app

    def ignore(request: buckets.Request, start: buckets.Start) -> buckets.Answer:
        request.pop(ignored, None)
        return serve(request, start)

    monkeypatch.setattr(bucket.server, "app", ignore)
    _, check, _ = check_images(settings, database)
    assert (check.name, check.verdict) == ("image bucket", "warn")
    assert "ignores If-None-Match or If-Match" in check.detail


def test_a_wish_for_free_space_needs_a_disk(
    bucket: buckets.Bucket, settings: Settings
) -> None:
    images = ImageFolder(settings.images, missing=lambda *_: pytest.fail("asked"))
    images.save("0" * 32, b"png")
    assert bucket.names() == [relative_path("0" * 32)]
