#include "fiber.h"

#include <cstdint>
#include <cstdlib>

// Saves what a called function must keep, changes the stack, and takes up what was saved there. glibc's swapcontext does
// the same but asks the kernel twice at every switch; a forward pass switches some hundred million times.
#if defined(__x86_64__)
extern "C" void emulation_switch(void** save, void* to);
asm(R"(
.text
.globl emulation_switch
.type emulation_switch, @function
emulation_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size emulation_switch, .-emulation_switch
)");
constexpr int SAVED = 6;
#elif defined(__aarch64__)
extern "C" void emulation_switch(void** save, void* to);
asm(R"(
.text
.globl emulation_switch
.type emulation_switch, %function
emulation_switch:
    sub sp, sp, #160
    stp x19, x20, [sp, #0]
    stp x21, x22, [sp, #16]
    stp x23, x24, [sp, #32]
    stp x25, x26, [sp, #48]
    stp x27, x28, [sp, #64]
    stp x29, x30, [sp, #80]
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    mov x9, sp
    str x9, [x0]
    mov sp, x1
    ldp x19, x20, [sp, #0]
    ldp x21, x22, [sp, #16]
    ldp x23, x24, [sp, #32]
    ldp x25, x26, [sp, #48]
    ldp x27, x28, [sp, #64]
    ldp x29, x30, [sp, #80]
    ldp d8, d9, [sp, #96]
    ldp d10, d11, [sp, #112]
    ldp d12, d13, [sp, #128]
    ldp d14, d15, [sp, #144]
    add sp, sp, #160
    ret
.size emulation_switch, .-emulation_switch
)");
#else
#error "the emulation switches stacks on x86-64 and AArch64 only"
#endif

namespace emulation {

Fiber::Fiber() : stack_(new unsigned char[STACK]) {}

void Fiber::start(void (*entry)()) {
    auto top = reinterpret_cast<std::uintptr_t>(stack_.get() + STACK) & ~std::uintptr_t{63};
    auto* slots = reinterpret_cast<std::uintptr_t*>(top);
#if defined(__x86_64__)
    // Entered by `ret`: at the first instruction the stack must be 8 beyond a multiple of 16, as after a call.
    slots -= 2 + SAVED;
    for (int i = 0; i < SAVED; ++i) slots[i] = 0;
    slots[SAVED] = reinterpret_cast<std::uintptr_t>(entry);
    slots[SAVED + 1] = 0;
#else
    slots -= 20;
    for (int i = 0; i < 20; ++i) slots[i] = 0;
    slots[11] = reinterpret_cast<std::uintptr_t>(entry);
#endif
    own_ = slots;
}

void Fiber::resume() { emulation_switch(&other_, own_); }
void Fiber::leave() { emulation_switch(&own_, other_); }

}  // namespace emulation
