// The twin of cross_entropy in softmax.py.  One block of 256 threads walks over the row of one picture.
#include "kernels.cuh"

// The sum (or the largest) of one value a thread, the same in all threads: halves of the block are added in turn.
__device__ real all_of(real value, bool largest)
{
    __shared__ real values[THREADS];
    values[threadIdx.x] = value;
    __syncthreads();
    for (int half = THREADS / 2; half > 0; half /= 2) {
        if (threadIdx.x < half) {
            real other = values[threadIdx.x + half], own = values[threadIdx.x];
            values[threadIdx.x] = largest ? (other > own ? other : own) : own + other;
        }
        __syncthreads();
    }
    value = values[0];
    __syncthreads();
    return value;
}

// dscores = p - t; of each picture told = (loss = -log p[label], 1 if no other class has as high a score, 1 if fewer
// than five have).  Without such a label the loss is NaN, and both are 0.  count: 256 for each picture.
extern "C" __global__ void cross_entropy(
    index_t count, const real *__restrict__ scores, const long long *__restrict__ labels,
    real *__restrict__ dscores, real *__restrict__ told, index_t classes)
{
    for (index_t n = blockIdx.x; n * THREADS < count; n += gridDim.x) {
        const real *row = scores + n * classes;
        real *p = dscores + n * classes;
        long long label = labels[n];
        bool known = label >= 0 && label < classes;
        real own = known ? row[label] : 0, largest = row[0], total = 0, above = 0;
        for (index_t k = threadIdx.x; k < classes; k += THREADS) {
            largest = row[k] > largest ? row[k] : largest;
            above += !(row[k] < own);
        }
        largest = all_of(largest, true);
        above = all_of(above, false) - 1;
#pragma unroll 1 // four exp side by side would take too many registers
        for (index_t k = threadIdx.x; k < classes; k += THREADS) total += p[k] = exp(row[k] - largest);
        total = all_of(total, false);
        for (index_t k = threadIdx.x; k < classes; k += THREADS) p[k] = p[k] / total - (k == label ? 1 : 0);
        if (threadIdx.x == 0) {
            told[3 * n] = known ? log(total) - (own - largest) : (real)nan("");
            told[3 * n + 1] = known && above < 1;
            told[3 * n + 2] = known && above < 5;
        }
    }
}
