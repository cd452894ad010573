"""The command `nightsweep quota`: how many GPU-hours each owner may use."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import click

from producer.display.json_lines import write_json
from producer.display.messages import talk
from producer.display.tables import Column, write_table
from producer.display.text_width import plain
from producer.running.quota_text import describe_end, hours
from producer.spec.stopping import read_gpu_hours
from producer.submission.opening import opened_to_read, opened_to_write, wake
from storage.errors import UsageError
from storage.jobs import lifecycle, quota_holds, quotas
from storage.jobs.quotas import Quota
from storage.jobs.sweeps import NORMAL_PRIORITY
from storage.jobs.wake_ups import runnable_keys
from storage.settings import MOST_NAME, Settings, is_owner_name, read_settings
from storage.sql.database import Database
from storage.sql.schema import QUOTA_PERIODS


@click.command(epilog="Example: nightsweep quota alice --gpu-hours 100 --per week")
@click.argument("owner", metavar="[OWNER]", required=False)
@click.option(
    "--gpu-hours",
    metavar="N",
    help="Set the owner's quota to N hours of GPUs.",
)
@click.option(
    "--per",
    "period",
    type=click.Choice([*QUOTA_PERIODS, "ever"]),
    help="With --gpu-hours: how often it begins anew, at midnight UTC, a week on "
    "Monday.  [default: as before, else ever]",
)
@click.option("--remove", "removes", is_flag=True, help="Remove the owner's quota.")
@click.option("--json", "as_json", is_flag=True, help="JSON lines, one per owner.")
def quota(
    owner: str | None,
    *,
    gpu_hours: str | None,
    period: str | None,
    removes: bool,
    as_json: bool,
) -> None:
    """Show what owners of sweeps used, and limit it.

    The owner of a sweep is the person who submitted it first: NIGHTSWEEP_USER, or else
    the system's user. An owner's images count with the seconds that each took, without
    loading; failed attempts do not count. At the quota the owner's sweeps that have
    images left to make are paused, and jobs in hand are finished, so it may be passed
    by these. The sweeps go on by themselves when the quota begins anew, is raised or
    removed. It is an agreement, and no protection: anybody may give another name.
    """
    settings = read_settings()
    if gpu_hours is None and not removes:
        if period:
            msg = "--per must come with --gpu-hours, which has the quota; add it."
            raise UsageError(msg)
        _show(settings, owner, as_json=as_json)
        return
    if owner is None or (removes and gpu_hours is not None):
        msg = (
            "quota must change one owner's quota in one way, got "
            f"{'no OWNER' if owner is None else '--gpu-hours and --remove'}; see "
            "`nightsweep quota --help`."
        )
        raise UsageError(msg)
    _refuse_name(owner)
    with opened_to_write(settings) as database:
        if gpu_hours is None:
            _remove(database, owner)
        else:
            _set(database, owner, gpu_hours, period=period)
        _apply(settings, database)


def _show(settings: Settings, owner: str | None, *, as_json: bool) -> None:
    with opened_to_read(settings) as database:
        found = [
            each for each in quotas.list_quotas(database) if owner in (None, each.owner)
        ]
    if owner and not found:
        msg = (
            f"OWNER must have submitted a sweep or have a quota, got {owner!r}; "
            "`nightsweep quota` lists all."
        )
        raise UsageError(msg)
    if as_json:
        write_json(map(_row, found))
    else:
        write_table([asdict(each) | {"quota": each} for each in found], COLUMNS)


def _row(one: Quota) -> dict[str, Any]:
    return {
        "owner": one.owner,
        "quota_gpu_hours": _hours(one.gpu_s),
        "per": one.period,
        "used_gpu_hours": _hours(one.used_s),
        "images": one.made,
        "left_gpu_hours": _hours(one.left_s),
        "begins_anew": one.ends_at,
        "total_gpu_hours": _hours(one.total_s),
        "total_images": one.total,
    }


def _hours(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds / 3600, 4)


def _set(database: Database, owner: str, text: str, *, period: str | None) -> None:
    gpu_s = read_gpu_hours(text) * 3600
    before = quotas.find_quota(database, owner)
    if period is None and before:
        period = before.period
    quotas.set_quota(
        database, owner, gpu_s, period=None if period == "ever" else period
    )
    now = quotas.find_quota(database, owner)
    if now and now.left_s is not None:
        end = f"; it begins anew {describe_end(now)}" if now.ends_at else ""
        talk(
            f"{owner} may use {quotas.describe(now)}: {hours(now.used_s)} used, "
            f"{hours(now.left_s)} left{end}."
        )


def _remove(database: Database, owner: str) -> None:
    if not quotas.remove_quota(database, owner):
        msg = (
            f"OWNER must have a quota to remove, got {owner!r}; `nightsweep quota` "
            "lists all."
        )
        raise UsageError(msg)
    talk(f"{owner} has no quota now.")


def _apply(settings: Settings, database: Database) -> None:
    """Pause what is beyond a quota, let go on what is not, and tell workers."""
    lifecycle.settle_all(database)
    held = list[str]()
    while names := quota_holds.hold_reached(database):
        lifecycle.settle_all(database)
        held += names
    freed = quota_holds.release(database)
    lifecycle.settle_all(database)
    if held:
        talk(f"{', '.join(sorted(held))}: paused: the quota is used.")
    if freed:
        talk(f"{', '.join(freed)}: active again.")
        wake(settings, runnable_keys(database), priority=NORMAL_PRIORITY)


def _refuse_name(owner: str) -> None:
    if not is_owner_name(owner):
        msg = (
            f"OWNER must be a name of 1 to {MOST_NAME} letters, got "
            f"{owner[:MOST_NAME]!r}; take the one that `nightsweep quota` shows."
        )
        raise UsageError(msg)


def _quota(row: Mapping[str, Any]) -> str:
    one: Quota = row["quota"]
    return "none" if one.gpu_s is None else quotas.describe(one)


def _left(row: Mapping[str, Any]) -> str:
    left_s = row["quota"].left_s
    return "" if left_s is None else hours(left_s)


COLUMNS: Sequence[Column] = (
    Column(name="owner", read=lambda row: plain(row["owner"] or "(none)")),
    Column(name="quota", read=_quota),
    Column(name="used", read=lambda row: hours(row["used_s"]), is_number=True),
    Column(name="left", read=_left, is_number=True),
    Column(
        name="begins anew",
        read=lambda row: describe_end(row["quota"]).removeprefix("on "),
        is_optional=True,
    ),
    Column(name="GPU-hours ever", read=lambda row: hours(row["total_s"])),
    Column(name="images ever", read=lambda row: f"{row['total']:,}", is_number=True),
)
