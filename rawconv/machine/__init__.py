"""The machine: NumPy or CuPy arrays (arrays.py), their memory (buffers.py), the CPU's threads
(threads.py) and the limits of a container (limits.py), the kernels of a GPU (kernels.py) and
many of them as one launch (graphs.py), several processes as one (distributed.py,
communicator.py) and what starts them (launchers.py), random numbers (philox.py), how loops are
compiled (numba_compiler.py) and kept (numba_cache.py), and what a user's environment may spoil
(environment.py).
"""
