"""Finding a model's files, and checking that they are the planned ones."""

from dataclasses import dataclass
from pathlib import Path

from storage.job import Model
from storage.models.fingerprint import Digests, Fingerprints, Seal, verify
from storage.models.hub_cache import cached_bytes
from storage.models.located import Located
from storage.models.model_files import locate
from storage.models.places import first_whole, in_order
from workers.painting import Places
from workers.vitals import phases


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
