// What a convolution needs beside its matrix product: the twins of im2col, col2im and add_bias in conv.py.
// One thread makes one element of the result.  Indices have 64 bits: columns soon pass 2^31 elements.

#define EACH(i, count) \
    long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x; i < count; i += (long long)gridDim.x * blockDim.x

// The last digit of i in the base `length`; i keeps the digits before it.
__device__ long long digit(long long &i, long long length)
{
    long long before = i / length, last = i - before * length;
    i = before;
    return last;
}

// columns[row, ky, kx, c] = x[n, oy*sh - top + ky, ox*sw - left + kx, c], or 0 outside x.
// Row 0 of columns is the unit (oy, 0) of picture n, where n * oh + oy = first.
extern "C" __global__ void im2col(
    long long count, const real *__restrict__ x, real *__restrict__ columns,
    long long height, long long width, long long channels, long long first, long long oh, long long ow,
    long long kh, long long kw, long long sh, long long sw, long long top, long long left)
{
    for (EACH(i, count)) {
        long long rest = i;
        long long c = digit(rest, channels), kx = digit(rest, kw), ky = digit(rest, kh), ox = digit(rest, ow);
        rest += first;
        long long oy = digit(rest, oh), n = rest;
        long long iy = oy * sh - top + ky, ix = ox * sw - left + kx;
        bool inside = iy >= 0 && iy < height && ix >= 0 && ix < width;
        columns[i] = inside ? x[((n * height + iy) * width + ix) * channels + c] : 0;
    }
}

// dx[n, iy, ix, c] = sum of dcolumns over the windows that hold the place, in reading order: the transpose of im2col.
// Gathering needs no atomics, so the sum has one order and the same bits every time.
extern "C" __global__ void col2im(
    long long count, const real *__restrict__ dcolumns, real *__restrict__ dx,
    long long height, long long width, long long channels, long long oh, long long ow,
    long long kh, long long kw, long long sh, long long sw, long long top, long long left)
{
    for (EACH(i, count)) {
        long long rest = i;
        long long c = digit(rest, channels), x = digit(rest, width) + left, y = digit(rest, height) + top, n = rest;
        real sum = 0;
        for (long long oy = y < kh ? 0 : (y - kh) / sh + 1; oy < oh && oy * sh <= y; oy++)
            for (long long ox = x < kw ? 0 : (x - kw) / sw + 1; ox < ow && ox * sw <= x; ox++) {
                long long ky = y - oy * sh, kx = x - ox * sw;
                sum += dcolumns[((((n * oh + oy) * ow + ox) * kh + ky) * kw + kx) * channels + c];
            }
        dx[i] = sum;
    }
}

// y[row, f] += bias[f], and with `fuse_relu` y = max(y, 0): y is read and written once.  A NaN stays NaN, as in relu.py.
extern "C" __global__ void add_bias(
    long long count, real *__restrict__ y, const real *__restrict__ bias, long long filters, long long fuse_relu)
{
    for (EACH(i, count)) {
        real value = y[i] + bias[i % filters];
        y[i] = fuse_relu && value <= 0 ? 0 : value;
    }
}
