"""LoRAs and textual inversions as the jobs of one model have them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from producer.models.cards import ModelCard
from producer.spec.problems import listed
from producer.spec.weight_files import WeightFile, WeightFiles
from storage.errors import ModelError
from storage.job import Model
from storage.models.adapter_pipelines import EMBEDDING_PARTS, LORA_PARTS
from storage.models.fingerprint import Digests
from storage.models.lokr_layers import is_lokr
from storage.models.lora_layers import find_misfit
from storage.models.part_files import EMBEDDING, LORA, describe_part
from storage.models.tensor_headers import Shape, read_shapes

#: A row of the job's extra: a fingerprint, and the scale or the token.
Row = tuple[str, float] | tuple[str, str]
LORAS, EMBEDDINGS, LORA_SCALE = "loras", "embeddings", "lora_scale"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedWeights:
    """Files of one kind, found.

    Attributes:
        rows: What the job's extra holds.
        parts: The files, each at its place.
        label: What grids and tables show.
        problems: Why this model cannot use them, one sentence each.
    """

    rows: tuple[Row, ...] = ()
    parts: tuple[Model, ...] = ()
    label: str = "none"
    problems: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Return whether there are any."""
        return bool(self.rows or self.problems)

    def __str__(self) -> str:
        """Return the label."""
        return self.label

    @property
    def token(self) -> Any:
        """Equal for files that do the same."""
        return (self.rows, self.label) if self.problems else self.rows

    def scaled(self, factor: float) -> "PlannedWeights":
        """Return LoRAs with each scale multiplied; a scale of 0 leaves one out.

        With a scale of 0 an image is that without the LoRA, bit for bit.
        """
        rows = tuple((mark, float(scale) * factor) for mark, scale in self.rows)
        kept = tuple(row for row in rows if row[1])
        marks = {mark for mark, _ in kept}
        parts = tuple(part for part in self.parts if part.fingerprint in marks)
        return replace(self, rows=kept, parts=parts)


def plan_weights(parameters: Mapping[str, Any], card: ModelCard) -> dict[str, Any]:
    """Return those of the parameters that name files, found and checked.

    Nothing is raised, since the cells that have a wrong file may all be excluded.
    """
    return {
        name: _plan(value, card, row_of, check)
        for name, row_of, check in _KINDS
        if isinstance(value := parameters.get(name), WeightFiles)
    }


def scaled_loras(parameters: Mapping[str, Any]) -> PlannedWeights:
    """Return the LoRAs of a complete set of parameters at the scales that they have."""
    loras: PlannedWeights = parameters[LORAS]
    return loras.scaled(parameters[LORA_SCALE])


def _plan(
    given: WeightFiles, card: ModelCard, row_of: Any, check: Any
) -> PlannedWeights:
    found, problems = [], []
    methods = set()
    for file in given.files:
        try:
            part, path = describe_part(_place_of(file), card.digests or Digests())
            shapes = read_shapes(path)
            problems += check(file, shapes, card)
            found.append((part, file))
            methods.add(is_lokr(shapes))
        except ModelError as error:
            problems.append(str(error))
    rows = tuple(row_of(part, file) for part, file in found)
    if len({row[0] for row in rows}) < len(rows):
        problems.append(
            f"each file must be named once in a job, got {given}; leave one of them out"
        )
    if len(methods) > 1:
        problems.append(
            "LoKrs and LoRAs must not be in one job, whose image would depend on the"
            f" order of loading, got {given}; leave out the ones or the others"
        )
    return PlannedWeights(
        rows=rows,
        parts=tuple(part for part, _ in found),
        label=str(given),
        problems=tuple(problems),
    )


def _place_of(file: WeightFile) -> Model:
    return Model(
        fingerprint="",
        name=file.name,
        revision=file.revision,
        variant=file.weight,
        family=EMBEDDING if file.token else LORA,
    )


def _check_lora(
    file: WeightFile, shapes: Mapping[str, Shape], card: ModelCard
) -> list[str]:
    if card.pipeline_class not in LORA_PARTS:
        return [_refuse("LoRAs", LORA_PARTS, file, card)]
    misfit = find_misfit(shapes, card.layers, pipeline=card.pipeline_class)
    if misfit is None:
        return []
    return [
        f"a LoRA must fit its model, but {file.label} {misfit}; use one that was made"
        f" for {card.model.name} or its base"
    ]


def _check_embedding(
    file: WeightFile, shapes: Mapping[str, Shape], card: ModelCard
) -> list[str]:
    parts = EMBEDDING_PARTS.get(card.pipeline_class)
    if parts is None:
        return [_refuse("textual inversions", EMBEDDING_PARTS, file, card)]
    rule = f"a textual inversion must fit its model, but {file.label}"
    for part, names in parts.items():
        tensors = [name for name in names or shapes if name in shapes]
        if not tensors or (not names and len(tensors) > 1):
            wanted = listed(names) if names else "one tensor only"
            return [
                f"{rule} has {listed(shapes)}, where the model takes {wanted}; use one"
                " that was made for its base"
            ]
        size, known = shapes[tensors[0]][-1:], card.layers.get(part, {})
        own = known.get("embeddings_token_embedding", size)[-1:]
        if size != own:
            return [
                f"{rule} has vectors of {size[0]} numbers, where the model's {part} has"
                f" {own[0]}; use one that was made for its base"
            ]
    return []


def _refuse(
    what: str, known: Mapping[str, Any], file: WeightFile, card: ModelCard
) -> str:
    return (
        f"{what} must be for a pipeline with which they were tried, got {file.label}"
        f" for a {card.pipeline_class}; known are {listed(known)}"
    )


_KINDS = (
    (LORAS, lambda part, file: (part.fingerprint, file.scale), _check_lora),
    (EMBEDDINGS, lambda part, file: (part.fingerprint, file.token), _check_embedding),
)
