"""What the threads share with the one that calls them."""

import time

import numpy as np
import pytest

from rawconv.threads import run_blocks


@pytest.mark.parametrize("over", ["raise", "ignore"])
def test_the_callers_errstate_is_everybodys(over):
    """NumPy keeps it for each thread by itself, so that a run that diverges would fill stderr with warnings."""
    caught = []

    def overflow(block):
        time.sleep(0.01)  # long enough for the helpers to take their share
        try:
            np.float32([3e38]) * np.float32(block + 10)
        except FloatingPointError:
            caught.append(block)

    with np.errstate(over=over):
        run_blocks(overflow, range(16))
    assert sorted(caught) == (list(range(16)) if over == "raise" else [])
