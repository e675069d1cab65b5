// How a batch lies in device memory. models/src/encoder/cuda/layout.rs writes it; both must agree.
#pragma once

#include "device.cuh"

namespace rhumb {

// What there really is of a batch: a launch covers its bucket, and blocks beyond these counts end at once.
struct Sizes {
    unsigned rows;   // tokens of all texts, laid end to end
    unsigned texts;
    unsigned items;  // of attention
    unsigned unused;
};

// A token.
struct Row {
    unsigned id;
    unsigned position;  // in its text
};

// A text's rows.
struct Text {
    unsigned start;
    unsigned length;
};

// Up to QUERIES rows of one text, for attention.
struct Item {
    unsigned start;  // of the text
    unsigned length;
    unsigned query;  // first row of this item, from the text's start
    unsigned unused;
};

constexpr int LANES = 32;

DEVICE unsigned lane_number() { return threadIdx.x % LANES; }
DEVICE unsigned warp_number() { return threadIdx.x / LANES; }

// The sum over a warp, the same in every lane, added in one order.
DEVICE float warp_sum(float value) {
    for (int mask = LANES / 2; mask > 0; mask /= 2) value += shuffle_xor(value, mask);
    return value;
}

}  // namespace rhumb
