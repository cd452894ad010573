"""`nightsweep fetch` against a small Hub, and what works afterwards without it."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.hub_server import COMMIT, NAME, cached_files, hub_settings, serve
from tests.processes import at_terminal
from tests.unit.tiny_folders import LOADED, make_folder, make_network

WEIGHTS = {file for file in LOADED if file.endswith(".safetensors")}
SPEC = "name: s\nbase: {model: org/name, prompt: a cat}\naxes: {seed: [1, 2]}\n"


def nightsweep(
    *words: object, home: Path, url: str = "", **changes: str
) -> "subprocess.CompletedProcess[str]":
    """Run a command whose Hub cache and state are under `home`."""
    settings = hub_settings(home, url, NIGHTSWEEP_HOME=str(home / "ns"), **changes)
    return subprocess.run(
        [sys.executable, "-m", "nightsweep", *map(str, words)],
        env=settings,
        capture_output=True,
        text=True,
        check=False,
    )


def rows(done: "subprocess.CompletedProcess[str]") -> list[dict[str, Any]]:
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    file = tmp_path / "sweep.yaml"
    file.write_text(SPEC)
    return file


def test_after_a_fetch_a_sweep_is_planned_without_a_connection(
    tmp_path: Path, spec: Path
) -> None:
    source, home = make_folder(tmp_path / "source"), tmp_path / "home"
    sizes = {file: (source / file).stat().st_size for file in LOADED}
    weights = sum(sizes[file] for file in WEIGHTS)
    with serve(source, licence="openrail") as hub:
        (before,) = rows(nightsweep("plan", spec, "--json", home=home, url=hub.url))
        dry = nightsweep("fetch", spec, "--dry-run", home=home, url=hub.url)
        assert cached_files(home) == set(LOADED) - WEIGHTS
        done = nightsweep("fetch", spec, home=home, url=hub.url)
        again = nightsweep("fetch", spec, "--json", home=home, url=hub.url)

    assert before["fetch_bytes"] == weights
    assert before["cache_free_bytes"] > weights
    whole = f"{sum(sizes.values()) / 1000:.3g} kB"
    said = f"org/name: 11 files, {whole}, licence openrail; {weights} B to fetch\n"
    assert dry.stdout == done.stdout == said
    assert done.stderr.endswith(
        f"org/name is here, in {home}/hub/models--org--name/snapshots/{COMMIT}.\n"
    )
    assert cached_files(home) == set(LOADED)
    assert hub.sent == sizes  # each byte once
    assert rows(again) == [
        {
            "model": NAME,
            "commit": COMMIT,
            "licence": "openrail",
            "files": list(LOADED),
            "size_bytes": sum(sizes.values()),
            "missing_bytes": 0,
        }
    ]
    (after,) = rows(nightsweep("plan", spec, "--json", home=home))
    assert (after["fetch_bytes"], after["cache_free_bytes"]) == (0, None)
    assert after["new"] == before["new"] == 2
    assert nightsweep("fetch", spec, home=home).stdout.endswith("; here already\n")


def test_a_terminal_shows_a_bar(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    with serve(make_folder(tmp_path / "source")) as hub:
        for name, value in hub_settings(home, hub.url).items():
            monkeypatch.setenv(name, value)
        code, said = at_terminal("fetch", NAME)
    assert code == 0
    assert re.search(r"org/name .*━━━.*134/134 bytes", said)
    assert said.endswith(f"/snapshots/{COMMIT}.\n")


def test_a_model_is_fetched_by_its_id(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with serve(make_folder(tmp_path / "source")) as hub:
        done = nightsweep("fetch", NAME, "--revision", "main", home=home, url=hub.url)
    assert done.returncode == 0, done.stderr
    assert cached_files(home) == set(LOADED)


@pytest.mark.long
def test_a_control_net_is_planned_by_its_config_and_fetched_with_its_sweep(
    tmp_path: Path,
) -> None:
    source, spec, home = tmp_path / "net", tmp_path / "sweep.yaml", tmp_path / "home"
    source.mkdir()
    (source / "config.json").write_text('{"_class_name": "ControlNetModel"}')
    (source / "diffusion_pytorch_model.safetensors").write_bytes(b"w" * 3000)
    (source / "diffusion_pytorch_model.bin").write_bytes(b"a pickle")
    Image.new("RGB", (64, 64), "red").save(tmp_path / "edges.png")
    spec.write_text(
        "name: s\nbase: {model: 'builtin:shapes', prompt: a cat}\n"
        "axes: {controlnet: {model: org/name, image: edges.png}}\n"
    )
    with serve(source) as hub:
        (before,) = rows(nightsweep("plan", spec, "--json", home=home, url=hub.url))
        assert cached_files(home) == {"config.json"}
        done = nightsweep("fetch", spec, home=home, url=hub.url)
    assert before["fetch_bytes"] == 3000
    assert "org/name: 2 files, 3.03 kB; 3 kB to fetch\n" in done.stdout
    assert cached_files(home) == {"config.json", "diffusion_pytorch_model.safetensors"}
    (after,) = rows(nightsweep("plan", spec, "--json", home=home))
    assert (after["fetch_bytes"], after["new"]) == (0, 1)


@pytest.mark.long
def test_the_network_of_a_metric_is_fetched_with_its_sweep(tmp_path: Path) -> None:
    file, home = tmp_path / "sweep.yaml", tmp_path / "home"
    file.write_text(
        "name: s\nbase: {model: 'builtin:shapes', prompt: a cat}\n"
        "scores: [{metric: clip, model: org/name}]\n"
    )
    with serve(make_network(tmp_path / "source")) as hub:
        shapes, clip = rows(nightsweep("fetch", file, "--json", home=home, url=hub.url))
        (planned,) = rows(nightsweep("plan", file, "--json", home=home, url=hub.url))
    assert (shapes["model"], shapes["missing_bytes"]) == ("builtin:shapes", 0)
    assert (clip["model"], clip["missing_bytes"] > 0) == (NAME, True)
    assert cached_files(home) == set(clip["files"])
    assert planned["fetch_bytes"] == 0
    assert nightsweep("plan", file, home=home).returncode == 0


def test_a_network_is_fetched_by_its_id(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with serve(make_network(tmp_path / "source")) as hub:
        done = nightsweep("fetch", NAME, home=home, url=hub.url)
    assert done.returncode == 0, done.stderr
    assert "model.safetensors" in cached_files(home)


def test_a_gated_model_names_the_page_of_its_licence_until_a_token_opens_it(
    tmp_path: Path, spec: Path
) -> None:
    home, source = tmp_path / "home", make_folder(tmp_path / "source")
    gate: dict[str, Any] = {"refuses_files": True, "token": "hf_agreed"}
    agreed = {"HF_TOKEN": "hf_agreed"}
    with serve(source, (401, "GatedRepo"), **gate) as hub:
        closed = nightsweep("fetch", spec, home=home, url=hub.url)
        done = nightsweep("fetch", spec, home=home, url=hub.url, **agreed)
    assert closed.returncode == 2
    assert (
        "org/name is gated on the Hub; agree to its licence at "
        "https://huggingface.co/org/name, then run `hf auth login` with a token of "
        "that account that may read gated models, or set HF_TOKEN"
    ) in closed.stderr
    assert done.returncode == 0, done.stderr
    assert cached_files(home) == set(LOADED)


def test_a_deleted_model_is_refused_at_plan_with_the_name_of_its_copy(
    tmp_path: Path, spec: Path
) -> None:
    spec.write_text(SPEC.replace("org/name", "runwayml/stable-diffusion-v1-5"))
    done = nightsweep("plan", spec, home=tmp_path / "home")
    assert done.returncode == 2
    assert done.stderr.endswith(
        "sweep.yaml line 2: a model must be on the Hub, or whole in its cache here, "
        "but runwayml/stable-diffusion-v1-5 was deleted; name its copy, "
        "stable-diffusion-v1-5/stable-diffusion-v1-5\n"
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("org/name", "--set", "base.steps=4"), "--set, --axis and --name are for"),
        (("sweep.yaml", "--variant", "fp16"), "--revision and --variant are for"),
    ],
)
def test_an_option_of_the_other_kind_is_refused(
    tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    done = nightsweep("fetch", *words, home=tmp_path / "home")
    assert done.returncode == 2
    assert said in done.stderr
