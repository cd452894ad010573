"""What `nightsweep verify --models` does: hash models anew, and report on them."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from producer.display.hashing import tell_hashing
from producer.display.json_lines import write_json
from producer.display.messages import talk
from producer.display.tables import Column, write_table
from storage.files.model_verification import CheckedModel, ModelFinding, check_models
from storage.jobs.sweeps import Sweep
from storage.models.fingerprint import Digests
from storage.settings import Settings
from storage.sql.database import Database

MODEL_COLUMNS = (
    Column(name="problem", read=lambda row: row["problem"].replace("_", " ")),
    Column(name="path", read=lambda row: row["path"]),
    Column(name="detail", read=lambda row: row["detail"], narrowest=12),
)


def verify_models(
    database: Database, settings: Settings, *, sweep: Sweep | None, as_json: bool
) -> bool:
    """Hash the models that jobs name, and write what is wrong with them.

    Returns:
        Whether nothing is wrong.
    """
    remembered = settings.home / "digests.json"
    digests = Digests(
        remembered,
        afresh=True,
        readonly=not settings.home.is_dir(),
        progress=tell_hashing,
    )
    checked: list[CheckedModel] = []
    found = check_models(database, sweep=sweep, digests=digests)
    rows = _rows(found, checked)
    if as_json:
        write_json(rows)
    else:
        write_table(list(rows), MODEL_COLUMNS)
    talk(_summary(checked))
    return not any(each.findings for each in checked)


def _rows(
    found: Iterator[CheckedModel], checked: list[CheckedModel]
) -> Iterator[dict[str, Any]]:
    for each in found:
        checked.append(each)
        yield from map(_row, each.findings)


def _row(finding: ModelFinding) -> dict[str, Any]:
    return {
        "problem": finding.problem,
        "key": None,
        "path": finding.place,
        "detail": finding.detail,
        "repair": None,
    }


def _summary(checked: list[CheckedModel]) -> str:
    whole = sum(each.whole for each in checked)
    models = f"{len(checked):,} model{'' if len(checked) == 1 else 's'}"
    told = f"{models} checked, whole in {whole:,} place{'' if whole == 1 else 's'}"
    problems = Counter(f.problem for each in checked for f in each.findings)
    if not problems:
        return f"{told}; nothing is wrong."
    wrong = ", ".join(
        f"{count:,} {problem.replace('_', ' ')}" for problem, count in problems.items()
    )
    return f"{told}; {wrong}: restore the files, or submit the sweeps again."
