// page.h - the size of a page and of a page frame (Intel SDM volume 3, 4.3: 32-bit paging, 4-KByte
// pages).
#pragma once

#define PG_SIZE 4096u
#define PG_SHIFT 12
