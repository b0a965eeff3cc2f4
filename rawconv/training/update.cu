// Gradient descent on all parameters of a net: the twins of sgd_filters and scale_filters in update.py.
#include "../layers/kernels.cuh"

const int PARAMETERS = 32;
// rows that a lane asks for before it writes the first, as many as its registers hold
const int AHEAD = sizeof(real) == 4 && sizeof(index_t) == 4 ? 4 : 2;

// A weight of `rows` x `filters` (a filter is a column) and its tiles, of which the first is number `first` of those of
// all parameters.  squares: where its filters' sums of squares begin, below 0 for none.
struct Parameter {
    real *weight, *velocity;
    const real *grad;
    index_t rows, filters, step, parts;
    Divisor tiles;
    index_t first, squares;
    real rate, decay;
};

struct Parameters {
    Parameter of[PARAMETERS];
    int many;
};

// The parameter that tile `block` belongs to.
__device__ __forceinline__ int owner(const Parameters &all, index_t block)
{
    int p = 0;
    while (p + 1 < all.many && block >= all.of[p + 1].first) p++;
    return p;
}

// v = momentum * v - decay * w - rate * g;  w = w + v; and squares[part, o] = the sum of w_o^2, for filter o, over the
// part's `step` rows.  count: 256 for each tile.
extern "C" __global__ void sgd_filters(index_t count, Parameters all, real *__restrict__ squares, real momentum)
{
    for (index_t block = blockIdx.x; block * THREADS < count; block += gridDim.x) {
        const Parameter &own = all.of[owner(all, block)];
        index_t filters = own.filters;
        Tile tile = tile_of(block - own.first, own.tiles, own.rows, filters, own.step);
        real *weight = own.weight + tile.f, *velocity = own.velocity + tile.f, rate = own.rate, decay = own.decay;
        const real *grad = own.grad + tile.f;
        real sum = 0;
        for (index_t r = tile.first; r < tile.last; r += AHEAD * tile.lanes) {
            real w[AHEAD], v[AHEAD], g[AHEAD];
            for (int k = 0; k < AHEAD; k++) {
                index_t row = r + k * tile.lanes;
                bool inside = row < tile.last;
                w[k] = inside ? weight[row * filters] : 0;
                v[k] = inside ? velocity[row * filters] : 0;
                g[k] = inside ? grad[row * filters] : 0;
            }
            for (int k = 0; k < AHEAD; k++) {
                index_t row = r + k * tile.lanes;
                if (row >= tile.last) break;
                v[k] = momentum * v[k] - decay * w[k] - rate * g[k];
                w[k] += v[k];
                velocity[row * filters] = v[k];
                weight[row * filters] = w[k];
                sum += w[k] * w[k];
            }
        }
        if (own.squares < 0) continue;
        sum = sum_of_lanes(sum, tile);
        if (tile.lane == 0 && tile.f < filters) squares[own.squares + tile.part * filters + tile.f] = sum;
    }
}

// w_o *= radius / RMS(w_o) for each filter o whose RMS exceeds radius; squares as sgd_filters leaves them.
extern "C" __global__ void scale_filters(
    index_t count, Parameters all, const real *__restrict__ squares, real radius)
{
    for (index_t block = blockIdx.x; block * THREADS < count; block += gridDim.x) {
        const Parameter &own = all.of[owner(all, block)];
        Tile tile = tile_of(block - own.first, own.tiles, own.rows, own.filters, own.step);
        const real *parts = squares + own.squares + tile.f;
        real sum = 0;
        for (index_t part = 0; part < own.parts && tile.f < own.filters; part++) sum += parts[part * own.filters];
        real rms = sqrt(sum / own.rows);
        real *weight = own.weight + tile.f;
        if (rms > radius)
            for (index_t r = tile.first; r < tile.last; r += tile.lanes) weight[r * own.filters] *= radius / rms;
    }
}
