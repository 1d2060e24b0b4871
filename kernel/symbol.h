// symbol.h - names for addresses of code and data, from a table that the build links in.
#pragma once

#include <stddef.h>
#include <stdint.h>

// The function that holds `address` and the offset in it; NULL if none does. Any context.
const char *symbol_find(uintptr_t address, uint32_t *offset);
// The variable or constant of the image that holds `address`, likewise. What has no name of its own
// (the text of a string, say) has none here. Any context.
const char *symbol_object(uintptr_t address, uint32_t *offset);
// Writes "function+0x12", or the bare address if no function holds it. Returns `to`.
char *symbol_text(char *to, size_t room, uintptr_t address);
#define SYMBOL_TEXT_MAX 64
