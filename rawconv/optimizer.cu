// The twin of sgd in optimizer.py.

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
