// divide.h - the 64-bit divisions that a compiler for 32 bits calls instead of an instruction.
//
// `a / b` and `a % b` of 64 bits become these calls; no code names them. For b = 0 they raise
// exception 0, as the processor's own division does.
#pragma once

#include <stdint.h>

// Returns a / b. *rest becomes a % b unless rest is null.
uint64_t __udivmoddi4(uint64_t a, uint64_t b, uint64_t *rest);
uint64_t __udivdi3(uint64_t a, uint64_t b);
uint64_t __umoddi3(uint64_t a, uint64_t b);
// Round towards 0; the remainder has the sign of a.
int64_t __divdi3(int64_t a, int64_t b);
int64_t __moddi3(int64_t a, int64_t b);
