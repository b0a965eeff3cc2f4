// Average pooling: the twins of average and spread in average_pool.py.  One thread makes one pack of the result.
#include "kernels.cuh"

// How many of the `size` cells from `first` on lie in low..high-1; 1 where none does, so that a sum can ask for no
// count.
__device__ __forceinline__ int cells(index_t first, index_t size, index_t low, index_t high)
{
    index_t end = min(first + size, high) - max(first, low);
    return (int)max(end, (index_t)1);
}

// y[n, oy, ox, c] = sum of x over the window / its count.  The sum of each row, then that of the rows, as on the CPU.
extern "C" __global__ void average(
    index_t count, const pack *__restrict__ x, pack *__restrict__ y, Window window,
    index_t count_top, index_t count_left, index_t count_bottom, index_t count_right)
{
#pragma unroll 1
    for (EACH(i, count)) {
        auto [n, oy, ox, c] = position_of(i, window);
        index_t y0 = oy * window.sh - window.top, x0 = ox * window.sw - window.left;
        index_t bottom = min(y0 + window.kh, (index_t)window.height);
        index_t right = min(x0 + window.kw, (index_t)window.width);
        index_t first = max(x0, (index_t)0);
        pack total = {};
#pragma unroll 1
        for (index_t iy = max(y0, (index_t)0); iy < bottom; iy++) {
            uindex_t at = ((n * window.height + iy) * window.width + first) * window.channels + c;
            pack line = {};
#pragma unroll 1
            for (index_t ix = first; ix < right; ix++, at += window.channels) {
                pack value = x[at];
                for (int lane = 0; lane < PACK; lane++) line.of[lane] += value.of[lane];
            }
            for (int lane = 0; lane < PACK; lane++) total.of[lane] += line.of[lane];
        }
        real cells_of = cells(y0, window.kh, count_top, count_bottom) * cells(x0, window.kw, count_left, count_right);
        for (int lane = 0; lane < PACK; lane++) total.of[lane] /= cells_of;
        y[i] = total;
    }
}

// dx[n, iy, ix, c] = sum of dy / count over the windows that hold the place, in reading order: the transpose of
// average.
extern "C" __global__ void spread(
    index_t count, pack *__restrict__ dx, const pack *__restrict__ dy, Window window,
    index_t count_top, index_t count_left, index_t count_bottom, index_t count_right)
{
    uindex_t below = window.ow * window.channels;
#pragma unroll 1
    for (EACH(i, count)) {
        auto [n, y, x, c] = cell_of(i, window);
        Over v = windows_over(y, window.kh, window.sh, window.oh), u = windows_over(x, window.kw, window.sw, window.ow);
        uindex_t row = ((n * window.oh + v.first) * window.ow + u.first) * window.channels + c;
        pack out = {};
#pragma unroll 1
        for (index_t ky = v.at; ky >= v.last; ky -= window.sh, row += below) {
            int rows = cells(y - ky - window.top, window.kh, count_top, count_bottom);
            uindex_t at = row;
#pragma unroll 1
            for (index_t kx = u.at; kx >= u.last; kx -= window.sw, at += window.channels) {
                real cells_of = rows * cells(x - kx - window.left, window.kw, count_left, count_right);
                pack sent = dy[at];
                for (int lane = 0; lane < PACK; lane++) out.of[lane] += sent.of[lane] / cells_of;
            }
        }
        dx[i] = out;
    }
}
