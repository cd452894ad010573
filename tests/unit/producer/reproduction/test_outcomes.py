"""What `reproduce` says of images, on a store of real files; nothing is painted."""

import base64
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from producer.reproduction.outcomes import Outcomes
from storage.jobs.records import Record
from storage.store import Store
from tests.unit.filled_store import filled

BEGIN = "Making 6 images again on CPU, each alone, as a plain script would.\n"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(filled(tmp_path)[0])


@pytest.fixture
def records(store: Store) -> list[Record]:
    keys = [row["key"] for row in store.find(state="done")]
    found = {record.key: record for record in store.records(keys)}
    return [found[key] for key in keys]


@contextmanager
def answering(*answers: Any) -> Iterator[Iterator[dict[str, Any]]]:
    """The answers of a process; an error among them is raised."""

    def come() -> Iterator[dict[str, Any]]:
        yield {"gpu": "CPU"}
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
            yield answer

    yield come()


def answer(store: Store, index: int, record: Record, **changes: Any) -> dict[str, Any]:
    """The stored image again, or with every red channel changed by 1 or 2 `levels`."""
    levels = changes.pop("levels", 0)
    image = store.image(record.key)
    if levels:
        red, *others = image.split()
        red = red.point([level ^ levels for level in range(256)])
        image = Image.merge("RGB", [red, *others])
    out = io.BytesIO()
    image.save(out, "PNG")
    assert record.made
    values = {
        "image": index,
        "png": base64.b64encode(out.getvalue()).decode(),
        "engine": record.made.engine,
        "batch_width": record.made.batch_width,
        "slot": record.made.slot,
        "decode_dtype": record.made.decode_dtype,
        "gpu": record.made.gpu,
        "details": record.made.details,
    }
    return {**values, **changes}


def take(store: Store, records: list[Record], *answers: Any, **changes: Any) -> int:
    wish = {"tolerance": 1, "as_made": False, "as_json": False, **changes}
    return Outcomes(store, records, **wish).run(answering(*answers))


def same(store: Store, records: list[Record]) -> list[dict[str, Any]]:
    return [answer(store, *each) for each in enumerate(records)]


def test_equal_images_are_counted_once(
    store: Store, records: list[Record], capsys: pytest.CaptureFixture[str]
) -> None:
    assert take(store, records, *same(store, records)) == 0
    said = capsys.readouterr()
    assert said.err == f"{BEGIN}6 images made again, bit for bit equal.\n"
    assert said.out.splitlines() == [
        f"{one.key[:8]}  {one.scheduler}, {one.job.steps} steps, seed 0: equal"
        for one in records
    ]


def test_a_level_that_a_wider_batch_explains_is_no_failure(
    store: Store, records: list[Record], capsys: pytest.CaptureFixture[str]
) -> None:
    answers = same(store, records)
    answers[1] = answer(
        store, 1, records[1], levels=1, batch_width=8, slot=3, engine="slots"
    )
    assert take(store, records, *answers) == 0
    assert capsys.readouterr().err == (
        f"{BEGIN}6 of 6 images made again: 5 equal, 1 equal but for the last bits.\n"
        "Recorded then and different now: engine plain, now slots (1 image); "
        "batch_width 1, now 8 (1 image).\n"
        "An image from a batch differs from one made alone in the last bits; "
        "--as-made makes each in the same row of a batch of the same width.\n"
    )


def test_an_unexplained_difference_is_a_failure(
    store: Store, records: list[Record], capsys: pytest.CaptureFixture[str]
) -> None:
    answers = same(store, records)
    answers[0] = answer(store, 0, records[0], levels=1)
    assert take(store, records, *answers) == 1
    said = capsys.readouterr()
    assert said.out.splitlines()[0].endswith(
        ": different, at most 1 of 255, mean 0.33, 100.00% of the pixels"
    )
    assert said.err == (
        f"{BEGIN}6 of 6 images made again: 5 equal, 1 different.\n"
        "No recorded condition differs between then and now.\n"
    )


def test_an_image_that_cannot_be_made_is_a_failure(
    store: Store, records: list[Record], capsys: pytest.CaptureFixture[str]
) -> None:
    answers = same(store, records)
    answers[2] = {"image": 2, "failure": "a model must be there, but is not"}
    assert take(store, records, *answers) == 1
    said = capsys.readouterr()
    assert said.out.splitlines()[2].endswith(
        ": failed; a model must be there, but is not"
    )
    assert said.err == f"{BEGIN}6 of 6 images made again: 5 equal, 1 failed.\n"


def test_ctrl_c_says_how_far_it_came(
    store: Store, records: list[Record], capsys: pytest.CaptureFixture[str]
) -> None:
    answers = [*same(store, records)[:2], KeyboardInterrupt()]
    assert take(store, records, *answers) == 130
    said = capsys.readouterr().err
    assert said == f"{BEGIN}\nInterrupted; 2 of 6 images made again: 2 equal.\n"


def test_a_file_that_is_gone_is_said_and_its_hash_decides(
    store: Store, records: list[Record], capsys: pytest.CaptureFixture[str]
) -> None:
    answers = same(store, records)
    file = store.path(records[0].key)
    file.unlink()
    assert take(store, records, *answers, as_json=True) == 0
    first, second, *_ = map(json.loads, capsys.readouterr().out.splitlines())
    assert first == {
        "key": records[0].key,
        "verdict": "equal",
        "difference": None,
        "conditions": {},
        "note": (
            f"an image must be a readable file, but {file} gives: [Errno 2] No such "
            f"file or directory: '{file}'; is NIGHTSWEEP_IMAGES the folder that the "
            "workers write to?"
        ),
    }
    assert second["difference"] == {"most": 0, "mean": 0.0, "share": 0.0}


def test_images_that_are_made_in_their_rows_are_said_to_be(
    store: Store, records: list[Record], capsys: pytest.CaptureFixture[str]
) -> None:
    answers = same(store, records)
    answers[0] = answer(store, 0, records[0], levels=2, gpu="NVIDIA H200")
    assert take(store, records, *answers, as_made=True) == 1
    assert capsys.readouterr().err == (
        "Making 6 images again on CPU, each in the row of a batch of the width that it "
        "was made in.\n"
        "6 of 6 images made again: 5 equal, 1 different.\n"
        "Recorded then and different now: gpu CPU, now NVIDIA H200 (1 image).\n"
    )
