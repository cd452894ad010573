"""This machine: its Python and packages, its folders and disks, its GPUs."""

import os
import platform
import sys
import tempfile
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, distribution, requires, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from producer.display.amounts import free_bytes, size
from producer.health.check import Check, fail, fine, warn
from producer.spec.sweepfile import MIN_FREE_BYTES
from storage.host.gpus import has_nvidia
from storage.host.programs import ask_program
from storage.settings import Settings, filesystem_of, refuse_network_filesystem

#: A disk is soon full if it has less than so many times the floor free.
SOON_FULL = 5
#: Packages of a worker whose versions are shown.
SHOWN = ("torch", "diffusers", "transformers")


def check_python() -> Iterator[Check]:
    """Check the versions of Python and of the packages that every command needs."""
    try:
        mine = distribution("nightsweep")
    except PackageNotFoundError:
        yield warn(
            "packages",
            "nightsweep is not installed, so its needs are not known",
            advice="install it with pip",
        )
        return
    needed = SpecifierSet(mine.metadata["Requires-Python"])
    here = platform.python_version()
    if needed.contains(here, prereleases=True):
        yield fine("Python", f"{here}, at {sys.executable}")
    else:
        yield fail("Python", f"it must be {needed}, got {here}", advice="install it")
    wrong = [*_unmet(_needs(""))]
    if wrong:
        advice = "install nightsweep again with pip"
        yield fail("packages", ", ".join(wrong), advice=advice)
    else:
        yield fine("packages", f"nightsweep {mine.version} has all that it needs")


def check_torch() -> Iterator[Check]:
    """Check the packages of a worker, without importing them."""
    try:
        shown = ", ".join(f"{name} {version(name)}" for name in SHOWN)
    except PackageNotFoundError as exc:
        yield warn(
            "torch",
            f"{exc.name} is not installed: this machine can submit and ask, not paint",
            advice="pip install 'nightsweep[torch]' where workers run",
        )
        return
    wrong = [*_unmet(set(_needs("torch")) - set(_needs("")))]
    if wrong:
        advice = "pip install 'nightsweep[torch]'"
        yield fail("torch", ", ".join(wrong), advice=advice)
    else:
        yield fine("torch", shown)


def check_gpus() -> Iterator[Check]:
    """Ask torch, in a process of its own, for the GPUs that workers would use."""
    try:
        version("torch")
    except PackageNotFoundError:
        yield fine("GPUs", "not checked: torch is not installed")
        return
    answer = ask_program([sys.executable, "-P", "-m", "workers.devices.gpu_probe"])
    gpus, reason = answer.get("gpus"), answer.get("reason")
    if gpus:
        yield fine("GPUs", ", ".join(gpu["name"] for gpu in gpus))
    elif has_nvidia():
        yield fail(
            "GPUs",
            f"torch cannot use this machine's: {reason}",
            advice="install the torch wheel for its driver, or use --device cpu",
        )
    else:
        yield fine("GPUs", f"none ({reason}): workers use the CPU")


def check_home(settings: Settings) -> Iterator[Check]:
    """Check that the state folder is there, local, writable, private; and its logs."""
    home = settings.home
    refuse_network_filesystem(home)
    if not home.is_dir():
        yield _check_place("state folder", home)
        return
    _write_in(home)
    mode = home.stat().st_mode & 0o777
    if mode & 0o077:
        detail = f"others can look into {home} (mode {mode:04o})"
        yield warn("state folder", detail, advice=f"chmod 700 {home}")
    else:
        yield fine("state folder", f"{home}, private, on {_kind(home)}")
    if not settings.logs.is_dir():
        yield fine("logs", f"none yet; workers write to {settings.logs}")
        return
    _write_in(settings.logs)
    sizes = [each.stat().st_size for each in settings.logs.iterdir()]
    yield fine("logs", f"{len(sizes)} files, {size(sum(sizes))}, in {settings.logs}")


def check_disks(settings: Settings) -> Iterator[Check]:
    """Check the free space where images and state are."""
    places = {"image disk": settings.image_folder, "state disk": settings.home}
    for name, folder in places.items():
        if folder is None:
            continue
        free = free_bytes(folder)
        detail = f"{size(free)} is free for {folder}"
        if free < MIN_FREE_BYTES:
            advice = f"keep {size(MIN_FREE_BYTES)} free"
            yield fail(name, detail, advice=advice)
        elif free < SOON_FULL * MIN_FREE_BYTES:
            yield warn(name, detail, advice="make room before a large sweep")
        else:
            yield fine(name, detail)


def _check_place(name: str, folder: Path) -> Check:
    there = next(path for path in folder.parents if path.exists())
    if os.access(there, os.W_OK | os.X_OK):
        return fine(name, f"{folder} is not there yet; the first sweep makes it")
    return fail(
        name,
        f"{folder} is not there, and {there} is not writable",
        advice="make it, or set NIGHTSWEEP_HOME to a folder of yours",
    )


def _write_in(folder: Path) -> None:
    # `os.access` does not notice disks that turned read-only, or are full.
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(b"\0")


def _kind(folder: Path) -> str:
    return filesystem_of(folder) or "a local disk"


def _needs(extra: str) -> list[Requirement]:
    """Return what nightsweep needs here with an extra; nothing if not installed."""
    try:
        needs = map(Requirement, requires("nightsweep") or [])
    except PackageNotFoundError:
        return []
    return [
        each
        for each in needs
        if each.marker is None or each.marker.evaluate({"extra": extra})
    ]


def _unmet(needs: Iterable[Requirement]) -> Iterator[str]:
    """Yield a phrase for each package that is missing, or has a wrong version."""
    for needed in sorted(needs, key=lambda each: each.name):
        try:
            found = version(needed.name)
        except PackageNotFoundError:
            yield f"{needed.name} is missing"
            continue
        if not needed.specifier.contains(found, prereleases=True):
            yield f"{needed.name} must be {needed.specifier}, got {found}"
