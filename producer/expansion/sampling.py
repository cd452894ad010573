"""A sample of a sweep: some of its cells, balanced over the values of its axes.

Each axis has its values in a drawn order, all of them before any comes again. A draw
takes the next value of each axis. If that cell is taken or excluded, a later value of
one axis changes places with its next one. So every value comes about equally often,
however many cells are drawn, and a larger sample has all cells of a smaller one. The
grid is not written out, so its size does not matter.
"""

import hashlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from producer.expansion import cells
from producer.expansion.equivalents import Tokens
from producer.expansion.grid import Grid
from producer.spec.samples import Sample

#: Cells that a draw tries.
MOST_TRIES = 40
#: Draws in a row that give no new cell, after which the rest is drawn from a list of
#: all cells: nearly all are taken or excluded by then.
MOST_VAIN_DRAWS = 100


def draw_cells(grids: Sequence[Grid], sample: Sample) -> tuple[list[Tokens], ...]:
    """Return the tokens of a sample's cells, by grid, in the order of execution.

    Cells that `include` adds are in no sample.
    """
    drawers = [
        _Drawer(grid, number=number, seed=sample.seed)
        for number, grid in enumerate(grids)
    ]
    chosen: list[list[Tokens]] = [[] for _ in grids]
    for number, tokens in itertools.islice(_draw(drawers, sample.seed), sample.count):
        chosen[number].append(tokens)
    for drawer, some in zip(drawers, chosen, strict=True):
        some.sort(key=drawer.place)
    return tuple(chosen)


def _draw(drawers: Sequence["_Drawer"], seed: int) -> Iterator[tuple[int, Tokens]]:
    """Yield all cells in the order in which they are drawn, each with its grid.

    Samples depend on this: never change what it draws.
    """
    # Each value of the axis of models has its turn, as values of other axes have.
    seats = [(drawer, model) for drawer in drawers for model in drawer.models]
    deck = _Deck(f"{seed}\nmodels", len(seats))
    vain = 0 if seats else MOST_VAIN_DRAWS
    while vain < MOST_VAIN_DRAWS:
        drawer, model = seats[deck.next()]
        deck.go_on()
        tokens = drawer.draw(model)
        vain = vain + 1 if tokens is None else 0
        if tokens is not None:
            yield drawer.number, tokens
    rest = [(one, tokens) for one in drawers for tokens in one.list_rest()]
    for one, tokens in sorted(rest, key=lambda each: each[0].lot(each[1])):
        yield one.number, tokens


class _Drawer:
    """Draws cells of the product of one grid's axes.

    Attributes:
        number: Of the grid.
        models: Its values on the axis of models; one None where there is no such axis,
            and nothing where only `include` asks for the model.
    """

    def __init__(self, grid: Grid, *, number: int, seed: int) -> None:
        self.number = number
        self._seed = seed
        self._grid = grid
        self._main = [block for block in grid.blocks if not block.is_extra]
        self._model_axis = grid.axis_of("model")
        self.models = self._find_models() if self._main else []
        self._seen: set[Tokens] = set()
        self._decks = [
            _Deck(f"{seed}\n{axis.name}", len(axis.points)) for axis in grid.axes
        ]
        #: Axes whose values may change places.
        self._movable = [
            index
            for index, axis in enumerate(grid.axes)
            if len(axis.points) > 1 and index != self._model_axis
        ]

    def draw(self, model: Any) -> Tokens | None:
        """Draw a cell with a value of `models`; None if no new one was found."""
        found = self._try(model)
        if found is None:
            found = self._try_others(model)
        for deck in self._decks:
            deck.go_on()
        if found is not None:
            self._seen.add(found)
        return found

    def list_rest(self) -> Iterator[Tokens]:
        """Yield the cells that are not drawn yet; this walks the whole grid."""
        for cell in cells.walk(self._grid) if self._main else ():
            tokens = tuple(point.token for point in cell.points)
            known = zip(tokens, self._indices, strict=True)
            if all(token in there for token, there in known):
                first = self._first(tokens)
                if first is not None and first not in self._seen:
                    yield first

    def place(self, tokens: Tokens) -> tuple[int, ...]:
        """Return what sorts cells as `cells.walk` yields them."""
        indices = self._indices_of(tokens)
        outer = [self._grid.axis_of("seed"), self._grid.axis_of("prompt")]
        return (*(indices[axis] for axis in outer if axis is not None), *indices)

    def lot(self, tokens: Tokens) -> bytes:
        """Return what puts the cells of a list into a drawn order."""
        return _digest(f"{self._seed}\n{self.number}\n{self._indices_of(tokens)}")

    def _try(self, model: Any) -> Tokens | None:
        """Return the cell of the next value of each axis, if it is new."""
        decks = zip(self._tokens, self._decks, strict=True)
        tokens = [known[deck.next()] for known, deck in decks]
        if self._model_axis is not None:
            tokens[self._model_axis] = model
        found = self._first(tuple(tokens))
        return None if found in self._seen else found

    def _try_others(self, model: Any) -> Tokens | None:
        """Have values change places until there is a new cell."""
        for axis, step in self._moves():
            self._decks[axis].move(step)
            found = self._try(model)
            if found is not None:
                return found
        return None

    def _moves(self) -> list[tuple[int, int]]:
        """Return which later value of which axis to try: first those of its round."""
        steps = itertools.count(1) if self._movable else ()
        every = ((axis, step) for step in steps for axis in self._movable)
        moves = list(itertools.islice(every, MOST_TRIES))
        return sorted(moves, key=lambda each: each[1] >= self._decks[each[0]].left)

    def _first(self, tokens: Tokens) -> Tokens | None:
        """Return the first cell that is the same job; None if all are excluded."""
        return self._grid.meanings.first_in_main(self._main[0], tokens)

    def _find_models(self) -> Sequence[Any]:
        axis = self._model_axis
        return [None] if axis is None else self._tokens[axis]

    def _indices_of(self, tokens: Tokens) -> tuple[int, ...]:
        known = zip(tokens, self._indices, strict=True)
        return tuple(there[token] for token, there in known)

    @cached_property
    def _tokens(self) -> list[list[Any]]:
        return [list(axis.points) for axis in self._grid.axes]

    @cached_property
    def _indices(self) -> list[Mapping[Any, int]]:
        return [
            {token: index for index, token in enumerate(known)}
            for known in self._tokens
        ]


class _Deck:
    """The values of an axis in a drawn order, shuffled anew after each round."""

    def __init__(self, name: str, size: int) -> None:
        self._name = name
        self._size = size
        self._rounds = 0
        self._turn = 0
        self._order: list[int] = []

    @property
    def left(self) -> int:
        """How many values of this round are left, with the next one."""
        return self._size - self._turn % self._size

    def next(self) -> int:
        """Return the next value."""
        self._shuffle_up_to(self._turn)
        return self._order[self._turn]

    def go_on(self) -> None:
        """Take the next value."""
        self._turn += 1

    def move(self, step: int) -> None:
        """Have the next value and a later one change places."""
        later = self._turn + step
        self._shuffle_up_to(later)
        order, turn = self._order, self._turn
        order[turn], order[later] = order[later], order[turn]

    def _shuffle_up_to(self, turn: int) -> None:
        while len(self._order) <= turn:
            self._order += sorted(range(self._size), key=self._lot)
            self._rounds += 1

    def _lot(self, index: int) -> bytes:
        return _digest(f"{self._name}\n{self._rounds}\n{index}")


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
