"""Images in a bucket: whole, of the right version, and told of when it fails."""

import io
import logging
import threading
from collections.abc import Callable
from dataclasses import replace

import pytest
from PIL import Image

from storage.errors import ImageStoreError, UsageError
from storage.files import bucket as bucket_module
from storage.files import bucket_opening
from storage.files.bucket import Bucket
from storage.files.images import ImageFolder, relative_path
from storage.files.places import bucket_at, find_local, place_at
from storage.files.thumbnails import encode_thumbnail, find_or_make
from storage.host.log_rate import RateLimit
from storage.image_address import BucketAddress
from tests import buckets

KEY = "ab" + "cd" + "0" * 28
PATH = relative_path(KEY)
TOO_MANY = buckets.Fault(status="429 Too Many Requests", code="TooManyRequests")
THUMBNAIL = PATH.replace(".png", ".webp")


@pytest.fixture
def address(bucket: buckets.Bucket, settings) -> BucketAddress:
    assert isinstance(settings.images, BucketAddress)
    assert str(settings.images) == bucket.url
    return settings.images


@pytest.fixture
def place(address: BucketAddress) -> Bucket:
    return bucket_at(address)


def picture(colour: str, side_px: int = 300) -> tuple[bytes, bytes | None]:
    image = Image.new("RGB", (side_px, side_px), colour)
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue(), encode_thumbnail(image)


def colour_of(address: BucketAddress) -> tuple[int, ...]:
    """Return the colour of the file that shows the image in small."""
    with Image.open(find_or_make(address, KEY)) as image:
        assert max(image.size) == 256
        red, green, blue = image.convert("RGB").getpixel((9, 9))
        return tuple(round(part / 255) for part in (red, green, blue))


def test_an_image_and_its_thumbnail_are_objects_below_the_prefix(
    bucket: buckets.Bucket, address: BucketAddress
) -> None:
    png, thumbnail = picture("red")
    ImageFolder(address).save(KEY, png, thumbnail)
    assert bucket.names() == [PATH, THUMBNAIL]
    assert bucket.read(PATH) == png
    assert ImageFolder(address).path(KEY).read_bytes() == png


def test_a_local_copy_is_fetched_once_and_again_when_the_object_changed(
    bucket: buckets.Bucket, address: BucketAddress
) -> None:
    images = ImageFolder(address)
    images.save(KEY, b"one")
    for _ in range(3):
        assert images.path(KEY).read_bytes() == b"one"
    assert bucket.server.requests["GET"] == 1
    images.save(KEY, b"two")
    assert images.path(KEY).read_bytes() == b"two"


def test_a_copy_that_was_cut_short_is_fetched_again(address: BucketAddress) -> None:
    images = ImageFolder(address)
    images.save(KEY, b"content")
    images.path(KEY).write_bytes(b"con")
    assert images.path(KEY).read_bytes() == b"content"


def test_the_cache_of_copies_is_bounded(address: BucketAddress) -> None:
    small = replace(address, cache_bytes=10_000)
    images = ImageFolder(small)
    for number in range(30):
        key = f"{number:032x}"
        images.save(key, bytes(1000))
        assert images.path(key).stat().st_size == 1000
    held = [file.stat().st_size for file in address.cache.rglob("*.png")]
    assert 5000 < sum(held) <= 10_000


def test_a_thumbnail_of_an_earlier_image_is_not_shown(
    bucket: buckets.Bucket, address: BucketAddress
) -> None:
    images = ImageFolder(address)
    images.save(KEY, *picture("red"))
    assert colour_of(address) == (1, 0, 0)
    images.save(KEY, picture("blue")[0])  # killed before its thumbnail
    assert bucket.names() == [PATH, THUMBNAIL]
    assert colour_of(address) == (0, 0, 1)


def test_a_thumbnail_that_is_kept_costs_one_small_request(
    bucket: buckets.Bucket, address: BucketAddress
) -> None:
    ImageFolder(address).save(KEY, *picture("red"))
    find_or_make(address, KEY)
    bucket.server.requests.clear()
    find_or_make(address, KEY)
    assert bucket.server.requests == {"HEAD": 1}


def test_a_lost_thumbnail_is_made_and_put_again(
    bucket: buckets.Bucket, address: BucketAddress
) -> None:
    ImageFolder(address).save(KEY, picture("red")[0])
    assert colour_of(address) == (1, 0, 0)
    assert bucket.names() == [PATH, THUMBNAIL]


def test_a_small_image_shows_itself_and_is_fetched_once(
    bucket: buckets.Bucket, address: BucketAddress
) -> None:
    ImageFolder(address).save(KEY, *picture("red", side_px=64))
    for gets in (2, 1):  # one of them looks for a thumbnail
        bucket.server.requests.clear()
        assert find_or_make(address, KEY).suffix == ".png"
        assert bucket.server.requests == {"HEAD": 1, "GET": gets}


def test_an_absent_object_is_no_file(address: BucketAddress, place: Bucket) -> None:
    assert place.look_at(PATH) is None
    assert find_local(address, PATH) is None
    for ask in (place.read, place.local):
        with pytest.raises(FileNotFoundError, match="No such object"):
            ask(PATH)
    with pytest.raises(ImageStoreError, match=f"but {address}/{PATH} gives: No such"):
        find_or_make(address, KEY)


def test_many_objects_are_looked_at_together_in_their_order(
    bucket: buckets.Bucket, place: Bucket
) -> None:
    paths = [relative_path(f"{number:032x}") for number in range(40)]
    for number, path in enumerate(paths):
        place.save(path, bytes(number))
    bucket.server.latency_s = 0.03
    found = [*place.look_at_each([*paths, PATH])]
    assert [stamp.size_bytes if stamp else None for stamp in found] == [
        *range(40),
        None,
    ]
    assert bucket.server.most_at_once > 8


def test_objects_are_removed_together_and_absent_ones_are_no_error(
    bucket: buckets.Bucket, place: Bucket
) -> None:
    paths = [relative_path(f"{number:032x}") for number in range(20)]
    for path in paths:
        place.save(path, b"png")
    bucket.server.requests.clear()
    place.remove([*paths, PATH])
    assert bucket.names() == []
    assert bucket.server.requests == {"POST": 1}


def test_a_folder_is_listed_as_on_a_disk(place: Bucket) -> None:
    for path in ("ab/cd/x.png", "ab/x.png", "ab/c/x.png", "abc/cd/x.png", "top.txt"):
        place.save(path, b"png")
    assert place.list_shard("ab") == ["ab/cd/x.png"]
    assert sorted(place.names("")) == ["ab", "abc", "top.txt"]
    assert sorted(place.names("ab")) == ["c", "cd", "x.png"]
    assert place.names("no") == []


@pytest.mark.parametrize(
    "fault",
    [buckets.BROKEN, buckets.BUSY, TOO_MANY, buckets.CUT, buckets.ANSWER_LOST],
)
def test_a_fault_that_passes_is_not_noticed(
    bucket: buckets.Bucket, place: Bucket, fault: buckets.Fault
) -> None:
    bucket.server.inject(fault, times=2)
    place.save(PATH, b"content")
    bucket.server.mend()
    bucket.server.inject(replace(fault, is_done=False), times=2)
    assert place.read(PATH)[0] == b"content"
    assert bucket.server.happened() == 2


def ask_all(place: Bucket) -> dict[str, Callable[[], object]]:
    return {
        "look": lambda: place.look_at(PATH),
        "read": lambda: place.read(PATH),
        "local": lambda: place.local(PATH),
        "save": lambda: place.save(PATH, b"png"),
        "create": lambda: place.create(PATH, b"png"),
        "names": lambda: place.names(""),
        "list": lambda: place.list_shard("ab"),
        "remove": lambda: place.remove([PATH]),
        "touch": lambda: place.touch(PATH),
        "move": lambda: place.move(PATH, "orphans/x.png"),
    }


@pytest.mark.parametrize("call", ask_all(None))  # type: ignore[arg-type]
@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (buckets.GONE, "must be there, but .* gives: 404.*create it, or correct"),
        (buckets.DENIED, "must allow its use, but .* gives: 403.*rights to list"),
    ],
)
def test_a_bucket_that_is_gone_or_closed_is_told_of_in_one_sentence(
    bucket: buckets.Bucket, place: Bucket, call: str, fault: buckets.Fault, said: str
) -> None:
    place.save(PATH, b"png")
    bucket.server.inject(fault)
    with pytest.raises(ImageStoreError, match=said) as caught:
        ask_all(place)[call]()
    text = str(caught.value)
    assert bucket.url in text
    assert "\n" not in text
    assert caught.value.retryable
    assert caught.value.__cause__ is None
    assert buckets.SECRET not in text
    assert buckets.KEY_ID not in text


def test_a_store_that_is_away_is_told_of(
    bucket: buckets.Bucket, place: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket_opening, "RETRIES", 0)
    bucket_module.open_bucket.cache_clear()
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    away = bucket_module.open_bucket(place.address)
    said = "must answer, but s3://.* gives: no answer; check the network"
    with pytest.raises(ImageStoreError, match=said):
        away.save(PATH, b"png")
    bucket_module.open_bucket.cache_clear()


def test_a_thumbnail_that_cannot_be_put_does_not_cost_the_image(
    bucket: buckets.Bucket,
    address: BucketAddress,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bucket_module.log, "filters", [RateLimit()])
    bucket.server.inject(buckets.DENIED, every=2)
    with caplog.at_level(logging.WARNING):
        ImageFolder(address).save(KEY, *picture("red"))
    assert bucket.names() == [PATH]
    (line,) = caplog.records
    assert line.action == "thumbnail_failed"  # type: ignore[attr-defined]


def test_of_many_that_create_an_object_one_does(place: Bucket) -> None:
    written: list[bytes] = []

    def create(content: bytes) -> None:
        if place.create("marker.json", content):
            written.append(content)

    threads = [
        threading.Thread(target=create, args=[f"{number}".encode()])
        for number in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [place.read("marker.json")[0]] == written


def test_a_bucket_without_a_prefix_is_used_as_a_whole(
    bucket: buckets.Bucket, address: BucketAddress
) -> None:
    whole = place_at(replace(address, prefix=""))
    whole.save(PATH, b"png")
    assert whole.names("") == ["ab"]
    assert bucket.names() == []


@pytest.mark.parametrize(
    ("scheme", "env"),
    [("gs", {}), ("az", {"AZURE_STORAGE_ACCOUNT_NAME": "nights"})],
)
def test_buckets_of_other_stores_are_opened(
    address: BucketAddress,
    monkeypatch: pytest.MonkeyPatch,
    scheme: str,
    env: dict[str, str],
) -> None:
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    other = replace(address, scheme=scheme)
    assert bucket_at(other).address == other


def test_a_bucket_of_azure_needs_an_account(address: BucketAddress) -> None:
    said = "for az://.* obstore says: .*Account must be specified; set them in"
    with pytest.raises(UsageError, match=said):
        bucket_at(replace(address, scheme="az", prefix="without/account"))


def test_an_image_of_whoever_has_the_job_now_is_not_replaced(
    bucket: buckets.Bucket, address: BucketAddress
) -> None:
    answers = iter([True, False])
    bucket.write(PATH, b"theirs")
    images = ImageFolder(address)
    assert not images.save(KEY, b"mine", b"small", is_mine=lambda: next(answers))
    assert bucket.read(PATH) == b"theirs"
    assert bucket.names() == [PATH]


def test_an_image_that_is_put_after_the_look_is_not_replaced(
    bucket: buckets.Bucket, place: Bucket
) -> None:
    asked = 0

    def is_mine() -> bool:
        nonlocal asked
        asked += 1
        if asked == 1:  # the job is lost between this answer and the put
            bucket.write(PATH, b"theirs")
        return asked == 1

    place.save(PATH, b"of a killed worker")
    assert not place.save(PATH, b"mine", is_mine=is_mine)
    assert bucket.read(PATH) == b"theirs"


def test_an_image_that_a_killed_worker_left_is_replaced(
    bucket: buckets.Bucket, place: Bucket
) -> None:
    place.save(PATH, b"left")
    bucket.server.requests.clear()
    assert place.save(PATH, b"mine")
    assert bucket.read(PATH) == b"mine"
    assert bucket.server.requests == {"PUT": 2, "HEAD": 1}


def test_an_image_that_others_go_on_replacing_is_told_of(
    bucket: buckets.Bucket, place: Bucket
) -> None:
    contents = iter(range(9))

    def is_mine() -> bool:
        bucket.write(PATH, b"%d" % next(contents))
        return True

    bucket.write(PATH, b"theirs")
    said = "written by one worker at a time, but s3://.*png was replaced 4 times"
    with pytest.raises(ImageStoreError, match=said):
        place.save(PATH, b"mine", is_mine=is_mine)


@pytest.mark.parametrize(
    "endpoint", ["store.example.org:9000", "https://a:secret@store", "https://store x"]
)
def test_an_endpoint_must_be_a_plain_url_and_is_not_shown(
    address: BucketAddress, monkeypatch: pytest.MonkeyPatch, endpoint: str
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    with pytest.raises(UsageError, match="AWS_ENDPOINT_URL must be the URL") as caught:
        bucket_at(replace(address, prefix="other"))
    assert endpoint not in str(caught.value)
