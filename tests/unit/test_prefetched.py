"""The stock: which job is next, and which must be alone."""

from typing import Any

from storage.jobs.claims import Claim
from tests.builders import make_job
from workers.execution.prefetched import Stock


def claim(seed: int, **changes: Any) -> Claim:
    values = {"attempts": 1, "evaluations": 20, "created_at": "", "claimed_at": ""}
    return Claim(
        id=seed, job=make_job(seed=seed), scheduler="ddim", **{**values, **changes}
    )


def stock_of(*claims: Claim) -> Stock:
    stock = Stock()
    stock.add(claims, longest_first=False)
    return stock


def gather(stock: Stock, *, may_be_alone: bool = True) -> list[int]:
    found = []
    while given := stock.give(may_be_alone=may_be_alone):
        found.append(given.job.seed)
    return found


def test_jobs_go_in_the_order_of_their_claims() -> None:
    assert gather(stock_of(claim(2), claim(1))) == [2, 1]


def test_near_the_end_the_longest_goes_first_of_all_that_is_ready() -> None:
    stock = stock_of(claim(1, evaluations=9), claim(2, evaluations=50))
    stock.add([claim(3, evaluations=30)], longest_first=True)
    assert gather(stock) == [2, 3, 1]


def test_a_job_that_is_here_is_not_taken_twice() -> None:
    stock = stock_of(claim(1))
    assert gather(stock) == [1]
    stock.add([claim(1), claim(2)], longest_first=False)
    assert gather(stock) == [2]


def test_a_suspect_goes_alone_and_only_where_it_may() -> None:
    stock = stock_of(claim(1, attempts=2))
    stock.add([claim(2)], longest_first=False)
    assert gather(stock, may_be_alone=False) == []
    assert gather(stock) == [1]
    assert gather(stock) == []
    assert stock.is_guarded
    stock.remove(make_job(seed=1))
    assert gather(stock, may_be_alone=False) == [2]


def test_a_suspect_waits_for_what_is_in_hand() -> None:
    stock = stock_of(claim(1))
    assert gather(stock) == [1]
    stock.add([claim(2, attempts=2)], longest_first=False)
    assert gather(stock) == []
    stock.remove(make_job(seed=1))
    assert gather(stock) == [2]


def test_what_is_put_back_comes_again_and_first() -> None:
    stock = stock_of(claim(1), claim(2), claim(3))
    stock.give(may_be_alone=True)
    stock.give(may_be_alone=True)
    stock.put_back([make_job(seed=1), make_job(seed=2)])
    stock.add([claim(4, evaluations=99)], longest_first=True)
    assert gather(stock) == [1, 2, 4, 3]


def test_a_suspect_that_is_put_back_stays_alone() -> None:
    stock = stock_of(claim(1, attempts=2))
    assert gather(stock) == [1]
    stock.put_back([make_job(seed=1)])
    stock.add([claim(2)], longest_first=False)
    assert gather(stock) == [1]


def test_a_doubted_batch_goes_one_by_one_until_it_is_trusted() -> None:
    stock = stock_of(claim(1), claim(2), claim(3))
    assert gather(stock) == [1, 2, 3]
    stock.add([claim(4)], longest_first=False)
    stock.doubt()
    assert gather(stock) == [1]
    stock.remove(make_job(seed=1))
    stock.trust()
    assert gather(stock) == [2, 3, 4]


def test_trust_in_a_batch_is_none_in_a_suspect() -> None:
    stock = stock_of(claim(1), claim(2, attempts=2))
    stock.trust()
    assert gather(stock) == [2]


def test_all_of_it_can_be_drained() -> None:
    stock = stock_of(claim(1), claim(2), claim(3, attempts=2))
    stock.add([claim(4)], longest_first=False)
    assert sorted(each.id for each in stock.drain()) == [1, 2, 3, 4]
    assert (stock.waiting, stock.in_hand, stock.held) == (0, 0, 0)


def test_what_is_not_wanted_is_withdrawn_wherever_it_waits() -> None:
    stock = stock_of(claim(1), claim(2), claim(3, attempts=2), claim(4))
    assert stock.give(may_be_alone=False) is None
    stock.withdraw_waiting({3})
    assert not stock.is_guarded
    first = stock.give(may_be_alone=True)
    assert first
    stock.put_back([first.job])
    gone = stock.withdraw_waiting({1, 2, 9})
    assert sorted(each.id for each in gone) == [1, 2]
    assert gather(stock) == [4]


def test_what_is_not_wanted_is_withdrawn_from_the_hand() -> None:
    stock = stock_of(claim(1, attempts=2), claim(2))
    assert gather(stock) == [1]
    assert stock.withdraw_in_hand({2}) == []
    assert [each.id for each in stock.withdraw_in_hand({1, 2})] == [1]
    assert gather(stock, may_be_alone=False) == [2]
