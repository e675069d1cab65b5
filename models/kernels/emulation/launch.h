// Kernels by name, and how to run one.
#pragma once

#include <cstddef>

namespace emulation {

struct Dim {
    unsigned x, y, z;
};

/// A kernel by name: calls the compiled kernel with unpacked arguments, for the thread that is current.
struct Kernel {
    const char* name;
    void (*body)(void** arguments);
    unsigned arguments;
    const size_t* sizes;
    unsigned most_threads;
};

/// nullptr if there is none of this name.
const Kernel* find(const char* name);

/// Runs every block and thread of a launch to the end, blocks possibly in parallel on several OS threads. Throws
/// std::runtime_error on what hardware would fault on.
void launch(const Kernel& kernel, Dim grid, Dim block, size_t shared_bytes, void** arguments);

}  // namespace emulation
