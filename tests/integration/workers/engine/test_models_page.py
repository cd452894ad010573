"""The tables of the page on models say what the tests try, and what the code knows."""

import re
from collections.abc import Iterator
from pathlib import Path

from storage.catalogue.control_pipelines import CONTROL_PIPELINES
from storage.catalogue.image_pipelines import IMAGE_PIPELINES
from storage.models.adapter_pipelines import (
    EMBEDDING_PARTS,
    LOKR_BEGINNINGS,
    LORA_PARTS,
)
from storage.models.architectures import ARCHITECTURES
from tests.integration.workers.engine import test_adapters, test_single_files

PAGE = (Path(__file__).parents[4] / "docs" / "models.md").read_text()


def rows_of(header: str) -> Iterator[list[str]]:
    """Yield the cells of the table whose header begins with these words."""
    begin = rf"^\| {re.escape(header)}.*\n\|[-|]+\n"
    [table] = re.findall(rf"{begin}((?:\|.*\n)+)", PAGE, re.M)
    for line in table.splitlines():
        yield [cell.strip() for cell in line.strip("|").split(" | ")]


def pipelines_in(cell: str) -> list[str]:
    return re.findall(r"`(\w+Pipeline)`", cell)


def test_files_that_are_said_to_be_exact_are_tried() -> None:
    exact = {
        name
        for names, _, _, result in rows_of("architecture | the file holds")
        if result.startswith("bit for bit")
        for name in names.split(", ")
    }
    assert exact == {*test_single_files.WHOLE, *test_single_files.TRANSFORMERS}


def test_every_architecture_that_makes_images_has_a_row() -> None:
    rows = rows_of("architecture | the file holds")
    named = {name for names, *_ in rows for name in names.split(", ")}
    assert {each.name for each in ARCHITECTURES if each.pipelines} <= named


def test_every_architecture_that_makes_none_is_named_as_refused() -> None:
    [said] = re.findall(r"^Named and refused.*?\n\n", PAGE, re.M | re.S)
    refused = " ".join(said.split())
    names = [each.name for each in ARCHITECTURES if not each.pipelines]
    assert [name for name in names if name not in refused] == []


def test_loras_and_textual_inversions_are_said_of_those_that_are_tried() -> None:
    rows = list(rows_of("file | pipeline | changes"))
    loras = {p for what, of, _ in rows if "LoRA" in what for p in pipelines_in(of)}
    assert loras == {kind for kind, _ in test_adapters.CASES} == LORA_PARTS.keys()
    lokrs = {p for what, of, _ in rows if "LoKr" in what for p in pipelines_in(of)}
    assert lokrs == LOKR_BEGINNINGS.keys()
    inversions = {
        p for what, of, _ in rows if "inversion" in what for p in pipelines_in(of)
    }
    assert inversions == {kind for kind, _ in test_adapters.INVERSIONS}
    assert inversions <= EMBEDDING_PARTS.keys()


def test_the_table_of_images_is_that_of_the_code() -> None:
    said = {
        (*pipelines_in(pipeline), strength, part == "is a step")
        for _, pipeline, strength, part in rows_of("model | pipeline | strength")
    }
    known = IMAGE_PIPELINES.values()
    assert said == {(one.name, f"{one.strength:g}", one.rounds_up) for one in known}


def test_the_table_of_control_nets_is_that_of_the_code() -> None:
    said = {
        (*pipelines_in(one), *pipelines_in(beside), "one ControlNet" not in beside)
        for _, one, beside in rows_of("model | pipeline | beside")
    }
    assert said == {
        (one.name, one.from_image, one.several_from_image)
        for one in CONTROL_PIPELINES.values()
    }
