// Local response normalisation: the twins of lrn and lrn_back in lrn.py.  One thread makes one element of the result.
// Neighbouring threads are neighbouring channels, so what a thread reads again its neighbours have just read: no
// shared memory is needed to keep it in the cache.

#define EACH(i, count) \
    long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x; i < count; i += (long long)gridDim.x * blockDim.x

// D_c = k + alpha * sum of x_j^2 over the channels j from c - half to c + half that exist; x is one place of the map.
__device__ real scale_at(const real *x, long long c, long long channels, long long half, real alpha, real k)
{
    real sum = 0;
    for (long long j = c < half ? 0 : c - half; j < channels && j <= c + half; j++)
        sum += x[j] * x[j];
    return k + alpha * sum;
}

// scale^-beta.  For 3/4 two square roots, which are faster and closer than pow.
__device__ real inverse_power(real scale, real beta)
{
    if (beta != (real)0.75)
        return pow(scale, -beta);
    real root = sqrt(scale);
    return 1 / (root * sqrt(root));
}

// y_c = x_c * D_c^-beta.
extern "C" __global__ void lrn(
    long long count, const real *__restrict__ x, const real *__restrict__ given, real *__restrict__ y,
    long long channels, long long half, real alpha, real beta, real k)
{
    for (EACH(i, count)) {
        long long c = i % channels;
        y[i] = x[i] * inverse_power(scale_at(x + (i - c), c, channels, half, alpha, k), beta);
    }
}

// dx_c = dy_c * D_c^-beta - 2 * alpha * beta * x_c * sum over the j around c of dy_j * x_j * D_j^-beta / D_j.
extern "C" __global__ void lrn_back(
    long long count, const real *__restrict__ x, const real *__restrict__ dy, real *__restrict__ dx,
    long long channels, long long half, real alpha, real beta, real k)
{
    for (EACH(i, count)) {
        long long c = i % channels;
        const real *place = x + (i - c), *dplace = dy + (i - c);
        real total = 0, own = 0;
        for (long long j = c < half ? 0 : c - half; j < channels && j <= c + half; j++) {
            real scale = scale_at(place, j, channels, half, alpha, k), power = inverse_power(scale, beta);
            total += dplace[j] * place[j] * power / scale;
            own = j == c ? power : own;
        }
        dx[i] = dy[i] * own - 2 * alpha * beta * x[i] * total;
    }
}
