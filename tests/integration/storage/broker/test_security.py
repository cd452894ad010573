"""What a folder, a URL or a model can do to people: nothing unforeseen."""

import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import psutil
import pytest
from celery import Celery
from redis import Redis

from storage.broker.queue import waiting
from storage.broker.server_socket import socket_path
from storage.errors import ModelError, UsageError
from storage.models.model_files import BUILTIN_FOLDERS, is_hub_id, locate, resolve_name
from storage.settings import Settings, read_settings
from tests.unit.tiny_folders import make_folder


class Touch:
    """Makes a file when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.file,))


def test_the_embedded_redis_has_no_port(app: Celery, settings: Settings) -> None:
    assert waiting(app) == 0
    with Redis(unix_socket_path=str(socket_path(settings))) as client:
        server = psutil.Process(client.info()["process_id"])
    assert server.net_connections("inet") == []
    assert server.cwd() == str(settings.home / "redis")
    for folder in (settings.home, settings.home / "redis", socket_path(settings)):
        assert folder.stat().st_mode & 0o077 == 0


def test_a_state_folder_that_everybody_may_write_to_is_refused(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home").chmod(0o777)
    found = read_settings({"NIGHTSWEEP_HOME": str(tmp_path / "home")})
    with pytest.raises(UsageError, match=r"everybody may to .*home; run `chmod o-w`"):
        found.make_home()
    inside = read_settings({"NIGHTSWEEP_HOME": str(tmp_path / "home" / "mine")})
    inside.make_home()
    assert inside.home.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    ("variable", "url"),
    [
        ("NIGHTSWEEP_REDIS_URL", "redis://:ge/heim@host:1/0"),
        ("NIGHTSWEEP_REDIS_URL", "redis://:ge#heim@host:1/0"),
        ("NIGHTSWEEP_REDIS_URL", "redis://:ge?heim@host:1/0"),
        ("NIGHTSWEEP_REDIS_URL", "redis://:ge;heim@host:1/0"),
        ("NIGHTSWEEP_REDIS_URL", "redis://me:12/heim@host:1/0"),
        ("NIGHTSWEEP_REDIS_URL", "rediss://me:geheim@[::1/0"),
        ("NIGHTSWEEP_REDIS_URL", "redis://geheim:geheim"),
        ("NIGHTSWEEP_DATABASE_URL", "postgresql+psycopg://u:ge@heim@host/db"),
        ("NIGHTSWEEP_DATABASE_URL", "postgresql+psycopg://u:geheim@host:x/db"),
        ("NIGHTSWEEP_DATABASE_URL", "postgresql+psycopg://u:geheim"),
    ],
)
def test_a_password_that_would_pass_for_a_host_is_refused_and_not_shown(
    variable: str, url: str
) -> None:
    with pytest.raises(UsageError, match=f"^{variable} must have a number") as caught:
        read_settings({variable: url})
    assert "heim" not in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "url"),
    [
        ("NIGHTSWEEP_REDIS_URL", "redis://:ge@heim@host:1/0"),
        ("NIGHTSWEEP_REDIS_URL", "redis://:ge%2Fheim@[::1]:1/0"),
        ("NIGHTSWEEP_REDIS_URL", "redis+socket:///run/redis.sock?virtual_host=0"),
        ("NIGHTSWEEP_REDIS_URL", "sentinel://:geheim@a:1/0;sentinel://:geheim@b:1/0"),
        ("NIGHTSWEEP_REDIS_URL", "rediss://u:p@h:6380/0?ssl_ca_certs=/a/redis.crt"),
        ("NIGHTSWEEP_DATABASE_URL", "postgresql+psycopg://u:ge/h#e?im@host:1/db"),
        ("NIGHTSWEEP_DATABASE_URL", "postgresql+psycopg://me@/db?host=/run/pg"),
        ("NIGHTSWEEP_DATABASE_URL", "sqlite:////home/a@b:c/nightsweep.db"),
    ],
)
def test_a_url_that_is_read_as_it_is_meant_is_taken(variable: str, url: str) -> None:
    found = read_settings({variable: url})
    assert url in (found.redis_url, found.database_url)


@pytest.mark.parametrize("name", ["../x/y", "a/b/../../c", "a/..", "a/b%2f..", "/a/b"])
def test_no_path_is_a_hub_id(name: str) -> None:
    assert not is_hub_id(name)


@pytest.mark.parametrize("name", ["a/b/../../c", "a/..", "a/b\n", "\x1b/b", "a/b\\.."])
def test_a_name_that_is_neither_a_path_nor_an_id_is_refused(name: str) -> None:
    with pytest.raises(ModelError, match="a model is builtin:shapes, a folder"):
        resolve_name(name, Path("/base"))


def test_a_folder_with_pickled_weights_alone_is_refused(tmp_path: Path) -> None:
    make_folder(tmp_path)
    (tmp_path / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    assert (tmp_path / "unet" / "diffusion_pytorch_model.bin").exists()
    with pytest.raises(ModelError, match="unet must have safetensors weights"):
        locate(str(tmp_path), download=True)


@pytest.mark.torch
def test_a_pickle_under_the_name_of_safetensors_is_not_loaded(tmp_path: Path) -> None:
    import torch

    from workers.engine.loading import load_pipeline

    folder, mark = tmp_path / "model", tmp_path / "mark"
    shutil.copytree(BUILTIN_FOLDERS["builtin:shapes"], folder)
    weights = next((folder / "unet").glob("*.safetensors"))
    weights.write_bytes(pickle.dumps(Touch(mark)))
    found = locate(str(folder), download=True)
    with pytest.raises(ModelError, match="must load with diffusers"):
        load_pipeline(found, variant=None, dtype=torch.float32)
    assert not mark.exists()
    torch.save({"a": Touch(mark)}, weights)
    with pytest.raises(ModelError, match="must load with diffusers"):
        load_pipeline(found, variant=None, dtype=torch.float32)
    assert not mark.exists()


@pytest.mark.parametrize("named", ["evil.bin", "../../evil.safetensors", None])
def test_an_index_of_shards_names_nothing_but_its_shards(
    tmp_path: Path, named: str | None
) -> None:
    unet = make_folder(tmp_path) / "unet"
    weights = unet / "diffusion_pytorch_model.safetensors"
    weights.rename(unet / "diffusion_pytorch_model-00001-of-00001.safetensors")
    index = {"weight_map": {"a": named}} if named else {}
    (unet / "diffusion_pytorch_model.safetensors.index.json").write_text(
        json.dumps(index)
    )
    with pytest.raises(ModelError, match=r"index\.json must name its own shards"):
        locate(str(tmp_path), download=True)
