// Max pooling with switches: the twins of pool and unpool in max_pool.py.  One thread makes one pack of the result.
// switch_t is unsigned char, or unsigned short for windows of more than 256 places.
#include "kernels.cuh"

struct alignas(PACK * sizeof(switch_t)) switches_t {
    switch_t of[PACK];
};

// y[n, oy, ox, c] = max of x over the window; switches = the winner's ky*kw + kx.
// The first of equals wins, NaN over all.
extern "C" __global__ void pool(
    index_t count, const pack *__restrict__ x, pack *__restrict__ y, switches_t *__restrict__ switches, Window window)
{
#pragma unroll 1
    for (EACH(i, count)) {
        auto [n, oy, ox, c] = position_of(i, window);
        index_t y0 = oy * window.sh - window.top, x0 = ox * window.sw - window.left;
        index_t ky = max(-y0, (index_t)0), kx = max(-x0, (index_t)0);
        index_t rows = min((index_t)window.kh, window.height - y0);
        index_t columns = min((index_t)window.kw, window.width - x0) - kx;
        const pack *row = x + (((n * window.height + y0 + ky) * window.width + x0 + kx) * window.channels + c);
        index_t first = ky * window.kw + kx, winner[PACK];
        pack best = *row;
        for (int lane = 0; lane < PACK; lane++) winner[lane] = first;
#pragma unroll 1
        for (; ky < rows; ky++, row += window.row, first += window.kw) {
            const pack *at = row;
#pragma unroll 1
            for (index_t place = first; place < first + columns; place++, at += window.channels) {
                pack value = *at;
                for (int lane = 0; lane < PACK; lane++) {
                    bool above = !(value.of[lane] <= best.of[lane]), wins = above && best.of[lane] == best.of[lane];
                    best.of[lane] = wins ? value.of[lane] : best.of[lane];
                    winner[lane] = wins ? place : winner[lane];
                }
            }
        }
        y[i] = best;
        switches_t winners;
        for (int lane = 0; lane < PACK; lane++) winners.of[lane] = (switch_t)winner[lane];
        switches[i] = winners;
    }
}

enum Shared { ADD, MAX, OVERWRITE };  // what becomes of places that several windows share, as in max_pool.py

// What the windows v, u over a place send to it; start is the element of dy of the first of them.
template<Shared HOW>
__device__ __forceinline__ pack sent_by(
    const pack *dy, const switches_t *switches, const Window &window, uindex_t start, Over v, Over u)
{
    pack out = {};
    bool chosen[PACK] = {};
    uindex_t below = window.ow * window.channels;
#pragma unroll 1
    for (index_t ky = v.at; ky >= v.last; ky -= window.sh, start += below) {
        uindex_t at = start;
#pragma unroll 1
        for (index_t kx = u.at; kx >= u.last; kx -= window.sw, at += window.channels) {
            pack value = dy[at];
            switches_t winners = switches[at];
            int place = ky * window.kw + kx;
            for (int lane = 0; lane < PACK; lane++) {
                bool takes = winners.of[lane] == place;
                if (HOW == MAX) {
                    takes = takes && (!chosen[lane] || value.of[lane] > out.of[lane]);
                    chosen[lane] = chosen[lane] || takes;
                }
                real sum = HOW == ADD ? out.of[lane] + value.of[lane] : value.of[lane];
                out.of[lane] = takes ? sum : out.of[lane];
            }
        }
    }
    return out;
}

// dx[n, iy, ix, c] = what the windows over this place, in reading order, send back to it: those whose switch names it.
// shared: ADD them all (the transpose of pool), keep the largest, or the last.  A gather, without atomics.
extern "C" __global__ void unpool(
    index_t count, pack *__restrict__ dx, const pack *__restrict__ dy, const switches_t *__restrict__ switches,
    Window window, index_t shared)
{
#pragma unroll 1
    for (EACH(i, count)) {
        auto [n, y, x, c] = cell_of(i, window);
        Over v = windows_over(y, window.kh, window.sh, window.oh), u = windows_over(x, window.kw, window.sw, window.ow);
        uindex_t start = ((n * window.oh + v.first) * window.ow + u.first) * window.channels + c;
        if (shared == ADD)
            dx[i] = sent_by<ADD>(dy, switches, window, start, v, u);
        else if (shared == MAX)
            dx[i] = sent_by<MAX>(dy, switches, window, start, v, u);
        else
            dx[i] = sent_by<OVERWRITE>(dy, switches, window, start, v, u);
    }
}
