"""Networks of metrics on the Hub: fetched from a small server, found in the cache."""

from pathlib import Path
from typing import Any

import pytest

from storage.models.fingerprint import Digests, fingerprint
from storage.models.networks import locate_network
from tests.hub_server import COMMIT, NAME, cached_files, serve
from tests.integration.storage.models.test_hub_cache import ask
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
    with serve(source) as hub:
        found = ask(tmp_path / "home", hub.url, **CLIP)
    assert set(found["files"]) == cached_files(tmp_path / "home") == LOADED
    assert found["fingerprint"] == print_of(source)
    assert found["size_bytes"] == sum((source / f).stat().st_size for f in LOADED)
    # It is found again when the Hub is gone.
    assert ask(tmp_path / "home", **CLIP) == found


def test_a_plan_fetches_all_but_the_weights(tmp_path: Path) -> None:
    source = make_network(tmp_path / "source")
    with serve(source) as hub:
        found = ask(tmp_path / "home", hub.url, **CLIP | {"download": False})
    assert cached_files(tmp_path / "home") == LOADED - {"model.safetensors"}
    assert found["fingerprint"] == print_of(source)


def test_a_processor_alone_needs_no_weights(tmp_path: Path) -> None:
    source = make_network(tmp_path / "source")
    with serve(source) as hub:
        options = {"types": [], "weights": False, "download": True}
        found = ask(tmp_path / "home", hub.url, **options)
    assert set(found["files"]) == LOADED - {"model.safetensors"}
    assert ask(tmp_path / "home", **options) == found


@pytest.mark.parametrize("revision", ["main", COMMIT])
def test_a_revision_is_fetched_where_it_is_named(tmp_path: Path, revision: str) -> None:
    name = f"{NAME}@{revision}"
    with serve(make_network(tmp_path / "source")) as hub:
        found = ask(tmp_path / "home", hub.url, name=name, **CLIP)
    assert found["commit"] == COMMIT
    assert ask(tmp_path / "home", name=name, **CLIP) == found
    error = ask(tmp_path / "home", name=f"{NAME}@other", **CLIP)["error"]
    assert "`nightsweep fetch org/name --revision other`" in error


def test_a_network_that_is_not_cached_names_the_way_out(tmp_path: Path) -> None:
    assert ask(tmp_path / "home", **CLIP)["error"] == (
        f"{NAME} is not in the cache {tmp_path}/home/hub, and the Hub cannot be"
        " reached; connect, or run `nightsweep fetch org/name` where there is a"
        " connection and this cache, or write ./org/name for a folder"
    )


def test_a_repository_without_safetensors_is_refused(tmp_path: Path) -> None:
    source = make_network(tmp_path / "source")
    (source / "model.safetensors").unlink()
    with serve(source) as hub:
        error = ask(tmp_path / "home", hub.url, **CLIP)["error"]
    assert error.startswith(
        f"{NAME} cannot be used: {NAME} must have safetensors weights"
        " (model.safetensors), found"
    )
    assert "pytorch_model.bin" in error
    assert cached_files(tmp_path / "home") == set()
