"""The grids of a spec: one for each model that differs from the others."""

from collections.abc import Callable, Sequence
from typing import Any

from producer.expansion.grid import Grid
from producer.models import ModelCard
from producer.spec.axes import Value
from producer.spec.conditions import Entry
from producer.spec.parameters import ModelChoice
from producer.spec.problems import Problems
from producer.spec.sweepfile import Spec
from storage.errors import ModelError, UsageError

#: Finds a model and reads what it says of itself: `producer.models.describe`, or a
#: stand-in with its arguments.
Describe = Callable[..., ModelCard]


def build_grids(
    spec: Spec, describe: Describe, problems: Problems
) -> tuple[tuple[Grid, ...], tuple[str, ...]]:
    """Make the grids of a spec; models that cannot be found become problems.

    Args:
        spec: The sweep.
        describe: What finds a model.
        problems: Where it is noted.

    Returns:
        The grids in the order of execution, and sentences that name models that give
        the same jobs.
    """
    builder = _Builder(spec, describe, problems)
    for value in builder.list_models():
        builder.add(value, is_main=True)
    for entry in spec.include:
        for value in builder.list_included(entry):
            grid = builder.add(value, is_main=False)
            if grid is not None:
                grid.include(entry)
    return tuple(builder.grids.values()), tuple(builder.copies)


class _Builder:
    """Finds models and makes their grids; each model is read once."""

    def __init__(self, spec: Spec, describe: Describe, problems: Problems) -> None:
        self._spec = spec
        self._describe = describe
        self._problems = problems
        self._cards: dict[ModelChoice, ModelCard | None] = {}
        self.grids: dict[tuple[Any, ...], Grid] = {}
        self.copies: list[str] = []

    def list_models(self) -> Sequence[Value]:
        """Give the values that name the models of `base` and the axes."""
        axis = next((a for a in self._spec.axes if "model" in a.parameters), None)
        if axis is not None:
            return [*axis.values]
        return self._base_model()

    def list_included(self, entry: Entry) -> list[Value]:
        """Give the values that name the models of an entry of `include`."""
        axis = next((a for a in self._spec.axes if "model" in a.parameters), None)
        for condition in entry.conditions:
            if condition.key == "model" or (axis and condition.key == axis.name):
                labels = [axis.labelled(each) for each in condition.labels if axis]
                given = [Value({"model": v}, entry.place) for v in condition.values]
                return [each for each in labels if each is not None] + given
        return list(self._base_model() or self.list_models()[:1])

    def add(self, value: Value, *, is_main: bool) -> Grid | None:
        """Make the grid of a model, or give the one that has the same jobs."""
        card = self._find(value)
        if card is None:
            return None
        grid = Grid(self._spec, card, value, is_main=is_main)
        known = self.grids.setdefault(grid.token, grid)
        if is_main and known is not grid:
            self.copies.append(
                f"model: {known.label} and {grid.label} give the same jobs "
                f"({known.model.place}, {value.place})"
            )
        return known

    def _find(self, value: Value) -> ModelCard | None:
        choice: ModelChoice | None = {**self._spec.base, **value.sets}.get("model")
        if choice is None:
            return None
        if choice not in self._cards:
            self._cards[choice] = None
            with self._problems.at(value.place):
                self._cards[choice] = self._read(choice)
        return self._cards[choice]

    def _read(self, choice: ModelChoice) -> ModelCard:
        try:
            return self._describe(
                choice.name,
                revision=choice.revision,
                variant=choice.variant,
                base_dir=self._spec.folder,
            )
        except ModelError as error:
            raise UsageError(str(error)) from error

    def _base_model(self) -> list[Value]:
        base = self._spec.base
        if "model" not in base:
            return []
        return [Value({"model": base["model"]}, self._spec.places["model"])]
