"""The places of a model: which to try first, and the first one that has it whole.

Equal files have one fingerprint wherever they are, so any place that is there serves.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

from storage.errors import ModelError
from storage.job import Model
from storage.models.model_files import Located, locate_here

Answer = TypeVar("Answer")


def in_order(own: Model, others: Sequence[Model]) -> list[Model]:
    """Return the places of a model in the order in which to try them.

    Those on this machine come first, then those that must be fetched or are gone; of
    both, its own place before the others.
    """
    places = list(dict.fromkeys([own, *others]))
    return places if len(places) == 1 else sorted(places, key=_is_away)


def first_whole(places: Sequence[Model], look: Callable[[Model], Answer]) -> Answer:
    """Return what `look` gives for the first place where it finds the model.

    Args:
        places: At least one.
        look: Raises `ModelError` where the model is not, or is another one.

    Raises:
        ModelError: It is in none of the places; the message has a reason for each.
    """
    errors: list[ModelError] = []
    for place in places:
        try:
            return look(place)
        except ModelError as error:
            errors.append(error)
    if len(errors) == 1:
        raise errors[0]
    # Without the way out that each of them names.
    reasons = [str(error).partition("; ")[0] for error in errors]
    listed = "; ".join(f"({number}) {each}" for number, each in enumerate(reasons, 1))
    msg = (
        "a model must be whole in one of the places that it was submitted from, but is"
        f" in none of {len(errors)}: {listed}; restore one of them, or submit the sweep"
        " again from where it is"
    )
    raise ModelError(msg)


def locate_place(place: Model) -> Located:
    """Find a model at one of its places, on this machine.

    Raises:
        ModelError: It is not here, or not whole.
    """
    revision = place.commit or place.revision
    return locate_here(place.name, revision=revision, variant=place.variant)


def _is_away(place: Model) -> bool:
    try:
        locate_place(place)
    except ModelError:
        return True
    return False
