// Max pooling with switches: the twins of pool and unpool in max_pool.py.  One thread makes one pack of the result.
// switch_t is unsigned char, or unsigned short for windows of more than 256 places.
#include "kernels.cuh"

struct alignas(PACK * sizeof(switch_t)) switches_t {
    switch_t of[PACK];
};

// y[n, oy, ox, c] = max of x over the window; switches = the winner's ky*kw + kx.  The first of equals wins, NaN over all.
extern "C" __global__ void pool(
    index_t count, const pack *__restrict__ x, pack *__restrict__ y, switches_t *__restrict__ switches, Window window)
{
#pragma unroll 1
    for (EACH(i, count)) {
        index_t rest = i;
        index_t c = digit(rest, window.channels), ox = digit(rest, window.ow), oy = digit(rest, window.oh), n = rest;
        index_t y0 = oy * window.sh - window.top, x0 = ox * window.sw - window.left;
        index_t ky = max(-y0, (index_t)0), kx = max(-x0, (index_t)0);
        index_t height = min((index_t)window.kh, window.height - y0), width = min((index_t)window.kw, window.width - x0);
        uindex_t start = ((n * window.height + y0 + ky) * window.width + x0 + kx) * window.channels + c;
        index_t place = ky * window.kw + kx, winner[PACK];
        pack best = x[start];
        for (int k = 0; k < PACK; k++) winner[k] = place;
#pragma unroll 1
        for (; ky < height; ky++, start += window.row, place += window.kw) {
            uindex_t at = start;
#pragma unroll 1
            for (index_t u = kx, name = place; u < width; u++, name++, at += window.channels) {
                pack value = x[at];
                for (int k = 0; k < PACK; k++) {
                    bool wins = !(value.of[k] <= best.of[k]) && best.of[k] == best.of[k];  // larger, or the first NaN
                    best.of[k] = wins ? value.of[k] : best.of[k];
                    winner[k] = wins ? name : winner[k];
                }
            }
        }
        y[i] = best;
        switches_t winners;
        for (int k = 0; k < PACK; k++) winners.of[k] = (switch_t)winner[k];
        switches[i] = winners;
    }
}

const index_t ADD = 0, MAX = 1;  // of `shared`; 2 is overwrite

// dx[n, iy, ix, c] = what the windows over this place, in reading order, send back to it: those whose switch names it.
// shared: 0 add them all (the transpose of pool), 1 keep the largest, 2 keep the last.  A gather, without atomics.
extern "C" __global__ void unpool(
    index_t count, pack *__restrict__ dx, const pack *__restrict__ dy, const switches_t *__restrict__ switches,
    Window window, index_t shared)
{
    uindex_t below = window.ow * window.channels;
#pragma unroll 1
    for (EACH(i, count)) {
        index_t rest = i;
        index_t c = digit(rest, window.channels);
        index_t x = digit(rest, window.width) + window.left, y = digit(rest, window.height) + window.top, n = rest;
        index_t oy = first_over(y, window.kh, window.sh), ox = first_over(x, window.kw, window.sw);
        index_t ky = y - oy * window.sh, kx = x - ox * window.sw;
        index_t last_ky = least_inside(ky, oy, window.oh, window.sh), last_kx = least_inside(kx, ox, window.ow, window.sw);
        uindex_t start = ((n * window.oh + oy) * window.ow + ox) * window.channels + c;
        pack out = {};
        bool chosen[PACK] = {};
#pragma unroll 1
        for (; ky >= last_ky; ky -= window.sh, start += below) {
            uindex_t at = start;
#pragma unroll 1
            for (index_t u = kx; u >= last_kx; u -= window.sw, at += window.channels) {
                pack sent = dy[at];
                switches_t winners = switches[at];
                index_t place = ky * window.kw + u;
                for (int k = 0; k < PACK; k++) {
                    bool takes = winners.of[k] == place && (shared != MAX || !chosen[k] || sent.of[k] > out.of[k]);
                    real value = shared == ADD ? out.of[k] + sent.of[k] : sent.of[k];
                    out.of[k] = takes ? value : out.of[k];
                    chosen[k] = chosen[k] || takes;
                }
            }
        }
        dx[i] = out;
    }
}
