"""Finding a model's files, and checking that they are the planned ones."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from storage.errors import ModelError
from storage.job import Job, Model
from storage.models.fingerprint import Digests, Fingerprints, Seal, verify
from storage.models.hub_cache import cached_bytes
from storage.models.located import Located
from storage.models.model_files import is_hub_id, locate
from storage.models.places import first_whole, in_order
from workers.painting import Places
from workers.vitals import phases

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A model on this machine, checked to be the planned one.

    Attributes:
        place: The model, at the place where it was found.
        located: Its files.
        fingerprints: Fingerprints of these files.
        seal: Knows whether they have changed since.
    """

    place: Model
    located: Located
    fingerprints: Fingerprints
    seal: Seal


def find_model(model: Model, *, digests: Path, places: Places | None) -> Found:
    """Find a model on this machine; download its missing files.

    Args:
        model: As planned.
        digests: File that remembers digests of weights.
        places: Knows where else it may be; None to try only its own place.

    Raises:
        ModelError: It is in none of its places.
        FingerprintError: Its files are not the planned ones.
    """
    others = places.of(model) if places else ()
    return first_whole(
        in_order(model, others),
        lambda place: _find_at(place, digests=Digests(digests)),
    )


def find_part(
    job: Job,
    fingerprint: str,
    look: Callable[[Model], Answer],
    *,
    places: Places | None,
) -> Answer:
    """Find weights that a job has besides its model.

    Args:
        job: As planned.
        fingerprint: One of its `part_fingerprints`.
        look: Returns what is at a place; raises `ModelError` if that is not the part.
        places: Knows where it may be; None to try only the job's own places.

    Raises:
        ModelError: It is in none of its places.
    """
    own = [part for part in job.parts if part.fingerprint == fingerprint]
    others = places.of(Model(fingerprint=fingerprint, name="")) if places else ()
    found = list(dict.fromkeys([*own, *others]))
    if not found:
        msg = (
            "weights besides the model must have a place, but none is known of the"
            f" fingerprint {fingerprint}; submit the sweep again"
        )
        raise ModelError(msg)
    # Places on this machine come first.
    return first_whole(sorted(found, key=lambda at: is_hub_id(at.name)), look)


def _find_at(place: Model, *, digests: Digests) -> Found:
    """Download the missing files of a model, and check all of them.

    Args:
        place: The model, at a place where it may be.
        digests: Remembers digests of files.

    Raises:
        ModelError: The model is not there.
        FingerprintError: Its files are not the planned ones.
    """
    with phases.during(
        phases.DOWNLOADING, place.name, measure=lambda: cached_bytes(place.name)
    ):
        located = locate(
            place.name,
            revision=place.commit or place.revision,
            variant=place.variant,
            download=True,
        )
    with phases.during(phases.LOADING, place.name):
        seal = Seal(located)
        fingerprints = verify(located, place.fingerprint, digests=digests)
        phases.progress()
    return Found(place=place, located=located, fingerprints=fingerprints, seal=seal)
