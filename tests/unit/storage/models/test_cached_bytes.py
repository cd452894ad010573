"""How much of a Hub model is on disk."""

from pathlib import Path

import huggingface_hub.constants
import pytest

from storage.models.hub_cache import cached_bytes


def test_what_a_download_has_written_grows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    assert cached_bytes("org/name") == 0
    blobs = tmp_path / "models--org--name" / "blobs"
    blobs.mkdir(parents=True)
    (blobs / "done").write_bytes(bytes(10_000))
    before = cached_bytes("org/name")
    assert before >= 10_000
    with (blobs / "weights.incomplete").open("wb") as file:
        file.truncate(10**9)  # set aside, and not written
    assert cached_bytes("org/name") == before
    (blobs / "weights.incomplete").write_bytes(bytes(50_000))
    assert cached_bytes("org/name") > before


def test_of_a_single_file_its_config_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    blobs = tmp_path / "models--org--name" / "blobs"
    blobs.mkdir(parents=True)
    (blobs / "done").write_bytes(bytes(10_000))
    assert cached_bytes("/models/x.safetensors?config=org/name") >= 10_000


@pytest.mark.parametrize(
    "name",
    ["builtin:shapes", "/models/mine", "org/../name", "/models/x.safetensors"],
)
def test_of_other_models_nothing_is_fetched(name: str) -> None:
    assert cached_bytes(name) == 0
