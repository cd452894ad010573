"""Networks of metrics on the Hub: fetched from a small server, found in the cache."""

from pathlib import Path
from typing import Any

import pytest

from storage.models.fingerprint import Digests, fingerprint
from storage.models.networks import locate_network
from tests.integration.storage.models.test_hub_cache import (
    COMMIT,
    NAME,
    ask,
    cached_files,
    serve,
)
from tests.unit.tiny_folders import make_network

LOADED = {
    "config.json",
    "merges.txt",
    "model.safetensors",
    "preprocessor_config.json",
    "tokenizer_config.json",
    "vocab.json",
}
CLIP: dict[str, Any] = {"types": ["clip"], "download": True}


def print_of(folder: Path) -> str:
    found = locate_network(str(folder), types=["clip"], download=True)
    return fingerprint(found, Digests())


def test_a_worker_fetches_what_is_loaded_and_nothing_else(tmp_path: Path) -> None:
    source = make_network(tmp_path / "source")
    with serve(source) as endpoint:
        found = ask(tmp_path / "home", endpoint, **CLIP)
    assert set(found["files"]) == cached_files(tmp_path / "home") == LOADED
    assert found["fingerprint"] == print_of(source)
    assert found["size_bytes"] == sum((source / f).stat().st_size for f in LOADED)
    # It is found again when the Hub is gone.
    assert ask(tmp_path / "home", **CLIP) == found


def test_a_plan_fetches_all_but_the_weights(tmp_path: Path) -> None:
    source = make_network(tmp_path / "source")
    with serve(source) as endpoint:
        found = ask(tmp_path / "home", endpoint, **CLIP | {"download": False})
    assert cached_files(tmp_path / "home") == LOADED - {"model.safetensors"}
    assert found["fingerprint"] == print_of(source)


def test_a_processor_alone_needs_no_weights(tmp_path: Path) -> None:
    source = make_network(tmp_path / "source")
    with serve(source) as endpoint:
        options = {"types": [], "weights": False, "download": True}
        found = ask(tmp_path / "home", endpoint, **options)
    assert set(found["files"]) == LOADED - {"model.safetensors"}
    assert ask(tmp_path / "home", **options) == found


@pytest.mark.parametrize("revision", ["main", COMMIT])
def test_a_revision_is_fetched_where_it_is_named(tmp_path: Path, revision: str) -> None:
    name = f"{NAME}@{revision}"
    with serve(make_network(tmp_path / "source")) as endpoint:
        found = ask(tmp_path / "home", endpoint, name=name, **CLIP)
    assert found["commit"] == COMMIT
    assert ask(tmp_path / "home", name=name, **CLIP) == found
    error = ask(tmp_path / "home", name=f"{NAME}@other", **CLIP)["error"]
    assert "`hf download org/name --revision other`" in error


def test_a_network_that_is_not_cached_names_the_way_out(tmp_path: Path) -> None:
    assert ask(tmp_path / "home", **CLIP)["error"] == (
        f"{NAME} is not in the cache {tmp_path}/home/hub, and the Hub cannot be"
        " reached; connect, or copy the cache of a machine where"
        " `hf download org/name` has run, or write ./org/name for a folder"
    )


def test_a_repository_without_safetensors_is_refused(tmp_path: Path) -> None:
    source = make_network(tmp_path / "source")
    (source / "model.safetensors").unlink()
    with serve(source) as endpoint:
        error = ask(tmp_path / "home", endpoint, **CLIP)["error"]
    assert error.startswith(
        f"{NAME} cannot be used: {NAME} must have safetensors weights"
        " (model.safetensors), found"
    )
    assert "pytorch_model.bin" in error
    assert cached_files(tmp_path / "home") == set()
