#include "memory.h"

#include <array>
#include <cstddef>
#include <cstring>
#include <new>

namespace emulation {
namespace {

// Wide enough that a tile that overshoots a buffer's end still lands in it.
constexpr size_t GUARD = 4096;
constexpr uint8_t UNWRITTEN = 0xFF;

/// What guard zones hold, from an even address on. NaN in f16 and in f32, so that a kernel that reads past an end shows
/// it in its results; two different bytes, so that writing unwritten memory over it shows too.
constexpr std::array<uint8_t, GUARD + 1> guard_bytes() {
    std::array<uint8_t, GUARD + 1> bytes{};
    for (size_t i = 0; i < bytes.size(); i++) bytes[i] = i % 2 == 0 ? 0xA5 : 0xFF;
    return bytes;
}
constexpr auto GUARD_BYTES = guard_bytes();

const uint8_t* expected_at(uintptr_t address) { return GUARD_BYTES.data() + address % 2; }

/// Where bytes of the zone at `address` first differ from what they were; GUARD if nowhere.
size_t first_difference(uintptr_t address) {
    const auto* zone = reinterpret_cast<const uint8_t*>(address);
    const auto* expected = expected_at(address);
    if (std::memcmp(zone, expected, GUARD) == 0) return GUARD;
    size_t i = 0;
    while (zone[i] == expected[i]) i++;
    return i;
}

}  // namespace

const Allocation& Memory::allocate(Place place, int device, size_t size) {
    const size_t whole = (size + 2 * GUARD + GUARD - 1) / GUARD * GUARD;
    auto* block = static_cast<uint8_t*>(std::aligned_alloc(GUARD, whole));
    if (!block) throw std::bad_alloc();
    const auto start = reinterpret_cast<uintptr_t>(block) + GUARD;
    std::memcpy(block, expected_at(start - GUARD), GUARD);
    std::memset(block + GUARD, UNWRITTEN, size);
    std::memcpy(block + GUARD + size, expected_at(start + size), GUARD);
    Allocation allocation{place, device, start, size, next_serial++, {block, &std::free}};
    return allocations.emplace(start, std::move(allocation)).first->second;
}

const Allocation* Memory::at(uintptr_t start) const {
    const auto found = allocations.find(start);
    return found == allocations.end() ? nullptr : &found->second;
}

const Allocation* Memory::around(uintptr_t address) const {
    const auto next = allocations.upper_bound(address);
    if (next == allocations.begin()) return nullptr;
    const Allocation& allocation = std::prev(next)->second;
    return allocation.holds(address, 1) ? &allocation : nullptr;
}

void Memory::release(const Allocation& allocation) { allocations.erase(allocation.start); }

void Memory::release_all(int device) {
    for (auto entry = allocations.begin(); entry != allocations.end();) {
        entry = entry->second.device == device ? allocations.erase(entry) : std::next(entry);
    }
}

std::string Memory::damage(const Allocation& allocation) {
    const auto at = [&](std::ptrdiff_t byte) {
        return "byte " + std::to_string(byte) + " of an allocation of " + std::to_string(allocation.size) +
            " bytes of " + (allocation.place == Place::device ? "device memory" : "pinned memory");
    };
    const size_t before = first_difference(allocation.start - GUARD);
    if (before < GUARD) return at(static_cast<std::ptrdiff_t>(before) - static_cast<std::ptrdiff_t>(GUARD));
    const size_t behind = first_difference(allocation.start + allocation.size);
    if (behind < GUARD) return at(static_cast<std::ptrdiff_t>(allocation.size + behind));
    return {};
}

std::string Memory::damage(int device) const {
    for (const auto& [start, allocation] : allocations) {
        if (allocation.device != device) continue;
        if (auto text = damage(allocation); !text.empty()) return text;
    }
    return {};
}

}  // namespace emulation
