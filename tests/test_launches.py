"""How much the host asks of the device: kernels, copies, products, CuPy's own included, and that it
never waits.
"""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parent.parent / "tools"))
import count_launches

MOST = {  # operations
    "training step": 85, "projection of 64 units": 46, "200 squares": 100, "scan of a batch": 36,
    "occlusion at 200 places": 125,
}  # fmt: skip
READ = ("scan of a batch", "occlusion at 200 places")  # numbers come back to the host at the end


@pytest.fixture(scope="module")
def counted(xp):
    if xp is np:
        pytest.skip("only a GPU is asked for anything: pytest --device gpu")
    if not xp.cuda.runtime.is_hip:
        pytest.skip(
            "the preload that counts knows HIP's functions only, as the software GPU has them"
        )
    return count_launches.counted()


@pytest.mark.parametrize("part", count_launches.PARTS)
def test_few_operations_and_no_wait(part, counted):
    kinds = counted[part]
    if part in READ:
        assert kinds["copy"]["to_host"] and not kinds.get("late"), f"it waits in between: {kinds}"
    else:
        assert not kinds.get("wait") and "to_host" not in kinds["copy"], f"the host waits: {kinds}"
    assert {"product", "kernel"} <= set(kinds), "what is counted is there"
    assert count_launches.operations(kinds) <= MOST[part], kinds


def test_windows_are_put_and_cleared_by_a_kernel_each(counted):
    """However many there are: 64 units went down, 200 squares went up through a layer after the other."""
    kernels = counted["projection of 64 units"]["kernel"] | counted["200 squares"]["kernel"]
    assert (
        kernels["put_windows"] == 1 and max(kernels["clear_outside"], kernels["paste_windows"]) <= 6
    )
