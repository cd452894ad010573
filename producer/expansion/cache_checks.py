"""Pipelines and jobs with which a cache does not work."""

from collections.abc import Iterator

from producer.expansion.cells import Cell, combinations
from producer.expansion.grid import Grid
from producer.spec.problems import listed
from storage.catalogue.caches import CACHES, parse_cache


def find_cache_problems(grid: Grid) -> Iterator[tuple[Cell, str, str]]:
    """Yield a cell, the parameter that is wrong in it, and what is wrong."""
    for cell in combinations(grid, "cache", "image", "controlnet"):
        if not (text := cell.parameters["cache"]):
            continue
        name, _ = parse_cache(text)
        if grid.card.pipeline_class not in CACHES[name].pipelines:
            yield cell, "cache", _refuse(name, grid.card.pipeline_class)
        elif cell.parameters["image"]:
            yield cell, "cache", _BESIDE.format("an input image", name)
        elif cell.parameters["controlnet"]:
            yield cell, "cache", _BESIDE.format("a ControlNet", name)


_BESIDE = (
    "cache must be left out beside {}, with which none was tried, got {}; leave out one"
    " of the two"
)


def _refuse(name: str, pipeline: str) -> str:
    others = [each for each, cache in CACHES.items() if pipeline in cache.pipelines]
    if others:
        way_out = f"those that work are {listed(others)}"
    else:
        known = sorted({each for cache in CACHES.values() for each in cache.pipelines})
        way_out = f"caches work with {listed(known)}"
    return f"cache must work with a {pipeline}, and {name} does not; {way_out}"
