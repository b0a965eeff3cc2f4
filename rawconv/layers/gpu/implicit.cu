// Convolution without columns: one matrix product whose left factor, the columns of im2col.cu, is read from x where it
// is needed.  Blocks of threads make tiles of y; their twins are the loops of the same names in implicit.py.
#include "../kernels.cuh"

const int SIDE = 16;         // threads of a block are SIDE rows by SIDE columns ...
const int ROWS = 8;          // ... each of which makes so many rows of y, positions, by 4, 6 or 8 filters
const int HEIGHT = SIDE * ROWS;
const int DEPTH = 8;         // elements of a row of columns that a block has in shared memory at a time
const int LOADERS = THREADS / DEPTH;  // threads that load the same of these elements, for different rows
const int LOADED = HEIGHT / LOADERS;  // rows that each of them loads

template<int N> struct alignas(N == 4 ? 16 : 2 * sizeof(real)) Group {  // neighbours, read and written grouped
    real of[N];
};

// Where y lies: rows of `height` by `width` positions, of which every step-th one is written, from `first` on.
struct Place {
    index_t height, width, step_y, step_x, first_y, first_x;
};

// y[n, first_y + oy * step_y, first_x + ox * step_x, f] = bias[f] + sum over ky, kx, c of
// x[n, oy * sh - top + ky, ox * sw - left + kx, c] * weight[ky, kx, c, f], and then min(max(y, 0), ceiling) unless
// `ceiling` is below 0.  biased: whether there is a bias.  grouped: whether filters can be written by groups.
// The order of a sum is that of the filter's elements, on every card and whatever the tile.
template<int COLUMNS_EACH> __device__ __forceinline__ void convolve_tiles(
    index_t count, const real *__restrict__ x, const real *__restrict__ weight, const real *__restrict__ bias,
    real *__restrict__ y, const Window &window, const Divisor &filters, index_t rows, index_t biased, index_t grouped,
    const Place &place, real ceiling)
{
    const int GROUP = COLUMNS_EACH == 6 ? 2 : 4, WIDTH = SIDE * COLUMNS_EACH, WEIGHTS = WIDTH * DEPTH / THREADS;
    __shared__ Group<4> left[2][DEPTH][HEIGHT / 4 + 1];  // columns, transposed; one more keeps the banks apart
    __shared__ Group<GROUP> right[2][DEPTH][WIDTH / GROUP];
    const int t = threadIdx.x, ty = t / SIDE, tx = t % SIDE, lane = t % DEPTH, loader = t / DEPTH;
    index_t across = (filters + WIDTH - 1) / WIDTH, length = window.kh * window.run;
#pragma unroll 1
    for (index_t block = blockIdx.x; block * THREADS < count; block += gridDim.x) {
        index_t first_row = block / across * HEIGHT, first_filter = block % across * WIDTH;
        // The corner of each window: its row and its element in the row of x, and where that lies.
        index_t top[LOADED], begin[LOADED];
        uindex_t corner[LOADED];
#pragma unroll
        for (int n = 0; n < LOADED; n++) {
            index_t rest = first_row + loader + n * LOADERS, position = rest;
            index_t ox = digit(rest, window.ow), oy = digit(rest, window.oh);
            top[n] = position < rows ? oy * window.sh - window.top : (index_t)window.height;
            begin[n] = ox * window.step - window.indent;
            corner[n] = ((uindex_t)rest * window.height.length + top[n]) * window.row + begin[n];
        }
        // Which element of the filter this thread loads next: its row, its place in the row, and its distance from the
        // corner in x.
        index_t ky = 0, e = lane;
        while (e >= window.run) e -= window.run, ky++;
        real sum[ROWS][COLUMNS_EACH] = {}, x_next[LOADED], w_next[WEIGHTS];

#define LOAD(start) \
        { \
            uindex_t far = ky * window.row + e; \
            bool inside = ky < window.kh; \
            _Pragma("unroll") for (int n = 0; n < LOADED; n++) \
                x_next[n] = inside && (uindex_t)(top[n] + ky) < window.height.length \
                    && (uindex_t)(begin[n] + e) < (uindex_t)window.row ? x[corner[n] + far] : (real)0; \
            _Pragma("unroll") for (int n = 0; n < WEIGHTS; n++) { \
                index_t k = (start) + (t + n * THREADS) / WIDTH, f = first_filter + (t + n * THREADS) % WIDTH; \
                w_next[n] = k < length && f < filters ? weight[k * filters + f] : (real)0; \
            } \
            for (e += DEPTH; e >= window.run && ky < window.kh; ky++) e -= window.run; \
        }
#define STORE(turn) \
        { \
            _Pragma("unroll") for (int n = 0; n < LOADED; n++) { \
                const int row = loader + n * LOADERS; \
                left[turn][lane][row / 4].of[row % 4] = x_next[n]; \
            } \
            _Pragma("unroll") for (int n = 0; n < WEIGHTS; n++) { \
                const int column = (t + n * THREADS) % WIDTH; \
                right[turn][(t + n * THREADS) / WIDTH][column / GROUP].of[column % GROUP] = w_next[n]; \
            } \
        }

        LOAD(0)
        STORE(0)
        __syncthreads();
        int turn = 0;
#pragma unroll 1
        for (index_t start = 0; start < length; start += DEPTH, turn ^= 1) {
            bool more = start + DEPTH < length;
            if (more) LOAD(start + DEPTH)
#pragma unroll
            for (int k = 0; k < DEPTH; k++) {
                Group<4> a[ROWS / 4];
                Group<GROUP> b[COLUMNS_EACH / GROUP];
#pragma unroll
                for (int n = 0; n < ROWS / 4; n++) a[n] = left[turn][k][n * SIDE + ty];
#pragma unroll
                for (int n = 0; n < COLUMNS_EACH / GROUP; n++) b[n] = right[turn][k][n * SIDE + tx];
#pragma unroll
                for (int row = 0; row < ROWS; row++)
#pragma unroll
                    for (int n = 0; n < COLUMNS_EACH; n++)
                        sum[row][n] = fma(a[row / 4].of[row % 4], b[n / GROUP].of[n % GROUP], sum[row][n]);
            }
            if (more) STORE(turn ^ 1)
            __syncthreads();
        }
#undef LOAD
#undef STORE

#pragma unroll
        for (int row = 0; row < ROWS; row++) {
            index_t rest = first_row + row / 4 * (SIDE * 4) + ty * 4 + row % 4;
            if (rest >= rows) continue;
            index_t ox = digit(rest, window.ow), oy = digit(rest, window.oh);
            index_t iy = place.first_y + oy * place.step_y, ix = place.first_x + ox * place.step_x;
            uindex_t at = ((uindex_t)rest * place.height + iy) * place.width + ix;
#pragma unroll
            for (int n = 0; n < COLUMNS_EACH / GROUP; n++) {
                index_t f = first_filter + (n * SIDE + tx) * GROUP;
                Group<GROUP> value;
#pragma unroll
                for (int one = 0; one < GROUP; one++) {
                    real made = sum[row][n * GROUP + one];
                    if (biased && f + one < filters) made += bias[f + one];
                    if (ceiling >= 0) {
                        made = made <= 0 ? 0 : made;
                        made = made > ceiling ? ceiling : made;
                    }
                    value.of[one] = made;
                }
                real *to = y + (at * filters + f);
                if (grouped && f < filters)
                    *(Group<GROUP> *)to = value;
                else
#pragma unroll
                    for (int one = 0; one < GROUP; one++)
                        if (f + one < filters) to[one] = value.of[one];
            }
        }
        __syncthreads();
    }
}

// Tiles of 64, 96 and 128 filters.  count: THREADS for each tile.
extern "C" __global__ void implicit_64(
    index_t count, const real *__restrict__ x, const real *__restrict__ weight, const real *__restrict__ bias,
    real *__restrict__ y, Window window, Divisor filters, index_t rows, index_t biased, index_t grouped, index_t height,
    index_t width, index_t step_y, index_t step_x, index_t first_y, index_t first_x, real ceiling)
{
    Place place = {height, width, step_y, step_x, first_y, first_x};
    convolve_tiles<4>(count, x, weight, bias, y, window, filters, rows, biased, grouped, place, ceiling);
}

extern "C" __global__ void implicit_96(
    index_t count, const real *__restrict__ x, const real *__restrict__ weight, const real *__restrict__ bias,
    real *__restrict__ y, Window window, Divisor filters, index_t rows, index_t biased, index_t grouped, index_t height,
    index_t width, index_t step_y, index_t step_x, index_t first_y, index_t first_x, real ceiling)
{
    Place place = {height, width, step_y, step_x, first_y, first_x};
    convolve_tiles<6>(count, x, weight, bias, y, window, filters, rows, biased, grouped, place, ceiling);
}

extern "C" __global__ void implicit_128(
    index_t count, const real *__restrict__ x, const real *__restrict__ weight, const real *__restrict__ bias,
    real *__restrict__ y, Window window, Divisor filters, index_t rows, index_t biased, index_t grouped, index_t height,
    index_t width, index_t step_y, index_t step_x, index_t first_y, index_t first_x, real ceiling)
{
    Place place = {height, width, step_y, step_x, first_y, first_x};
    // float64 has no registers for 8 filters a thread: nobody asks for such tiles of it, and this compiles all the same
    const int EACH = sizeof(real) == 4 ? 8 : 4;
    convolve_tiles<EACH>(count, x, weight, bias, y, window, filters, rows, biased, grouped, place, ceiling);
}
