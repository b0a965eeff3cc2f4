"""The benchmarks' arithmetic and their table; that they measure is for people to see."""

import functools
import itertools
import json
import pathlib
import sys
import types

import numpy as np
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


def auto_row(figures, net=False, **seconds):
    return {"name": "up", "net": net, "figures": figures, "median": seconds, "shortest": seconds}


def test_what_constants_of_auto_lose():
    """Two passes, of which one is worth Winograd: taking it for both, for neither, and for the right one."""
    from bench_auto_fit import loss

    rows = [
        auto_row({"winograd": (64, 512, 4e6, 3)}, winograd=1.0, gemm=2.0),
        auto_row(
            {"winograd": (16, 512, 1e6, 3), "direct": (9000,)}, winograd=4.0, gemm=2.0, direct=1.0
        ),
    ]

    def lost(winograd, direct):
        return loss(rows, {"winograd": winograd, "direct": (direct,)})

    assert lost((64, 512, 4e6, 3), 9000) == pytest.approx(0)
    assert lost((64, 512, 4e6, 3), 8999) == pytest.approx(2**0.5 - 1), "the second goes by columns"
    assert lost((0, 0, 0, 0), 9000) == pytest.approx(4**0.5 - 1), "the second by Winograd"
    assert lost((65, 0, 0, 0), 9000) == pytest.approx(2**0.5 - 1), "the first by columns"


def test_auto_s_constants_are_those_by_which_made_up_times_were_made():
    """Each of 72 passes is the fastest by the algorithm that known constants choose, which are none of
    the present; a pass within a net then decides against them.
    """
    from bench_auto_fit import TRIED, allowed, fit, loss, present

    known = {"winograd": (16, 256, 3e6, 2), "direct": (80e3,)}
    assert all(
        a in values for a, values in zip(known["winograd"], TRIED["winograd"].values(), strict=True)
    )
    rows = []
    for channels, positions, gain in itertools.product(
        (14, 18, 30, 90), (200, 300, 2000), (1.8, 2.2)
    ):
        for weights in (50e3, 100e3, 500e3):
            row = auto_row({"winograd": (channels, positions, 5e6, gain), "direct": (weights,)})
            best = next((way for way in known if allowed(row, way, known[way])), "gemm")
            seconds = {way: 1.0 + (way != best) for way in ("winograd", "direct", "gemm")}
            rows.append(row | {"median": seconds, "shortest": seconds})
    for work in (2.5e6, 3.5e6):
        row = auto_row({"winograd": (90, 2000, work, 3)}, winograd=4e6 - work, gemm=0.8e6)
        rows.append(row)
    assert fit(rows) == fit(rows, "shortest") == known != present() and loss(rows, known) < 1e-9
    within = auto_row({"winograd": (90, 2000, 3.5e6, 3)}, net=True, winograd=2.0, gemm=1.0)
    assert fit([*rows, within])["winograd"][2] == 4e6, "a row within a net decides"


def test_auto_s_benchmark_knows_every_algorithm_and_all_its_constants():
    """Of a new algorithm: either it is chosen wherever it fits, or its constants are tried."""
    from bench_auto_fit import ALLOWS, FITTING, TRIED, WAYS, present

    from rawconv.layers.cpu import ALGORITHMS

    assert sorted([*FITTING, *TRIED, "gemm"]) == sorted(ALGORITHMS)
    assert (*TRIED, "gemm") == WAYS and set(ALLOWS) == set(TRIED)
    for way, constants in present().items():
        tried = TRIED[way].values()
        assert all(one in values for one, values in zip(constants, tried, strict=True)), way


def test_auto_s_benchmark_goes_by_what_supports_goes_by():
    """Whatever `auto` takes for a shape is what the figures and the present constants say."""
    pytest.importorskip("torch", reason="PyTorch is not installed: no witness (pip install torch)")
    from bench_auto import figures_of
    from bench_auto_fit import WAYS, allowed, present

    from rawconv.layers.conv import Conv
    from rawconv.layers.cpu import ALGORITHMS, Shape, choose

    for images, side, channels, filters, how in itertools.product(
        (1, 3, 32),
        (8, 16),
        (3, 32, 96, 256),
        (48, 128),
        (dict(size=3, pad=1), dict(size=5, stride=2)),
    ):
        window = Conv(filters, **how).window
        weight = (*window.size, channels, filters)
        passes = choose("auto", images, (side, side), weight, window)
        shape = Shape(images, (side, side), weight, window)
        for (what, figures), function in zip(figures_of(shape), passes[:3], strict=True):
            if what == "back to x" and figures.get("direct") is None:
                continue  # by columns, whatever else there is
            function = getattr(function, "args", [function])[0]
            row = auto_row(figures)
            way = next((w for w in WAYS[:-1] if allowed(row, w, present()[w])), "gemm")
            assert function.__module__ == ALGORITHMS[way].__name__, (what, shape)


def test_auto_s_times_within_a_net_are_of_every_convolution_and_pass(monkeypatch):
    """A clock that goes on by one with every reading: a pass of a step is one long, the lowest
    layer's way back to the pixels is not taken.
    """
    pytest.importorskip("torch")
    import bench_auto_nets

    monkeypatch.setattr(bench_auto_nets, "STEPS", 2)
    clock = itertools.count()
    monkeypatch.setattr(
        bench_auto_nets, "time", types.SimpleNamespace(perf_counter=lambda: next(clock))
    )
    net, steps = bench_auto_nets.steps_of("zf32", 1)
    found = steps()
    assert len(bench_auto_nets.convolutions(net)) == 5 and len(found) == 3 * 5 - 1
    assert ("conv1", "back to x") not in found
    assert all(times == {"winograd": 1, "direct": 1, "gemm": 1} for times in found.values())


def test_auto_s_ratios_are_of_clean_rounds_alone(monkeypatch):
    """Winograd takes 0.1 s where the product takes 0.2; beside a neighbour, in every second round, 0.9."""
    pytest.importorskip("torch")
    import bench_auto
    import bench_rounds
    from bench_contention import Reading
    from click.testing import CliRunner

    now, counts = [0.0], {"taken": 0.0, "rounds": 0}

    def winograd():
        now[0] += 0.9 if counts["rounds"] % 2 else 0.1

    def product():
        now[0] += 0.2

    def read():
        """Called before and after each round, on two processors of which we keep one busy."""
        reading = Reading(2 * now[0], now[0] + counts["taken"], now[0])
        counts["reads"] = counts.get("reads", 0) + 1
        if counts["reads"] % 2:
            counts["rounds"] += 1
            counts["taken"] += 0.5 * (counts["rounds"] % 2)
        return reading

    clock = types.SimpleNamespace(sleep=lambda pause: None, perf_counter=lambda: now[0])
    monkeypatch.setattr(bench_rounds, "time", clock)
    ways = {"gemm": product, "winograd": winograd}
    figures = {"winograd": (64, 512, 4e6, 3)}
    passes = [bench_auto.Pass(f"pass {k}", figures, ways) for k in range(3)]
    groups = list(bench_auto.groups(passes))
    assert [[repeats for _, repeats in group] for group in groups] == [[1, 1], [2]]
    monkeypatch.setattr(bench_auto, "grid", lambda: passes)
    turns = functools.partial(bench_rounds.clean_rounds, read=read)
    monkeypatch.setattr(bench_auto, "clean_rounds", turns)
    monkeypatch.setattr(bench_auto, "machine", lambda: MACHINE)
    command = ["--only", "pass"]
    text = CliRunner().invoke(bench_auto.main, command, catch_exceptions=False).output
    lines = [line.split() for line in text.splitlines() if line.startswith("pass ")]
    assert lines == [["pass", str(k), "1", "0", "0"] for k in range(3)]
    assert "now             -, -            0.0%, 0.0%          FEWEST_CHANNELS" in text
    assert "columns         -, -            100.0%, 100.0%      FEWEST_CHANNELS inf" in text
    assert "others 0.0% in 10 clean rounds, 10 dropped" in text
    counts["rounds"] = 0
    done = CliRunner().invoke(bench_auto.main, [*command, "--rounds", "4"])
    assert done.exit_code and "No ratios: others 0.0% in 8 clean rounds" in done.output


def test_figure_2_s_ratio_to_whole_maps_is_of_enough_clean_rounds(monkeypatch):
    pytest.importorskip("torch")
    pytest.importorskip("captum")
    import bench_visualize
    import click
    from bench_contention import disturbance
    from bench_rounds import Rounds

    monkeypatch.setattr(bench_visualize, "machine", lambda: MACHINE)
    ways = dict.fromkeys(
        [("scanned", "windowed"), ("scanned", "full"), (None, "captum")], (None, 8)
    )
    cases = {"scanned": ([0] * 4, [types.SimpleNamespace(image=0)])}

    def table(rounds):
        times = [1.0] * rounds, [3.0] * (rounds - 1) + [2.0], [8.0] * rounds
        timed = Rounds(dict(zip(ways, times, strict=True)), [0.012] * rounds)
        results = bench_visualize.summary(cases, ways, timed, 8)
        results |= {"disagreement": 0, **disturbance(timed.shares)}
        return bench_visualize.lines(results).splitlines()

    assert "x full" in table(5)[0] and table(5)[1].split()[-4:] == [
        "3.00",
        "(2.00)",
        "8.00",
        "(8.00)",
    ]
    assert table(4)[1].split()[-4:] == ["-", "(-)", "-", "(-)"]
    assert "others 1.2% in 4 clean rounds: too few for a ratio" in table(4)[-1]
    with pytest.raises(click.ClickException, match="others took 50% of the processors"):
        bench_visualize.summary(cases, ways, Rounds({way: [] for way in ways}, [0.5] * 9), 8)


def test_reading_says_what_others_took(monkeypatch, capsys):
    import bench_reader
    from bench_rounds import Rounds

    timed = Rounds(
        {"read": [0.5, 0.5], "uint8": [1.0, 1.0], "float32": [2.0, 2.0]}, [0.01, 0.4, 0.02]
    )

    def take_turns(ways, rounds):
        ways["read"]()
        return timed

    nothing = [(0, None, None)] * 11
    monkeypatch.setattr(bench_reader, "take_turns", take_turns)
    monkeypatch.setattr(bench_reader, "batches", lambda *order: nothing)
    monkeypatch.setattr(bench_reader, "resident", lambda: 0)
    monkeypatch.setattr(bench_reader, "machine", lambda: MACHINE)
    bench_reader.measure(Hundred(), 2)
    text = capsys.readouterr().out
    assert "others 1.5% in 2 clean rounds, 1 dropped" in text and "200 images/s" in text


class Hundred:
    """A split of 100 images."""

    mean = 0

    def __len__(self):
        return 100


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


def test_a_profile_counts_vector_instructions_and_takes_its_clocks_away_again(monkeypatch):
    from profile_loops import counted
    from profile_step import Clocks, calls_of, functions_of

    from rawconv.layers.conv import Conv
    from rawconv.layers.cpu import gemm
    from rawconv.machine import threads

    text = "vaddps %zmm0, %zmm1\n vfmadd213ps (%rax), %zmm1\n vmulss %xmm0\n vmovups %zmm0\n addq $1, %rax"
    assert counted(text) == {"vector": 2, "scalar": 1, "share": 2 / 3}
    assert counted("vmovups %zmm0") is None
    x, layer = np.ones((2, 9, 9, 5), np.float32), Conv(7, 3)
    layer.build(x.shape[1:], np.random.default_rng(0))
    columns = gemm.columns
    monkeypatch.setitem(sys.modules, "mpi4py.rc", object())  # as mpi4py does
    with Clocks() as clocks:
        layer.forward(x)
    assert (
        clocks.seconds["gemm"] > 0
        and clocks.seconds["columns"] > 0
        and not clocks.seconds["direct"]
    )
    assert gemm.run_blocks is threads.run_blocks and gemm.columns is columns
    assert calls_of(lambda: (lambda: None)()) == 2
    counts = functions_of(lambda: [threads.cut(1, 1) for _ in "ab"])
    assert counts["rawconv.machine.threads.cut"] == 2
