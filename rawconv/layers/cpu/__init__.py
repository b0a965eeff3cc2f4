"""Ways to convolve on a CPU, and choice.py, which says which one suits.

gemm.py one product over columns;  dense.py where a filter covers its input;  direct.py for few channels;
winograd_tiles.py and winograd_places.py for 3x3 filters and what folds to them;  simd.py their vectors.
"""
