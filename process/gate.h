// gate.h - the two ways of a program into the kernel: `int 0x80`, and `sysenter` where the
// processor has it.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdnoreturn.h>

void gate_init(void); // opens both. Boot
bool gate_has_sysenter(void);
// Where ring 3 enters: the top of a kernel stack. Set whenever another program is about to run.
// Interrupts off.
void gate_set_stack(uintptr_t top);
// A thread's first way to ring 3. Every register is cleared but eax, which is 1 where the program
// may use `sysenter`, else 0.
noreturn void gate_leave(uint32_t entry, uint32_t esp, uint32_t eflags, uint32_t eax);
