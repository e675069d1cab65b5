// Attention within each text of a batch, without padding: a block takes up to QUERIES rows of one text and one head, and
// goes over the text's keys tile by tile, with the running maximum and sum of the softmax in f32.
#pragma once

#include "batch.cuh"

namespace rhumb {

constexpr int QUERIES = 64;
constexpr int KEYS = 64;
constexpr int ATTENTION_WARPS = QUERIES / 16;
constexpr int ATTENTION_THREADS = ATTENTION_WARPS * LANES;
// Below every score: its weight is 0. Finite, so that it may be subtracted from itself.
constexpr float NOTHING = -1e30f;

template <int HEAD>
struct Head {
    static constexpr int SIZE = HEAD;
    static constexpr int CHUNKS = HEAD / 8;
    static constexpr int TILE = KEYS * HEAD;
    static constexpr int BYTES = 3 * TILE * 2;
    static_assert(HEAD == 32 || HEAD == 64, "head sizes of the swizzle");

    // Where a chunk of 16 bytes stands: eight rows' chunks of one column lie in different banks. A row of 32 halves is half
    // of all banks, so pairs of rows are rotated.
    DEVICE static int at(int row, int chunk) {
        const int turn = HEAD == 64 ? row % 8 : row / 2 % 4;
        return row * HEAD + (chunk ^ turn) * 8;
    }

    // Starts the copies of up to 64 rows of a text's queries, keys or values; zeros beyond its end.
    DEVICE static void fetch(__half* tile, const __half* from, int stride, unsigned first, unsigned length) {
        for (int part = threadIdx.x; part < KEYS * CHUNKS; part += ATTENTION_THREADS) {
            const int row = part / CHUNKS, chunk = part % CHUNKS;
            const bool valid = first + row < length;
            const size_t source = valid ? first + row : 0;
            copy_async(tile + at(row, chunk), from + source * stride + chunk * 8, valid);
        }
    }
};

// Of the 16 rows of a warp: each lane holds two, `lane / 4` and 8 rows below.
template <int HEAD>
struct Running {
    float most[2], sum[2];
    float out[HEAD / 8][4];
};

// Scores of 16 queries with 64 keys, by 8 x 16 tiles of matrix instructions; beyond the text's end NOTHING.
template <int HEAD>
DEVICE void scores_of(const unsigned (&query)[HEAD / 16][4], const __half* keys, int count, float scale,
                      float (&scores)[KEYS / 8][4]) {
    const int lane = lane_number();
#pragma unroll
    for (int n = 0; n < KEYS / 16; ++n) {
#pragma unroll
        for (int i = 0; i < 4; ++i) scores[2 * n][i] = scores[2 * n + 1][i] = 0.0f;
        if (n * 16 < count) {
#pragma unroll
            for (int k = 0; k < HEAD / 16; ++k) {
                unsigned key[4];
                load_matrices(key, keys + Head<HEAD>::at(n * 16 + lane / 16 * 8 + lane % 8, k * 2 + lane / 8 % 2));
                multiply_add(scores[2 * n], query[k], key[0], key[1]);
                multiply_add(scores[2 * n + 1], query[k], key[2], key[3]);
            }
        }
    }
#pragma unroll
    for (int n = 0; n < KEYS / 8; ++n)
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            const int key = n * 8 + lane % 4 * 2 + i % 2;
            scores[n][i] = key < count ? scores[n][i] * scale : NOTHING;
        }
}

// Turns scores into weights against the new maximum, and what was summed before with it.
template <int HEAD>
DEVICE void weigh(float (&scores)[KEYS / 8][4], Running<HEAD>& running) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
        float most = running.most[half];
#pragma unroll
        for (int n = 0; n < KEYS / 8; ++n) most = fmaxf(most, fmaxf(scores[n][half * 2], scores[n][half * 2 + 1]));
        // The four lanes that share a row.
        most = fmaxf(most, shuffle_xor(most, 1));
        most = fmaxf(most, shuffle_xor(most, 2));
        const float before = exp2f(running.most[half] - most);
        float sum = 0.0f;
#pragma unroll
        for (int n = 0; n < KEYS / 8; ++n)
#pragma unroll
            for (int i = half * 2; i < half * 2 + 2; ++i) {
                scores[n][i] = exp2f(scores[n][i] - most);
                sum += scores[n][i];
            }
        running.most[half] = most;
        running.sum[half] = running.sum[half] * before + sum;
#pragma unroll
        for (int d = 0; d < HEAD / 8; ++d) {
            running.out[d][half * 2] *= before;
            running.out[d][half * 2 + 1] *= before;
        }
    }
}

// Adds the weighted values of one tile of keys.
template <int HEAD>
DEVICE void add_values(const float (&weights)[KEYS / 8][4], const __half* values, int count, Running<HEAD>& running) {
    const int lane = lane_number();
#pragma unroll
    for (int k = 0; k < KEYS / 16; ++k) {
        if (k * 16 < count) {
            const unsigned weight[4] = {
                pack(weights[2 * k][0], weights[2 * k][1]), pack(weights[2 * k][2], weights[2 * k][3]),
                pack(weights[2 * k + 1][0], weights[2 * k + 1][1]), pack(weights[2 * k + 1][2], weights[2 * k + 1][3])};
#pragma unroll
            for (int d = 0; d < HEAD / 16; ++d) {
                unsigned value[4];
                load_transposed(value, values + Head<HEAD>::at(k * 16 + lane / 8 % 2 * 8 + lane % 8, d * 2 + lane / 16));
                multiply_add(running.out[2 * d], weight, value[0], value[1]);
                multiply_add(running.out[2 * d + 1], weight, value[2], value[3]);
            }
        }
    }
}

template <int HEAD>
DEVICE void store_attended(const Running<HEAD>& running, const Item& item, unsigned query, int width, __half* out) {
    const int lane = lane_number();
#pragma unroll
    for (int half = 0; half < 2; ++half) {
        // The four lanes' parts of the sum.
        float sum = running.sum[half];
        sum += shuffle_xor(sum, 1);
        sum += shuffle_xor(sum, 2);
        const unsigned row = query + half * 8 + lane / 4;
        if (row >= item.length) continue;
        __half* const to = out + static_cast<size_t>(item.start + row) * width + lane % 4 * 2;
        const float scale = 1.0f / sum;
#pragma unroll
        for (int d = 0; d < HEAD / 8; ++d)
            *reinterpret_cast<unsigned*>(to + d * 8) = pack(running.out[d][half * 2] * scale, running.out[d][half * 2 + 1] * scale);
    }
}

// `qkv[rows x 3 width]` to `out[rows x width]`; `scale` is 1 / sqrt(HEAD) * log2(e).
template <int HEAD>
DEVICE void attend(const Sizes* sizes, const Item* items, const __half* qkv, int width, float scale, __half* out) {
    if (blockIdx.x >= sizes->items) return;
    SHARED(memory);
    __half* const queries = reinterpret_cast<__half*>(memory);
    __half* const keys = queries + Head<HEAD>::TILE;
    __half* const values = keys + Head<HEAD>::TILE;
    const Item item = items[blockIdx.x];
    const int head = blockIdx.y * HEAD, stride = 3 * width;
    const __half* const text = qkv + static_cast<size_t>(item.start) * stride + head;
    const unsigned query = item.query + warp_number() * 16;
    // A warp beyond the text's end helps to copy and computes nothing.
    const bool works = query < item.length;
    Running<HEAD> running = {{NOTHING, NOTHING}, {0.0f, 0.0f}, {}};
    unsigned own[HEAD / 16][4];
    Head<HEAD>::fetch(queries, text, stride, item.query, item.length);
#pragma unroll 1
    for (unsigned first = 0; first < item.length; first += KEYS) {
        Head<HEAD>::fetch(keys, text + width, stride, first, item.length);
        Head<HEAD>::fetch(values, text + 2 * width, stride, first, item.length);
        copy_commit();
        copy_wait<0>();
        __syncthreads();
        if (works) {
            if (first == 0) {
                const int lane = lane_number();
#pragma unroll
                for (int k = 0; k < HEAD / 16; ++k)
                    load_matrices(own[k], queries + Head<HEAD>::at(warp_number() * 16 + lane % 16, k * 2 + lane / 16));
            }
            const int count = item.length - first < KEYS ? item.length - first : KEYS;
            float scores[KEYS / 8][4];
            scores_of<HEAD>(own, keys, count, scale, scores);
            weigh<HEAD>(scores, running);
            add_values<HEAD>(scores, values, count, running);
        }
        // Nobody still reads the tiles that are filled next.
        __syncthreads();
    }
    if (works) store_attended<HEAD>(running, item, query, width, out + head);
}

}  // namespace rhumb
