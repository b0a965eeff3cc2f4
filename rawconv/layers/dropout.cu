// Dropout: the twin of dropout in dropout.py.  One thread masks four neighbouring elements, with one call of Philox.
#include "kernels.cuh"

typedef unsigned int word;
typedef unsigned long long twice;

// Philox4x32-10: ten rounds over the counter c with the key (k0, k1), as philox4x32 in philox.py.
__device__ void philox4x32(word c[4], word k0, word k1)
{
    for (int round = 0; round < 10; round++) {
        twice p0 = (twice)0xD2511F53 * c[0], p1 = (twice)0xCD9E8D57 * c[2];
        c[0] = (word)(p1 >> 32) ^ c[1] ^ k0;
        c[1] = (word)p1;
        c[2] = (word)(p0 >> 32) ^ c[3] ^ k1;
        c[3] = (word)p0;
        k0 += 0x9E3779B9;
        k1 += 0xBB67AE85;
    }
}

// y[n, e] = x[n, e] * scale where the random word reaches the threshold, else 0.
// length: the elements e of one picture; fours: the calls of Philox for them.
extern "C" __global__ void dropout(
    index_t count, const real *__restrict__ x, real *__restrict__ y, const unsigned long long *__restrict__ samples,
    index_t length, Divisor fours, long long threshold, real scale, long long seed, long long stream, long long epoch)
{
    for (EACH(i, count)) {
        index_t n = i, four = digit(n, fours);
        word words[4] = {(word)four, (word)samples[n], (word)epoch, 0};
        philox4x32(words, (word)seed, (word)stream);
        for (int k = 0; k < 4 && 4 * four + k < length; k++) {
            index_t at = n * length + 4 * four + k;
            y[at] = words[k] >= threshold ? x[at] * scale : 0;
        }
    }
}
