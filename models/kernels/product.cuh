// out[rows x outputs] = activation(x[rows x inputs] * weights[outputs x inputs]^T + bias), halves with f32 sums.
//
// A block computes a tile of the output. Tiles of both inputs, DEPTH values deep, flow through STAGES buffers of shared
// memory ahead of the matrix instructions. Every element is the sum of the same instructions in the same order whatever the
// tile, so that a text's vectors do not depend on the batch it came in.
#pragma once

#include "batch.cuh"

namespace rhumb {

// Halves of a row in one buffer: 128 bytes, all banks of shared memory once.
constexpr int DEPTH = 64;
// 16 bytes, what one copy moves.
constexpr int CHUNK = 8;
constexpr int CHUNKS = DEPTH / CHUNK;

// TILE_M x TILE_N elements of the output for WARPS_M x WARPS_N warps.
template <int TILE_M, int TILE_N, int WARPS_M, int WARPS_N, int STAGES_>
struct Tile {
    static constexpr int M = TILE_M, N = TILE_N, STAGES = STAGES_;
    static constexpr int WM = TILE_M / WARPS_M, WN = TILE_N / WARPS_N;
    static constexpr int COLUMNS = WARPS_N;
    static constexpr int THREADS = WARPS_M * WARPS_N * LANES;
    static constexpr int STAGE = (TILE_M + TILE_N) * DEPTH;
    static constexpr int PIPELINE_BYTES = STAGES * STAGE * 2;
    // The output tile in f32, its rows apart by 8 values more, so that the fragments of four rows meet different banks.
    static constexpr int OUT_STRIDE = TILE_N + 8;
    static constexpr int OUT_BYTES = TILE_M * OUT_STRIDE * 4;
    static constexpr int BYTES = PIPELINE_BYTES > OUT_BYTES ? PIPELINE_BYTES : OUT_BYTES;
    static_assert(WM % 16 == 0 && WN % 16 == 0, "whole fragments");
};

// Latency of few tokens, the middle, and throughput.
using Small = Tile<32, 32, 2, 2, 4>;
using Medium = Tile<64, 64, 2, 2, 4>;
using Large = Tile<128, 128, 2, 4, 3>;

// Where a chunk of a row stands: rows are rotated against each other, so that eight rows' chunks of one column lie in
// different banks.
DEVICE int swizzled(int row, int chunk) { return row * DEPTH + (chunk ^ (row % CHUNKS)) * CHUNK; }

// x * (1 + erf(x / sqrt 2)) / 2.
DEVICE float gelu(float x) { return 0.5f * x * (1.0f + erff(x * 0.70710678118654752f)); }

template <class T>
struct ProductInput {
    const __half* x;
    const __half* weights;
    int inputs;
    unsigned rows, row0, column0;

    // Starts the copies of one stage.
    DEVICE void fetch(__half* stage, int depth0) const {
        constexpr int TOTAL = (T::M + T::N) * CHUNKS;
        static_assert(TOTAL % T::THREADS == 0 && T::M * CHUNKS % T::THREADS == 0, "every thread copies as much");
#pragma unroll
        for (int i = 0; i < TOTAL / T::THREADS; ++i) {
            const int part = threadIdx.x + i * T::THREADS;
            const int row = part / CHUNKS, chunk = part % CHUNKS;
            __half* const to = stage + (row < T::M ? swizzled(row, chunk) : T::M * DEPTH + swizzled(row - T::M, chunk));
            const int column = depth0 + chunk * CHUNK;
            if (row < T::M) {
                const unsigned source = row0 + row;
                const bool valid = source < rows;
                copy_async(to, x + static_cast<size_t>(valid ? source : row0) * inputs + column, valid);
            } else {
                copy_async(to, weights + static_cast<size_t>(column0 + row - T::M) * inputs + column, true);
            }
        }
    }
};

// The matrix instructions of one stage.
template <class T>
DEVICE void multiply_stage(const __half* stage, int warp_row, int warp_column, float (&sums)[T::WM / 16][T::WN / 8][4]) {
    const int lane = lane_number();
    const __half* const a_tile = stage;
    const __half* const b_tile = stage + T::M * DEPTH;
#pragma unroll
    for (int k = 0; k < DEPTH / 16; ++k) {
        unsigned a[T::WM / 16][4], b[T::WN / 16][4];
#pragma unroll
        for (int m = 0; m < T::WM / 16; ++m)
            load_matrices(a[m], a_tile + swizzled(warp_row + m * 16 + lane % 16, k * 2 + lane / 16));
#pragma unroll
        for (int n = 0; n < T::WN / 16; ++n)
            load_matrices(b[n], b_tile + swizzled(warp_column + n * 16 + lane / 16 * 8 + lane % 8, k * 2 + lane / 8 % 2));
#pragma unroll
        for (int m = 0; m < T::WM / 16; ++m)
#pragma unroll
            for (int n = 0; n < T::WN / 8; ++n) multiply_add(sums[m][n], a[m], b[n / 2][n % 2 * 2], b[n / 2][n % 2 * 2 + 1]);
    }
}

// The sums through shared memory, so that bias and activation are applied to, and stores made of, 16 bytes of a row at once.
template <class T, bool GELU>
DEVICE void store_tile(const float (&sums)[T::WM / 16][T::WN / 8][4], const float* bias, float* tile, int warp_row,
                       int warp_column, const ProductInput<T>& input, int outputs, __half* out) {
    const int lane = lane_number();
#pragma unroll
    for (int n = 0; n < T::WN / 8; ++n)
#pragma unroll
        for (int m = 0; m < T::WM / 16; ++m) {
            float* const at = tile + (warp_row + m * 16 + lane / 4) * T::OUT_STRIDE + warp_column + n * 8 + lane % 4 * 2;
            *reinterpret_cast<float2*>(at) = {sums[m][n][0], sums[m][n][1]};
            *reinterpret_cast<float2*>(at + 8 * T::OUT_STRIDE) = {sums[m][n][2], sums[m][n][3]};
        }
    __syncthreads();
    constexpr int ROW_CHUNKS = T::N / CHUNK;
#pragma unroll 1
    for (int part = threadIdx.x; part < T::M * ROW_CHUNKS; part += T::THREADS) {
        const int row = part / ROW_CHUNKS, column = part % ROW_CHUNKS * CHUNK;
        if (input.row0 + row >= input.rows) break;
        float values[CHUNK];
#pragma unroll
        for (int i = 0; i < CHUNK; ++i) {
            values[i] = tile[row * T::OUT_STRIDE + column + i] + bias[input.column0 + column + i];
            if (GELU) values[i] = gelu(values[i]);
        }
        const uint4 packed = {pack(values[0], values[1]), pack(values[2], values[3]), pack(values[4], values[5]),
                              pack(values[6], values[7])};
        *reinterpret_cast<uint4*>(out + static_cast<size_t>(input.row0 + row) * outputs + input.column0 + column) = packed;
    }
}

template <class T, bool GELU>
DEVICE void product_tile(const Sizes* sizes, const __half* x, const __half* weights, const float* bias, int inputs,
                         int outputs, __half* out) {
    SHARED(memory);
    __half* const shared = reinterpret_cast<__half*>(memory);
    const ProductInput<T> input = {x, weights, inputs, sizes->rows, blockIdx.y * T::M, blockIdx.x * T::N};
    if (input.row0 >= input.rows) return;
    const int warp_row = warp_number() / T::COLUMNS * T::WM, warp_column = warp_number() % T::COLUMNS * T::WN;
    float sums[T::WM / 16][T::WN / 8][4] = {};
    const int steps = inputs / DEPTH;
#pragma unroll
    for (int stage = 0; stage < T::STAGES - 1; ++stage) {
        if (stage < steps) input.fetch(shared + stage * T::STAGE, stage * DEPTH);
        copy_commit();
    }
    // Unrolled further it would only be longer: its body is hundreds of instructions.
#pragma unroll 1
    for (int step = 0; step < steps; ++step) {
        copy_wait<T::STAGES - 2>();
        // Everybody's copies have come, and nobody still reads the buffer that is filled next.
        __syncthreads();
        const int ahead = step + T::STAGES - 1;
        if (ahead < steps) input.fetch(shared + ahead % T::STAGES * T::STAGE, ahead * DEPTH);
        // An empty group at the end keeps the count that `copy_wait` relies on.
        copy_commit();
        multiply_stage<T>(shared + step % T::STAGES * T::STAGE, warp_row, warp_column, sums);
    }
    __syncthreads();
    store_tile<T, GELU>(sums, bias, reinterpret_cast<float*>(memory), warp_row, warp_column, input, outputs, out);
}

}  // namespace rhumb
