// The kernels as C++, by name.
#include <utility>

#include "../kernels.cu"

namespace {

template <auto>
struct Unpacked;

/// Makes a function that takes its arguments by address, as the driver gives them.
template <class... A, void (*KERNEL)(A...)>
struct Unpacked<KERNEL> {
    static constexpr size_t sizes[] = {sizeof(A)...};

    template <size_t... I>
    static void call(void** arguments, std::index_sequence<I...>) {
        KERNEL(*static_cast<A*>(arguments[I])...);
    }
    static void body(void** arguments) { call(arguments, std::index_sequence_for<A...>()); }
    static constexpr emulation::Kernel named(const char* name, unsigned most_threads) {
        return {name, body, sizeof...(A), sizes, most_threads};
    }
};

#define NAMED(KERNEL, THREADS) Unpacked<KERNEL>::named(#KERNEL, THREADS)

const emulation::Kernel KERNELS[] = {
    NAMED(embed_384, ROWS_OF_BLOCK* LANES),
    NAMED(embed_768, ROWS_OF_BLOCK* LANES),
    NAMED(embed_1024, ROWS_OF_BLOCK* LANES),
    NAMED(normalize_384, ROWS_OF_BLOCK* LANES),
    NAMED(normalize_768, ROWS_OF_BLOCK* LANES),
    NAMED(normalize_1024, ROWS_OF_BLOCK* LANES),
    NAMED(product_small, Small::THREADS),
    NAMED(product_gelu_small, Small::THREADS),
    NAMED(product_medium, Medium::THREADS),
    NAMED(product_gelu_medium, Medium::THREADS),
    NAMED(product_large, Large::THREADS),
    NAMED(product_gelu_large, Large::THREADS),
    NAMED(attend_32, ATTENTION_THREADS),
    NAMED(attend_64, ATTENTION_THREADS),
    NAMED(pool, POOL_THREADS),
};

}  // namespace

const emulation::Kernel* emulation::find(const char* name) {
    for (const Kernel& kernel : KERNELS)
        if (std::strcmp(kernel.name, name) == 0) return &kernel;
    return nullptr;
}
