"""What `--json` writes has JSON values all the way down."""

import pytest

from producer.display.json_lines import open_axes, open_label, open_row


def test_columns_that_hold_json_are_opened() -> None:
    row = {
        "key": "0" * 32,
        "prompt": '{"not": "ours"}',
        "scheduler_options": '{"solver_order": 3}',
        "extras": "{}",
        "cell": '{"steps": "20", "guidance": ["1", "7.5"], "prompt": "20"}',
    }

    assert open_row(row) == {
        "key": "0" * 32,
        "prompt": '{"not": "ours"}',
        "scheduler_options": {"solver_order": 3},
        "extras": {},
        "cell": {"steps": 20, "guidance": [1, 7.5], "prompt": "20"},
    }


def test_the_count_of_threads_is_a_number_and_versions_are_text() -> None:
    details = {"torch": "2.13", "python": "3.11", "threads": "2"}
    known = {"environment": details, "sweeps": [{"cell": {"seed": "7"}}]}

    assert open_row(known) == {
        "environment": {"torch": "2.13", "python": "3.11", "threads": 2},
        "sweeps": [{"cell": {"seed": 7}}],
    }
    assert details["threads"] == "2"


@pytest.mark.parametrize(
    ("axis", "label", "value"),
    [
        ("steps", "20", 20),
        ("guidance", "7.5", 7.5),
        ("seed", str(2**63 - 1), 2**63 - 1),
        ("eta", "0.5", 0.5),
        ("call.true_cfg_scale", "3.5", 3.5),
        ("call.system_prompt", "3.5", "3.5"),
        ("steps", "few", "few"),
        ("steps", "(any)", "(any)"),
        ("guidance", "nan", "nan"),
        ("guidance", "1_0", "1_0"),
        ("prompt", "1984", "1984"),
        ("paper", "2", "2"),
    ],
)
def test_a_label_is_a_number_where_its_axis_is_of_numbers(axis, label, value) -> None:
    opened = open_label(axis, label)

    assert (type(opened), opened) == (type(value), value)
    assert open_axes({axis: [label]}) == {axis: [value]}
