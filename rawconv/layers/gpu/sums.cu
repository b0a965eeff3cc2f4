// Sums over rows: the twins of the loops of the same names in cpu/gemm.py.
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

const int AHEAD = 4;  // rows that a lane asks for before it writes the first

// The same of rows where 0 < y < ceiling, elsewhere 0, which they are from then on: the way back of a ReLU.  Without a
// ceiling, an infinite one, infinite ones are below it too.
extern "C" __global__ void sum_gated_rows(
    index_t count, real *__restrict__ rows, const real *__restrict__ y, real ceiling, real *__restrict__ sums,
    index_t length, index_t filters, Divisor tiles, index_t step)
{
    bool endless = isinf(ceiling);
    for (index_t block = blockIdx.x; block * THREADS < count; block += gridDim.x) {
        Tile tile = tile_of(block, tiles, length, filters, step);
        real total = 0;
        for (index_t r = tile.first; r < tile.last; r += AHEAD * tile.lanes) {
            real own[AHEAD], value[AHEAD];
            for (int k = 0; k < AHEAD; k++) {
                bool inside = r + k * tile.lanes < tile.last;
                own[k] = inside ? y[(r + k * tile.lanes) * filters + tile.f] : 0;
                value[k] = inside ? rows[(r + k * tile.lanes) * filters + tile.f] : 0;
            }
            for (int k = 0; k < AHEAD; k++) {
                value[k] = own[k] > 0 && (own[k] < ceiling || endless) ? value[k] : 0;
                total += value[k];
                if (r + k * tile.lanes < tile.last) rows[(r + k * tile.lanes) * filters + tile.f] = value[k];
            }
        }
        total = sum_of_lanes(total, tile);
        if (tile.lane == 0 && tile.f < filters)
            sums[tile.part * filters + tile.f] = total;
    }
}
