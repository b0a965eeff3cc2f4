// Max pooling with switches: the twins of pool and unpool in max_pool.py.  One thread makes one element of the result.
// switch_t is unsigned char, or unsigned short for windows of more than 256 places.

#define EACH(i, count) \
    long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x; i < count; i += (long long)gridDim.x * blockDim.x

// The last digit of i in the base `length`; i keeps the digits before it.
__device__ long long digit(long long &i, long long length)
{
    long long before = i / length, last = i - before * length;
    i = before;
    return last;
}

// y[n, oy, ox, c] = max of x over the window; switches = the winner's ky*kw + kx.  The first of equals wins, NaN over all.
extern "C" __global__ void pool(
    long long count, const real *__restrict__ x, real *__restrict__ y, switch_t *__restrict__ switches,
    long long height, long long width, long long channels, long long oh, long long ow,
    long long kh, long long kw, long long sh, long long sw, long long top, long long left)
{
    for (EACH(i, count)) {
        long long rest = i;
        long long c = digit(rest, channels), ox = digit(rest, ow), oy = digit(rest, oh), n = rest;
        long long y0 = oy * sh - top, x0 = ox * sw - left, winner = -1;
        real best = 0;
        for (long long ky = y0 < 0 ? -y0 : 0; ky < kh && y0 + ky < height; ky++)
            for (long long kx = x0 < 0 ? -x0 : 0; kx < kw && x0 + kx < width; kx++) {
                real value = x[((n * height + y0 + ky) * width + x0 + kx) * channels + c];
                if (winner < 0 || value > best || (value != value && best == best)) {
                    best = value;
                    winner = ky * kw + kx;
                }
            }
        y[i] = best;
        switches[i] = (switch_t)winner;
    }
}

// dx[n, iy, ix, c] = what the windows over this place, in reading order, send back to it: those whose switch names it.
// shared: 0 add them all (the transpose of pool), 1 keep the largest, 2 keep the last.  A gather, without atomics.
extern "C" __global__ void unpool(
    long long count, real *__restrict__ dx, const real *__restrict__ dy, const switch_t *__restrict__ switches,
    long long height, long long width, long long channels, long long oh, long long ow,
    long long kh, long long kw, long long sh, long long sw, long long top, long long left, long long shared)
{
    for (EACH(i, count)) {
        long long rest = i;
        long long c = digit(rest, channels), x = digit(rest, width) + left, y = digit(rest, height) + top, n = rest;
        real out = 0;
        bool chosen = false;
        for (long long oy = y < kh ? 0 : (y - kh) / sh + 1; oy < oh && oy * sh <= y; oy++)
            for (long long ox = x < kw ? 0 : (x - kw) / sw + 1; ox < ow && ox * sw <= x; ox++) {
                long long at = ((n * oh + oy) * ow + ox) * channels + c;
                if (switches[at] != (y - oy * sh) * kw + x - ox * sw)
                    continue;
                if (shared == 0)
                    out += dy[at];
                else if (shared == 2 || !chosen || dy[at] > out)
                    out = dy[at];
                chosen = true;
            }
        dx[i] = out;
    }
}
