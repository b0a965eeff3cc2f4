"""The benchmarks' arithmetic and their table; that they measure is for people to see."""

import json
import pathlib
import types

import pytest

TOOLS = pathlib.Path(__file__).parent.parent / "tools"
pytestmark = pytest.mark.skipif(
    not TOOLS.exists(), reason="the checkout's tools/ is not here: installed tests"
)


@pytest.fixture(autouse=True)
def tools(monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS))


def test_a_row_compares_with_the_fastest_other():
    from bench_rounds import Rounds
    from bench_timing import row

    times = {
        "rawconv": [1.0, 2.0, 2.0, 2.0, 3.0],
        "slow": [9.0] * 5,
        "fast": [4.0, 4.0, 4.0, 5.0, 3.0],
    }
    found = row("step", Rounds(times, [0.01] * 5), flops=4e9)
    assert found["ratio"] == 0.5 and found["least_ratio"] == 1 / 3 and found["gflops"] == 2
    assert found["ways"]["rawconv"] == {"median": 2, "low": 2, "high": 2, "least": 1}


def test_ways_take_turns_and_two_rounds_do_not_count(monkeypatch):
    import bench_rounds

    calls = []
    monkeypatch.setattr(bench_rounds, "ROUND", 0)
    found = bench_rounds.take_turns(
        {"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 2, False, 0, lambda: None
    )
    assert calls == ["a", "b"] * 4 and [len(times) for times in found.seconds.values()] == [2, 2]


def test_short_work_is_repeated_until_the_kernel_s_hundredths_tell_a_share(monkeypatch):
    import bench_rounds

    calls, now = {"short": 0, "long": 0}, [0.0]

    def work(name, seconds):
        calls[name] += 1
        now[0] += seconds

    clock = types.SimpleNamespace(sleep=lambda pause: None, perf_counter=lambda: now[0])
    monkeypatch.setattr(bench_rounds, "time", clock)
    ways = {"short": lambda: work("short", 0.002), "long": lambda: work("long", 0.3)}
    found = bench_rounds.take_turns(ways, 1, False, 0, lambda: None)
    assert calls == {"long": 3, "short": 2 + 125}, "a quarter of a second each"
    assert found.seconds["short"] == pytest.approx([0.002]), "the mean of one call"


# ---------------------------------------------------------------------------------------------- what others took


def process(proc, pid, parent, *ticks, name="python"):
    """/proc/PID/stat: utime, stime, cutime and cstime are fields 14 to 17."""
    (proc / str(pid)).mkdir(exist_ok=True)
    fields = [pid, f"({name})", "R", parent, *[0] * 9, *ticks, 20, 0, 1]
    (proc / str(pid) / "stat").write_text(" ".join(map(str, fields)))


def processors(proc, monkeypatch, *columns):
    import bench_contention

    monkeypatch.setattr(bench_contention, "TICKS", 100)
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0, 1}, raising=False)
    lines = [f"cpu{k} " + " ".join(map(str, one)) for k, one in enumerate(columns)]
    (proc / "stat").write_text("\n".join(["cpu  7 7 7 7 7 7 7 7 7 7", *lines, "intr 5", "ctxt 5"]))


def test_what_others_took_by_the_kernel_s_count(tmp_path, monkeypatch):
    """Two processors for a second: we 110 ticks of 200, a helper that ended among them; others 30."""
    from bench_contention import others, reading

    processors(tmp_path, monkeypatch, [100] * 10, [200] * 10, [900] * 10)
    process(tmp_path, 10, 1, 5, 5, 0, 0)
    process(tmp_path, 11, 10, 5, 5, 0, 0, name="a (b) 1 2")
    process(tmp_path, 12, 1, 50, 50, 0, 0)
    before = reading(tmp_path, 10)
    # user nice system idle iowait irq softirq steal guest guest_nice; the third is not ours to use
    processors(
        tmp_path,
        monkeypatch,
        [160, 100, 110, 115, 105, 100, 105, 105, 150, 100],
        [250, 200, 205, 240, 200, 200, 200, 205, 200, 200],
        [999] * 10,
    )
    process(tmp_path, 10, 1, 60, 10, 5, 0)  # a child of 10 ended: 5
    process(tmp_path, 11, 10, 40, 15, 0, 0, name="a (b) 1 2")
    process(tmp_path, 12, 1, 99, 99, 0, 0)
    after = reading(tmp_path, 10)
    assert (after.total - before.total, after.busy - before.busy) == pytest.approx((2, 1.4))
    assert after.own - before.own == pytest.approx(1.1)
    assert others(before, after) == pytest.approx(0.15)


def test_where_there_is_no_proc_nobody_knows(tmp_path):
    from bench_contention import is_clean, others, reading

    assert reading(tmp_path) is None
    share = others(None, None)
    assert share != share and is_clean(share)


def test_rounds_beside_others_are_dropped_and_made_up_for():
    """Every second round loses 4 % of two processors to others; each reading is of a round's begin or end."""
    from bench_contention import Reading
    from bench_rounds import clean_rounds

    shares = iter([0.04, 0.0, 0.04, 0.02, 0.04, 0.029])
    readings = iter(
        reading for share in shares for reading in (Reading(0, 0, 0), Reading(2, 1 + 2 * share, 1))
    )
    numbers = iter(range(99))
    results, found = clean_rounds(lambda: next(numbers), 3, False, lambda: next(readings))
    assert results == [1, 3, 5]
    assert found == pytest.approx([0.04, 0.0, 0.04, 0.02, 0.04, 0.029])
    crowded = lambda: Reading(next(numbers), 2 * next(numbers), 0)  # noqa: E731
    results, found = clean_rounds(lambda: 0, 2, False, crowded)
    assert results == [] and len(found) == 6, "it gives up after three times as many"


def test_no_ratio_from_fewer_than_five_clean_rounds():
    import click
    from bench_contention import disturbance, told
    from bench_rounds import Rounds
    from bench_timing import lines, row

    few = row("a step", Rounds({"rawconv": [1.0] * 4, "other": [2.0] * 4}, [0.012] * 4 + [0.5] * 9))
    assert few["ratio"] is None and few["least_ratio"] is None
    text = lines({"rows": [few], **MACHINE})
    said = "others 1.2% in 4 clean rounds, 9 dropped: too few for a ratio, which needs 5"
    assert said in text and "0.50" not in text.splitlines()[1]
    enough = row("a step", Rounds({"rawconv": [1.0] * 5, "other": [2.0] * 4 + [1.6]}, [0.0] * 5))
    assert "1000.00 1000.00]   0.50   0.62" in lines({"rows": [enough], **MACHINE})
    said = told(disturbance([0.5, 0.4, 0.6]))
    assert said == "others 50.0% in 0 clean rounds, 3 dropped: too few for a ratio, which needs 5"
    with pytest.raises(click.ClickException, match="others took 50% of the processors"):
        row("a step", Rounds({"rawconv": [], "other": []}, [0.5] * 9))


MACHINE = {
    "cpu": "a CPU",
    "threads": 2,
    "sgemm_peak": 200,
    "torch": "2",
    "numpy": "2",
    "python": "3",
    "date": "today",
}


def test_the_table_is_made_from_what_was_written(tmp_path):
    from bench_rounds import Rounds
    from bench_table import main
    from bench_timing import row
    from click.testing import CliRunner

    rows = [
        row(
            "a step",
            Rounds({"rawconv": [0.5] * 5, "channels_last": [1.0] * 4 + [0.9]}, [0.012] * 5),
            5e10,
            memory={"rawconv": 2e6, "channels_last": 3e6},
        )
    ]
    (tmp_path / "step.json").write_text(json.dumps({"rows": rows, **MACHINE}))
    text = CliRunner().invoke(main, [str(tmp_path / "step.json")], catch_exceptions=False).output
    cells = "| a step | 500 (500–500) | 1000 (1000–1000) | 0.50 | 0.56 | 1.2% | 100 | 50% | 2 / 3 |"
    assert cells in text and text.startswith("a CPU, 2 threads")


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


def test_every_command_takes_the_options_that_it_has():
    import importlib
    import inspect

    import bench

    for name in bench.NAMES:
        try:
            command = importlib.import_module(f"bench_{name}").main
        except ImportError as error:  # a rival that is not installed
            assert error.name and not error.name.startswith("bench_"), error
            continue
        taken = inspect.signature(command.callback).parameters.values()
        if any(one.kind is one.VAR_KEYWORD for one in taken):
            continue
        assert {one.name for one in taken} == {one.name for one in command.params}, name
