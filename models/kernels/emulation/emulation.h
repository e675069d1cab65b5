// A GPU's blocks, threads, shared memory, barriers, shuffles, asynchronous copies and matrix instructions, in plain C++.
//
// Every thread of a block is a fiber. A fiber runs until it needs another one: at a barrier, or at an instruction that a
// whole warp executes together. What hardware leaves undefined is made visible here: shared memory starts as NaN, the
// target of an asynchronous copy is NaN until the copy was waited for, and the order of threads can be turned around.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#ifdef __F16C__
#include <immintrin.h>
#endif

#include "launch.h"

#define __global__
#define __device__
#define __restrict__
#define __launch_bounds__(...)
#define DEVICE inline
#define SHARED(name) unsigned char* name = emulation::shared_memory()

struct uint2 {
    unsigned x, y;
};
struct alignas(16) uint4 {
    unsigned x, y, z, w;
};
struct float2 {
    float x, y;
};
struct alignas(16) float4 {
    float x, y, z, w;
};
/// Bits of a half.
struct __half {
    std::uint16_t bits;
};

namespace emulation {

struct Place {
    Dim thread, block, block_size, grid_size;
};
/// Of the thread that runs now.
extern thread_local Place place;

unsigned char* shared_memory();
void barrier();

/// What a warp does together.
enum class Together { Shuffle, LoadMatrices, LoadTransposed, MultiplyAdd };
/// What one lane brings to it, and takes from it.
struct Lane {
    const void* address;
    int mask;
    const unsigned* a;
    unsigned b[2];
    float value;
    float* sums;
    unsigned* to;
};
/// Returns when all 32 lanes have come.
void together(Together what, Lane& lane);

void copy_async(void* to, const void* from, bool valid);
void copy_commit();
void copy_wait(unsigned pending);

#ifdef __F16C__
inline std::uint16_t to_half(float value) { return static_cast<std::uint16_t>(_cvtss_sh(value, _MM_FROUND_TO_NEAREST_INT)); }
inline float from_half(std::uint16_t bits) { return _cvtsh_ss(bits); }
#else
std::uint16_t to_half(float value);
float from_half(std::uint16_t bits);
#endif

}  // namespace emulation

#define threadIdx (emulation::place.thread)
#define blockIdx (emulation::place.block)
#define blockDim (emulation::place.block_size)
#define gridDim (emulation::place.grid_size)

inline void __syncthreads() { emulation::barrier(); }
inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }

namespace rhumb {

using std::erff;
using std::exp2f;

DEVICE void copy_async(void* to, const void* from, bool valid) { emulation::copy_async(to, from, valid); }
DEVICE void copy_commit() { emulation::copy_commit(); }
template <int PENDING>
DEVICE void copy_wait() {
    emulation::copy_wait(PENDING);
}

DEVICE void load_matrices(unsigned (&to)[4], const void* row) {
    emulation::Lane lane{};
    lane.address = row;
    lane.to = to;
    emulation::together(emulation::Together::LoadMatrices, lane);
}
DEVICE void load_transposed(unsigned (&to)[4], const void* row) {
    emulation::Lane lane{};
    lane.address = row;
    lane.to = to;
    emulation::together(emulation::Together::LoadTransposed, lane);
}
DEVICE void multiply_add(float (&sums)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    emulation::Lane lane{};
    lane.a = a;
    lane.b[0] = b0;
    lane.b[1] = b1;
    lane.sums = sums;
    emulation::together(emulation::Together::MultiplyAdd, lane);
}
DEVICE float shuffle_xor(float value, int mask) {
    emulation::Lane lane{};
    lane.value = value;
    lane.mask = mask;
    emulation::together(emulation::Together::Shuffle, lane);
    return lane.value;
}
DEVICE unsigned pack(float low, float high) {
    return emulation::to_half(low) | static_cast<unsigned>(emulation::to_half(high)) << 16;
}
DEVICE float2 unpack(unsigned pair) {
    return {emulation::from_half(static_cast<std::uint16_t>(pair)),
            emulation::from_half(static_cast<std::uint16_t>(pair >> 16))};
}

}  // namespace rhumb
