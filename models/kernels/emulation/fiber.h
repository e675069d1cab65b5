// A thread of control that is switched by hand: its own stack, no kernel involved.
#pragma once

#include <cstddef>
#include <memory>

namespace emulation {

class Fiber {
  public:
    Fiber();
    /// The next `resume` begins `entry`, on this fiber's own stack. What ran there before is forgotten.
    void start(void (*entry)());
    /// Runs until `leave` is called inside.
    void resume();
    /// Goes back to whoever resumed.
    void leave();

  private:
    static constexpr size_t STACK = 64 * 1024;
    std::unique_ptr<unsigned char[]> stack_;
    void* own_ = nullptr;
    void* other_ = nullptr;
};

}  // namespace emulation
