// Depthwise convolution: the twins of the loops in cpu/depthwise.py.  One thread makes one pack of the result.
// apart_y, apart_x: from one cell of the window to the next.
#include "../kernels.cuh"

// y[n, oy, ox, c] = bias[c] + sum of x * weight[., ., c] over the window, rectified.
extern "C" __global__ void depthwise(
    index_t count, const pack *__restrict__ x, const pack *__restrict__ weight, const pack *__restrict__ bias,
    pack *__restrict__ y, Window window, index_t apart_y, index_t apart_x, real ceiling)
{
#pragma unroll 1
    for (EACH(i, count)) {
        auto [n, oy, ox, c] = position_of(i, window);
        index_t y0 = oy * window.sh - window.top, x0 = ox * window.sw - window.left;
        pack total = bias[c];
#pragma unroll 1
        for (index_t ky = 0; ky < window.kh; ky++) {
            index_t iy = y0 + ky * apart_y;
            if ((uindex_t)iy >= window.height.length) continue;
#pragma unroll 1
            for (index_t kx = 0; kx < window.kw; kx++) {
                index_t ix = x0 + kx * apart_x;
                if ((uindex_t)ix >= window.width.length) continue;
                pack value = x[((n * window.height + iy) * window.width + ix) * window.channels + c];
                pack tap = weight[(ky * window.kw + kx) * window.channels + c];
                for (int lane = 0; lane < PACK; lane++) total.of[lane] += value.of[lane] * tap.of[lane];
            }
        }
        for (int lane = 0; lane < PACK; lane++) total.of[lane] = rectified(total.of[lane], ceiling);
        y[i] = total;
    }
}

// dx[n, iy, ix, c] = sum of dy * weight[., ., c] over the windows that hold the place: its transpose, without atomics.
extern "C" __global__ void depthwise_transpose(
    index_t count, const pack *__restrict__ dy, const pack *__restrict__ weight, pack *__restrict__ dx,
    Window window, index_t apart_y, index_t apart_x)
{
#pragma unroll 1
    for (EACH(i, count)) {
        auto [n, y, x, c] = cell_of(i, window);
        pack out = {};
#pragma unroll 1
        for (index_t ky = 0; ky < window.kh && ky * apart_y <= y; ky++) {
            index_t oy = quotient(y - ky * apart_y, window.sh);
            if (oy * window.sh != y - ky * apart_y || oy >= window.oh) continue;
#pragma unroll 1
            for (index_t kx = 0; kx < window.kw && kx * apart_x <= x; kx++) {
                index_t ox = quotient(x - kx * apart_x, window.sw);
                if (ox * window.sw != x - kx * apart_x || ox >= window.ow) continue;
                pack value = dy[((n * window.oh + oy) * window.ow + ox) * window.channels + c];
                pack tap = weight[(ky * window.kw + kx) * window.channels + c];
                for (int lane = 0; lane < PACK; lane++) out.of[lane] += value.of[lane] * tap.of[lane];
            }
        }
        dx[i] = out;
    }
}

// total[part, ky, kx, c] = sum of x * dy over `step` of the `rows` output rows, each of which is summed by itself
// first.
extern "C" __global__ void depthwise_weight_gradient(
    index_t count, const pack *__restrict__ x, const pack *__restrict__ dy, pack *__restrict__ total,
    Window window, index_t apart_y, index_t apart_x, index_t rows, index_t step)
{
#pragma unroll 1
    for (EACH(i, count)) {
        index_t rest = i;
        index_t c = digit(rest, window.channels), kx = digit(rest, window.kw), ky = digit(rest, window.kh);
        index_t last = min(rows, (rest + 1) * step);
        pack sum = {};
#pragma unroll 1
        for (index_t row = rest * step; row < last; row++) {
            index_t n = quotient(row, window.oh), iy = (row - n * window.oh) * window.sh - window.top + ky * apart_y;
            if ((uindex_t)iy >= window.height.length) continue;
            pack line = {};
#pragma unroll 1
            for (index_t ox = 0; ox < window.ow; ox++) {
                index_t ix = ox * window.sw - window.left + kx * apart_x;
                if ((uindex_t)ix >= window.width.length) continue;
                pack value = dy[(row * window.ow + ox) * window.channels + c];
                pack given = x[((n * window.height + iy) * window.width + ix) * window.channels + c];
                for (int lane = 0; lane < PACK; lane++) line.of[lane] += value.of[lane] * given.of[lane];
            }
            for (int lane = 0; lane < PACK; lane++) sum.of[lane] += line.of[lane];
        }
        total[i] = sum;
    }
}
