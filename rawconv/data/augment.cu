// The twin of crops in augment.py: one thread for each number of the result, channels side by side in memory.

#define EACH(i, count) \
    long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x; i < count; i += (long long)gridDim.x * blockDim.x

// y[n, v, u, c] = (pictures[rows[n]] - mean)[top + v, left + u, c] for places[n] = (top, left, flip), mirrored if flip
// is set; 0 outside the picture.
extern "C" __global__ void crops(
    long long count, const unsigned char *__restrict__ pictures, const long long *__restrict__ rows,
    const long long *__restrict__ places, const real *__restrict__ mean, real *__restrict__ y,
    long long height, long long width, long long channels, long long size)
{
    for (EACH(i, count)) {
        long long c = i % channels, u = i / channels % size, v = i / (channels * size) % size;
        long long n = i / (channels * size * size);
        const long long *place = places + 3 * n;
        long long row = place[0] + v, column = place[1] + (place[2] ? size - 1 - u : u);
        bool inside = row >= 0 && row < height && column >= 0 && column < width;
        long long at = (row * width + column) * channels + c;
        y[i] = inside ? pictures[rows[n] * height * width * channels + at] - mean[at] : 0;
    }
}
