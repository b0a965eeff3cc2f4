// Local response normalisation: the twins of lrn and lrn_back in lrn.py.  One thread makes one element of the result.
// A block of threads works on a run of neighbouring elements.  What it computes of them, and of `half` or 2 * half more
// at both ends, is in shared memory: the sums over the window read it from there.
#include "kernels.cuh"

extern __shared__ real memory[];

// The sum of values[j] over the j from -half to half for which channel c + j exists.
__device__ __forceinline__ real window_sum(const real *values, index_t c, index_t channels, int half)
{
    int first = c < half ? -(int)c : -half, last = channels - 1 - c < half ? (int)(channels - 1 - c) : half;
    real sum = 0;
#pragma unroll 1
    for (const real *value = values + first; value <= values + last; value++) sum += *value;
    return sum;
}

__device__ __noinline__ real power_of(real base, real exponent)
{
    return pow(base, exponent);
}

// scale^-beta.  For 3/4 two square roots, which are faster and closer than pow.
__device__ __forceinline__ real inverse_power(real scale, real beta)
{
    if (beta != (real)0.75)
        return power_of(scale, -beta);
    real root = sqrt(scale);
    return 1 / (root * sqrt(root));
}

// squares[t] = x[start - margin + t]^2, 0 outside x, for the block's elements and `margin` more at both ends.
__device__ __forceinline__ void square(const real *x, real *squares, index_t start, index_t count, int margin)
{
#pragma unroll 1
    for (int t = threadIdx.x; t < (int)blockDim.x + 2 * margin; t += blockDim.x) {
        index_t i = start - margin + t;
        real value = i >= 0 && i < count ? x[i] : 0;
        squares[t] = value * value;
    }
}

// y_c = x_c * D_c^-beta with D_c = k + alpha * the sum of x_j^2 over the j around c.
extern "C" __global__ void lrn(
    index_t count, const real *__restrict__ x, const real *__restrict__ given, real *__restrict__ y,
    Divisor channels, index_t half, real alpha, real beta, real k)
{
    real *squares = memory;
#pragma unroll 1
    for (index_t start = blockIdx.x * (index_t)blockDim.x; start < count; start += (index_t)gridDim.x * blockDim.x) {
        index_t i = start + threadIdx.x;
        square(x, squares, start, count, half);
        __syncthreads();
        if (i < count) {
            index_t c = remainder(i, channels);
            real scale = k + alpha * window_sum(squares + half + threadIdx.x, c, channels, half);
            y[i] = x[i] * inverse_power(scale, beta);
        }
        __syncthreads();
    }
}

// dx_c = dy_c * D_c^-beta - 2 * alpha * beta * x_c * sum over the j around c of dy_j * x_j * D_j^-beta / D_j.
extern "C" __global__ void lrn_back(
    index_t count, const real *__restrict__ x, const real *__restrict__ dy, real *__restrict__ dx,
    Divisor channels, index_t half, real alpha, real beta, real k)
{
    int threads = blockDim.x, own = threadIdx.x;
    real *squares = memory + 2 * half, *ratios = memory + threads + 5 * half;  // of the block's first element
#pragma unroll 1
    for (index_t start = blockIdx.x * (index_t)threads; start < count; start += (index_t)gridDim.x * threads) {
        index_t i = start + own, c = remainder(i, channels);
        square(x, memory, start, count, 2 * half);
        __syncthreads();
        real value = 0, given = 0, power = 0;
        if (i < count) {
            value = x[i], given = dy[i];
            real scale = k + alpha * window_sum(squares + own, c, channels, half);
            power = inverse_power(scale, beta);
            ratios[own] = given * value * power / scale;
        }
#pragma unroll 1
        for (int t = own; t < 2 * half; t += threads) {  // the elements at both ends, which are other blocks' own
            int place = t < half ? t - half : threads + t - half;
            index_t j = start + place;
            if (j >= 0 && j < count) {
                real scale = k + alpha * window_sum(squares + place, remainder(j, channels), channels, half);
                ratios[place] = dy[j] * x[j] * inverse_power(scale, beta) / scale;
            }
        }
        __syncthreads();
        if (i < count)
            dx[i] = given * power - 2 * alpha * beta * value * window_sum(ratios + own, c, channels, half);
        __syncthreads();
    }
}
