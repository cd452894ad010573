"""The cache of a bucket: bounded, of whole files, and of those used last."""

import os
from pathlib import Path

from storage.files.bucket_cache import SLACK, Cache

HOUR_NS = 3600 * 10**9


def keep(cache: Cache, name: str, content: bytes, *, age_h: int = 0) -> Path:
    """Keep a file that was used some hours ago."""
    file = cache.keep(f"ab/cd/{name}.png", "1", content, written_ns=HOUR_NS)
    used_ns = file.stat().st_atime_ns - age_h * HOUR_NS
    os.utime(file, ns=(used_ns, HOUR_NS))
    return file


def total(root: Path) -> int:
    return sum(file.stat().st_size for file in root.rglob("*") if file.is_file())


def test_a_file_that_was_kept_is_found_by_its_version_only(tmp_path: Path) -> None:
    cache = Cache(tmp_path, "bucket", most_bytes=1000)
    file = keep(cache, "x", b"content")
    assert cache.find("ab/cd/x.png", "1") == file
    assert file.read_bytes() == b"content"
    assert file.stat().st_mtime_ns == HOUR_NS
    assert cache.find("ab/cd/x.png", "2") is None
    assert cache.find("ab/cd/y.png", "1") is None


def test_a_file_that_was_cut_short_is_not_found(tmp_path: Path) -> None:
    cache = Cache(tmp_path, "bucket", most_bytes=1000)
    keep(cache, "x", b"content").write_bytes(b"con")
    assert cache.find("ab/cd/x.png", "1", size_bytes=7) is None


def test_caches_of_several_buckets_share_the_size(tmp_path: Path) -> None:
    one, other = (Cache(tmp_path, name, most_bytes=1000) for name in ("one", "other"))
    for number in range(30):
        keep(one, str(number), bytes(50), age_h=40 - number)
        keep(other, str(number), bytes(50), age_h=40 - number)
        # Each of the two writes may come before the other knows of it.
        assert total(tmp_path) <= (1 + 2 * SLACK) * 1000


def test_what_was_used_longest_ago_goes_first(tmp_path: Path) -> None:
    cache = Cache(tmp_path, "bucket", most_bytes=1000)
    files = [keep(cache, str(n), bytes(100), age_h=20 - n) for n in range(8)]
    assert cache.find("ab/cd/0.png", "1") == files[0]  # a use
    for number in range(8, 12):
        keep(cache, str(number), bytes(100), age_h=20 - number)
    assert files[0].exists()
    assert not files[1].exists()


def test_a_file_that_is_larger_than_the_cache_stays_until_the_next(
    tmp_path: Path,
) -> None:
    cache = Cache(tmp_path, "bucket", most_bytes=10)
    large = keep(cache, "large", bytes(100), age_h=1)
    assert large.exists()
    keep(cache, "next", bytes(1))
    assert not large.exists()
