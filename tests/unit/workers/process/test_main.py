import gc

import pytest

from storage.errors import UsageError
from workers.process import main


def test_garbage_is_collected_again_once_the_painter_is_imported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NIGHTSWEEP_PAINTER", "tests.stand_in:make_painter")
    found = main._find_painter("torch")
    assert found.__name__ == "make_painter"
    assert gc.isenabled()
    assert gc.get_freeze_count() > 0


def test_garbage_is_collected_again_though_the_painter_cannot_be_imported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NIGHTSWEEP_PAINTER", "no_such_package:make_painter")
    with pytest.raises(UsageError) as raised:
        main._find_painter("torch")
    assert str(raised.value) == (
        "A worker needs the packages of its back end, but no_such_package is not "
        "installed; run `pip install 'nightsweep[torch]'`."
    )
    assert gc.isenabled()
