"""What Prometheus is told of a database, and what it looks like."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from producer.monitoring.exposition import Family, exposed
from producer.monitoring.figures import OTHERS, Figures
from storage.fleet import registry
from storage.fleet.registry import Entry
from storage.jobs.blocked_groups import block
from storage.jobs.lifecycle import set_state
from storage.jobs.results import record_done, record_failure
from storage.sql.database import Database, utc_now
from tests.builders import ENVIRONMENT, make_result, plan_seeds, submit, take

ENTRY = Entry(
    owner="night3:1:1",
    name="gpu0",
    host="night3",
    gpu="H200",
    phase="painting",
    detail="builtin:shapes · 12 rows, 48 % · 61.2 of 151 GB · 71 °C",
    images_per_s=1.5,
    rows_run=48,
    rows_used=36,
    started_at="2026-01-02T03:04:05.678901+00:00",
    phase_at="2026-01-02T03:05:05.678901+00:00",
)


def read(database: Database, images: Path, figures: Figures | None = None) -> set[str]:
    """Return the lines with values."""
    text = exposed((figures or Figures(images)).read(database))
    lines = text.splitlines()
    assert len(set(lines)) == len(lines)
    return {line for line in lines if not line.startswith("#")}


def test_jobs_are_told_by_sweep_and_state(database: Database, tmp_path: Path) -> None:
    submit(database, plan_seeds(*range(6)), name="night")
    other = submit(database, plan_seeds(4, 5, 6), name="paused")
    set_state(database, other, "paused")
    done, failed, *_ = take(database, limit=3)
    figures = Figures(tmp_path)
    result = {done.id: make_result(finished_at=utc_now())}
    record_done(database, result, worker="cpu0", environment=ENVIRONMENT)
    record_failure(database, failed.id, owner="host:1:1", error="NaN")
    found = read(database, tmp_path, figures)
    assert found >= {
        "nightsweep_up 1.0",
        'nightsweep_jobs{sweep="night",state="done"} 1.0',
        'nightsweep_jobs{sweep="night",state="leased"} 1.0',
        'nightsweep_jobs{sweep="night",state="pending"} 3.0',
        'nightsweep_jobs{sweep="night",state="evicted"} 0.0',
        'nightsweep_jobs{sweep="paused",state="pending"} 3.0',
        'nightsweep_sweeps{state="active"} 1.0',
        'nightsweep_sweeps{state="paused"} 1.0',
        "nightsweep_unmade_jobs 4.0",
        'nightsweep_jobs{sweep="night",state="failed"} 1.0',
        "nightsweep_leases 1.0",
        'nightsweep_images_total{gpu="CPU",host="night3"} 1.0',
    }
    phase = 'nightsweep_image_seconds_total{gpu="CPU",host="night3",phase="denoise"}'
    assert f"{phase} 0.5" in found


def test_old_sweeps_are_told_together(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("producer.monitoring.figures.NAMED_SWEEPS", 1)
    for number in range(3):
        submit(database, plan_seeds(number), name=f"night-{number}")
    found = read(database, tmp_path)
    assert {line for line in found if 'state="pending"' in line} == {
        'nightsweep_jobs{sweep="night-2",state="pending"} 1.0',
        f'nightsweep_jobs{{sweep="{OTHERS}",state="pending"}} 2.0',
    }


def test_a_worker_that_was_restarted_is_told_once(
    database: Database, tmp_path: Path
) -> None:
    registry.note(database, replace(ENTRY, owner="night3:2:2", phase="starting"))
    registry.note(database, ENTRY)
    block(database, "g", host="night3", worker="gpu0", reason="no such model")
    found = read(database, tmp_path)
    worker = '{host="night3",worker="gpu0"'
    assert found >= {
        f'nightsweep_worker_phase{worker},phase="painting"}} 1.0',
        f"nightsweep_worker_batch_rows{worker}}} 12.0",
        f"nightsweep_worker_images_per_second{worker}}} 1.5",
        f"nightsweep_worker_rows_total{worker}}} 48.0",
        f"nightsweep_worker_used_rows_total{worker}}} 36.0",
        'nightsweep_blocked_groups{host="night3"} 1.0',
    }
    ages = [line for line in found if "heartbeat_age" in line]
    assert len(ages) == 1
    assert 'gpu="H200"' in ages[0]


def test_counters_begin_with_the_exporter(database: Database, tmp_path: Path) -> None:
    submit(database, plan_seeds(1))
    (claim,) = take(database, limit=1)
    result = {claim.id: make_result(finished_at=utc_now())}
    record_done(database, result, worker="cpu0", environment=ENVIRONMENT)
    later = datetime.now(UTC) + timedelta(seconds=1)
    found = read(database, tmp_path, Figures(tmp_path, start=later))
    # What owners used is counted in SQL, so it does not begin with the exporter.
    owned = [line for line in found if line.startswith("nightsweep_owner_")]
    assert owned == ['nightsweep_owner_gpu_seconds_total{owner="(none)"} 1.0']
    assert not [line for line in found if "_total" in line and line not in owned]


def test_text_in_labels_is_escaped() -> None:
    family = Family(name="some", text="Some.").add(2, gpu='a "b"\\\nc')
    assert exposed([family]).splitlines()[2] == r'some{gpu="a \"b\"\\\nc"} 2.0'
