// Dropout: the twin of dropout in dropout.py.  One thread masks four neighbouring elements, with one call of Philox.

#define EACH(i, count) \
    long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x; i < count; i += (long long)gridDim.x * blockDim.x

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

// y[n, e] = x[n, e] * scale where the random word reaches the threshold, else 0.  length: the elements e of one picture.
extern "C" __global__ void dropout(
    long long count, const real *__restrict__ x, real *__restrict__ y, const unsigned long long *__restrict__ samples,
    long long length, long long threshold, real scale, long long seed, long long stream, long long epoch)
{
    long long blocks = (length + 3) / 4;
    for (EACH(i, count)) {
        long long n = i / blocks, block = i % blocks;
        word words[4] = {(word)block, (word)samples[n], (word)epoch, 0};
        philox4x32(words, (word)seed, (word)stream);
        for (int k = 0; k < 4 && 4 * block + k < length; k++) {
            long long at = n * length + 4 * block + k;
            y[at] = words[k] >= threshold ? x[at] * scale : 0;
        }
    }
}
