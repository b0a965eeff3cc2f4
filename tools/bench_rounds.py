"""How all benchmarks time: ways take turns, round by round, and a round beside others does not count."""

import statistics
import time
from typing import NamedTuple

import click
from bench_contention import FEWEST, is_clean, others, reading

# seconds between two ways: OpenMP's threads spin for a while after their work and would disturb the
# next
PAUSE = 0.01
# seconds of a round, at least, or the kernel's hundredths could not tell 3 % in it: shorter work is
# repeated
ROUND = 0.5
MOST_ROUNDS = 3  # times as many as were asked for, where others disturb some


class Rounds(NamedTuple):
    """What was timed: {way: [seconds in each clean round]}; the share of the processors' time that
    others took in each round, clean or not.
    """

    seconds: dict
    shares: list

    @property
    def ratios(self):
        """(ours over the fastest other, of the medians; the same of the shortest); None from too
        few clean rounds.
        """
        rivals = [times for way, times in self.seconds.items() if way != "rawconv" and times]
        return ratios(self.seconds["rawconv"], min(rivals, key=statistics.median, default=[]))

    def of(self, *ways):
        """The same rounds, of these ways alone."""
        return self._replace(seconds={way: self.seconds[way] for way in ways})


def ratios(ours, theirs):
    """(of the medians, of the shortest) of two ways' clean rounds; None each from fewer than FEWEST."""
    if min(len(ours), len(theirs)) < FEWEST:
        return None, None
    return statistics.median(ours) / statistics.median(theirs), min(ours) / min(theirs)


def take_turns(ways, rounds, say=True, pause=PAUSE, read=reading):
    """Rounds of {way: function}: each goes once a round, or as often as ROUND needs, after two rounds
    that are not counted, of which the first compiles.

    A round in which others took more than MOST is dropped and made up for, up to MOST_ROUNDS times
    as many in all.  read: of bench_contention.
    """
    once = dict.fromkeys(ways, 1)
    one_round(ways, once, pause)
    seconds = one_round(ways, once, pause)
    repeats = {way: max(1, round(ROUND / len(ways) / max(seconds[way], 1e-6))) for way in ways}
    results, shares = clean_rounds(lambda: one_round(ways, repeats, pause), rounds, say, read)
    return Rounds({way: [one[way] for one in results] for way in ways}, shares)


def clean_rounds(once, rounds, say=True, read=reading):
    """([what once() returned, of each clean round], the shares of all); see take_turns."""
    results, shares = [], []
    while len(results) < rounds and len(shares) < MOST_ROUNDS * rounds:
        before = read()
        result = once()
        shares.append(others(before, read()))
        if is_clean(shares[-1]):
            results.append(result)
        if say:
            click.echo(f"round {len(shares)}, {len(results)} of {rounds} clean", err=True)
    return results, shares


def one_round(ways, repeats, pause=PAUSE):
    """{way: seconds} of {way: function}, one after the other, each repeated so many times: their mean."""
    seconds = {}
    for way, work in ways.items():
        time.sleep(pause)
        begin = time.perf_counter()
        for _ in range(repeats[way]):
            work()
        seconds[way] = (time.perf_counter() - begin) / repeats[way]
    return seconds
