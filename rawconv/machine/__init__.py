"""The machine: NumPy or CuPy arrays (arrays.py, the only file that knows CuPy), their memory
(buffers.py), the CPU's threads (threads.py) and the limits of a container (limits.py), several
processes as one (distributed.py, communicator.py), random numbers (philox.py), and the cache of
compiled loops (numba_cache.py).
"""
