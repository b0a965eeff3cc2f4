// The twins of sgd and sgd_filters in optimizer.py.
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

const int FILTERS = 8, LANES = 32;  // of a block of 256 threads: neighbours in memory, and rows taken in turn

// The same, and w_o *= radius / RMS(w_o) for each filter o (a column of weight) whose RMS then exceeds radius.
extern "C" __global__ void sgd_filters(
    index_t count, real *__restrict__ weight, real *__restrict__ velocity, const real *__restrict__ grad,
    real momentum, real rate, real decay, real radius, index_t rows, index_t filters)
{
    __shared__ real squares[LANES][FILTERS];
    int own = threadIdx.x % FILTERS, lane = threadIdx.x / FILTERS;
    for (index_t block = blockIdx.x; block * FILTERS * LANES < count; block += gridDim.x) {
        index_t o = block * FILTERS + own, last = o < filters ? rows : 0;
        real sum = 0;
        for (index_t i = lane; i < last; i += LANES) {
            index_t at = i * filters + o;
            velocity[at] = momentum * velocity[at] - decay * weight[at] - rate * grad[at];
            weight[at] += velocity[at];
            sum += weight[at] * weight[at];
        }
        squares[lane][own] = sum;
        __syncthreads();
        sum = 0;
        for (int k = 0; k < LANES; k++) sum += squares[k][own];
        real rms = sqrt(sum / rows);
        if (rms > radius)
            for (index_t i = lane; i < last; i += LANES) weight[i * filters + o] *= radius / rms;
        __syncthreads();
    }
}
