"""Log lines: one record cannot pass for another, whatever is in it."""

import json
import logging
import subprocess
import sys

import pytest

from storage.host.log_lines import parse_line
from workers.vitals.log_lines import FileFormatter, LineFormatter

FORGED = "2026-01-02 03:04:05,678 ERROR workers.execution.result_writer: forged"
FORMAT = "%(levelname)s %(name)s: %(message)s"


def line(message: str, *args: object, error: Exception | None = None) -> str:
    exc_info = (type(error), error, error.__traceback__) if error else None
    record = logging.LogRecord("it", logging.ERROR, "", 1, message, args, exc_info)
    return LineFormatter(FORMAT).format(record)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"a cat\n{FORGED}", rf"a cat\n{FORGED}"),
        (f"a cat\r{FORGED}", rf"a cat\r{FORGED}"),
        (f"a cat\u2028{FORGED}", rf"a cat\u2028{FORGED}"),
        ("a \x1b[2Jcat\x00\x9b", r"a \x1b[2Jcat\x00\x9b"),
        ("\u202eoverturned", r"\u202eoverturned"),
        ("half \ud800", r"half \ud800"),
        ("ein Käfer 🐞, 日本", "ein Käfer 🐞, 日本"),
    ],
)
def test_a_record_is_one_line_of_visible_characters(text: str, shown: str) -> None:
    assert line("Stored %s.", text) == f"ERROR it: Stored {shown}."


def test_every_line_of_a_traceback_is_indented() -> None:
    try:
        raise ValueError(f"no\n{FORGED}\x1b")  # noqa: EM102, TRY301 - what is shown
    except ValueError as exc:
        first, *rest = line("Painting failed.", error=exc).split("\n")
    assert first == "ERROR it: Painting failed."
    assert all(each.startswith("    ") for each in rest)
    assert rest[-1] == rf"    {FORGED}\x1b"


def test_a_worker_writes_such_lines_to_its_log(tmp_path) -> None:
    code = f"""if True:
        import logging
        from storage.settings import read_settings
        from workers.process.main import _configure_logging
        settings = read_settings({{"NIGHTSWEEP_HOME": {str(tmp_path / "home")!r}}})
        settings.make_home()
        _configure_logging(settings, "cpu0")
        logging.getLogger("workers.execution.turn").error("org/name\\n%s", {FORGED!r})
    """
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert said.stderr == rf"ERROR cpu0: org/name\n{FORGED}" + "\n"
    written = (tmp_path / "home" / "logs" / "cpu0.log").read_text()
    assert written.count("\n") == 1
    said = parse_line(written[:-1])
    assert said
    assert (said.level, said.worker, said.sweep, said.key) == (
        "ERROR",
        "cpu0",
        "-",
        "-",
    )
    assert said.message == rf"org/name\n{FORGED}"


def test_a_line_of_a_file_has_the_sweep_and_the_key_of_a_job_and_foreign_names() -> (
    None
):
    record = logging.makeLogRecord(
        {
            "name": "workers.execution.result_writer",
            "levelname": "INFO",
            "msg": "Stored.",
            "created": 1.5,
            "sweep": "night",
            "key": "3f" * 16,
        }
    )
    written = FileFormatter("gpu0").format(record)
    assert written == f"1970-01-01T00:00:01.500Z INFO gpu0 night {'3f' * 16} Stored."
    foreign = logging.makeLogRecord({"name": "kombu.pools", "msg": "Lost."})
    assert (
        FileFormatter("gpu0").format(foreign).endswith(" gpu0 - - kombu.pools: Lost.")
    )


def test_a_record_with_its_traceback_is_one_json_object_that_logs_read() -> None:
    try:
        raise ValueError(f"no\n{FORGED}\x1b")  # noqa: EM102, TRY301 - what is shown
    except ValueError as exc:
        error = (type(exc), exc, exc.__traceback__)
    record = logging.LogRecord("workers.x", 40, "", 1, 'Failed "%s".', ("a\nb",), error)
    record.sweep, record.key = "night", "7f4e"
    text = FileFormatter("gpu0", as_json=True).format(record)
    assert "\n" not in text
    found = json.loads(text)
    about = {name: found[name] for name in ("level", "worker", "sweep", "key")}
    assert about == {
        "level": "ERROR",
        "worker": "gpu0",
        "sweep": "night",
        "key": "7f4e",
    }
    assert found["message"].startswith('Failed "a\\nb".\n    Traceback')
    assert parse_line(text) == parse_line(FileFormatter("gpu0").format(record))


def test_a_json_object_of_another_program_is_no_line_of_ours() -> None:
    for text in ('{"a": 1}', "{", '{"time": "now"}'):
        assert parse_line(text) is None
