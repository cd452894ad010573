"""Images are found by their ControlNets."""

import pytest

from storage.job import Model
from storage.queries.answers import find
from storage.sql.database import Database
from tests.builders import make_planned, submit

pytestmark = pytest.mark.databases("sqlite", "postgresql")

NETS = {
    name: Model(fingerprint=mark * 32, name=f"/nets/{name}", family="controlnet")
    for name, mark in (("canny", "a"), ("depth", "b"))
}
#: The ControlNets of each job, with their scales.
JOBS = ({}, {"canny": 0.5}, {"canny": 1.0}, {"depth": 0.8, "canny": 0.5})


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("controlnet:canny", [1, 2, 3]),
        ("controlnet:depth", [3]),
        ('controlnet:""', [0]),
        (f"controlnet:{'a' * 32}", [1, 2, 3]),
        ("control_scale:0.5", [1]),
        ("control_scale:0.8..", [2, 3]),
        ("-control_scale:*", [0]),
    ],
)
def test_images_are_found_by_their_control_nets(
    database: Database, asked: str, found: list[int]
) -> None:
    planned = [
        make_planned(
            seed=number,
            position=number,
            extras={
                "controlnet": [
                    [NETS[name].fingerprint, "0" * 64, scale, 0.0, 1.0]
                    for name, scale in nets.items()
                ]
            },
            parts=tuple(NETS[name] for name in nets),
        )
        for number, nets in enumerate(JOBS)
    ]
    submit(database, planned)
    keys = [one.job.key for one in planned]
    assert [row["key"] for row in find(database, asked)] == [keys[n] for n in found]
