#include "emulation.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <deque>
#include <exception>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "fiber.h"

namespace emulation {

thread_local Place place;

namespace {

constexpr unsigned WARP = 32;
constexpr size_t COPY = 16;

/// One `cp.async`.
struct Copy {
    void* to;
    const void* from;
    bool valid;
};

/// One thread of a block.
struct Thread {
    Fiber fiber;
    Place place;
    bool ended = false;
    /// The barrier or the warp's instruction that it waits for; compared with what has been done.
    size_t barrier = 0, instruction = 0;
    std::vector<Copy> open;
    std::deque<std::vector<Copy>> groups;
};

/// What the lanes of a warp brought to the instruction that is being gathered.
struct Warp {
    Together what = Together::Shuffle;
    Lane* lanes[WARP] = {};
    unsigned come = 0;
    size_t done = 0;
};

/// The block that an OS thread runs now.
struct Block {
    const Kernel* kernel = nullptr;
    void** arguments = nullptr;
    std::vector<std::unique_ptr<Thread>> threads;
    std::vector<Warp> warps;
    std::vector<unsigned char> memory;
    unsigned char* shared = nullptr;
    size_t shared_bytes = 0;
    unsigned size = 0, waiting = 0, ended = 0, current = 0;
    size_t barriers = 0;
    std::exception_ptr failure;

    Thread& thread() { return *threads[current]; }
    void run(Dim block, Dim at, Dim grid);
    bool is_blocked(const Thread& thread) const;
};

thread_local Block own_block;
/// Of the OS thread: a plain pointer, as this is looked at at every instruction.
thread_local Block* current_block = nullptr;

inline Block& block() { return *current_block; }

[[noreturn]] void fault(const std::string& what) { throw std::runtime_error(what); }

/// Stays away until somebody else has done what this thread waits for.
void wait() {
    Thread& own = block().thread();
    own.fiber.leave();
    place = own.place;
}

/// Where every fiber begins. What it throws ends the launch.
void enter() {
    try {
        block().kernel->body(block().arguments);
        if (!block().thread().groups.empty() || !block().thread().open.empty())
            for (const auto& group : block().thread().groups)
                if (!group.empty()) fault("a thread ended with copies under way");
    } catch (...) {
        block().failure = std::current_exception();
    }
    block().thread().ended = true;
    ++block().ended;
    block().thread().fiber.leave();
    std::abort();  // an ended fiber is not resumed
}

/// Orders in which threads are given their turn: forward, backward, mixed. A barrier that is missing shows in one of them.
constexpr unsigned ORDERS = 3;

unsigned in_order(unsigned order, unsigned i, unsigned size) {
    switch (order) {
        case 0: return i;
        case 1: return size - 1 - i;
        // An odd factor visits every number of a power of two.
        default: return i * 77 % size;
    }
}

bool Block::is_blocked(const Thread& thread) const {
    const unsigned number = thread.place.thread.x;
    return thread.barrier > barriers || thread.instruction > warps[number / WARP].done;
}

void Block::run(Dim block_size, Dim at, Dim grid) {
    while (threads.size() < size) threads.push_back(std::make_unique<Thread>());
    warps.assign((size + WARP - 1) / WARP, Warp{});
    std::memset(shared, 0xff, shared_bytes);
    waiting = ended = 0;
    barriers = 0;
    failure = nullptr;
    for (unsigned i = 0; i < size; ++i) {
        Thread& thread = *threads[i];
        thread.place = {{i, 0, 0}, at, block_size, grid};
        thread.ended = false;
        thread.barrier = thread.instruction = 0;
        thread.open.clear();
        thread.groups.clear();
        thread.fiber.start(enter);
    }
    const unsigned order = (at.x + at.y + at.z) % ORDERS;
    while (ended < size) {
        bool moved = false;
        for (unsigned turn = 0; turn < size; ++turn) {
            const unsigned i = in_order(order, turn, size);
            Thread& thread = *threads[i];
            if (thread.ended || is_blocked(thread)) continue;
            current = i;
            place = thread.place;
            thread.fiber.resume();
            if (failure) std::rethrow_exception(failure);
            moved = true;
        }
        if (!moved) fault("a barrier or a warp's instruction that not all threads come to");
    }
}

/// Whether these bytes lie in the block's shared memory.
void check_shared(const void* address, size_t bytes) {
    const auto* at = static_cast<const unsigned char*>(address);
    if (at < block().shared || at + bytes > block().shared + block().shared_bytes) fault("an address beyond shared memory");
    if (reinterpret_cast<std::uintptr_t>(address) % bytes != 0) fault("a misaligned address in shared memory");
}

void shuffle(Lane* const (&lanes)[WARP]) {
    float values[WARP];
    for (unsigned i = 0; i < WARP; ++i) values[i] = lanes[i]->value;
    for (unsigned i = 0; i < WARP; ++i) lanes[i]->value = values[(i ^ lanes[i]->mask) % WARP];
}

void load(Lane* const (&lanes)[WARP], bool transposed) {
    for (unsigned i = 0; i < WARP; ++i) check_shared(lanes[i]->address, COPY);
    for (unsigned m = 0; m < 4; ++m) {
        const std::uint16_t* rows[8];
        for (unsigned r = 0; r < 8; ++r) rows[r] = static_cast<const std::uint16_t*>(lanes[m * 8 + r]->address);
        for (unsigned i = 0; i < WARP; ++i) {
            const unsigned row = i / 4, pair = i % 4 * 2;
            const unsigned low = transposed ? rows[pair][row] : rows[row][pair];
            const unsigned high = transposed ? rows[pair + 1][row] : rows[row][pair + 1];
            lanes[i]->to[m] = low | high << 16;
        }
    }
}

/// d[16 x 8] += a[16 x 16] * b[16 x 8], laid out over the lanes as the instruction has it.
void multiply(Lane* const (&lanes)[WARP]) {
    std::uint16_t halves[16 * 16 + 16 * 8];
    std::uint16_t *const a_bits = halves, *const b_bits = halves + 16 * 16;
    for (unsigned i = 0; i < WARP; ++i) {
        const unsigned group = i / 4, pair = i % 4 * 2;
        for (unsigned p = 0; p < 4; ++p) std::memcpy(a_bits + (group + p % 2 * 8) * 16 + pair + p / 2 * 8, lanes[i]->a + p, 4);
        for (unsigned p = 0; p < 2; ++p)
            for (unsigned w = 0; w < 2; ++w)
                b_bits[(pair + w + p * 8) * 8 + group] = static_cast<std::uint16_t>(lanes[i]->b[p] >> 16 * w);
    }
    float values[16 * 16 + 16 * 8];
    for (unsigned i = 0; i < 16 * 16 + 16 * 8; ++i) values[i] = from_half(halves[i]);
    const float *const a = values, *const b = values + 16 * 16;
    float sums[16][8] = {};
    for (unsigned row = 0; row < 16; ++row)
        for (unsigned k = 0; k < 16; ++k)
            for (unsigned column = 0; column < 8; ++column) sums[row][column] += a[row * 16 + k] * b[k * 8 + column];
    for (unsigned i = 0; i < WARP; ++i)
        for (unsigned p = 0; p < 4; ++p) lanes[i]->sums[p] += sums[i / 4 + p / 2 * 8][i % 4 * 2 + p % 2];
}

void execute(Together what, Lane* const (&lanes)[WARP]) {
    switch (what) {
        case Together::Shuffle: return shuffle(lanes);
        case Together::LoadMatrices: return load(lanes, false);
        case Together::LoadTransposed: return load(lanes, true);
        case Together::MultiplyAdd: return multiply(lanes);
    }
}

}  // namespace

unsigned char* shared_memory() { return block().shared; }

void barrier() {
    Thread& own = block().thread();
    own.barrier = block().barriers + 1;
    if (++block().waiting < block().size) return wait();
    block().waiting = 0;
    ++block().barriers;
}

void together(Together what, Lane& lane) {
    Thread& own = block().thread();
    const unsigned number = own.place.thread.x;
    Warp& warp = block().warps[number / WARP];
    if (warp.come == 0) warp.what = what;
    if (warp.what != what) fault("lanes of one warp execute different instructions");
    warp.lanes[number % WARP] = &lane;
    own.instruction = warp.done + 1;
    if (++warp.come < WARP) return wait();
    execute(what, warp.lanes);
    warp.come = 0;
    ++warp.done;
}

void copy_async(void* to, const void* from, bool valid) {
    check_shared(to, COPY);
    if (reinterpret_cast<std::uintptr_t>(from) % COPY != 0) fault("a copy from a misaligned address");
    // Hardware may write at any time from now on; nobody may rely on the old or the new value.
    std::memset(to, 0xff, COPY);
    block().thread().open.push_back({to, from, valid});
}

void copy_commit() {
    Thread& own = block().thread();
    own.groups.push_back(std::move(own.open));
    own.open.clear();
}

void copy_wait(unsigned pending) {
    Thread& own = block().thread();
    while (own.groups.size() > pending) {
        for (const Copy& copy : own.groups.front()) {
            if (copy.valid)
                std::memcpy(copy.to, copy.from, COPY);
            else
                std::memset(copy.to, 0, COPY);
        }
        own.groups.pop_front();
    }
}

#ifndef __F16C__
std::uint16_t to_half(float value) {
    std::uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    const std::uint32_t sign = bits >> 16 & 0x8000, rest = bits & 0x7fffffff;
    if (rest > 0x7f800000) return static_cast<std::uint16_t>(sign | 0x7e00);
    // What rounds to beyond the largest half is infinite.
    if (rest >= 0x477ff000) return static_cast<std::uint16_t>(sign | 0x7c00);
    if (rest < 0x38800000) {
        // Below the smallest normal half the step is 2^-24; adding a number whose own step is that rounds to even.
        float magnitude, shift = 0.5f;
        std::memcpy(&magnitude, &rest, sizeof magnitude);
        magnitude += shift;
        std::memcpy(&bits, &magnitude, sizeof bits);
        return static_cast<std::uint16_t>(sign | (bits - 0x3f000000));
    }
    const std::uint32_t even = rest >> 13 & 1;
    return static_cast<std::uint16_t>(sign | ((rest + 0xfff + even) >> 13) - 0x1c000);
}
float from_half(std::uint16_t half) {
    const std::uint32_t sign = (half & 0x8000u) << 16, exponent = half >> 10 & 31, fraction = half & 1023;
    if (exponent == 0) {
        const float value = std::ldexp(static_cast<float>(fraction), -24);
        return sign ? -value : value;
    }
    const std::uint32_t bits = exponent == 31 ? sign | 0x7f800000 | fraction << 13 : sign | (exponent + 112) << 23 | fraction << 13;
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}
#endif

void launch(const Kernel& kernel, Dim grid, Dim size, size_t shared_bytes, void** arguments) {
    const size_t blocks = size_t{grid.x} * grid.y * grid.z;
    if (size.y != 1 || size.z != 1 || size.x % WARP != 0) fault("blocks of whole warps along x only");
    if ((size.x & (size.x - 1)) != 0) fault("blocks of a power of two only");
    std::atomic<size_t> next{0};
    std::mutex guard;
    std::exception_ptr failure;
    const auto work = [&] {
        current_block = &own_block;
        block().kernel = &kernel;
        block().arguments = arguments;
        block().size = size.x;
        block().shared_bytes = shared_bytes;
        block().memory.resize(shared_bytes + 128);
        const auto start = reinterpret_cast<std::uintptr_t>(block().memory.data());
        block().shared = block().memory.data() + (128 - start % 128) % 128;
        try {
            for (size_t i; (i = next.fetch_add(1)) < blocks;) {
                const auto x = static_cast<unsigned>(i % grid.x), rest = static_cast<unsigned>(i / grid.x);
                block().run(size, {x, rest % grid.y, rest / grid.y}, grid);
            }
        } catch (...) {
            const std::lock_guard<std::mutex> lock(guard);
            failure = std::current_exception();
            next = blocks;
        }
    };
    const size_t workers = std::min<size_t>(std::max(1u, std::thread::hardware_concurrency()), blocks);
    std::vector<std::thread> helpers;
    for (size_t i = 1; i < workers; ++i) helpers.emplace_back(work);
    work();
    for (std::thread& helper : helpers) helper.join();
    if (failure) std::rethrow_exception(failure);
}

}  // namespace emulation
