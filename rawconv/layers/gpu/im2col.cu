// What a convolution needs beside its matrix product: the twins of the loops of the same names in cpu/gemm.py.
// One thread makes one pack of the result.
#include "../kernels.cuh"

// columns[row, ky, kx, c] = x[n, oy*sh - top + ky, ox*sw - left + kx, c], or 0 outside x.
// Row 0 of columns is the unit (oy, 0) of picture n, where n * oh + oy = first.
// A row of the window is one run of memory, so that kx and c are one coordinate.
extern "C" __global__ void im2col(
    index_t count, const pack *__restrict__ x, pack *__restrict__ columns, Window window, index_t first)
{
#pragma unroll 1
    for (EACH(i, count)) {
        index_t rest = i;
        index_t e = digit(rest, window.run), ky = digit(rest, window.kh), ox = digit(rest, window.ow);
        rest += first;
        index_t oy = digit(rest, window.oh), n = rest;
        index_t iy = oy * window.sh - window.top + ky, ie = ox * window.step - window.indent + e;
        pack value = {};
        if ((uindex_t)iy < window.height.length && (uindex_t)ie < (uindex_t)window.row)
            value = x[(n * window.height + iy) * window.row + ie];
        columns[i] = value;
    }
}

// dx[n, iy, ix, c] = sum of dcolumns over the windows that hold the place, in reading order: the transpose of im2col.
// Gathering needs no atomics, so the sum has one order and the same bits every time.
extern "C" __global__ void col2im(
    index_t count, const pack *__restrict__ dcolumns, pack *__restrict__ dx, Window window)
{
    // How much further on in dcolumns the same place is in the next window, and in the one below.
    uindex_t next = window.kh * window.run - window.step, below = (window.ow * window.kh - window.sh) * window.run;
#pragma unroll 1
    for (EACH(i, count)) {
        auto [n, y, x, c] = cell_of(i, window);
        Over v = windows_over(y, window.kh, window.sh, window.oh), u = windows_over(x, window.kw, window.sw, window.ow);
        uindex_t row = ((n * window.oh + v.first) * window.ow + u.first) * window.kh + v.at;
        row = row * window.run + u.at * window.channels + c;
        pack sum = {};
#pragma unroll 1
        for (index_t ky = v.at; ky >= v.last; ky -= window.sh, row += below) {
            uindex_t at = row;
#pragma unroll 1
            for (index_t kx = u.at; kx >= u.last; kx -= window.sw, at += next) {
                pack sent = dcolumns[at];
                for (int lane = 0; lane < PACK; lane++) sum.of[lane] += sent.of[lane];
            }
        }
        dx[i] = sum;
    }
}

// The same for windows with holes, whose cells lie apart_y and apart_x apart.
extern "C" __global__ void im2col_dilated(
    index_t count, const pack *__restrict__ x, pack *__restrict__ columns, Window window, index_t first,
    index_t apart_y, index_t apart_x)
{
#pragma unroll 1
    for (EACH(i, count)) {
        index_t rest = i;
        index_t c = digit(rest, window.channels), kx = digit(rest, window.kw), ky = digit(rest, window.kh);
        index_t ox = digit(rest, window.ow);
        rest += first;
        index_t oy = digit(rest, window.oh), n = rest;
        index_t iy = oy * window.sh - window.top + ky * apart_y, ix = ox * window.sw - window.left + kx * apart_x;
        pack value = {};
        if ((uindex_t)iy < window.height.length && (uindex_t)ix < window.width.length)
            value = x[((n * window.height + iy) * window.width + ix) * window.channels + c];
        columns[i] = value;
    }
}

// The transpose of im2col_dilated, in reading order of the windows.
extern "C" __global__ void col2im_dilated(
    index_t count, const pack *__restrict__ dcolumns, pack *__restrict__ dx, Window window,
    index_t apart_y, index_t apart_x)
{
#pragma unroll 1
    for (EACH(i, count)) {
        auto [n, y, x, c] = cell_of(i, window);
        pack sum = {};
#pragma unroll 1
        for (index_t ky = window.kh - 1; ky >= 0; ky--) {
            index_t far_y = y - ky * apart_y, oy = far_y < 0 ? 0 : quotient(far_y, window.sh);
            if (oy * window.sh != far_y || oy >= window.oh) continue;
#pragma unroll 1
            for (index_t kx = window.kw - 1; kx >= 0; kx--) {
                index_t far_x = x - kx * apart_x, ox = far_x < 0 ? 0 : quotient(far_x, window.sw);
                if (ox * window.sw != far_x || ox >= window.ow) continue;
                uindex_t row = ((n * window.oh + oy) * window.ow + ox) * window.kh + ky;
                pack sent = dcolumns[row * window.run + kx * window.channels + c];
                for (int lane = 0; lane < PACK; lane++) sum.of[lane] += sent.of[lane];
            }
        }
        dx[i] = sum;
    }
}

// y[row, f] = y[row, f] + bias[f], rectified: y is read and written once.
extern "C" __global__ void add_bias(
    index_t count, pack *__restrict__ y, const pack *__restrict__ bias, Divisor filters, real ceiling)
{
#pragma unroll 1
    for (EACH(i, count)) {
        pack value = y[i], own = bias[remainder(i, filters)];
        for (int lane = 0; lane < PACK; lane++) value.of[lane] = rectified(value.of[lane] + own.of[lane], ceiling);
        y[i] = value;
    }
}
