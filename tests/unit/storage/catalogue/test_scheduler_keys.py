"""Keys that exist: what each name made on models whose schedulers are as released."""

import json
from pathlib import Path
from typing import Any

import pytest

from storage.catalogue import schedulers
from tests.builders import make_job

#: By model: its family, its scheduler config, and the key of a job of each name. They
#: were taken before names stood for more than their own options, and never change.
FROZEN: dict[str, dict[str, Any]] = json.loads(
    Path(__file__).with_name("scheduler_keys.json").read_text(encoding="utf-8")
)


@pytest.mark.parametrize("model", FROZEN)
def test_a_model_as_released_keeps_the_key_of_every_name(model: str) -> None:
    config, keys = FROZEN[model]["config"], FROZEN[model]["keys"]
    made = {}
    for name in keys:
        asked = schedulers.resolve(name)
        job = make_job(
            scheduler_class=asked.class_name,
            scheduler_options=schedulers.effective_options(asked, config),
            extras=dict(asked.extras),
        )
        made[name] = job.key
    assert made == keys


@pytest.mark.parametrize("model", FROZEN)
def test_a_model_as_released_can_use_all_that_it_could(model: str) -> None:
    family, config = FROZEN[model]["family"], FROZEN[model]["config"]
    for name in FROZEN[model]["keys"]:
        asked = schedulers.resolve(name)
        assert schedulers.check(asked, config=config, family=family) == [], name
