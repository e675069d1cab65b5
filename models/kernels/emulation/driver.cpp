// The CUDA driver API over compiled kernels: a `libcuda.so.1` for machines without a GPU. For tests only.
//
// It has what cudarc calls for one program's way (contexts, streams, events, memory, kernels, graphs), and refuses what
// hardware refuses: wrong handles and sizes, calls that a capture forbids, contexts of another thread, and everything
// after a kernel has failed. Where it refuses, it says why on stderr. It is stricter than hardware where that shows a
// bug of the caller.
//
// Work runs when it is enqueued, in the caller's thread. With RHUMB_EMULATED_LATE it runs when someone waits for it
// instead, as late as hardware may: results that are read, and pinned memory that is written, too early show then.
//
// Set by environment variables, which the first cuInit reads:
//
//   RHUMB_EMULATED_DEVICES          how many devices there are (1); 0: cuInit returns CUDA_ERROR_NO_DEVICE
//   RHUMB_EMULATED_CAPABILITY       compute capability (8.6)
//   RHUMB_EMULATED_MEMORY_MIB       memory of a device (4096)
//   RHUMB_EMULATED_SHARED_KIB       most shared memory of a block, after opting in (99, as on 8.6 and 8.9)
//   RHUMB_EMULATED_MULTIPROCESSORS  how many multiprocessors a device has (4)
//   RHUMB_EMULATED_DRIVER_VERSION   what cuDriverGetVersion says (12000)
//   RHUMB_EMULATED_MEMORY_POOLS     1: stream-ordered allocation is there (1); 0: it is not, as on some virtual GPUs
//   RHUMB_EMULATED_PTX_ONLY         1: machine code is refused, PTX is not (0)
//   RHUMB_EMULATED_LATE             1: work runs when it is waited for (0)
//   RHUMB_EMULATED_FAIL_AFTER       a device is lost after so many kernels, graphs' kernels included (never); 0: at once
//   RHUMB_EMULATED_FAIL_DEVICE      the only device that FAIL_AFTER is for (every device, each with its own count)

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "launch.h"
#include "memory.h"

// Numbers and names as in NVIDIA's documentation of CUresult.
#define RESULTS(of) \
    of(CUDA_SUCCESS, 0, "no error") \
    of(CUDA_ERROR_INVALID_VALUE, 1, "invalid argument") \
    of(CUDA_ERROR_OUT_OF_MEMORY, 2, "out of memory") \
    of(CUDA_ERROR_NOT_INITIALIZED, 3, "initialization error") \
    of(CUDA_ERROR_NO_DEVICE, 100, "no CUDA-capable device is detected") \
    of(CUDA_ERROR_INVALID_DEVICE, 101, "invalid device ordinal") \
    of(CUDA_ERROR_INVALID_IMAGE, 200, "device kernel image is invalid") \
    of(CUDA_ERROR_INVALID_CONTEXT, 201, "invalid device context") \
    of(CUDA_ERROR_NO_BINARY_FOR_GPU, 209, "no kernel image is available for execution on the device") \
    of(CUDA_ERROR_INVALID_HANDLE, 400, "invalid resource handle") \
    of(CUDA_ERROR_ILLEGAL_STATE, 401, "the operation cannot be performed in the present state") \
    of(CUDA_ERROR_NOT_FOUND, 500, "named symbol not found") \
    of(CUDA_ERROR_NOT_READY, 600, "device not ready") \
    of(CUDA_ERROR_ILLEGAL_ADDRESS, 700, "an illegal memory access was encountered") \
    of(CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES, 701, "too many resources requested for launch") \
    of(CUDA_ERROR_PRIMARY_CONTEXT_ACTIVE, 708, "cannot set while device is active in this process") \
    of(CUDA_ERROR_LAUNCH_FAILED, 719, "unspecified launch failure") \
    of(CUDA_ERROR_NOT_SUPPORTED, 801, "operation not supported") \
    of(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, 900, "operation not permitted when stream is capturing") \
    of(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, 901, "operation failed due to a previous error during capture") \
    of(CUDA_ERROR_STREAM_CAPTURE_ISOLATION, 905, "dependency created on uncaptured work in another stream") \
    of(CUDA_ERROR_CAPTURED_EVENT, 907, "operation not permitted on an event recorded in a capturing stream") \
    of(CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD, 908, "attempt to end a thread-local capture from another thread")

enum CUresult : int {
#define ENUMERATOR(name, number, text) name = number,
    RESULTS(ENUMERATOR)
#undef ENUMERATOR
};

/// What a caller holds of an object of ours. A number, never given twice: one that was destroyed is known for it.
using Handle = uintptr_t;

namespace {

using emulation::Allocation;
using emulation::Memory;
using emulation::Place;

using Clock = std::chrono::steady_clock;

// --- Settings -------------------------------------------------------------------------------------------------------

struct Settings {
    int devices;
    int major;
    int minor;
    size_t memory;
    size_t shared;
    int multiprocessors;
    int version;
    bool pools;
    bool ptx_only;
    bool late;
    std::optional<long> fail_after;
    std::optional<long> fail_device;
};

std::optional<long> number(const char* name) {
    const char* text = std::getenv(name);
    if (!text) return std::nullopt;
    char* end = nullptr;
    const long value = std::strtol(text, &end, 10);
    if (end == text || *end != '\0' || value < 0) {
        std::fprintf(stderr, "emulated driver: %s=%s is not a number\n", name, text);
        throw CUDA_ERROR_INVALID_VALUE;
    }
    return value;
}

std::pair<int, int> capability() {
    const char* text = std::getenv("RHUMB_EMULATED_CAPABILITY");
    int major = 8, minor = 6;
    if (text && std::sscanf(text, "%d.%d", &major, &minor) != 2) {
        std::fprintf(stderr, "emulated driver: RHUMB_EMULATED_CAPABILITY=%s is not like 8.6\n", text);
        throw CUDA_ERROR_INVALID_VALUE;
    }
    return {major, minor};
}

Settings read_settings() {
    const auto [major, minor] = capability();
    Settings settings;
    settings.devices = static_cast<int>(number("RHUMB_EMULATED_DEVICES").value_or(1));
    settings.major = major;
    settings.minor = minor;
    settings.memory = static_cast<size_t>(number("RHUMB_EMULATED_MEMORY_MIB").value_or(4096)) << 20;
    settings.shared = static_cast<size_t>(number("RHUMB_EMULATED_SHARED_KIB").value_or(99)) << 10;
    settings.multiprocessors = static_cast<int>(number("RHUMB_EMULATED_MULTIPROCESSORS").value_or(4));
    settings.version = static_cast<int>(number("RHUMB_EMULATED_DRIVER_VERSION").value_or(12000));
    settings.pools = number("RHUMB_EMULATED_MEMORY_POOLS").value_or(1) != 0;
    settings.ptx_only = number("RHUMB_EMULATED_PTX_ONLY").value_or(0) != 0;
    settings.late = number("RHUMB_EMULATED_LATE").value_or(0) != 0;
    settings.fail_after = number("RHUMB_EMULATED_FAIL_AFTER");
    settings.fail_device = number("RHUMB_EMULATED_FAIL_DEVICE");
    return settings;
}

// --- Objects --------------------------------------------------------------------------------------------------------

struct Device {
    int index = 0;
    /// What every call on the device returns from now on; a device that has failed stays so for the process.
    CUresult failed = CUDA_SUCCESS;
    long kernels = 0;
    size_t used = 0;
    unsigned flags = 0;
    /// How often the primary context is retained, and its handle while it is.
    unsigned retained = 0;
    Handle context = 0;
};

using Operation = std::function<void(Device&)>;

struct Context {
    int device;
    /// The stream that callers name by 0.
    Handle stream;
};

enum CaptureMode : int { GLOBAL = 0, THREAD_LOCAL = 1, RELAXED = 2 };

struct Capture {
    CaptureMode mode;
    std::thread::id thread;
    /// Tells the events of this capture from those of others.
    Handle number;
    bool invalid = false;
    std::vector<Operation> operations = {};
};

struct Stream {
    Handle context;
    int priority = 0;
    std::optional<Capture> capture = {};
    /// Enqueued and not yet run; empty unless work runs late.
    std::deque<Operation> pending = {};
};

struct Event {
    Handle context;
    bool timed;
    /// The stream it was last recorded in; 0 for never.
    Handle stream = 0;
    /// The capture it was last recorded in; 0 for none.
    Handle capture = 0;
    std::optional<Clock::time_point> reached = {};
};

struct Module {
    Handle context;
    /// A function has one handle, however often it is asked for: its attributes are its own.
    std::map<std::string, Handle> functions;
};

struct Function {
    Handle context;
    const emulation::Kernel* kernel;
    /// How much dynamic shared memory a launch may ask for.
    size_t shared;
};

struct Graph {
    Handle context;
    std::vector<Operation> operations;
};

constexpr size_t SHARED_WITHOUT_OPTING_IN = 48 << 10;
constexpr unsigned MOST_THREADS = 1024;
constexpr size_t MEMORY_GRANULARITY = 512;

Handle next_handle() {
    // Odd, and no small number: neither an address nor one of the streams that have fixed names.
    static Handle last = 0x10001;
    return last += 16;
}

template <class Object> class Table {
public:
    Handle add(Object object) {
        const Handle handle = next_handle();
        objects.emplace(handle, std::move(object));
        return handle;
    }
    Object* find(Handle handle) {
        const auto found = objects.find(handle);
        return found == objects.end() ? nullptr : &found->second;
    }
    Object& at(Handle handle) {
        if (Object* object = find(handle)) return *object;
        throw CUDA_ERROR_INVALID_HANDLE;
    }
    void remove(Handle handle) {
        if (objects.erase(handle) == 0) throw CUDA_ERROR_INVALID_HANDLE;
    }
    void remove_of(Handle context) {
        for (auto entry = objects.begin(); entry != objects.end();) {
            entry = entry->second.context == context ? objects.erase(entry) : std::next(entry);
        }
    }
    auto begin() { return objects.begin(); }
    auto end() { return objects.end(); }

private:
    std::map<Handle, Object> objects;
};

struct Driver {
    /// Held through every call, kernels included: what runs is always one thing, in the order of the calls.
    std::mutex lock;
    std::optional<Settings> settings;
    std::vector<Device> devices;
    std::map<Handle, Context> contexts;
    Table<Stream> streams;
    Table<Event> events;
    Table<Module> modules;
    Table<Function> functions;
    Table<Graph> graphs;
    Table<Graph> executables;
    Memory memory;
};

// Never destroyed: threads may still call while the process ends.
Driver& driver = *new Driver;

thread_local Handle current_context = 0;

// --- The frame of every call ----------------------------------------------------------------------------------------

CUresult refuse(CUresult result, const std::string& why) {
    std::fprintf(stderr, "emulated driver: %s\n", why.c_str());
    return result;
}

void require(bool condition, CUresult result, const char* why) {
    if (!condition) throw refuse(result, why);
}

/// A failure that a device does not get over. The call that causes it may still succeed, as hardware reports it later.
void fail(Device& device, CUresult result, const std::string& why) {
    if (device.failed == CUDA_SUCCESS) {
        device.failed = refuse(result, "device " + std::to_string(device.index) + " fails: " + why);
    }
}

template <class Body> CUresult call(Body body) {
    const std::lock_guard<std::mutex> hold(driver.lock);
    try {
        if (!driver.settings || driver.devices.empty()) return CUDA_ERROR_NOT_INITIALIZED;
        body();
        return CUDA_SUCCESS;
    } catch (CUresult result) {
        return result;
    } catch (const std::bad_alloc&) {
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
}

Device& device_at(int index) {
    if (index < 0 || index >= static_cast<int>(driver.devices.size())) throw CUDA_ERROR_INVALID_DEVICE;
    return driver.devices[index];
}

Device& device_of(Handle context) {
    const auto found = driver.contexts.find(context);
    require(found != driver.contexts.end(), CUDA_ERROR_INVALID_CONTEXT, "no context is current on this thread");
    return driver.devices[found->second.device];
}

void check_alive(const Device& device) {
    if (device.failed != CUDA_SUCCESS) throw device.failed;
}

/// A call that works on the current context's device.
template <class Body> CUresult call_on_device(Body body) {
    return call([&] {
        Device& device = device_of(current_context);
        check_alive(device);
        body(device);
    });
}

/// An object of the current context.
template <class Object> Object& mine(Table<Object>& table, Handle handle) {
    Object& object = table.at(handle);
    require(object.context == current_context, CUDA_ERROR_INVALID_CONTEXT,
            "used with another context current than its own");
    return object;
}

Handle stream_handle(Handle handle) {
    // 0 and 1 name the legacy default stream, 2 the thread's own; here all are one.
    if (handle > 2) return handle;
    const auto context = driver.contexts.find(current_context);
    if (context == driver.contexts.end()) throw CUDA_ERROR_INVALID_CONTEXT;
    return context->second.stream;
}

Stream& my_stream(Handle handle) { return mine(driver.streams, stream_handle(handle)); }

// --- Captures -------------------------------------------------------------------------------------------------------

[[noreturn]] void invalidate(Capture& capture, CUresult result, const char* why) {
    capture.invalid = true;
    throw refuse(result, why);
}

void forbid_on_capturing(Stream& stream, const char* what) {
    if (stream.capture) invalidate(*stream.capture, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, what);
}

/// For calls that a capture forbids anywhere: its own thread may not make them, and in the global mode no thread may.
void forbid_while_capturing(const char* what) {
    for (auto& [handle, stream] : driver.streams) {
        if (!stream.capture || stream.capture->mode == RELAXED) continue;
        if (stream.capture->mode == GLOBAL || stream.capture->thread == std::this_thread::get_id()) {
            invalidate(*stream.capture, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, what);
        }
    }
}

// --- Work -----------------------------------------------------------------------------------------------------------

void run(Device& device, const Operation& operation) {
    if (device.failed == CUDA_SUCCESS) operation(device);
}

/// Runs what is still to be run in a stream.
void finish(Stream& stream) {
    Device& device = device_of(stream.context);
    while (!stream.pending.empty()) {
        const Operation operation = std::move(stream.pending.front());
        stream.pending.pop_front();
        run(device, operation);
    }
    check_alive(device);
}

void finish_all(Handle context) {
    for (auto& [handle, stream] : driver.streams) {
        if (stream.context == context) finish(stream);
    }
}

void enqueue(Stream& stream, Operation operation) {
    if (stream.capture) {
        if (stream.capture->invalid) throw CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
        stream.capture->operations.push_back(std::move(operation));
    } else if (driver.settings->late) {
        stream.pending.push_back(std::move(operation));
    } else {
        run(device_of(stream.context), operation);
    }
}

/// The allocations that an operation needs, so that one that runs later (a graph's, above all) finds out that they are
/// gone. Addresses that are no allocation's are not remembered.
class Uses {
public:
    void add(uintptr_t address) {
        if (const Allocation* allocation = driver.memory.around(address)) {
            allocations.emplace_back(allocation->start, allocation->serial);
        }
    }
    /// Why the operation cannot run on the device; empty if it can.
    std::string objection(const Device& device) const {
        for (const auto& [start, serial] : allocations) {
            const Allocation* allocation = driver.memory.at(start);
            if (!allocation || allocation->serial != serial) return "uses memory that was freed";
            if (allocation->place == Place::device && allocation->device != device.index) {
                return "uses memory of another device";
            }
        }
        return {};
    }

private:
    std::vector<std::pair<uintptr_t, uint64_t>> allocations;
};

/// A kernel with everything it is launched with; a caller's arguments are gone when its call returns.
struct Launch {
    const emulation::Kernel* kernel;
    emulation::Dim grid;
    emulation::Dim block;
    size_t shared;
    std::vector<std::vector<uint8_t>> arguments;
    Uses uses;

    void copy_arguments(void** values) {
        require(values || kernel->arguments == 0, CUDA_ERROR_INVALID_VALUE, "a launch without its arguments");
        for (unsigned i = 0; i < kernel->arguments; i++) {
            const auto* bytes = static_cast<const uint8_t*>(values[i]);
            arguments.emplace_back(bytes, bytes + kernel->sizes[i]);
            // A structure may hold pointers too.
            for (size_t at = 0; at + sizeof(uintptr_t) <= kernel->sizes[i]; at += sizeof(uintptr_t)) {
                uintptr_t word;
                std::memcpy(&word, bytes + at, sizeof word);
                uses.add(word);
            }
        }
    }

    void operator()(Device& device) const {
        const std::string name = std::string("kernel ") + kernel->name;
        if (const auto objection = uses.objection(device); !objection.empty()) {
            return fail(device, CUDA_ERROR_ILLEGAL_ADDRESS, name + " " + objection);
        }
        std::vector<void*> pointers;
        for (const auto& argument : arguments) pointers.push_back(const_cast<uint8_t*>(argument.data()));
        try {
            emulation::launch(*kernel, grid, block, shared, pointers.data());
        } catch (const std::exception& error) {
            return fail(device, CUDA_ERROR_LAUNCH_FAILED, name + ": " + error.what());
        }
        if (const auto damage = driver.memory.damage(device.index); !damage.empty()) {
            return fail(device, CUDA_ERROR_ILLEGAL_ADDRESS, name + " wrote " + damage);
        }
        device.kernels += 1;
        lose_if_due(device);
    }

    static void lose_if_due(Device& device) {
        const Settings& settings = *driver.settings;
        if (settings.fail_device.value_or(device.index) != device.index) return;
        if (settings.fail_after == device.kernels) {
            fail(device, CUDA_ERROR_ILLEGAL_ADDRESS, "lost, as was asked for");
        }
    }
};

void check_launch(const Function& function, emulation::Dim grid, emulation::Dim block, size_t shared) {
    const auto refused = CUDA_ERROR_INVALID_VALUE;
    require(grid.x && grid.y && grid.z, refused, "a launch with an empty grid");
    require(grid.x <= 0x7FFFFFFF && grid.y <= 65535 && grid.z <= 65535, refused, "a launch with too large a grid");
    require(block.x && block.y && block.z, refused, "a launch with an empty block");
    require(block.x <= 1024 && block.y <= 1024 && block.z <= 64, refused, "a launch with too large a block");
    const auto threads = static_cast<uint64_t>(block.x) * block.y * block.z;
    require(threads <= MOST_THREADS, refused, "a launch with more than 1024 threads in a block");
    require(threads <= function.kernel->most_threads, CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES,
            "a launch with more threads in a block than the kernel was compiled for");
    require(shared <= function.shared, refused,
            "a launch with more dynamic shared memory than the function's attribute");
}

/// Whether all of a range of host memory is pinned.
bool pinned(uintptr_t address, size_t size) {
    const Allocation* allocation = driver.memory.around(address);
    if (!allocation) return false;
    require(allocation->place == Place::pinned, CUDA_ERROR_INVALID_VALUE, "device memory where host memory is due");
    require(allocation->holds(address, size), CUDA_ERROR_INVALID_VALUE, "a copy past the end of pinned memory");
    return true;
}

void check_device_range(const Device& device, uintptr_t address, size_t size) {
    const Allocation* allocation = driver.memory.around(address);
    require(allocation && allocation->place == Place::device, CUDA_ERROR_INVALID_VALUE, "no address in device memory");
    require(allocation->device == device.index, CUDA_ERROR_INVALID_VALUE, "memory of another device");
    require(allocation->holds(address, size), CUDA_ERROR_INVALID_VALUE, "past the end of an allocation");
}

/// Bytes that an operation copies or sets.
struct Fill {
    uintptr_t to;
    /// What to copy, or, if there is nothing, `value` to set.
    std::optional<uintptr_t> from;
    uint8_t value;
    size_t size;
    Uses uses;

    void operator()(Device& device) const {
        if (const auto objection = uses.objection(device); !objection.empty()) {
            return fail(device, CUDA_ERROR_ILLEGAL_ADDRESS, "a copy " + objection);
        }
        auto* bytes = reinterpret_cast<void*>(to);
        if (from) {
            std::memmove(bytes, reinterpret_cast<const void*>(*from), size);
        } else {
            std::memset(bytes, value, size);
        }
    }
};

Fill copying(uintptr_t to, uintptr_t from, size_t size) {
    Fill fill{to, from, 0, size, {}};
    fill.uses.add(to);
    fill.uses.add(from);
    return fill;
}

enum class Side { host, device };

void copy_async(Device& device, Handle stream_name, Side to_side, uintptr_t to, Side from_side, uintptr_t from,
                size_t size) {
    Stream& stream = my_stream(stream_name);
    if (size == 0) return;
    bool pageable = false;
    for (const auto& [side, address] : {std::pair(to_side, to), std::pair(from_side, from)}) {
        if (side == Side::device) {
            check_device_range(device, address, size);
        } else if (!pinned(address, size)) {
            pageable = true;
        }
    }
    if (pageable) {
        forbid_on_capturing(stream, "a copy with memory that is not pinned is captured");
        // It goes through memory of the driver's, and is done with the caller's when the call returns.
        finish(stream);
        run(device, copying(to, from, size));
    } else {
        enqueue(stream, copying(to, from, size));
    }
}

void copy_now(Device& device, Side to_side, uintptr_t to, Side from_side, uintptr_t from, size_t size) {
    forbid_while_capturing("a synchronous copy during a capture");
    copy_async(device, 0, to_side, to, from_side, from, size);
    // Streams that do not block, as those of cudarc, are not waited for.
    finish(my_stream(0));
}

Handle allocate(Device& device, size_t size) {
    require(size > 0, CUDA_ERROR_INVALID_VALUE, "an allocation of no bytes");
    const size_t charged = (size + MEMORY_GRANULARITY - 1) / MEMORY_GRANULARITY * MEMORY_GRANULARITY;
    if (charged < size || charged > driver.settings->memory - device.used) throw CUDA_ERROR_OUT_OF_MEMORY;
    const uintptr_t start = driver.memory.allocate(Place::device, device.index, size).start;
    device.used += charged;
    return start;
}

void release(Device& device, Place place, uintptr_t start) {
    const Allocation* allocation = driver.memory.at(start);
    require(allocation && allocation->place == place, CUDA_ERROR_INVALID_VALUE, "nothing to free at this address");
    if (const auto damage = Memory::damage(*allocation); !damage.empty()) {
        fail(device, CUDA_ERROR_ILLEGAL_ADDRESS, "someone wrote " + damage);
        throw device.failed;
    }
    if (place == Place::device) {
        require(allocation->device == device.index, CUDA_ERROR_INVALID_VALUE, "memory of another device is freed");
        device.used -= (allocation->size + MEMORY_GRANULARITY - 1) / MEMORY_GRANULARITY * MEMORY_GRANULARITY;
    }
    driver.memory.release(*allocation);
}

void destroy_context(Device& device) {
    const Handle context = std::exchange(device.context, 0);
    driver.streams.remove_of(context);
    driver.events.remove_of(context);
    driver.modules.remove_of(context);
    driver.functions.remove_of(context);
    driver.graphs.remove_of(context);
    driver.executables.remove_of(context);
    driver.memory.release_all(device.index);
    device.used = 0;
    driver.contexts.erase(context);
}

/// The value of a CUdevice_attribute.
int device_attribute(int attribute) {
    const Settings& settings = *driver.settings;
    switch (attribute) {
        case 1: return MOST_THREADS;
        case 2: case 3: return 1024;                              // largest x and y of a block
        case 4: return 64;                                        // and z
        case 5: return 0x7FFFFFFF;                                // largest x of a grid
        case 6: case 7: return 65535;                             // and y and z
        case 8: return SHARED_WITHOUT_OPTING_IN;
        case 9: return 65536;                                     // constant memory
        case 10: return 32;                                       // threads of a warp
        case 11: return 0x7FFFFFFF;                               // largest pitch
        case 12: return 65536;                                    // registers of a block
        case 13: return 1410000;                                  // clock, kHz
        case 14: return 512;                                      // alignment of textures
        case 15: return 1;                                        // copies beside kernels
        case 16: return settings.multiprocessors;
        case 19: return 1;                                        // host memory can be mapped
        case 31: return 1;                                        // kernels beside each other
        case 36: return 6000000;                                  // memory clock, kHz
        case 37: return 256;                                      // bits of the memory bus
        case 38: return 4 << 20;                                  // second-level cache
        case 39: return 1536;                                     // threads of a multiprocessor
        case 40: return 2;                                        // copy engines
        case 41: return 1;                                        // one address space with the host
        case 75: return settings.major;
        case 76: return settings.minor;
        case 78: return 1;                                        // streams have priorities
        case 81: return static_cast<int>(settings.shared) + 1024;  // shared memory of a multiprocessor
        case 82: return 65536;                                    // registers of a multiprocessor
        case 97: return static_cast<int>(settings.shared);        // shared memory of a block, after opting in
        case 106: return 16;                                      // blocks of a multiprocessor
        case 111: return 1024;                                    // shared memory that the system keeps of a block
        case 115: return settings.pools;
        default:
            if (attribute < 1 || attribute >= 200) throw CUDA_ERROR_INVALID_VALUE;
            return 0;
    }
}

constexpr int FUNCTION_MOST_THREADS = 0;
constexpr int FUNCTION_MOST_DYNAMIC_SHARED = 8;

const char* text_of(CUresult result, bool name) {
    switch (result) {
#define TEXT(code, number, text) case code: return name ? #code : text;
        RESULTS(TEXT)
#undef TEXT
    }
    return nullptr;
}

CUresult error_text(CUresult result, bool name, const char** text) {
    *text = text_of(result, name);
    return *text ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

}  // namespace

extern "C" {

// --- The driver and its devices -------------------------------------------------------------------------------------

CUresult cuInit(unsigned flags) {
    const std::lock_guard<std::mutex> hold(driver.lock);
    try {
        require(flags == 0, CUDA_ERROR_INVALID_VALUE, "cuInit with flags");
        if (!driver.settings) {
            const Settings settings = read_settings();
            driver.settings = settings;
            for (int index = 0; index < settings.devices; index++) {
                Device device;
                device.index = index;
                Launch::lose_if_due(device);
                driver.devices.push_back(device);
            }
        }
        return driver.devices.empty() ? CUDA_ERROR_NO_DEVICE : CUDA_SUCCESS;
    } catch (CUresult result) {
        return result;
    }
}

CUresult cuDriverGetVersion(int* version) {
    // Answers before cuInit too, as a driver does.
    const std::lock_guard<std::mutex> hold(driver.lock);
    try {
        *version = driver.settings ? driver.settings->version : read_settings().version;
        return CUDA_SUCCESS;
    } catch (CUresult result) {
        return result;
    }
}

CUresult cuGetErrorName(CUresult result, const char** name) { return error_text(result, true, name); }

CUresult cuGetErrorString(CUresult result, const char** text) { return error_text(result, false, text); }

CUresult cuDeviceGetCount(int* count) {
    return call([&] { *count = driver.settings->devices; });
}

CUresult cuDeviceGet(int* device, int ordinal) {
    return call([&] { *device = device_at(ordinal).index; });
}

CUresult cuDeviceGetName(char* name, int length, int device) {
    return call([&] {
        device_at(device);
        require(length > 0, CUDA_ERROR_INVALID_VALUE, "a name of no length");
        std::snprintf(name, length, "Emulated GPU");
    });
}

CUresult cuDeviceGetUuid(uint8_t* uuid, int device) {
    return call([&] {
        uint8_t bytes[16] = "emulated GPU";
        bytes[15] = static_cast<uint8_t>(device_at(device).index);
        std::memcpy(uuid, bytes, sizeof bytes);
    });
}

CUresult cuDeviceTotalMem_v2(size_t* bytes, int device) {
    return call([&] {
        device_at(device);
        *bytes = driver.settings->memory;
    });
}

CUresult cuDeviceGetAttribute(int* value, int attribute, int device) {
    return call([&] {
        device_at(device);
        *value = device_attribute(attribute);
    });
}

// --- Contexts -------------------------------------------------------------------------------------------------------

CUresult cuDevicePrimaryCtxRetain(Handle* context, int index) {
    return call([&] {
        Device& device = device_at(index);
        check_alive(device);
        if (device.retained == 0) {
            device.context = next_handle();
            const Handle stream = driver.streams.add(Stream{device.context});
            driver.contexts.emplace(device.context, Context{index, stream});
        }
        device.retained += 1;
        *context = device.context;
    });
}

CUresult cuDevicePrimaryCtxRelease_v2(int index) {
    return call([&] {
        Device& device = device_at(index);
        require(device.retained > 0, CUDA_ERROR_INVALID_CONTEXT, "a context is released that is not retained");
        device.retained -= 1;
        if (device.retained == 0) destroy_context(device);
    });
}

CUresult cuDevicePrimaryCtxSetFlags_v2(int index, unsigned flags) {
    return call([&] { device_at(index).flags = flags; });
}

CUresult cuDevicePrimaryCtxGetState(int index, unsigned* flags, int* active) {
    return call([&] {
        const Device& device = device_at(index);
        *flags = device.flags;
        *active = device.retained > 0;
    });
}

CUresult cuCtxGetCurrent(Handle* context) {
    return call([&] { *context = driver.contexts.count(current_context) ? current_context : 0; });
}

CUresult cuCtxSetCurrent(Handle context) {
    return call([&] {
        require(context == 0 || driver.contexts.count(context), CUDA_ERROR_INVALID_CONTEXT, "no such context");
        current_context = context;
    });
}

CUresult cuCtxGetDevice(int* index) {
    return call([&] { *index = device_of(current_context).index; });
}

CUresult cuCtxSynchronize() {
    return call_on_device([&](Device&) {
        for (auto& [handle, stream] : driver.streams) {
            if (stream.context != current_context) continue;
            forbid_on_capturing(stream, "the context is waited for during a capture");
        }
        finish_all(current_context);
    });
}

CUresult cuCtxGetStreamPriorityRange(int* least, int* greatest) {
    return call_on_device([&](Device&) {
        *least = 0;
        *greatest = -5;
    });
}

// --- Streams and captures -------------------------------------------------------------------------------------------

CUresult cuStreamCreateWithPriority(Handle* stream, unsigned flags, int priority) {
    return call_on_device([&](Device&) {
        require(flags <= 1, CUDA_ERROR_INVALID_VALUE, "unknown flags of a stream");
        *stream = driver.streams.add(Stream{current_context, priority});
    });
}

CUresult cuStreamCreate(Handle* stream, unsigned flags) { return cuStreamCreateWithPriority(stream, flags, 0); }

CUresult cuStreamDestroy_v2(Handle handle) {
    return call_on_device([&](Device&) {
        require(handle > 2, CUDA_ERROR_INVALID_HANDLE, "a default stream is destroyed");
        finish(my_stream(handle));
        driver.streams.remove(handle);
    });
}

CUresult cuStreamSynchronize(Handle handle) {
    return call_on_device([&](Device&) {
        Stream& stream = my_stream(handle);
        forbid_on_capturing(stream, "a stream is waited for while it is captured");
        finish(stream);
    });
}

CUresult cuStreamQuery(Handle handle) {
    return call_on_device([&](Device&) {
        Stream& stream = my_stream(handle);
        forbid_on_capturing(stream, "a stream is asked whether it is done while it is captured");
        // Late work is not done when it is first asked for, and then is: callers that poll get to an end.
        const bool ready = stream.pending.empty();
        finish(stream);
        if (!ready) throw CUDA_ERROR_NOT_READY;
    });
}

CUresult cuStreamWaitEvent(Handle handle, Handle event_handle, unsigned) {
    return call_on_device([&](Device&) {
        Stream& stream = my_stream(handle);
        const Event& event = driver.events.at(event_handle);
        if (stream.capture) {
            if (event.capture != stream.capture->number) {
                invalidate(*stream.capture, CUDA_ERROR_STREAM_CAPTURE_ISOLATION,
                           "a captured stream waits for an event from outside of its capture");
            }
        } else {
            require(event.capture == 0, CUDA_ERROR_NOT_SUPPORTED, "captures of more than one stream are not emulated");
            Stream* other = driver.streams.find(event.stream);
            if (other && other != &stream) finish(*other);
        }
    });
}

CUresult cuStreamBeginCapture_v2(Handle handle, int mode) {
    return call_on_device([&](Device&) {
        require(mode >= GLOBAL && mode <= RELAXED, CUDA_ERROR_INVALID_VALUE, "unknown mode of a capture");
        require(handle > 2, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "a default stream cannot be captured");
        Stream& stream = my_stream(handle);
        require(!stream.capture, CUDA_ERROR_ILLEGAL_STATE, "the stream is captured already");
        stream.capture = Capture{static_cast<CaptureMode>(mode), std::this_thread::get_id(), next_handle()};
    });
}

CUresult cuStreamEndCapture(Handle handle, Handle* graph) {
    return call_on_device([&](Device&) {
        Stream& stream = my_stream(handle);
        *graph = 0;
        require(stream.capture.has_value(), CUDA_ERROR_ILLEGAL_STATE, "the stream is not captured");
        require(stream.capture->mode == RELAXED || stream.capture->thread == std::this_thread::get_id(),
                CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD, "a capture ends on another thread than it began on");
        Capture capture = std::move(*stream.capture);
        stream.capture.reset();
        if (capture.invalid) throw CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
        *graph = driver.graphs.add(Graph{stream.context, std::move(capture.operations)});
    });
}

CUresult cuStreamIsCapturing(Handle handle, int* status) {
    return call_on_device([&](Device&) {
        const Stream& stream = my_stream(handle);
        *status = !stream.capture ? 0 : stream.capture->invalid ? 2 : 1;
    });
}

CUresult cuGraphInstantiateWithFlags(Handle* executable, Handle graph, unsigned long long flags) {
    return call_on_device([&](Device&) {
        require(flags == 0, CUDA_ERROR_NOT_SUPPORTED, "flags of graphs are not emulated");
        *executable = driver.executables.add(mine(driver.graphs, graph));
    });
}

CUresult cuGraphUpload(Handle executable, Handle stream) {
    return call_on_device([&](Device&) {
        mine(driver.executables, executable);
        forbid_on_capturing(my_stream(stream), "a graph is uploaded during a capture");
    });
}

CUresult cuGraphLaunch(Handle executable, Handle handle) {
    return call_on_device([&](Device&) {
        const Graph& graph = mine(driver.executables, executable);
        Stream& stream = my_stream(handle);
        forbid_on_capturing(stream, "graphs within graphs are not emulated");
        for (const Operation& operation : graph.operations) enqueue(stream, operation);
    });
}

// Graphs belong to no context: they may be destroyed on any thread.
CUresult cuGraphExecDestroy(Handle executable) {
    return call([&] { driver.executables.remove(executable); });
}

CUresult cuGraphDestroy(Handle graph) {
    return call([&] { driver.graphs.remove(graph); });
}

// --- Events ---------------------------------------------------------------------------------------------------------

CUresult cuEventCreate(Handle* event, unsigned flags) {
    constexpr unsigned BLOCKING = 1, UNTIMED = 2;
    return call_on_device([&](Device&) {
        require((flags & ~(BLOCKING | UNTIMED)) == 0, CUDA_ERROR_INVALID_VALUE, "unknown flags of an event");
        *event = driver.events.add(Event{current_context, !(flags & UNTIMED)});
    });
}

CUresult cuEventRecord(Handle handle, Handle stream_name) {
    return call_on_device([&](Device&) {
        Event& event = mine(driver.events, handle);
        Stream& stream = my_stream(stream_name);
        event.reached.reset();
        event.stream = stream_handle(stream_name);
        if (stream.capture) {
            if (stream.capture->invalid) throw CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
            event.capture = stream.capture->number;
            return;
        }
        event.capture = 0;
        enqueue(stream, [handle](Device&) {
            if (Event* reached = driver.events.find(handle)) reached->reached = Clock::now();
        });
    });
}

CUresult cuEventSynchronize(Handle handle) {
    return call_on_device([&](Device&) {
        const Event& event = mine(driver.events, handle);
        forbid_while_capturing("an event is waited for during a capture");
        require(event.capture == 0, CUDA_ERROR_CAPTURED_EVENT, "an event is waited for that was recorded in a capture");
        if (Stream* stream = driver.streams.find(event.stream)) finish(*stream);
    });
}

CUresult cuEventQuery(Handle handle) {
    return call([&] {
        const Event& event = driver.events.at(handle);
        check_alive(device_of(event.context));
        forbid_while_capturing("an event is asked for during a capture");
        require(event.capture == 0, CUDA_ERROR_CAPTURED_EVENT, "an event is asked for that was recorded in a capture");
        const bool ready = event.stream == 0 || event.reached;
        if (Stream* stream = driver.streams.find(event.stream)) finish(*stream);
        if (!ready) throw CUDA_ERROR_NOT_READY;
    });
}

CUresult cuEventElapsedTime(float* milliseconds, Handle start_handle, Handle end_handle) {
    return call_on_device([&](Device&) {
        const Event& start = mine(driver.events, start_handle);
        const Event& end = mine(driver.events, end_handle);
        require(start.timed && end.timed, CUDA_ERROR_INVALID_HANDLE, "a time is asked of an event without timing");
        require(start.stream && end.stream, CUDA_ERROR_INVALID_HANDLE,
                "a time is asked of an event that was never recorded");
        if (!start.reached || !end.reached) throw CUDA_ERROR_NOT_READY;
        *milliseconds = std::chrono::duration<float, std::milli>(*end.reached - *start.reached).count();
    });
}

CUresult cuEventDestroy_v2(Handle handle) {
    return call_on_device([&](Device&) {
        mine(driver.events, handle);
        driver.events.remove(handle);
    });
}

// --- Memory ---------------------------------------------------------------------------------------------------------

CUresult cuMemGetInfo_v2(size_t* free, size_t* total) {
    return call_on_device([&](Device& device) {
        *total = driver.settings->memory;
        *free = *total - device.used;
    });
}

CUresult cuMemAlloc_v2(Handle* address, size_t size) {
    return call_on_device([&](Device& device) {
        forbid_while_capturing("device memory is allocated during a capture");
        *address = allocate(device, size);
    });
}

CUresult cuMemFree_v2(Handle address) {
    return call_on_device([&](Device& device) {
        forbid_while_capturing("device memory is freed during a capture");
        finish_all(current_context);
        release(device, Place::device, address);
    });
}

// The two that follow a stream need no current context where they are given a stream of their own: cudarc frees so.
static Stream& pooled_stream(Handle handle, const char* forbidden) {
    Stream& stream = driver.streams.at(stream_handle(handle));
    check_alive(device_of(stream.context));
    require(driver.settings->pools, CUDA_ERROR_NOT_SUPPORTED, "the device has no memory pools");
    forbid_on_capturing(stream, forbidden);
    return stream;
}

CUresult cuMemAllocAsync(Handle* address, size_t size, Handle handle) {
    return call([&] {
        Stream& stream = pooled_stream(handle, "graphs that allocate memory are not emulated");
        *address = allocate(device_of(stream.context), size);
    });
}

CUresult cuMemFreeAsync(Handle address, Handle handle) {
    return call([&] {
        Stream& stream = pooled_stream(handle, "graphs that free memory are not emulated");
        // Of this stream only: work of another that still needs the memory finds it gone.
        finish(stream);
        release(device_of(stream.context), Place::device, address);
    });
}

CUresult cuMemHostAlloc(void** address, size_t size, unsigned flags) {
    constexpr unsigned PORTABLE = 1, MAPPED = 2, WRITE_COMBINED = 4;
    return call_on_device([&](Device& device) {
        require((flags & ~(PORTABLE | MAPPED | WRITE_COMBINED)) == 0, CUDA_ERROR_INVALID_VALUE,
                "unknown flags of pinned memory");
        require(size > 0, CUDA_ERROR_INVALID_VALUE, "an allocation of no bytes");
        forbid_while_capturing("pinned memory is allocated during a capture");
        *address = reinterpret_cast<void*>(driver.memory.allocate(Place::pinned, device.index, size).start);
    });
}

CUresult cuMemFreeHost(void* address) {
    return call_on_device([&](Device& device) {
        forbid_while_capturing("pinned memory is freed during a capture");
        release(device, Place::pinned, reinterpret_cast<uintptr_t>(address));
    });
}

CUresult cuMemsetD8Async(Handle address, uint8_t value, size_t size, Handle handle) {
    return call_on_device([&](Device& device) {
        Stream& stream = my_stream(handle);
        if (size == 0) return;
        check_device_range(device, address, size);
        Fill fill{address, std::nullopt, value, size, {}};
        fill.uses.add(address);
        enqueue(stream, fill);
    });
}

CUresult cuMemcpyHtoDAsync_v2(Handle to, const void* from, size_t size, Handle stream) {
    return call_on_device([&](Device& device) {
        copy_async(device, stream, Side::device, to, Side::host, reinterpret_cast<uintptr_t>(from), size);
    });
}

CUresult cuMemcpyDtoHAsync_v2(void* to, Handle from, size_t size, Handle stream) {
    return call_on_device([&](Device& device) {
        copy_async(device, stream, Side::host, reinterpret_cast<uintptr_t>(to), Side::device, from, size);
    });
}

CUresult cuMemcpyDtoDAsync_v2(Handle to, Handle from, size_t size, Handle stream) {
    return call_on_device([&](Device& device) {
        copy_async(device, stream, Side::device, to, Side::device, from, size);
    });
}

CUresult cuMemcpyHtoD_v2(Handle to, const void* from, size_t size) {
    return call_on_device([&](Device& device) {
        copy_now(device, Side::device, to, Side::host, reinterpret_cast<uintptr_t>(from), size);
    });
}

CUresult cuMemcpyDtoH_v2(void* to, Handle from, size_t size) {
    return call_on_device([&](Device& device) {
        copy_now(device, Side::host, reinterpret_cast<uintptr_t>(to), Side::device, from, size);
    });
}

CUresult cuMemcpyDtoD_v2(Handle to, Handle from, size_t size) {
    return call_on_device([&](Device& device) { copy_now(device, Side::device, to, Side::device, from, size); });
}

// --- Kernels --------------------------------------------------------------------------------------------------------

CUresult cuModuleLoadData(Handle* module, const void* image) {
    return call_on_device([&](Device&) {
        // What the image holds is for a GPU. Its kernels are compiled in.
        require(image, CUDA_ERROR_INVALID_VALUE, "no module image");
        const uint8_t first = *static_cast<const uint8_t*>(image);
        require(first != 0, CUDA_ERROR_INVALID_IMAGE, "an empty module image");
        const bool elf = first == 0x7f;
        require(!(elf && driver.settings->ptx_only), CUDA_ERROR_NO_BINARY_FOR_GPU, "machine code of another device");
        *module = driver.modules.add(Module{current_context, {}});
    });
}

CUresult cuModuleUnload(Handle handle) {
    return call_on_device([&](Device&) {
        for (const auto& [name, function] : mine(driver.modules, handle).functions) driver.functions.remove(function);
        driver.modules.remove(handle);
    });
}

CUresult cuModuleGetFunction(Handle* function, Handle handle, const char* name) {
    return call_on_device([&](Device&) {
        Module& module = mine(driver.modules, handle);
        const emulation::Kernel* kernel = emulation::find(name);
        if (!kernel) throw refuse(CUDA_ERROR_NOT_FOUND, std::string("no kernel ") + name);
        Handle& known = module.functions[name];
        if (known == 0) known = driver.functions.add(Function{current_context, kernel, SHARED_WITHOUT_OPTING_IN});
        *function = known;
    });
}

CUresult cuFuncGetAttribute(int* value, int attribute, Handle function) {
    return call_on_device([&](Device&) {
        const Function& known = mine(driver.functions, function);
        switch (attribute) {
            case FUNCTION_MOST_THREADS: *value = static_cast<int>(known.kernel->most_threads); break;
            case FUNCTION_MOST_DYNAMIC_SHARED: *value = static_cast<int>(known.shared); break;
            default: throw refuse(CUDA_ERROR_INVALID_VALUE, "only two attributes of functions are emulated");
        }
    });
}

CUresult cuFuncSetAttribute(Handle function, int attribute, int value) {
    return call_on_device([&](Device&) {
        Function& known = mine(driver.functions, function);
        require(attribute == FUNCTION_MOST_DYNAMIC_SHARED, CUDA_ERROR_INVALID_VALUE,
                "only one attribute of functions can be set");
        require(value >= 0 && static_cast<size_t>(value) <= driver.settings->shared, CUDA_ERROR_INVALID_VALUE,
                "more shared memory is asked for than a block of this device can have");
        known.shared = static_cast<size_t>(value);
    });
}

CUresult cuLaunchKernel(Handle function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
                        unsigned block_y, unsigned block_z, unsigned shared, Handle stream, void** arguments,
                        void** extra) {
    return call_on_device([&](Device&) {
        const Function& known = mine(driver.functions, function);
        require(!extra, CUDA_ERROR_INVALID_VALUE, "arguments in a buffer are not emulated");
        Launch launch{known.kernel, {grid_x, grid_y, grid_z}, {block_x, block_y, block_z}, shared, {}, {}};
        check_launch(known, launch.grid, launch.block, shared);
        launch.copy_arguments(arguments);
        enqueue(my_stream(stream), std::move(launch));
    });
}

}  // extern "C"
