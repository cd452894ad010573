"""The bare install plans, submits and answers without torch."""

import json
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.acceptance.conftest import Bench
from tests.processes import PATIENCE_S, wait_until

REPOSITORY = Path(__file__).parents[2]


def bare_packages(name: str, seen: set[str]) -> Iterator[Distribution]:
    """Give a package and all that it needs without its extras."""
    if name in seen:
        return
    seen.add(name)
    found = distribution(name)
    yield found
    for text in found.requires or ():
        wanted = Requirement(text)
        extras = {"redis"} if name == "celery" else set()
        for extra in ("", *extras):
            if not wanted.marker or wanted.marker.evaluate({"extra": extra}):
                yield from bare_packages(wanted.name.lower(), seen)


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with nothing but what `pip install nightsweep` brings."""
    folder = tmp_path_factory.mktemp("bare")
    for package in bare_packages("nightsweep", set()):
        for file in package.files or ():
            top = file.parts[0]
            target = folder / top
            if top not in ("..", "__pycache__") and not target.exists():
                target.symlink_to(package.locate_file(top))
    return folder


def run(bare: Path, bench: Bench, *words: str) -> "subprocess.CompletedProcess[str]":
    env = {**bench.env, "PYTHONPATH": f"{bare}:{REPOSITORY}"}
    process = subprocess.Popen(
        [sys.executable, "-S", "-P", *words],
        env=env,
        # Held open: at its end a worker takes its supervisor for gone.
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdin
        process.wait(PATIENCE_S)
        out, err = process.communicate()
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def test_the_bare_install_has_no_torch(bare: Path, bench: Bench) -> None:
    for module in ("torch", "diffusers", "transformers", "accelerate", "jax"):
        done = run(bare, bench, "-c", f"import {module}")
        assert "ModuleNotFoundError" in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("--help",),
        ("plan", "examples/first-sweep.yaml", "--json"),
        ("submit", "examples/first-sweep.yaml"),
        ("schedulers", "--model", "builtin:shapes"),
        ("worker", "--help"),
        ("status",),
        ("find",),
    ],
)
def test_a_command_works_without_torch(
    bare: Path, bench: Bench, words: tuple[str, ...]
) -> None:
    paths = [str(REPOSITORY / w) if w.startswith("examples") else w for w in words]
    done = run(bare, bench, "-m", "nightsweep", *paths)
    expected = 2 if words == ("status",) else 0
    assert done.returncode == expected, done.stderr
    assert "Traceback" not in done.stderr
    if words[0] == "plan":
        assert json.loads(done.stdout)["total"] == 96


def test_a_worker_without_torch_says_what_to_install(bare: Path, bench: Bench) -> None:
    words = ("-m", "workers.process.main", "--name", "cpu0", "--device", "cpu")
    done = run(bare, bench, *words)
    assert done.returncode == 2
    assert "pip install 'nightsweep[torch]'" in done.stderr


def test_a_worker_of_another_back_end_makes_its_jobs_without_torch(
    bare: Path, bench: Bench, tmp_path: Path
) -> None:
    spec = tmp_path / "flax.yaml"
    spec.write_text(
        "name: flax\n"
        "base: {model: 'builtin:shapes', prompt: a cat, width: 8, height: 8, "
        "backend: flax, generator: numpy, scheduler: ddim}\n"
    )
    bench.cli("submit", str(spec))
    words = ("--name", "flax0", "--device", "cpu", "--backend", "flax")
    process = subprocess.Popen(
        [sys.executable, "-S", "-P", "-m", "workers.process.main", *words],
        env={
            **bench.env,
            "PYTHONPATH": f"{bare}:{REPOSITORY}",
            "NIGHTSWEEP_PAINTER": "tests.stand_in:make_painter",
        },
        stdin=subprocess.PIPE,
    )
    with process:
        try:
            wait_until(lambda: bench.states() == {"done": 1})
        finally:
            process.terminate()
            process.wait(PATIENCE_S)
