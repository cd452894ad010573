"""The grids of a spec: one for each model, by its fingerprint."""

from collections.abc import Callable, Sequence

from producer.expansion.grid import Grid
from producer.models.cards import ModelCard
from producer.spec.axes import Value
from producer.spec.conditions import ConditionEntry
from producer.spec.parameters import ModelChoice
from producer.spec.problems import Problems
from producer.spec.sweepfile import Spec
from storage.errors import ModelError, UsageError

#: Finds a model and reads what it says of itself: `producer.models.cards.describe`, or
#: a stand-in with the same arguments.
Describe = Callable[..., ModelCard]


def build_grids(spec: Spec, describe: Describe, problems: Problems) -> tuple[Grid, ...]:
    """Make the grids of a spec; models that cannot be found become problems.

    Args:
        spec: The sweep.
        describe: What finds a model.
        problems: Where problems are noted.

    Returns:
        The grids in the order of execution.
    """
    builder = _Builder(spec, describe, problems)
    builder.add_main()
    for entry in spec.include:
        for value in builder.list_included(entry):
            builder.include(entry, value)
    return tuple(builder.grids.values())


class _Builder:
    """Finds models and makes their grids; each model is read once.

    Attributes:
        grids: By the fingerprint of the model.
    """

    def __init__(self, spec: Spec, describe: Describe, problems: Problems) -> None:
        self._spec = spec
        self._describe = describe
        self._problems = problems
        self._cards: dict[ModelChoice, ModelCard | None] = {}
        self.grids: dict[str, Grid] = {}

    def add_main(self) -> None:
        """Make the grids of the models that `base` and the axes name."""
        named: dict[str, list[Value]] = {}
        cards: dict[str, ModelCard] = {}
        for value in self.list_models():
            card = self._find(value)
            if card is not None:
                cards.setdefault(card.model.fingerprint, card)
                named.setdefault(card.model.fingerprint, []).append(value)
        for mark, card in cards.items():
            self.grids[mark] = Grid(self._spec, card, named[mark], is_main=True)

    def include(self, entry: ConditionEntry, value: Value) -> None:
        """Add what an entry of `include` names, for the model of a value."""
        card = self._find(value)
        if card is None:
            return
        mark = card.model.fingerprint
        if mark not in self.grids:
            self.grids[mark] = Grid(self._spec, card, [value], is_main=False)
        with self._problems.at(entry.place):
            self.grids[mark].include(entry, value)

    def list_models(self) -> Sequence[Value]:
        """Return the values that name the models of `base` and the axes."""
        axis = next((a for a in self._spec.axes if "model" in a.parameters), None)
        if axis is not None:
            return [*axis.values]
        return self._base_model()

    def list_included(self, entry: ConditionEntry) -> list[Value]:
        """Return the values that name the models of an entry of `include`."""
        axis = next((a for a in self._spec.axes if "model" in a.parameters), None)
        for condition in entry.conditions:
            if condition.key == "model" or (axis and condition.key == axis.name):
                labels = [axis.labelled.get(each) for each in condition.labels if axis]
                given = [Value({"model": v}, entry.place) for v in condition.values]
                return [each for each in labels if each is not None] + given
        return list(self._base_model() or self.list_models()[:1])

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
