"""Which arguments of a network's call have rows, and how these are merged."""

from typing import Any

import pytest
import torch

from workers.engine.call_values import Rows
from workers.engine.network_calls import (
    Call,
    Merger,
    UnshareableError,
    read_call,
    split,
)

CPU = torch.device("cpu")


def read(**kwargs: Any) -> Call:
    return read_call("transformer", (), kwargs, size=(64, 64))


def merge(*calls: Call) -> Any:
    assert len({call.signature for call in calls}) == 1
    return Merger().merge(calls, CPU)[1]


def test_the_first_rows_of_all_calls_come_first() -> None:
    calls = [read(sample=torch.full((2, 3), 1.0 * n)) for n in range(3)]
    assert merge(*calls)["sample"][:, 0].tolist() == [0, 1, 2, 0, 1, 2]


def test_whole_numbers_of_each_row_stay_whole() -> None:
    # An embedding looks them up: the style of a HunyuanDiT.
    calls = [read(sample=torch.ones(1, 3), style=torch.tensor([n])) for n in range(2)]
    style = merge(*calls)["style"]
    assert (style.tolist(), style.dtype) == ([0, 1], torch.int64)


def test_timesteps_of_schedulers_with_other_dtypes_meet() -> None:
    times = (torch.tensor([999]), torch.tensor([3.25]))
    calls = [read(sample=torch.ones(1, 3), timestep=time) for time in times]
    assert merge(*calls)["timestep"].tolist() == [999.0, 3.25]


def test_a_list_of_positions_has_no_rows_even_if_one_is_as_long_as_the_rows() -> None:
    where = [torch.arange(1), torch.arange(4)]
    merged = merge(*(read(sample=torch.ones(1, 3), where=where) for _ in range(2)))
    assert [each.tolist() for each in merged["where"]] == [[0], [0, 1, 2, 3]]


def test_the_rows_of_many_layers_are_their_second_dimension() -> None:
    calls = [
        read(sample=torch.ones(2, 3), layers=torch.full((5, 2, 7, 3), 1.0 * n))
        for n in range(2)
    ]
    layers = merge(*calls)["layers"]
    assert layers.shape == (5, 4, 7, 3)
    assert layers[0, :, 0, 0].tolist() == [0, 1, 0, 1]


def test_lists_of_rows_are_merged_as_rows() -> None:
    calls = [read(rows=[torch.tensor([n, r]) for r in range(2)]) for n in range(2)]
    merged = [row.tolist() for row in merge(*calls)["rows"]]
    assert merged == [[0, 0], [1, 0], [0, 1], [1, 1]]


def test_each_call_gets_its_own_rows_of_the_answer() -> None:
    answer = (torch.arange(6.0), [torch.tensor([n]) for n in range(6)])
    part_of = split(answer, rows=Rows(count=2, in_lists=True), count=3)
    rows, listed = part_of(1)
    assert (rows.tolist(), [each.item() for each in listed]) == ([1, 4], [1, 4])


def test_a_list_of_as_many_layers_as_rows_has_its_rows_in_each_layer() -> None:
    # The answer of a ControlNet with four layers, in a batch of four rows.
    answer = ([torch.arange(4.0) + 10 * layer for layer in range(4)],)
    [layers] = split(answer, rows=Rows(count=2), count=2)(1)
    assert [each.tolist() for each in layers] == [
        [n + 1, n + 3] for n in (0, 10, 20, 30)
    ]


def test_a_call_without_rows_cannot_be_merged() -> None:
    with pytest.raises(
        UnshareableError, match=r"^it passes no tensor with rows to its network$"
    ):
        read(question="what?", timestep=torch.tensor(3.0))


def test_what_stays_the_same_is_merged_once() -> None:
    text = torch.ones(1, 4)
    calls = [read(sample=torch.full((1, 3), 1.0 * n), text=text) for n in range(4)]
    merger = Merger()
    first, second = (merger.merge(each, CPU)[1] for each in (calls[:2], calls[2:]))
    assert first["text"] is second["text"]
    assert second["sample"][:, 0].tolist() == [2, 3]


def test_a_tensor_that_is_changed_in_place_is_merged_again() -> None:
    samples = [torch.zeros(1, 3), torch.zeros(1, 3)]
    merger = Merger()
    merger.merge([read(sample=each) for each in samples], CPU)
    samples[1] += 1
    after = merger.merge([read(sample=each) for each in samples], CPU)[1]
    assert after["sample"][:, 0].tolist() == [0, 1]


def test_a_list_that_is_changed_in_place_is_merged_again() -> None:
    lists = [[torch.zeros(3, 2)], [torch.zeros(3, 2)]]
    merger = Merger()
    merger.merge([read(x=each) for each in lists], CPU)
    lists[1][0] = torch.ones(3, 2)
    after = merger.merge([read(x=each) for each in lists], CPU)[1]
    assert [float(each[0, 0]) for each in after["x"]] == [0, 1]
