"""Owners of sweeps come with an export, by their names."""

from dataclasses import replace

import pytest

from storage.sharing.shared_items import SharedSweep
from storage.sharing.sweep_arrivals import take_sweeps
from storage.sql.database import Database

SHARED = SharedSweep(
    name="night",
    digest="d",
    spec="one",
    axes={},
    state="active",
    priority=5,
    min_free_bytes=0,
    jobs=0,
    owner="alice",
)


def test_an_imported_sweep_keeps_its_owner(database: Database) -> None:
    other = replace(SHARED, name="old", owner=None)
    found = take_sweeps(database, {"night": SHARED, "old": other})
    owners = {name: sweep.owner for name, sweep in found.items()}
    assert owners == {"night": "alice", "old": None}


def test_an_owner_without_a_proper_name_is_refused() -> None:
    with pytest.raises(ValueError, match="an owner cannot be called"):
        replace(SHARED, owner="a\nb")
