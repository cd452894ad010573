"""Folders of networks: which files are loaded, which are refused."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from storage.errors import ModelError
from storage.models.fingerprint import Digests, fingerprint
from storage.models.networks import locate_network, resolve_network
from tests.unit.tiny_folders import make_network, weights, write

SHARDS = [f"model-0000{number}-of-00002.safetensors" for number in (1, 2)]


def print_of(folder: Path) -> str:
    found = locate_network(str(folder), types=["clip"], download=True)
    return fingerprint(found, Digests())


def refused(folder: Path, *types: str) -> str:
    with pytest.raises(ModelError) as raised:
        locate_network(str(folder), types=types or ["clip"], download=True)
    return str(raised.value)


def test_the_fingerprint_is_over_loaded_files_wherever_they_are(tmp_path: Path) -> None:
    folder = make_network(tmp_path / "here")
    shutil.copytree(folder, tmp_path / "there")
    (tmp_path / "there" / "README.md").write_text("another")
    assert print_of(tmp_path / "there") == print_of(folder)
    write(folder, "model.safetensors", weights("another"))
    assert print_of(tmp_path / "there") != print_of(folder)


def test_the_demos_own_clip_is_built_in(tmp_path: Path) -> None:
    assert resolve_network("builtin:clip", tmp_path) == "builtin:clip"
    found = locate_network("builtin:clip", types=["clip"], download=False)
    assert {"model.safetensors", "preprocessor_config.json"} < set(found.files)


@pytest.mark.parametrize(
    ("name", "resolved"),
    [
        ("./clip", "{}/clip"),
        ("./org@home/clip", "{}/org@home/clip"),
        ("org/name", "org/name"),
        ("org/name@refs/pr/3", "org/name@refs/pr/3"),
    ],
)
def test_a_name_is_resolved(tmp_path: Path, name: str, resolved: str) -> None:
    assert resolve_network(name, tmp_path) == resolved.format(tmp_path)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("org/name@../x", "a revision is a branch, tag or commit, got '../x'"),
        (
            "clip",
            "a model is builtin:shapes, a folder that starts with / or ./ or ~, a file"
            " that ends in .safetensors or .gguf, or a Hub id such as org/name,"
            " got 'clip'; change `model`",
        ),
    ],
)
def test_a_name_that_is_none_is_refused(
    tmp_path: Path, name: str, message: str
) -> None:
    with pytest.raises(ModelError) as raised:
        resolve_network(name, tmp_path)
    assert str(raised.value) == message


def test_a_network_of_another_type_is_refused(tmp_path: Path) -> None:
    folder = make_network(tmp_path)
    assert refused(folder, "dinov2", "dinov2_with_registers") == (
        "the model must be of the type dinov2 or dinov2_with_registers, but"
        f" {folder} is of the type clip; name another model"
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda folder: (folder / "model.safetensors").unlink(),
            "{0} cannot be used: {0} must have safetensors weights (model.safetensors),"
            " found README.md, merges.txt, pytorch_model.bin; save the model again with"
            " `save_pretrained(folder, safe_serialization=True)`, or choose another",
        ),
        (
            lambda folder: (folder / "config.json").unlink(),
            "{0} cannot be used: {0}/config.json is missing; restore it from where the"
            " model came",
        ),
        (
            lambda folder: write(folder, "adapter_config.json", {}),
            "{0} cannot be used: {0}/adapter_config.json belongs to an adapter, which"
            " transformers loads on machines that have the package peft, and skips on"
            " others; merge it into the weights, or remove it",
        ),
    ],
)
def test_a_folder_that_cannot_be_loaded_is_refused(
    tmp_path: Path, change: Callable[[Path], object], message: str
) -> None:
    change(make_network(tmp_path))
    assert refused(tmp_path) == message.format(tmp_path)


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    assert refused(folder) == (
        f"{folder} must be readable, got No such file or directory: {folder}"
    )


def test_shards_are_loaded_by_their_index_and_by_no_other(tmp_path: Path) -> None:
    folder = make_network(tmp_path)
    (folder / "model.safetensors").unlink()
    for name in SHARDS:
        write(folder, name, weights(name))
    index = "model.safetensors.index.json"
    write(folder, index, {"weight_map": dict(zip("ab", SHARDS, strict=True))})
    found = locate_network(str(folder), types=["clip"], download=True)
    assert {index, *SHARDS} < set(found.files)
    write(folder, index, {"weight_map": {"a": "../other.safetensors"}})
    assert refused(folder) == (
        f"{folder} cannot be used: {index} must name its own shards, got"
        " '../other.safetensors'; fetch the model again"
    )
