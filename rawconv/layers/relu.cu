// The way back of a ReLU: the twin of relu_grad_block in relu.py.  One thread makes one pack of the result.
#include "kernels.cuh"

// dx = dy where 0 < y < ceiling, else 0; without a ceiling, an infinite one, infinite ones are below it too.
// dx may be dy.
extern "C" __global__ void relu_grad_block(index_t count, real ceiling, const pack *dy, const pack *y, pack *dx)
{
    bool endless = isinf(ceiling);
#pragma unroll 1
    for (EACH(i, count)) {
        pack value = dy[i], own = y[i];
        for (int lane = 0; lane < PACK; lane++)
            value.of[lane] = own.of[lane] > 0 && (own.of[lane] < ceiling || endless) ? value.of[lane] : 0;
        dx[i] = value;
    }
}
