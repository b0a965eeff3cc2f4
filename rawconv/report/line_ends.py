"""Names beside the ends of lines, instead of a legend: as near to their lines as can be, and apart."""


def apart(wanted, gap, low, high):
    """Places in the order of `wanted`, sorted numbers: each at least `gap` after the one before, from
    `low` to `high`, moved no further than that needs.

    Where there is no room for all, the first go below `low`.
    """
    places = list(wanted)
    for k in range(len(places)):
        places[k] = max(places[k], places[k - 1] + gap if k else low)
    for k in reversed(range(len(places))):
        places[k] = min(places[k], places[k + 1] - gap if k + 1 < len(places) else high)
    return places
