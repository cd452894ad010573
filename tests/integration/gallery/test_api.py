"""Questions and changes in JSON, on a real store."""

from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from storage.fleet.registry import Entry, note
from storage.job import PlannedJob
from storage.jobs.lifecycle import set_state
from storage.jobs.sweeps import require_sweeps
from storage.settings import Settings
from storage.sql.database import open_database, utc_now
from tests.galleries import Visitor, served
from tests.unit.filled_store import AXES, PROMPTS, finish, make_settings, plan, submit
from tests.unit.producer.report.scored_store import make_scored

Store = tuple[Settings, list[PlannedJob]]
SCRIPT = '</script><img src=x onerror="alert(1)"> & 고양이 🐈'


def sweep(visitor: Visitor) -> dict[str, Any]:
    found: dict[str, Any] = visitor.get("/api/sweeps").json["sweeps"][0]
    return found


def states_of(visitor: Visitor, query: str = "shapes") -> dict[str, str]:
    pivot = visitor.get(f"/api/pivot?q={query}").json
    states = [pivot["states"][state] for state in pivot["state"]]
    return dict(zip(pivot["keys"], states, strict=True))


def test_a_sweep_says_how_far_it_is(reader: Visitor, kept_store: Store) -> None:
    found = sweep(reader)
    counted = ("total", "pending", "leased", "done", "failed", "quarantined")
    assert [found[name] for name in counted] == [8, 1, 0, 6, 1, 0]
    assert (found["name"], found["state"], found["priority"]) == ("shapes", "active", 5)
    assert found["axes"] == {"prompt": 2, "scheduler": 2, "steps": 2}
    failed = kept_store[1][6].job.key
    assert found["failures"] == [
        {"error": "latents are NaN", "count": 1, "key": failed}
    ]
    made = [one.job.key for one in kept_store[1][:6]]
    assert len(found["samples"]) == len(set(found["samples"]) & set(made)) == 4
    assert found["created_at"].endswith("+00:00")


def test_a_pivot_has_every_image_of_a_query(reader: Visitor, kept_store: Store) -> None:
    pivot = reader.get("/api/pivot?q=shapes&fix.steps=20").json
    assert pivot["count"] == 4
    wanted = [one.job.key for one in kept_store[1] if one.job.steps == 20]
    assert sorted(pivot["keys"]) == sorted(wanted)


def test_a_query_is_completed(reader: Visitor) -> None:
    found = reader.get("/api/complete?q=shapes+sched&at=12").json
    assert "scheduler:" in [one["text"] for one in found["options"]]


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("/api/pivot?q=steps:lots", "steps must be"),
        ("/api/pivot?q=%22open", "quote"),
        ("/api/pivot?q=shapes&fix.nothing=1", "nothing"),
        ("/api/answer?q=shapes", "must have scores"),
        ("/api/answer?q=shapes&by=prompt", "--by must name settings"),
        ("/api/pair?q=shapes&by=nothing", "nothing"),
        ("/api/image/" + "0" * 32, "key must be a job's"),
        ("/api/nothing", "must be one of the gallery's"),
    ],
)
def test_what_cannot_be_asked_is_said_in_a_sentence(
    reader: Visitor, path: str, error: str
) -> None:
    answer = reader.get(path)
    assert answer.status in (400, 404)
    assert error in answer.json["error"]


def test_an_image_says_all_that_is_known(reader: Visitor, kept_store: Store) -> None:
    job = kept_store[1][1].job
    known = reader.get(f"/api/image/{job.key}").json
    assert known["prompt"] == job.prompt
    assert known["extras"] == {}
    assert known["sweeps"][0]["cell"]["steps"] == "20"
    assert "DDIMScheduler" in known["script"]
    assert known["rating"] == {"stars": 0, "verdict": "none"}
    assert known["ratings"] == []
    beside = {
        axis: [(one["label"], one["state"], one["is_here"]) for one in labels]
        for axis, labels in known["neighbours"].items()
    }
    assert beside["steps"] == [("2", "done", False), ("20", "done", True)]
    second = AXES["prompt"][1]
    assert beside["prompt"] == [(job.prompt, "done", True), (second, "done", False)]
    assert [one[0] for one in beside["scheduler"]] == list(AXES["scheduler"])


def test_choices_of_a_prompt_are_neighbours_within_their_template(
    tmp_path: Path,
) -> None:
    settings = make_settings(tmp_path)
    planned = plan({"prompt": ("a red circle on blue", "a pink circle on blue")})
    for one, choice in zip(planned, ("red", "pink"), strict=True):
        one.cell["prompt.1"] = choice
    submit(settings, "choices", planned)
    with served(settings) as visitor:
        known = visitor.get(f"/api/image/{planned[1].job.key}").json["neighbours"]
    for axis in ("prompt", "prompt.1"):
        keys = [one["key"] for one in known[axis]]
        assert keys == [one.job.key for one in planned]
        assert [one["is_here"] for one in known[axis]] == [False, True]


def test_neighbours_are_those_of_the_query_that_one_comes_from(
    tmp_path: Path,
) -> None:
    settings = make_settings(tmp_path)
    few = plan({"steps": (2, 8)})
    more = plan({"steps": (8, 20), "seed": (0, 1)})
    submit(settings, "few", few)
    submit(settings, "more", more)
    key = few[1].job.key

    def look(visitor: Visitor, **asked: str) -> tuple[list[str], str, dict[str, Any]]:
        known = visitor.get(f"/api/image/{key}?{urlencode(asked)}").json
        beside = {
            axis: [one["label"] for one in labels]
            for axis, labels in known["neighbours"].items()
            if len(labels) > 1
        }
        return known["scopes"], known["scope"], beside

    in_few = {"steps": ["2", "8"]}
    in_more = {"steps": ["8", "20"], "seed": ["0", "1"]}
    both = ["sweep:few", "sweep:more"]
    with served(settings) as visitor:
        assert look(visitor) == (both, "sweep:few", in_few)
        assert look(visitor, among="sweep:more") == (both, "sweep:more", in_more)
        assert look(visitor, q="more") == (both[::-1], "sweep:more", in_more)
        part = ["more seed:0", *both]
        assert look(visitor, q="more seed:0") == (part, part[0], {"steps": ["8", "20"]})
        # Of several sweeps: along each column in which images differ alone.
        every = ["steps:..20", *both]
        found = {"steps": ["2", "8", "20"], "seed": ["0", "1"]}
        assert look(visitor, q="steps:..20") == (every, every[0], found)
        # What does not have the image, or cannot be read, says nothing of it.
        for query in ("steps:2", "steps:lots", " "):
            assert look(visitor, q=query) == (both, "sweep:few", in_few)


def test_images_beside_one_differ_in_nothing_else(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    negatives = {"negative_prompt": ("", "grey"), "prompt": PROMPTS}
    planned = plan(negatives)
    tagged = plan({"extras": ({"tag": "late"}, {"tag": "late", "clip_skip": 1})})
    submit(settings, "texts", planned)
    submit(settings, "tags", tagged)
    key = planned[0].job.key
    with served(settings) as visitor:
        known = visitor.get(f"/api/image/{key}?q=state:pending").json
    beside = {
        axis: [one["key"] for one in labels]
        for axis, labels in known["neighbours"].items()
        if len(labels) > 1
    }
    assert beside == {
        "prompt": [key, planned[1].job.key],
        "negative": [key, planned[2].job.key],
        "tag": [key, tagged[0].job.key],
    }


def test_signs_of_html_in_a_prompt_come_back_as_text(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    planned = plan({"prompt": (SCRIPT, "a red circle on a blue background")})
    submit(settings, "evil", planned)
    finish(settings, planned[1:])
    with served(settings) as visitor:
        for path in ("/api/pivot?q=evil", f"/api/image/{planned[0].job.key}"):
            answer = visitor.get(path)
            assert answer.headers["content-type"] == "application/json"
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert SCRIPT in str(answer.json).replace("\\'", "'")
        page = visitor.get("/grid?q=%3Cimg+onerror=x%22%3E").text
        # Only in an address, where it stays encoded.
        assert "q=%3Cimg+onerror%3Dx%22%3E" in page
        assert "<img" not in page


def test_a_rating_is_that_of_whoever_looks(visitor: Visitor, store: Store) -> None:
    keys = [one.job.key for one in store[1][:2]]
    asked = {"keys": keys, "stars": 4, "verdict": "accepted"}
    assert visitor.post("/api/rate", asked).json == {"changed": 2}
    known = visitor.get(f"/api/image/{keys[0]}").json
    assert known["rating"] == {"stars": 4, "verdict": "accepted"}
    assert [one["who"] for one in known["ratings"]] == ["ada"]
    pivot = visitor.get("/api/pivot?q=shapes").json
    assert pivot["stars"][pivot["keys"].index(keys[1])] == 4
    visitor.post("/api/rate", {"keys": keys, "stars": 0})
    assert visitor.get(f"/api/image/{keys[0]}").json["rating"]["stars"] == 0


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        ({"keys": []}, "`keys` must be a list of 1 to 20,000 keys"),
        ({"keys": "all"}, "`keys` must be a list"),
        ({"keys": ["../x"], "stars": 1}, "A key must be 32 hex digits"),
        ({"keys": ["0" * 32]}, "must have `stars` or a `verdict`"),
        ({"keys": ["0" * 32], "stars": 6}, "`stars` must be 1 to 5"),
        ({"keys": ["0" * 32], "stars": True}, "`stars` must be 1 to 5"),
        ({"keys": ["0" * 32], "verdict": "maybe"}, "`verdict` must be accepted"),
        ({"keys": ["0" * 32], "stars": 3}, "an image must be made to be rated"),
    ],
)
def test_a_rating_that_is_none_is_refused(
    reader: Visitor, asked: Any, error: str
) -> None:
    answer = reader.post("/api/rate", asked)
    assert answer.status == 400
    assert error in answer.json["error"]


def test_a_vote_is_blind_until_it_is_given(visitor: Visitor, store: Store) -> None:
    pair = visitor.get("/api/pair?q=shapes&by=steps").json
    assert pair.keys() == {"a", "b", "left"}
    steps = {one.job.key: str(one.job.steps) for one in store[1]}
    asked = {
        "a": pair["a"],
        "b": pair["b"],
        "winner": "a",
        "by": "steps",
        "q": "shapes",
    }
    voted = visitor.post("/api/vote", asked).json
    assert voted["votes"] == 1
    assert voted["a"] == {"label": steps[pair["a"]]}
    assert voted["b"] == {"label": steps[pair["b"]]}
    left = visitor.get("/api/pair?q=shapes&by=steps").json["left"]
    assert left == pair["left"] - 1


def test_every_vote_counts_until_no_pair_is_left(visitor: Visitor) -> None:
    while (pair := visitor.get("/api/pair?q=shapes&by=steps").json)["a"]:
        asked = {"a": pair["a"], "b": pair["b"], "by": "steps", "q": "shapes"}
        visitor.post("/api/vote", {**asked, "winner": "tie"})
    found = visitor.get("/api/preferences?q=shapes&by=steps").json
    assert found["votes"] == 3
    assert [one["label"] for one in found["values"]] == ["2", "20"]
    assert [one["preference"] for one in found["values"]] == pytest.approx([0.5, 0.5])


def test_a_sweep_is_paused_resumed_and_cancelled(visitor: Visitor) -> None:
    said = visitor.post("/api/sweeps/shapes/pause").json["said"]
    assert said.startswith("shapes is paused: 1 image to make")
    assert sweep(visitor)["state"] == "paused"
    said = visitor.post("/api/sweeps/shapes/resume").json["said"]
    assert said.startswith("shapes is active: 1 image to make; 1 failed")
    assert "Nobody works on it yet" in said
    assert sweep(visitor)["state"] == "active"
    said = visitor.post("/api/sweeps/shapes/cancel").json["said"]
    assert said.startswith("shapes is cancelled: 6 images made, 1 image left out")
    assert sweep(visitor)["state"] == "cancelled"


def test_failed_images_of_a_sweep_are_tried_again(visitor: Visitor) -> None:
    said = visitor.post("/api/sweeps/shapes/retry").json["said"]
    assert said.startswith("shapes: 1 image that failed is tried again.")
    assert (sweep(visitor)["failed"], sweep(visitor)["pending"]) == (0, 2)


@pytest.mark.parametrize(
    ("path", "status", "error"),
    [
        ("/api/sweeps/shaeps/pause", 400, "did you mean 'shapes'?"),
        ("/api/sweeps/shaeps/retry", 400, "did you mean 'shapes'?"),
        (
            "/api/sweeps/shapes/remove",
            404,
            "takes pause, resume, cancel, retry or start",
        ),
    ],
)
def test_a_change_of_nothing_is_refused(
    reader: Visitor, path: str, status: int, error: str
) -> None:
    answer = reader.post(path)
    assert answer.status == status
    assert error in answer.json["error"]


def test_a_failed_hole_is_tried_again(visitor: Visitor, store: Store) -> None:
    failed, pending = store[1][6].job.key, store[1][7].job.key
    answer = visitor.post("/api/fill", {"q": "shapes", "keys": [failed]}).json
    said = "shapes: 1 image that failed is tried again. 1 image waits for a worker."
    assert answer == {"said": said, "idle": ["shapes"]}
    assert states_of(visitor)[failed] == states_of(visitor)[pending] == "pending"


def test_a_missing_back_end_is_told_of_once(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    submit(settings, "active", plan({"seed": (0,)}, backend="flax"))
    submit(settings, "paused", plan({"seed": (1,)}, backend="flax"))
    began = {"phase": "idle", "started_at": utc_now(), "phase_at": utc_now()}
    worker = Entry(owner="w:1:1", name="cpu0", host="w", gpu="CPU", **began)
    with closing(open_database(settings.database_url)) as database:
        note(database, worker)
        (paused,) = require_sweeps(database, ["paused"])
        set_state(database, paused, "paused")
    with served(settings) as visitor:
        answer = visitor.post("/api/fill", {"q": "state:pending", "keys": []}).json
    assert answer["said"].count("Jobs of `backend: flax` wait") == 1
    assert answer["idle"] == []


def test_a_sweep_can_be_started_only_if_there_is_one(visitor: Visitor) -> None:
    answer = visitor.post("/api/sweeps/nights/start")
    assert answer.status == 400
    assert "nights" in answer.json["error"]


def test_only_the_holes_that_are_named_are_filled(visitor: Visitor) -> None:
    made = next(key for key, state in states_of(visitor).items() if state == "done")
    said = visitor.post("/api/fill", {"q": "shapes", "keys": [made]}).json["said"]
    assert said == "Nothing is left to make: every one of these images is there."
    assert "failed" in states_of(visitor).values()


@pytest.mark.parametrize("state", ["paused", "cancelled"])
def test_holes_of_a_sweep_that_stands_still_make_it_go_on(
    visitor: Visitor, store: Store, state: str
) -> None:
    database = open_database(store[0].database_url)
    set_state(database, require_sweeps(database, ["shapes"])[0], state)
    database.close()
    said = visitor.post("/api/fill", {"q": "shapes"}).json["said"]
    assert "shapes: 1 image that failed is tried again" in said
    assert "shapes is active: 2 images to make." in said
    assert sweep(visitor)["state"] == "active"


def test_the_answer_is_that_of_a_report_with_links(tmp_path: Path) -> None:
    with served(make_scored(tmp_path)) as visitor:
        found = visitor.get("/api/answer?q=answer").json
        assert found["question"] == "Which scheduler, and how many steps?"
        assert "unipc at 2 steps" in " ".join(found["answer"])
        assert ["images", "96"] in found["facts"]
        assert found["metrics"] == ["clip"]
        for chart in found["charts"]:
            for point in chart["spec"]["data"]["values"]:
                assert states_of(visitor, point["query"].replace(" ", "+")), point
        trade_off = found["charts"][0]
        assert set(trade_off["keys"]) == {
            f"{scheduler} at {steps} steps"
            for scheduler in ("ddim", "unipc")
            for steps in (2, 20)
        }
        assert not any("data:image" in str(chart) for chart in found["charts"])
