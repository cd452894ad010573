"""Weights from a small Hub: cut, resumed, awaited and refused."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import huggingface_hub.constants
import pytest

from storage.errors import ModelError
from storage.models.downloads import fetch_weights, free_bytes, missing_bytes
from storage.models.hub import Listing
from storage.models.model_files import locate
from storage.models.moved import SUCCESSORS
from tests.hub_server import COMMIT, NAME, Hub, hub_settings, serve, sha256
from tests.integration.storage.models.test_hub_cache import ask
from tests.processes import PATIENCE_S, wait_until
from tests.unit.tiny_checkpoints import SD1, write_checkpoint
from tests.unit.tiny_folders import LOADED, make_folder, weights, write

UNET = "unet/diffusion_pytorch_model.safetensors"
WEIGHTS = [file for file in LOADED if file.endswith(".safetensors")]
#: The library writes 10 MiB at once.
SIZE, FIRST = 25 * 2**20, 20 * 2**20
FETCH = """
from storage.models.model_files import locate
locate("org/name", download=True)
"""
LORA = "pytorch_lora_weights.safetensors"
FIND_AGAIN = f"""
from storage.job import Model
from storage.models.part_files import find_file
place = Model(fingerprint="", name="{NAME}", commit="{COMMIT}", variant="{LORA}")
print(find_file(place))
"""
NO_LOCKS = """
import errno, fcntl

def refuse(*_):
    raise OSError(errno.ENOSYS, "Function not implemented")

fcntl.flock = refuse
"""


def make_large(folder: Path) -> Path:
    make_folder(folder)
    write(folder, UNET, weights("unet" * (SIZE // 4)))
    return folder


@contextmanager
def fetching(
    home: Path, hub: Hub, *, code: str = FETCH
) -> Iterator["subprocess.Popen[str]"]:
    """A process that fetches the model; it is killed with the block."""
    with subprocess.Popen(
        [sys.executable, "-c", code],
        env=hub_settings(home, hub.url),
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def run_code(code: str, environ: dict[str, str]) -> str:
    said = subprocess.run(
        [sys.executable, "-c", code],
        env=environ,
        capture_output=True,
        text=True,
        check=True,
    )
    return said.stdout


def parts(home: Path) -> list[Path]:
    return sorted((home / "hub/models--org--name/blobs").glob("*.incomplete"))


def test_what_a_killed_process_fetched_is_not_fetched_again(tmp_path: Path) -> None:
    source, home = make_large(tmp_path / "source"), tmp_path / "home"
    size = (source / UNET).stat().st_size
    with serve(source, hold={UNET: FIRST}) as hub:
        with fetching(home, hub) as process:
            assert hub.is_held.wait(PATIENCE_S)
            wait_until(lambda: [part.stat().st_size for part in parts(home)] == [FIRST])
            process.kill()
        hub.hold.clear()
        found = ask(home, hub.url, download=True)
    assert found["size_bytes"] == sum((source / f).stat().st_size for f in LOADED)
    assert hub.sent[UNET] == size
    assert not parts(home)
    assert ask(home, download=True) == found  # offline
    assert (home / f"hub/models--org--name/blobs/{sha256(source / UNET)}").is_file()


def test_a_lora_is_fetched_as_weights_are(tmp_path: Path) -> None:
    source, home = tmp_path / "source", tmp_path / "home"
    write(source, LORA, weights("lora" * (SIZE // 4)))
    find = f"""
from pathlib import Path
from storage.job import Model
from storage.models.fingerprint import Digests
from storage.models.part_files import describe_part
place = Model(fingerprint="", name="{NAME}")
place, file = describe_part(place, Digests(Path("{tmp_path}/digests.json")))
print(place.variant, place.commit, file)
"""
    with serve(source, hold={LORA: FIRST}) as hub:
        with fetching(home, hub, code=find):
            assert hub.is_held.wait(PATIENCE_S)
            wait_until(lambda: [part.stat().st_size for part in parts(home)] == [FIRST])
        hub.hold.clear()
        said = run_code(find, hub_settings(home, hub.url))
    assert hub.sent[LORA] == (source / LORA).stat().st_size
    variant, commit, file = said.split()
    assert (variant, commit) == (LORA, COMMIT)
    assert Path(file).read_bytes() == (source / LORA).read_bytes()
    again = run_code(FIND_AGAIN, hub_settings(home))  # offline
    assert again.split()[-1] == file


def test_a_connection_that_is_cut_is_taken_up_again(tmp_path: Path) -> None:
    source = make_large(tmp_path / "source")
    with serve(source, cut={UNET: FIRST}) as hub:
        assert "error" not in ask(tmp_path / "home", hub.url, download=True)
    assert hub.sent[UNET] == (source / UNET).stat().st_size


def test_a_second_process_waits_for_the_first_and_says_so(tmp_path: Path) -> None:
    source, home = make_large(tmp_path / "source"), tmp_path / "home"
    with serve(source, hold={UNET: FIRST}) as hub, fetching(home, hub) as first:
        assert hub.is_held.wait(PATIENCE_S)
        with fetching(home, hub) as second:
            assert second.stderr
            assert second.stderr.readline() == (
                "Another process fetches org/name; waiting for it.\n"
            )
            hub.go.set()
            assert first.wait(PATIENCE_S) == second.wait(PATIENCE_S) == 0
    assert hub.sent[UNET] == (source / UNET).stat().st_size


def test_a_disk_without_locks_is_no_obstacle(tmp_path: Path) -> None:
    source, home = make_large(tmp_path / "source"), tmp_path / "home"
    with serve(source) as hub, fetching(home, hub, code=NO_LOCKS + FETCH) as process:
        assert process.wait(PATIENCE_S) == 0
    assert hub.sent[UNET] == (source / UNET).stat().st_size
    assert "error" not in ask(home, download=True)


def test_a_file_that_is_not_what_the_hub_states_is_dropped(tmp_path: Path) -> None:
    source, home = make_large(tmp_path / "source"), tmp_path / "home"
    with serve(source, stated={UNET: "0" * 64}) as hub:
        error = ask(home, hub.url, download=True)["error"]
        assert f"{UNET} of {NAME} must have the SHA-256 that the Hub states" in error
        assert not parts(home)
        hub.stated = {}
        assert "error" not in ask(home, hub.url, download=True)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    return tmp_path / "models--org--name"


def listing(size: int) -> Listing:
    return Listing(commit=COMMIT, sizes={UNET: size}, sha256={UNET: "a" * 64})


def test_bytes_that_are_here_are_not_counted_as_missing(cache: Path) -> None:
    assert missing_bytes(NAME, listing(100), [UNET]) == {UNET: 100}
    part = write(cache, f"blobs/{'a' * 64}.incomplete", b"1" * 30)
    assert missing_bytes(NAME, listing(100), [UNET]) == {UNET: 70}
    part.rename(cache / "blobs" / ("a" * 64))  # of another commit
    assert missing_bytes(NAME, listing(100), [UNET]) == {UNET: 0}
    write(cache, f"snapshots/{COMMIT}/{UNET}", b"")
    assert missing_bytes(NAME, listing(100), [UNET]) == {}


def test_a_model_that_does_not_fit_on_the_disk_is_refused(cache: Path) -> None:
    assert 0 < free_bytes() < 10**18
    with pytest.raises(ModelError) as caught:
        fetch_weights(NAME, listing(10**18), [UNET])
    said = str(caught.value)
    assert said.startswith(
        "the disk of the Hub's cache must have room for what is fetched, but org/name"
        " needs 1000000000.0 GB and "
    )
    assert said.endswith(
        f"{cache.parent}; make room, or set HF_HUB_CACHE to a larger disk"
    )


def test_a_download_goes_on_while_each_try_brings_more(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = hashlib.sha256(bytes(100)).hexdigest()
    coming = iter([30, 30, 0])

    def append(*_: object, part: Path, size_bytes: int) -> None:
        came = next(coming)
        with part.open("ab") as file:
            file.write(bytes(came))
        msg = f"cut after {came} of {size_bytes}"
        raise ModelError(msg)

    monkeypatch.setattr("storage.models.hub.append", append)
    monkeypatch.setattr("storage.models.hub.etag_of", lambda *_: digest)
    listing = Listing(commit=COMMIT, sizes={UNET: 100}, sha256={UNET: digest})
    with pytest.raises(ModelError, match="cut after 0 of 100"):
        fetch_weights(NAME, listing, [UNET])
    assert missing_bytes(NAME, listing, [UNET]) == {UNET: 40}
    assert (cache / "blobs" / f"{digest}.incomplete").stat().st_size == 60


@pytest.mark.parametrize(("name", "copy"), SUCCESSORS.items())
def test_a_model_that_was_deleted_is_answered_with_its_copy(
    cache: Path, name: str, copy: str
) -> None:
    assert cache.parent.is_dir()
    with pytest.raises(ModelError, match=f"{name} was deleted; name its copy, {copy}$"):
        locate(name, download=False)


def test_a_deleted_config_of_a_single_file_is_answered_with_its_copy(
    cache: Path,
) -> None:
    file = write_checkpoint(cache.parent / "x.safetensors", SD1)
    with pytest.raises(ModelError, match="inpainting was deleted; name its copy, "):
        locate(f"{file}?config=runwayml/stable-diffusion-inpainting", download=False)


def test_a_deleted_model_is_taken_from_the_cache(cache: Path) -> None:
    name = "runwayml/stable-diffusion-v1-5"
    repository = cache.parent / "models--runwayml--stable-diffusion-v1-5"
    make_folder(repository / "snapshots" / COMMIT)
    write(repository, "refs/main", COMMIT)
    found = locate(name, download=True)
    assert (found.commit, list(found.files)) == (COMMIT, list(LOADED))
    assert json.loads((found.folder / "model_index.json").read_text()) == found.index
