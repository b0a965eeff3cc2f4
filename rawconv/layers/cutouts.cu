// Windows cut out of maps: the twins of clear_outside, paste_windows and put_windows in cutouts.py.  One thread for
// each element of the result.  item is the type of the windows and maps, which are only copied.
#include "kernels.cuh"

// r[u, v, w, c] = value where the place (corner[u] + (v, w)) is not one of a map of rows x columns.
extern "C" __global__ void clear_outside(
    index_t count, item *__restrict__ r, const long long *__restrict__ corner, item value,
    Divisor height, Divisor width, Divisor channels, index_t rows, index_t columns)
{
    for (EACH(i, count)) {
        index_t u = i, c = digit(u, channels), w = digit(u, width), v = digit(u, height);
        index_t y = (index_t)corner[2 * u] + v, x = (index_t)corner[2 * u + 1] + w;
        if (y < 0 || y >= rows || x < 0 || x >= columns)
            r[i] = value;
    }
}

// maps[u] at corner[u] = the window r[u]; what hangs over is cut off.
extern "C" __global__ void paste_windows(
    index_t count, const item *__restrict__ r, item *__restrict__ maps, const long long *__restrict__ corner,
    Divisor height, Divisor width, Divisor channels, index_t rows, index_t columns)
{
    for (EACH(i, count)) {
        index_t u = i, c = digit(u, channels), w = digit(u, width), v = digit(u, height);
        index_t y = (index_t)corner[2 * u] + v, x = (index_t)corner[2 * u + 1] + w;
        if (y >= 0 && y < rows && x >= 0 && x < columns)
            maps[((u * rows + y) * columns + x) * channels + c] = r[i];
    }
}

// maps[at[u]] = 0 with the window r[u] of height x width at corner[u]; what hangs over is cut off.
extern "C" __global__ void put_windows(
    index_t count, const item *__restrict__ r, item *__restrict__ maps, const long long *__restrict__ corner,
    const long long *__restrict__ at, index_t height, index_t width, Divisor channels, Divisor rows, Divisor columns)
{
    for (EACH(i, count)) {
        index_t u = i, c = digit(u, channels), x = digit(u, columns), y = digit(u, rows);
        index_t v = y - (index_t)corner[2 * u], w = x - (index_t)corner[2 * u + 1];
        bool inside = v >= 0 && v < height && w >= 0 && w < width;
        item value = inside ? r[((u * height + v) * width + w) * channels + c] : (item)0;
        maps[(((index_t)at[u] * rows + y) * columns + x) * channels + c] = value;
    }
}
