// The twins of sgd, sgd_filters and scale_filters in optimizer.py.
#include "../layers/kernels.cuh"

// v = momentum * v - decay * w - rate * g;  w = w + v.
extern "C" __global__ void sgd(
    index_t count, pack *__restrict__ weight, pack *__restrict__ velocity, const pack *__restrict__ grad,
    real momentum, real rate, real decay)
{
#pragma unroll 1
    for (EACH(i, count)) {
        pack w = weight[i], v = velocity[i], g = grad[i];
        for (int lane = 0; lane < PACK; lane++) {
            v.of[lane] = momentum * v.of[lane] - decay * w.of[lane] - rate * g.of[lane];
            w.of[lane] += v.of[lane];
        }
        velocity[i] = v;
        weight[i] = w;
    }
}

// The same, and squares[part, o] = the sum of w_o^2, for filter o (a column of weight), over the part's `step` rows.
// count: 256 for each tile.
extern "C" __global__ void sgd_filters(
    index_t count, real *__restrict__ weight, real *__restrict__ velocity, const real *__restrict__ grad,
    real *__restrict__ squares, real momentum, real rate, real decay,
    index_t rows, index_t filters, Divisor tiles, index_t step)
{
    for (index_t block = blockIdx.x; block * THREADS < count; block += gridDim.x) {
        Tile tile = tile_of(block, tiles, rows, filters, step);
        real sum = 0;
        for (index_t r = tile.first; r < tile.last; r += tile.lanes) {
            index_t at = r * filters + tile.f;
            real v = momentum * velocity[at] - decay * weight[at] - rate * grad[at], w = weight[at] + v;
            velocity[at] = v;
            weight[at] = w;
            sum += w * w;
        }
        sum = sum_of_lanes(sum, tile);
        if (tile.lane == 0 && tile.f < filters)
            squares[tile.part * filters + tile.f] = sum;
    }
}

// w_o *= radius / RMS(w_o) for each filter o whose RMS exceeds radius; squares as sgd_filters leaves them.
extern "C" __global__ void scale_filters(
    index_t count, real *__restrict__ weight, const real *__restrict__ squares, real radius,
    index_t rows, index_t filters, Divisor tiles, index_t step, index_t parts)
{
    for (index_t block = blockIdx.x; block * THREADS < count; block += gridDim.x) {
        Tile tile = tile_of(block, tiles, rows, filters, step);
        real sum = 0;
        for (index_t part = 0; part < parts && tile.f < filters; part++) sum += squares[part * filters + tile.f];
        real rms = sqrt(sum / rows);
        if (rms > radius)
            for (index_t r = tile.first; r < tile.last; r += tile.lanes) weight[r * filters + tile.f] *= radius / rms;
    }
}
