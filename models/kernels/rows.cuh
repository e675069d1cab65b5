// What works row by row: one warp for each row, the row in registers, sums in f32.
#pragma once

#include "batch.cuh"

namespace rhumb {

// Rows that one block takes.
constexpr int ROWS_OF_BLOCK = 4;

// A row of WIDTH values spread over a warp: lane `i` holds the groups of four `i`, `i + 32`, ...
template <int WIDTH>
struct RowValues {
    static constexpr int GROUPS = WIDTH / 4 / LANES;
    static_assert(WIDTH % (4 * LANES) == 0, "whole groups for every lane");
    float at[GROUPS][4];

    // Adds the halves of a row.
    DEVICE void add(const __half* row) {
        const uint2* groups = reinterpret_cast<const uint2*>(row);
#pragma unroll
        for (int g = 0; g < GROUPS; ++g) {
            const uint2 four = groups[lane_number() + g * LANES];
            const float2 low = unpack(four.x), high = unpack(four.y);
            at[g][0] += low.x;
            at[g][1] += low.y;
            at[g][2] += high.x;
            at[g][3] += high.y;
        }
    }

    DEVICE void clear() {
#pragma unroll
        for (int g = 0; g < GROUPS; ++g)
#pragma unroll
            for (int i = 0; i < 4; ++i) at[g][i] = 0.0f;
    }

    // Mean 0 and variance 1, then times gamma plus beta, to halves.
    DEVICE void normalize(const float* gamma, const float* beta, float eps, __half* out) {
        float sum = 0.0f;
#pragma unroll
        for (int g = 0; g < GROUPS; ++g)
#pragma unroll
            for (int i = 0; i < 4; ++i) sum += at[g][i];
        const float mean = warp_sum(sum) / WIDTH;
        float squares = 0.0f;
#pragma unroll
        for (int g = 0; g < GROUPS; ++g)
#pragma unroll
            for (int i = 0; i < 4; ++i) squares += (at[g][i] - mean) * (at[g][i] - mean);
        const float scale = rsqrtf(warp_sum(squares) / WIDTH + eps);
        uint2* groups = reinterpret_cast<uint2*>(out);
#pragma unroll
        for (int g = 0; g < GROUPS; ++g) {
            const int group = lane_number() + g * LANES;
            const float4 by = reinterpret_cast<const float4*>(gamma)[group];
            const float4 plus = reinterpret_cast<const float4*>(beta)[group];
            uint2 four;
            four.x = pack((at[g][0] - mean) * scale * by.x + plus.x, (at[g][1] - mean) * scale * by.y + plus.y);
            four.y = pack((at[g][2] - mean) * scale * by.z + plus.z, (at[g][3] - mean) * scale * by.w + plus.w);
            groups[group] = four;
        }
    }
};

// Word and position of every token, added and normalised.
template <int WIDTH>
DEVICE void embed_rows(const Sizes* sizes, const Row* rows, const __half* words, const __half* positions,
                       const float* gamma, const float* beta, float eps, __half* states) {
    const unsigned row = blockIdx.x * ROWS_OF_BLOCK + warp_number();
    if (row >= sizes->rows) return;
    const Row token = rows[row];
    RowValues<WIDTH> values;
    values.clear();
    values.add(words + static_cast<size_t>(token.id) * WIDTH);
    values.add(positions + static_cast<size_t>(token.position) * WIDTH);
    values.normalize(gamma, beta, eps, states + static_cast<size_t>(row) * WIDTH);
}

// states = norm(states + change), row by row.
template <int WIDTH>
DEVICE void add_and_normalize(const Sizes* sizes, const __half* change, const float* gamma, const float* beta, float eps,
                              __half* states) {
    const unsigned row = blockIdx.x * ROWS_OF_BLOCK + warp_number();
    if (row >= sizes->rows) return;
    const size_t at = static_cast<size_t>(row) * WIDTH;
    RowValues<WIDTH> values;
    values.clear();
    values.add(states + at);
    values.add(change + at);
    values.normalize(gamma, beta, eps, states + at);
}

// How a text becomes one vector.
enum Pooling { POOL_MEAN = 0, POOL_FIRST = 1 };
constexpr int POOL_THREADS = 128;

// One block for each text: the mean of its rows, or the first, in f32; of length 1 if `normalize`.
DEVICE void pool_text(const Sizes* sizes, const Text* texts, const __half* states, int width, int pooling, int normalize,
                      float* pooled) {
    if (blockIdx.x >= sizes->texts) return;
    SHARED(memory);
    float* const sums = reinterpret_cast<float*>(memory);
    const Text text = texts[blockIdx.x];
    const unsigned rows = pooling == POOL_FIRST ? 1 : text.length;
    const int pairs = width / 2;
    float2* const out = reinterpret_cast<float2*>(pooled + static_cast<size_t>(blockIdx.x) * width);
    float squares = 0.0f;
#pragma unroll 1
    for (int pair = threadIdx.x; pair < pairs; pair += POOL_THREADS) {
        const unsigned* column = reinterpret_cast<const unsigned*>(states + static_cast<size_t>(text.start) * width) + pair;
        float2 sum = {0.0f, 0.0f};
        // Eight loads under way at a time.
#pragma unroll 8
        for (unsigned row = 0; row < rows; ++row) {
            const float2 value = unpack(column[static_cast<size_t>(row) * pairs]);
            sum.x += value.x;
            sum.y += value.y;
        }
        sum.x /= rows;
        sum.y /= rows;
        squares += sum.x * sum.x + sum.y * sum.y;
        out[pair] = sum;
    }
    if (!normalize) return;
    squares = warp_sum(squares);
    if (lane_number() == 0) sums[warp_number()] = squares;
    __syncthreads();
    float total = 0.0f;
    for (int warp = 0; warp < POOL_THREADS / LANES; ++warp) total += sums[warp];
    const float scale = rsqrtf(fmaxf(total, 1e-24f));
    // Every thread scales what it wrote itself.
    for (int pair = threadIdx.x; pair < pairs; pair += POOL_THREADS) {
        out[pair].x *= scale;
        out[pair].y *= scale;
    }
}

}  // namespace rhumb
