"""The places of a model: in which order to try them, and the first that has it whole.

Equal files have the same fingerprint wherever they are, so any available place will do.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

from storage.errors import ModelError
from storage.job import Model
from storage.models.control_nets import FAMILY, control_net_here
from storage.models.located import Located
from storage.models.model_files import locate_here

Answer = TypeVar("Answer")


def in_order(own: Model, others: Sequence[Model]) -> list[Model]:
    """Return the places of a model in the order in which to try them.

    Places on this machine come first, then those that must be fetched or are gone.
    Within each of the two, the model's own place comes before the others.
    """
    places = list(dict.fromkeys([own, *others]))
    return places if len(places) == 1 else sorted(places, key=_is_away)


def first_whole(places: Sequence[Model], look: Callable[[Model], Answer]) -> Answer:
    """Return what `look` returns for the first place where it finds the model.

    Args:
        places: At least one.
        look: Raises `ModelError` if a place lacks the model or has another one.

    Raises:
        ModelError: No place has the model; the message has a reason for each.
    """
    errors: list[ModelError] = []
    for place in places:
        try:
            return look(place)
        except ModelError as error:
            errors.append(error)
    if len(errors) == 1:
        raise errors[0]
    # Drop the way out at the end of each message.
    reasons = [str(error).partition("; ")[0] for error in errors]
    listed = "; ".join(f"({number}) {each}" for number, each in enumerate(reasons, 1))
    msg = (
        "a model must be whole in one of the places that it was submitted from, but is"
        f" in none of {len(errors)}: {listed}; restore one of them, or submit the sweep"
        " again from where it is"
    )
    raise ModelError(msg)


def locate_place(place: Model) -> Located:
    """Find a model or a ControlNet at one of its places, on this machine.

    Raises:
        ModelError: The model is not here, or not complete.
    """
    if place.family == FAMILY:
        return control_net_here(place)
    revision = place.commit or place.revision
    return locate_here(place.name, revision=revision, variant=place.variant)


def _is_away(place: Model) -> bool:
    try:
        locate_place(place)
    except ModelError:
        return True
    return False
