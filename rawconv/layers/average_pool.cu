// Average pooling: the twins of average and spread in average_pool.py.  One thread makes one element of the result.

#define EACH(i, count) \
    long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x; i < count; i += (long long)gridDim.x * blockDim.x

// The last digit of i in the base `length`; i keeps the digits before it.
__device__ long long digit(long long &i, long long length)
{
    long long before = i / length, last = i - before * length;
    i = before;
    return last;
}

// How many of the `size` cells from `first` on lie in low..high-1; 1 where none does, so that a sum can ask for no count.
__device__ long long cells(long long first, long long size, long long low, long long high)
{
    long long end = min(first + size, high) - max(first, low);
    return max(end, 1LL);
}

// y[n, oy, ox, c] = sum of x over the window / its count.  The sum of each row, then that of the rows, as on the CPU.
extern "C" __global__ void average(
    long long count, const real *__restrict__ x, real *__restrict__ y,
    long long height, long long width, long long channels, long long oh, long long ow,
    long long kh, long long kw, long long sh, long long sw, long long top, long long left,
    long long count_top, long long count_left, long long count_bottom, long long count_right)
{
    for (EACH(i, count)) {
        long long rest = i;
        long long c = digit(rest, channels), ox = digit(rest, ow), oy = digit(rest, oh), n = rest;
        long long y0 = oy * sh - top, x0 = ox * sw - left;
        real total = 0;
        for (long long iy = max(y0, 0LL); iy < y0 + kh && iy < height; iy++) {
            real line = 0;
            for (long long ix = max(x0, 0LL); ix < x0 + kw && ix < width; ix++)
                line += x[((n * height + iy) * width + ix) * channels + c];
            total += line;
        }
        y[i] = total / (real)(cells(y0, kh, count_top, count_bottom) * cells(x0, kw, count_left, count_right));
    }
}

// dx[n, iy, ix, c] = sum of dy / count over the windows that hold the place, in reading order: the transpose of average.
extern "C" __global__ void spread(
    long long count, real *__restrict__ dx, const real *__restrict__ dy,
    long long height, long long width, long long channels, long long oh, long long ow,
    long long kh, long long kw, long long sh, long long sw, long long top, long long left,
    long long count_top, long long count_left, long long count_bottom, long long count_right)
{
    for (EACH(i, count)) {
        long long rest = i;
        long long c = digit(rest, channels), x = digit(rest, width) + left, y = digit(rest, height) + top, n = rest;
        real out = 0;
        for (long long oy = y < kh ? 0 : (y - kh) / sh + 1; oy < oh && oy * sh <= y; oy++) {
            long long rows = cells(oy * sh - top, kh, count_top, count_bottom);
            for (long long ox = x < kw ? 0 : (x - kw) / sw + 1; ox < ow && ox * sw <= x; ox++) {
                long long columns = cells(ox * sw - left, kw, count_left, count_right);
                out += dy[((n * oh + oy) * ow + ox) * channels + c] / (real)(rows * columns);
            }
        }
        dx[i] = out;
    }
}
