"""The stock: which job is next, and which must be alone."""

from typing import Any

from storage.jobs.claims import Claim
from tests.builders import make_job
from workers.execution.prefetched import Prefetched


def claim(seed: int, **changes: Any) -> Claim:
    values = {"attempts": 1, "evaluations": 20, "created_at": "", "claimed_at": ""}
    return Claim(
        id=seed, job=make_job(seed=seed), scheduler="ddim", **{**values, **changes}
    )


def stock_of(*claims: Claim) -> Prefetched:
    prefetched = Prefetched()
    prefetched.add(claims, longest_first=False)
    return prefetched


def gather(prefetched: Prefetched, *, may_be_alone: bool = True) -> list[int]:
    found = []
    while given := prefetched.give(may_be_alone=may_be_alone):
        found.append(given.job.seed)
    return found


def test_jobs_go_in_the_order_of_their_claims() -> None:
    assert gather(stock_of(claim(2), claim(1))) == [2, 1]


def test_near_the_end_the_longest_goes_first_of_all_that_is_ready() -> None:
    prefetched = stock_of(claim(1, evaluations=9), claim(2, evaluations=50))
    prefetched.add([claim(3, evaluations=30)], longest_first=True)
    assert gather(prefetched) == [2, 3, 1]


def test_a_job_that_is_here_is_not_taken_twice() -> None:
    prefetched = stock_of(claim(1))
    assert gather(prefetched) == [1]
    prefetched.add([claim(1), claim(2)], longest_first=False)
    assert gather(prefetched) == [2]


def test_a_suspect_goes_alone_and_only_where_it_may() -> None:
    prefetched = stock_of(claim(1, attempts=2))
    prefetched.add([claim(2)], longest_first=False)
    assert gather(prefetched, may_be_alone=False) == []
    assert gather(prefetched) == [1]
    assert gather(prefetched) == []
    assert prefetched.is_guarded
    prefetched.remove(make_job(seed=1))
    assert gather(prefetched, may_be_alone=False) == [2]


def test_a_suspect_waits_for_what_is_in_hand() -> None:
    prefetched = stock_of(claim(1))
    assert gather(prefetched) == [1]
    prefetched.add([claim(2, attempts=2)], longest_first=False)
    assert gather(prefetched) == []
    prefetched.remove(make_job(seed=1))
    assert gather(prefetched) == [2]


def test_what_is_put_back_comes_again_and_first() -> None:
    prefetched = stock_of(claim(1), claim(2), claim(3))
    prefetched.give(may_be_alone=True)
    prefetched.give(may_be_alone=True)
    prefetched.put_back([make_job(seed=1), make_job(seed=2)])
    prefetched.add([claim(4, evaluations=99)], longest_first=True)
    assert gather(prefetched) == [1, 2, 4, 3]


def test_a_suspect_that_is_put_back_stays_alone() -> None:
    prefetched = stock_of(claim(1, attempts=2))
    assert gather(prefetched) == [1]
    prefetched.put_back([make_job(seed=1)])
    prefetched.add([claim(2)], longest_first=False)
    assert gather(prefetched) == [1]


def test_a_doubted_batch_goes_one_by_one_until_it_is_trusted() -> None:
    prefetched = stock_of(claim(1), claim(2), claim(3))
    assert gather(prefetched) == [1, 2, 3]
    prefetched.add([claim(4)], longest_first=False)
    prefetched.doubt()
    assert gather(prefetched) == [1]
    prefetched.remove(make_job(seed=1))
    prefetched.trust()
    assert gather(prefetched) == [2, 3, 4]


def test_trust_in_a_batch_is_none_in_a_suspect() -> None:
    prefetched = stock_of(claim(1), claim(2, attempts=2))
    prefetched.trust()
    assert gather(prefetched) == [2]


def test_all_of_it_can_be_drained() -> None:
    prefetched = stock_of(claim(1), claim(2), claim(3, attempts=2))
    prefetched.add([claim(4)], longest_first=False)
    assert sorted(each.id for each in prefetched.drain()) == [1, 2, 3, 4]
    assert (prefetched.waiting, prefetched.in_hand, prefetched.held) == (0, 0, 0)


def test_what_is_not_wanted_is_withdrawn_wherever_it_waits() -> None:
    prefetched = stock_of(claim(1), claim(2), claim(3, attempts=2), claim(4))
    assert prefetched.give(may_be_alone=False) is None
    prefetched.withdraw_waiting({3})
    assert not prefetched.is_guarded
    first = prefetched.give(may_be_alone=True)
    assert first
    prefetched.put_back([first.job])
    gone = prefetched.withdraw_waiting({1, 2, 9})
    assert sorted(each.id for each in gone) == [1, 2]
    assert gather(prefetched) == [4]


def test_what_is_not_wanted_is_withdrawn_from_the_hand() -> None:
    prefetched = stock_of(claim(1, attempts=2), claim(2))
    assert gather(prefetched) == [1]
    assert prefetched.withdraw_in_hand({2}) == []
    assert [each.id for each in prefetched.withdraw_in_hand({1, 2})] == [1]
    assert gather(prefetched, may_be_alone=False) == [2]
