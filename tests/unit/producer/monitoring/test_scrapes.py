"""Scrapes: bounded in time, one reading for all, and no crash without a database."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, RemoteDisconnected
from pathlib import Path
from socket import create_server

import pytest

from producer.monitoring.exposition import Family
from producer.monitoring.figures import Figures
from producer.monitoring.metrics_server import MetricsServer
from producer.monitoring.scrapes import Scrapes
from storage.settings import Settings
from storage.sql.database import Database
from tests.builders import plan_seeds, submit

DOWN = "nightsweep_up 0.0"
TOKEN = "0123456789abcdef"  # noqa: S105 - of a test


class SlowFigures(Figures):
    """Reads only once it is let, and counts how often."""

    def __init__(self, images: Path) -> None:
        super().__init__(images)
        self.let = threading.Event()
        self.begun = 0

    def read(self, database: Database) -> list[Family]:
        self.begun += 1
        self.let.wait()
        return super().read(database)


@contextmanager
def served(scrapes: Scrapes, *, token: str | None = None) -> Iterator[int]:
    with create_server(("127.0.0.1", 0)) as listening:
        server = MetricsServer(
            listening, scrapes.answer, hosts=["127.0.0.1"], token=token
        )
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            server.shutdown()
            thread.join()


def get(port: int, path: str = "/metrics", **headers: str) -> tuple[int, str]:
    connection = HTTPConnection("127.0.0.1", port)
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    found = answer.status, answer.read().decode()
    connection.close()
    return found


def test_a_scrape_gets_the_metrics_and_other_paths_get_none(
    database: Database, settings: Settings
) -> None:
    submit(database, plan_seeds(1), name="night")
    with served(Scrapes(settings, Figures(settings.images))) as port:
        status, text = get(port)
        assert status == 200
        assert 'nightsweep_jobs{sweep="night",state="pending"} 1.0' in text
        assert get(port, "/")[0] == 404
        assert get(port, "/../etc/passwd")[0] == 404


def test_another_name_of_this_server_is_refused(
    database: Database, settings: Settings
) -> None:
    submit(database, plan_seeds(1), name="night")
    with served(Scrapes(settings, Figures(settings.images))) as port:
        status, text = get(port, Host="evil.example")
        assert status == 403
        assert "night" not in text.replace("nightsweep", "")


@pytest.mark.parametrize(
    ("given", "status"), [({}, 401), ({"Authorization": f"Bearer {TOKEN}"}, 200)]
)
def test_with_a_token_a_scrape_must_bear_it(
    settings: Settings, given: dict[str, str], status: int
) -> None:
    scrapes = Scrapes(settings, Figures(settings.images))
    with served(scrapes, token=TOKEN) as port:
        assert get(port, **given)[0] == status
        assert get(port, Authorization=f"Bearer {TOKEN}é")[0] == 401


def test_without_a_database_the_exporter_is_down_until_there_is_one(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    scrapes = Scrapes(settings, Figures(settings.images))
    assert DOWN in scrapes.answer()
    assert DOWN in scrapes.answer()
    assert capsys.readouterr().err.count("nightsweep_up is 0") == 1


def test_a_database_that_fails_is_told_and_read_again_later(
    database: Database, settings: Settings
) -> None:
    submit(database, plan_seeds(1), name="night")
    scrapes = Scrapes(settings, Figures(settings.images))
    assert "nightsweep_up 1.0" in scrapes.answer()
    file = settings.home / "nightsweep.db"
    file.rename(file.with_suffix(".away"))
    assert DOWN in scrapes.answer()
    file.with_suffix(".away").rename(file)
    assert "nightsweep_up 1.0" in scrapes.answer()


def test_a_slow_database_is_asked_once_by_all_scrapes(
    database: Database, settings: Settings
) -> None:
    submit(database, plan_seeds(1), name="night")
    figures = SlowFigures(settings.images)
    impatient = Scrapes(settings, figures, longest_s=0.01)
    assert DOWN in impatient.answer()
    assert DOWN in impatient.answer()
    assert figures.begun == 1
    answers: list[str] = []
    impatient._longest_s = 60.0
    threads = [
        threading.Thread(target=lambda: answers.append(impatient.answer()))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    figures.let.set()
    for thread in threads:
        thread.join()
    assert ["nightsweep_up 1.0" in text for text in answers] == 4 * [True]


def test_a_reading_that_every_scrape_gave_up_is_the_answer_to_the_next(
    database: Database, settings: Settings
) -> None:
    submit(database, plan_seeds(1), name="night")
    figures = SlowFigures(settings.images)
    scrapes = Scrapes(settings, figures, longest_s=0.01)
    assert DOWN in scrapes.answer()
    reading = scrapes._reading
    assert reading
    figures.let.set()
    assert "nightsweep_up 1.0" in reading.result()
    figures.let.clear()
    assert "nightsweep_up 1.0" in scrapes.answer()
    assert figures.begun == 2
    figures.let.set()


def test_a_mistake_of_ours_is_told_on_standard_error(
    capfd: pytest.CaptureFixture[str],
) -> None:
    def fail() -> str:
        return str(1 / 0)

    with create_server(("127.0.0.1", 0)) as listening:
        server = MetricsServer(listening, fail, hosts=["127.0.0.1"], token=None)
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        with pytest.raises(RemoteDisconnected):
            get(listening.getsockname()[1])
        thread.join()
    assert "ZeroDivisionError" in capfd.readouterr().err


@pytest.mark.parametrize(("kept_s", "up"), [(3600.0, 1), (-1.0, 0)])
def test_a_slow_reading_repeats_the_last_answer_while_that_is_new(
    database: Database, settings: Settings, kept_s: float, up: int
) -> None:
    submit(database, plan_seeds(1), name="night")
    figures = SlowFigures(settings.images)
    scrapes = Scrapes(settings, figures, longest_s=60.0, kept_s=kept_s)
    figures.let.set()
    scrapes.answer()
    figures.let.clear()
    scrapes._longest_s = 0.01
    assert f"nightsweep_up {up}.0" in scrapes.answer()
    figures.let.set()
