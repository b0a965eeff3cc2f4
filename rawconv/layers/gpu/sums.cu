// Sums over rows: the twin of sum_rows in cpu/gemm.py.
#include "../kernels.cuh"

// sums[part, f] = the sum of rows[r, f] over the `step` rows of the part.  A lane asks for eight rows at a time.
// The order of the sum is a matter of the shapes alone.  count: 256 for each tile.
extern "C" __global__ void sum_rows(
    index_t count, const real *__restrict__ rows, real *__restrict__ sums,
    index_t length, index_t filters, Divisor tiles, index_t step)
{
    for (index_t block = blockIdx.x; block * THREADS < count; block += gridDim.x) {
        Tile tile = tile_of(block, tiles, length, filters, step);
        real total = 0;
#pragma unroll 8
        for (index_t r = tile.first; r < tile.last; r += tile.lanes) total += rows[r * filters + tile.f];
        total = sum_of_lanes(total, tile);
        if (tile.lane == 0 && tile.f < filters)
            sums[tile.part * filters + tile.f] = total;
    }
}
