// The twins of sgd and sgd_filters in optimizer.py.

#define EACH(i, count) \
    long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x; i < count; i += (long long)gridDim.x * blockDim.x

// v = momentum * v - decay * w - rate * g;  w = w + v.
extern "C" __global__ void sgd(
    long long count, real *__restrict__ weight, real *__restrict__ velocity, const real *__restrict__ grad,
    real momentum, real rate, real decay)
{
    for (EACH(i, count)) {
        velocity[i] = momentum * velocity[i] - decay * weight[i] - rate * grad[i];
        weight[i] += velocity[i];
    }
}

const int FILTERS = 8, LANES = 32;  // of a block of 256 threads: neighbours in memory, and rows taken in turn

// The same, and w_o *= radius / RMS(w_o) for each filter o (a column of weight) whose RMS then exceeds radius.
extern "C" __global__ void sgd_filters(
    long long count, real *__restrict__ weight, real *__restrict__ velocity, const real *__restrict__ grad,
    real momentum, real rate, real decay, real radius, long long rows, long long filters)
{
    __shared__ real squares[LANES][FILTERS];
    int own = threadIdx.x % FILTERS, lane = threadIdx.x / FILTERS;
    for (long long block = blockIdx.x; block * FILTERS * LANES < count; block += gridDim.x) {
        long long o = block * FILTERS + own, last = o < filters ? rows : 0;
        real sum = 0;
        for (long long i = lane; i < last; i += LANES) {
            long long at = i * filters + o;
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
            for (long long i = lane; i < last; i += LANES) weight[i * filters + o] *= radius / rms;
        __syncthreads();
    }
}
