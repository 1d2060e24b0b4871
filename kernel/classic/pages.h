// pages.h - what the seed's heap asks of the pools: whole pages, by their addresses.
#pragma once

#include <stdint.h>

void *classic_pages(uint32_t count); // of the kernel pool, in a row; NULL: no memory
void classic_pages_free(void *pages, uint32_t count);
