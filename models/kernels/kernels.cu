// The kernels of the encoder, by the names that models/src/encoder/cuda/ looks up.
//
// Two compilers read this file: scripts/build-kernels makes the image that is committed beside it, and the tests compile it
// as C++ with emulation/ in place of the hardware.
#include "attention.cuh"
#include "product.cuh"
#include "rows.cuh"

using namespace rhumb;

#define ROWS(WIDTH)                                                                                                        \
    extern "C" __global__ void __launch_bounds__(ROWS_OF_BLOCK * LANES, 8)                                                    \
        embed_##WIDTH(const Sizes* sizes, const Row* rows, const __half* words, const __half* positions,                   \
                      const float* gamma, const float* beta, float eps, __half* states) {                                  \
        embed_rows<WIDTH>(sizes, rows, words, positions, gamma, beta, eps, states);                                        \
    }                                                                                                                      \
    extern "C" __global__ void __launch_bounds__(ROWS_OF_BLOCK * LANES, 8)                                                    \
        normalize_##WIDTH(const Sizes* sizes, const __half* change, const float* gamma, const float* beta, float eps,      \
                          __half* states) {                                                                                \
        add_and_normalize<WIDTH>(sizes, change, gamma, beta, eps, states);                                                 \
    }

ROWS(384)
ROWS(768)
ROWS(1024)

#define PRODUCTS(NAME, TILE)                                                                                               \
    extern "C" __global__ void __launch_bounds__(TILE::THREADS)                                                            \
        product_##NAME(const Sizes* sizes, const __half* x, const __half* weights, const float* bias, int inputs,          \
                       int outputs, __half* out) {                                                                         \
        product_tile<TILE, false>(sizes, x, weights, bias, inputs, outputs, out);                                          \
    }                                                                                                                      \
    extern "C" __global__ void __launch_bounds__(TILE::THREADS)                                                            \
        product_gelu_##NAME(const Sizes* sizes, const __half* x, const __half* weights, const float* bias, int inputs,     \
                            int outputs, __half* out) {                                                                    \
        product_tile<TILE, true>(sizes, x, weights, bias, inputs, outputs, out);                                           \
    }

PRODUCTS(small, Small)
PRODUCTS(medium, Medium)
PRODUCTS(large, Large)

#define ATTENTION(HEAD)                                                                                                    \
    extern "C" __global__ void __launch_bounds__(ATTENTION_THREADS)                                                        \
        attend_##HEAD(const Sizes* sizes, const Item* items, const __half* qkv, int width, float scale, __half* out) {     \
        attend<HEAD>(sizes, items, qkv, width, scale, out);                                                                \
    }

ATTENTION(32)
ATTENTION(64)

extern "C" __global__ void __launch_bounds__(POOL_THREADS)
    pool(const Sizes* sizes, const Text* texts, const __half* states, int width, int pooling, int normalize, float* pooled) {
    pool_text(sizes, texts, states, width, pooling, normalize, pooled);
}
