// A preload for HIP programs: a line to the file $LAUNCHES for each kernel, copy, fill, product and wait of the device,
// CuPy's own included.  g++ -O1 -shared -fPIC -o launches.so launches.cpp -ldl
#include <dlfcn.h>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>

static void tell(const char *what, const char *name)
{
    static FILE *file = fopen(getenv("LAUNCHES"), "a");
    fprintf(file, "%s %s\n", what, name);
    fflush(file);
}

template<class Function> static Function real(const char *library, const char *name)
{
    void *found = dlsym(dlopen(library, RTLD_LAZY), name);
    if (!found)
        fprintf(stderr, "launches: no %s\n", name), abort();
    return (Function)found;
}

static std::map<void *, std::string> names;

#define HIP(name, parameters, arguments, note) \
    extern "C" int name parameters \
    { \
        static auto call = real<int (*) parameters>("libamdhip64.so.7", #name); \
        note; \
        return call arguments; \
    }
#define BLAS(name, parameters, arguments) \
    extern "C" int name parameters \
    { \
        static auto call = real<int (*) parameters>("libhipblas.so.3", #name); \
        tell("product", #name); \
        return call arguments; \
    }

extern "C" int hipModuleGetFunction(void **function, void *module, const char *name)
{
    static auto call = real<int (*)(void **, void *, const char *)>("libamdhip64.so.7", "hipModuleGetFunction");
    int error = call(function, module, name);
    names[*function] = name;
    return error;
}

HIP(hipModuleLaunchKernel,
    (void *f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared, void *stream,
     void **arguments, void **extra),
    (f, gx, gy, gz, bx, by, bz, shared, stream, arguments, extra), tell("kernel", names[f].c_str()))
HIP(hipMemcpyAsync, (void *to, const void *from, size_t size, int kind, void *stream), (to, from, size, kind, stream),
    tell("copy", kind == 1 ? "to_device" : kind == 2 ? "to_host" : "inside"))
HIP(hipMemcpy, (void *to, const void *from, size_t size, int kind), (to, from, size, kind),
    tell("wait", kind == 1 ? "copy_to_device" : kind == 2 ? "copy_to_host" : "copy_inside"))
HIP(hipMemsetAsync, (void *to, int value, size_t size, void *stream), (to, value, size, stream), tell("fill", "memset"))
HIP(hipStreamSynchronize, (void *stream), (stream), tell("wait", "stream"))
HIP(hipDeviceSynchronize, (), (), tell("wait", "device"))
HIP(hipEventSynchronize, (void *event), (event), tell("wait", "event"))
BLAS(hipblasSgemm,
     (void *h, int ta, int tb, int m, int n, int k, const float *alpha, const float *a, int lda, const float *b, int ldb,
      const float *beta, float *c, int ldc),
     (h, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc))
BLAS(hipblasGemmEx,
     (void *h, int ta, int tb, int m, int n, int k, const void *alpha, const void *a, int at, int lda, const void *b,
      int bt, int ldb, const void *beta, void *c, int ct, int ldc, int type, int algorithm),
     (h, ta, tb, m, n, k, alpha, a, at, lda, b, bt, ldb, beta, c, ct, ldc, type, algorithm))
