"""The machine: NumPy or CuPy arrays (arrays.py, the only file that knows CuPy), their memory (buffers.py), the cores
(threads.py) and what a container grants of them (limits.py), random numbers (philox.py), and where compiled loops are
kept (numba_cache.py).
"""
