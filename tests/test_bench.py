"""The benchmarks' arithmetic and their table; that they measure is for people to see."""

import json
import pathlib

import pytest

TOOLS = pathlib.Path(__file__).parent.parent / "tools"
pytestmark = pytest.mark.skipif(
    not TOOLS.exists(), reason="the checkout's tools/ is not here: installed tests"
)


@pytest.fixture(autouse=True)
def tools(monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS))


def test_a_row_compares_with_the_fastest_other():
    from bench_timing import row

    found = row(
        "step",
        {"rawconv": [1.0, 2.0, 3.0], "slow": [9.0, 9.0, 9.0], "fast": [4.0, 4.0, 5.0]},
        flops=4e9,
    )
    assert found["ratio"] == 0.5 and found["gflops"] == 2
    assert found["ways"]["rawconv"] == {"median": 2, "low": 1.5, "high": 2.5}


def test_ways_take_turns_and_the_first_round_does_not_count():
    from bench_timing import take_turns

    calls = []
    seconds = take_turns(
        {"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 2, say=False
    )
    assert calls == ["a", "b"] * 3 and [len(times) for times in seconds.values()] == [2, 2]


def test_the_table_is_made_from_what_was_written(tmp_path):
    from bench_table import main
    from bench_timing import row
    from click.testing import CliRunner

    machine = {
        "cpu": "a CPU",
        "threads": 2,
        "sgemm_peak": 200,
        "torch": "2",
        "numpy": "2",
        "python": "3",
        "date": "today",
    }
    rows = [
        row(
            "a step",
            {"rawconv": [0.5], "channels_last": [1.0]},
            5e10,
            memory={"rawconv": 2e6, "channels_last": 3e6},
        )
    ]
    (tmp_path / "step.json").write_text(json.dumps({"rows": rows, **machine}))
    text = CliRunner().invoke(main, [str(tmp_path / "step.json")], catch_exceptions=False).output
    assert "| a step | 500 (500–500) | 1000 (1000–1000) | 0.50 | 100 | 50% | 2 / 3 |" in text
    assert text.startswith("a CPU, 2 threads")


def test_what_constants_of_auto_lose():
    """Two passes, of which one is worth it: taking both, neither, and the right one."""
    from bench_auto import loss, table

    found = [("up", (64, 512, 4e6, 3), 0.5), ("up", (16, 512, 1e6, 3), 2.0)]
    assert loss(found, (0, 0, 0, 0)) == pytest.approx(2**0.5 - 1)
    assert loss(found, (99, 0, 0, 0)) == pytest.approx(2**0.5 - 1)
    assert loss(found, (64, 512, 4e6, 3)) == 0
    assert table(found).split()[-3:] == ["512", "2.00", "0.50"]


def test_this_tree_against_another():
    """The median of the rounds' ratios, and where it lies for 95 % of all samples, by rank."""
    from bench_against import compare, line

    here = [(2.0 + number, 3.0) for number in range(16)]
    found = compare(here, [(2.0, 4.0)] * 16)
    assert (
        found["ratio"] == 4.75
        and found["shortest"] == 1
        and found["cpu_ratio"] == found["cpu_shortest"] == 0.75
    )
    assert found["interval"] == (3.0, 6.5), "the fifth and the twelfth"
    assert line({"work": "zf64 3 step", **found}).split()[3:6] == ["2000.000", "4.750", "3.00-6.50"]
