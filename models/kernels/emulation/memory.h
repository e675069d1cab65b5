// What the emulated driver lends: device memory and pinned host memory, both ordinary memory between guard zones.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>

namespace emulation {

enum class Place { device, pinned };

struct Allocation {
    Place place;
    int device;
    uintptr_t start;
    size_t size;
    /// Never given twice, so that a new allocation at an old address is told from the old one.
    uint64_t serial;
    std::unique_ptr<uint8_t, decltype(&std::free)> block;

    bool holds(uintptr_t address, size_t bytes) const {
        return address >= start && bytes <= size && address - start <= size - bytes;
    }
};

class Memory {
public:
    /// Memory that reads as NaN, in f16 as in f32, until it is written. Throws std::bad_alloc.
    const Allocation& allocate(Place place, int device, size_t size);
    /// The allocation that starts at `start`; nullptr if none does.
    const Allocation* at(uintptr_t start) const;
    /// The allocation that `address` lies in, its end and its guard zones not included; nullptr if none.
    const Allocation* around(uintptr_t address) const;
    void release(const Allocation& allocation);
    void release_all(int device);
    /// Which byte outside of an allocation was written to, in words; empty if none was.
    static std::string damage(const Allocation& allocation);
    /// The same, of the first allocation of a device that was damaged.
    std::string damage(int device) const;

private:
    std::map<uintptr_t, Allocation> allocations;
    uint64_t next_serial = 1;
};

}  // namespace emulation
