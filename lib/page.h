// page.h - the size of a page and of a page frame (Intel SDM volume 3, 4.3: 32-bit paging, 4-KByte
// pages).
//
// A file of its own, in lib/, so that pure code (memmap.c, memory_plan.c, memory.c) can count in
// frames without knowing how they are mapped. The `u` keeps sums with addresses unsigned: a sign
// would be extended into the upper half where such a sum becomes 64 bits wide.
#pragma once

#define PG_SIZE 4096u
#define PG_SHIFT 12
