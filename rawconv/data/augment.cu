// The twin of crops in augment.py: one thread for each number of the result, channels side by side in memory.
#include "../layers/kernels.cuh"

// y[n, v, u, c] = (pictures[row] - mean)[top + v, left + u, c] for places[n] = (row, top, left, flip), mirrored if flip
// is set; 0 outside the picture.
extern "C" __global__ void crops(
    index_t count, const unsigned char *__restrict__ pictures, const long long *__restrict__ places,
    const real *__restrict__ mean, real *__restrict__ y,
    index_t height, index_t width, Divisor channels, Divisor crop_height, Divisor crop_width)
{
    for (EACH(i, count)) {
        index_t n = i, c = digit(n, channels), u = digit(n, crop_width), v = digit(n, crop_height);
        const long long *place = places + 4 * n;
        index_t row = (index_t)place[1] + v, column = (index_t)place[2] + (place[3] ? crop_width - 1 - u : u);
        bool inside = row >= 0 && row < height && column >= 0 && column < width;
        index_t at = (row * width + column) * channels + c;
        y[i] = inside ? pictures[(index_t)place[0] * height * width * channels + at] - mean[at] : 0;
    }
}
