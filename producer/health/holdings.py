"""What jobs need and produce: the image folder, shared or not, and the models."""

import re
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from producer.display.amounts import size
from producer.display.hashing import tell_hashing
from producer.health.check import Check, fail, fine, warn
from producer.health.image_bucket import check_bucket
from producer.health.missing_images import describe_missing
from producer.running.backends import find_unserved, start_worker
from storage.errors import FingerprintError, ImageStoreError, ModelError
from storage.files.folders import Folder, count_missing, look_at_folder
from storage.files.images import relative_path
from storage.files.places import bucket_at, place_at
from storage.image_address import ImageAddress
from storage.job import Model
from storage.jobs.runnable_groups import runnable_groups
from storage.models.control_nets import FAMILY, locate_control_net
from storage.models.fingerprint import Digests, verify
from storage.models.located import Located
from storage.models.model_files import is_hub_id, locate
from storage.models.part_files import find_part_file, is_part
from storage.models.places import first_whole, in_order
from storage.settings import Settings
from storage.sql.database import Database, utc_now
from storage.sql.model_places import parts_named, places_of
from storage.sql.schema import LEASED, RUNNABLE, environments, jobs, results
from storage.store import open_image

#: Folder in the image folder, with a line from each host whose doctor was here.
PROBES = ".hosts"


def check_images(settings: Settings, database: Database | None) -> Iterator[Check]:
    """Check that images can be written, and other hosts' images read.

    A small file with this host's name stays in an image folder, for the other hosts.
    """
    images, host = settings.images, socket.gethostname()
    # Before anything is written to the folder: it may be another database's, or the
    # mount point of a disk that is not mounted.
    folder = look_at_folder(database, images) if database else None
    if database and folder and (missing := count_missing(database, folder)):
        yield fail("image folder", describe_missing(folder, missing))
        return
    if not isinstance(images, Path):
        yield from check_bucket(bucket_at(images))
    elif not images.is_dir():
        detail = f"{images} is not there yet; the first sweep makes it"
        yield fine("image folder", detail)
        return
    else:
        _write_probe(images, host)
        yield fine("image folder", f"{images} can be written and read")
    newest = _newest_elsewhere(database, folder, host) if database and folder else None
    seen = [*_read_image(images, newest)]
    if isinstance(images, Path):
        seen += _read_probe(images, host)
    yield from seen or [
        fine("shared images", f"not checked: only this host, {host}, was here so far")
    ]


def check_models(settings: Settings, database: Database | None) -> Iterator[Check]:
    """Check that this machine has the models, LoRAs and the like of waiting jobs."""
    if database is None:
        yield fine("models", "not checked: there is no database to ask")
        return
    needed = _needed_models(database)
    if not needed:
        yield fine("models", "none is needed: no job waits")
    is_new = not settings.home.is_dir()
    digests = Digests(
        settings.home / "digests.json", readonly=is_new, progress=tell_hashing
    )
    for places in needed:
        look = _check_part if is_part(places[0]) else _check_model
        yield look(places, digests)


def check_workers(database: Database | None) -> Iterator[Check]:
    """Check that there is a worker for each back end whose jobs wait."""
    for backend in find_unserved(database) if database else ():
        detail = f"jobs of `backend: {backend}` wait, but no worker of it is alive"
        yield warn("workers", detail, advice=start_worker(backend))


def _write_probe(images: Path, host: str) -> None:
    probe = images / PROBES / _file_name(host)
    text = f"{host} {utc_now()}\n"
    try:
        probe.parent.mkdir(exist_ok=True)
        probe.write_text(text)
        found = probe.read_text()
    except OSError as exc:
        msg = (
            f"Images must be writable, but {exc.filename or probe} gives: "
            f"{exc.strerror}; make room, check the folder's owner and mode, or set "
            "NIGHTSWEEP_IMAGES to another."
        )
        raise ImageStoreError(msg) from exc
    if found != text:
        msg = f"A file must be read as it was written, but {probe} is not; try again."
        raise ImageStoreError(msg)


def _file_name(host: str) -> str:
    return re.sub(r"[^\w.-]", "_", host).strip(".") or "_"


def _read_probe(images: Path, host: str) -> Iterator[Check]:
    """Read the newest file that the doctor of another host left, if there is one."""
    own = _file_name(host)
    others = [each for each in (images / PROBES).iterdir() if each.name != own]
    if others:
        newest = max(others, key=lambda each: each.stat().st_mtime)
        name, _, when = newest.read_text(errors="replace").strip().partition(" ")
        yield fine("shared images", f"what {name} wrote at {when[:19]} can be read")


def _read_image(images: ImageAddress, newest: Any) -> Iterator[Check]:
    """Read the newest image of another host, if there is one."""
    if newest is None:
        return
    path = relative_path(newest.key)
    try:
        open_image(place_at(images).local(path))
    except (ImageStoreError, FileNotFoundError) as exc:
        yield fail(
            "shared images",
            f"the newest image of {newest.host} cannot be read: {exc}",
            advice="let all hosts share one image folder; then `nightsweep verify`",
        )
    else:
        yield fine("shared images", f"{path} of {newest.host} can be read")


def _newest_elsewhere(database: Database, folder: Folder, host: str) -> Any:
    """Find the newest image that another host wrote to this folder."""
    is_here = results.c.folder_id.is_(None) | (results.c.folder_id == folder.id)
    with database.read() as connection:
        query = sa.select(environments.c.id).where(environments.c.host != host)
        elsewhere = list(connection.execute(query).scalars())
        if not elsewhere:
            return None
        newest = (
            sa.select(jobs.c.key, environments.c.host)
            .select_from(results)
            .join(jobs, jobs.c.id == results.c.job_id)
            .join(environments, environments.c.id == results.c.environment_id)
            .where(results.c.environment_id.in_(elsewhere), is_here)
            .order_by(results.c.finished_at.desc())
            .limit(1)
        )
        return connection.execute(newest).first()


def _needed_models(database: Database) -> list[list[Model]]:
    """Return each model, ControlNet and LoRA that jobs need, at all of its places."""
    needed = {group.kind[0] for group in runnable_groups(database)}
    with database.read() as connection:
        in_hand = sa.select(jobs.c.model_id).where(LEASED).distinct()
        needed.update(connection.execute(in_hand).scalars())
        waiting = sa.select(jobs.c.id).where(sa.or_(RUNNABLE, LEASED))
        needed |= parts_named(connection, waiting)
    return places_of(database, needed)


def _check_model(places: Sequence[Model], digests: Digests) -> Check:
    def look(place: Model) -> Located:
        found = _locate(place)
        verify(found, place.fingerprint, digests=digests)
        return found

    try:
        found = first_whole(in_order(places[0], places), look)
    except ModelError as exc:
        return fail("models", str(exc))
    here = all(found.path(file).exists() for file in found.files)
    later = ", fetched by `nightsweep fetch`, or when a worker first needs it"
    fetched = "" if here else later
    return fine("models", f"{found.name}, {size(found.size_bytes)}{fetched}")


def _locate(place: Model) -> Located:
    """Find a model or a ControlNet, here or on the Hub."""
    if place.family == FAMILY:
        return locate_control_net(place, download=False)
    version = place.commit or place.revision
    return locate(place.name, revision=version, variant=place.variant, download=False)


def _check_part(places: Sequence[Model], digests: Digests) -> Check:
    """Check that a LoRA or textual inversion is here, or can be fetched."""
    try:
        file = first_whole(
            places, lambda place: find_part_file(place, digests, download=False)
        )
    except ModelError as exc:
        later = next(filter(_is_on_hub, places), None)
        if later is None or isinstance(exc, FingerprintError):
            return fail("models", str(exc))
        return fine("models", f"{later.name}, fetched when a worker first needs it")
    return fine("models", f"{file}, {size(file.stat().st_size)}")


def _is_on_hub(place: Model) -> bool:
    return is_hub_id(place.name)
