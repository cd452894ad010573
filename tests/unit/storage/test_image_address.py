"""The URL of a bucket: read, shown, and refused without a word of a password."""

from pathlib import Path

import pytest

from storage.errors import UsageError
from storage.image_address import BucketAddress
from storage.settings import read_settings


def read(text: str, home: Path, **more: str) -> object:
    env = {"NIGHTSWEEP_HOME": str(home), "NIGHTSWEEP_IMAGES": text, **more}
    return read_settings(env).images


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("s3://pictures", "s3://pictures"),
        ("s3://pictures/", "s3://pictures"),
        ("s3://pictures/of/nights/", "s3://pictures/of/nights"),
        ("gs://pictures/nights", "gs://pictures/nights"),
        ("az://pictures/nights", "az://pictures/nights"),
    ],
)
def test_a_url_names_a_bucket_and_a_prefix(
    tmp_path: Path, text: str, shown: str
) -> None:
    address = read(text, tmp_path)
    assert isinstance(address, BucketAddress)
    assert str(address) == shown
    assert address.cache == tmp_path / "cache"
    assert address.cache_bytes == 10 * 10**9


def test_what_is_no_url_is_a_folder(tmp_path: Path) -> None:
    assert read(str(tmp_path / "s3:"), tmp_path) == tmp_path / "s3:"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ftp://pictures/x", "a URL that begins with s3://, gs://, az://, got 'ftp:"),
        ("s3:/pictures", "a URL that begins with s3://, gs://, az://, got 's3:/pict"),
        ("s3:pictures", "a URL that begins with s3://, gs://, az://, got 's3:pict"),
        ("s3://", "must name a bucket in small letters"),
        ("s3:///x", "must name a bucket in small letters"),
        ("s3://Pictures", "must name a bucket in small letters"),
        ("s3://pictures/a//b", "a prefix without empty parts"),
        ("s3://pictures/../b", "a prefix without empty parts"),
    ],
)
def test_a_url_that_names_none_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        read(text, tmp_path)


@pytest.mark.parametrize(
    "url", ["AKIA:hidden@pictures", "pictures/x?token=hidden", "pictures#hidden"]
)
def test_credentials_in_a_url_are_refused_and_not_shown(
    tmp_path: Path, url: str
) -> None:
    with pytest.raises(UsageError, match="AWS_ACCESS_KEY_ID") as caught:
        read(f"s3://{url}", tmp_path)
    assert "hidden" not in str(caught.value)


def test_the_size_of_the_cache_is_a_setting(tmp_path: Path) -> None:
    address = read("s3://pictures", tmp_path, NIGHTSWEEP_CACHE_GB="0.5")
    assert isinstance(address, BucketAddress)
    assert address.cache_bytes == 5 * 10**8
    with pytest.raises(UsageError, match="NIGHTSWEEP_CACHE_GB must be gigabytes"):
        read("s3://pictures", tmp_path, NIGHTSWEEP_CACHE_GB="none")


def test_a_bucket_makes_no_folder_of_images(tmp_path: Path) -> None:
    env = {"NIGHTSWEEP_HOME": str(tmp_path), "NIGHTSWEEP_IMAGES": "s3://pictures"}
    settings = read_settings(env)
    settings.make_home()
    assert settings.image_folder is None
    assert not (tmp_path / "images").exists()
