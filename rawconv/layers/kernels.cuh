// What the kernels share.  Every .cu file includes this text; machine/kernels.py puts it in and defines, for the arrays
// at hand,
//   real      float or double
//   index_t   int, or long long where 31 bits do not hold every index
//   PACK      how many neighbouring channels a thread moves at once: 4 where their number is a multiple of 4, else 1
// Nothing here depends on the size of a warp or on one vendor's assembler: the same text compiles for CUDA and HIP.

typedef unsigned index_t uindex_t;  // the same number of bits, for sums that may pass 2^31 on their way

const int THREADS = 256;  // of a block, as machine/kernels.py launches them

// for (EACH(i, count)): the elements of one thread, which walks on in strides of the whole grid.
#define EACH(i, count) \
    index_t i = blockIdx.x * (index_t)blockDim.x + threadIdx.x; i < count; i += (index_t)gridDim.x * blockDim.x

// PACK neighbouring channels, read and written 16 bytes at a time.
struct alignas(PACK == 1 ? sizeof(real) : 16) pack {
    real of[PACK];
};

// A length to divide by, with its reciprocal: the launcher finds a factor and a shift that are exact for every n >= 0.
struct Divisor {
    uindex_t length, factor;
    int shift;

    __device__ operator index_t() const { return (index_t)length; }
};

__device__ __forceinline__ unsigned high_half(unsigned a, unsigned b)
{
    return __umulhi(a, b);
}

__device__ __forceinline__ unsigned long long high_half(unsigned long long a, unsigned long long b)
{
    return __umul64hi(a, b);
}

// n / length, rounded down.
__device__ __forceinline__ index_t quotient(index_t n, const Divisor &length)
{
    return (high_half((uindex_t)n, length.factor) + n) >> length.shift;
}

// n % length.
__device__ __forceinline__ index_t remainder(index_t n, const Divisor &length)
{
    return n - quotient(n, length) * length;
}

// The last digit of n in the base `length`; n keeps the digits before it.
__device__ __forceinline__ index_t digit(index_t &n, const Divisor &length)
{
    index_t before = quotient(n, length), last = n - before * length;
    n = before;
    return last;
}

// A window that moves over the map (height, width, channels) and stands at (oh, ow) positions.  The names are those of
// window.py.  Channels are counted in packs.
struct Window {
    Divisor height, width, channels, oh, ow, kh, kw, sh, sw;
    index_t top, left;
    Divisor run;                // packs in a row of the window: kw * channels
    index_t row, step, indent;  // packs in a row of the map, from window to window, in its left padding
};

// The windows that hold a place, along one axis: the first of them is number `first`.  The place lies `at` cells inside
// it, `stride` cells fewer inside the next, and so on down to `last` or a little more; none holds it where at < last.
struct Over {
    index_t first, at, last;
};

// Places are counted from the padding's edge.
__device__ __forceinline__ Over windows_over(
    index_t place, const Divisor &size, const Divisor &stride, const Divisor &positions)
{
    index_t first = place < size ? 0 : quotient(place - size, stride) + 1, at = place - first * stride;
    return {first, at, max(at - (positions - 1 - first) * stride, (index_t)0)};
}

// What element i is: channel c of picture n at (y, x).
struct Cell {
    index_t n, y, x, c;
};

// Of the map under the window, counted from the padding's edge.
__device__ __forceinline__ Cell cell_of(index_t i, const Window &window)
{
    index_t c = digit(i, window.channels), x = digit(i, window.width) + window.left;
    index_t y = digit(i, window.height) + window.top;
    return {i, y, x, c};
}

// Of the map of the window's positions.
__device__ __forceinline__ Cell position_of(index_t i, const Window &window)
{
    index_t c = digit(i, window.channels), x = digit(i, window.ow), y = digit(i, window.oh);
    return {i, y, x, c};
}

// What a ReLU above makes of a value, unless `ceiling` is below 0: min(max(value, 0), ceiling).  A NaN stays NaN, as in
// relu.py.
__device__ __forceinline__ real rectified(real value, real ceiling)
{
    if (ceiling >= 0) {
        value = value <= 0 ? 0 : value;
        value = value > ceiling ? ceiling : value;
    }
    return value;
}

const int COLUMNS = 32;  // of a tile

// A tile of a matrix with `filters` columns, cut into parts of `step` rows.  The threads of a block are COLUMNS side by
// side in memory by `lanes` that take rows in turn: each has column f, rows first, first + lanes, ... below last.

struct Tile {
    index_t part, f, first, last;
    int column, lane, lanes;
};

__device__ __forceinline__ Tile tile_of(
    index_t block, const Divisor &tiles, index_t rows, index_t filters, index_t step)
{
    Tile tile;
    tile.column = threadIdx.x % COLUMNS, tile.lane = threadIdx.x / COLUMNS, tile.lanes = blockDim.x / COLUMNS;
    tile.part = block, tile.f = digit(tile.part, tiles) * COLUMNS + tile.column;
    tile.first = tile.part * step + tile.lane;
    tile.last = tile.f < filters ? min((tile.part + 1) * step, rows) : 0;
    return tile;
}

// The sum of one value a lane, in the order of the lanes, in lane 0.
__device__ __forceinline__ real sum_of_lanes(real value, const Tile &tile)
{
    __shared__ real values[THREADS];
    values[threadIdx.x] = value;
    __syncthreads();
    if (tile.lane == 0)
        for (int lane = 1; lane < tile.lanes; lane++) value += values[lane * COLUMNS + tile.column];
    __syncthreads();
    return value;
}
