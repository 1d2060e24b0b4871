// sys/features.h - what newlib's headers are told by gcc and tcc leaves out. Each of them includes
// this first.
#pragma once

#ifndef __INTPTR_TYPE__
#define __INT8_TYPE__ signed char
#define __INT16_TYPE__ short
#define __INT32_TYPE__ int
#define __INT64_TYPE__ long long
#define __UINT8_TYPE__ unsigned char
#define __UINT16_TYPE__ unsigned short
#define __UINT32_TYPE__ unsigned
#define __UINT64_TYPE__ unsigned long long
#define __INTPTR_TYPE__ int
#define __UINTPTR_TYPE__ unsigned
#endif
#define __ASMNAME(name) name // a symbol in C has no prefix

#include_next <sys/features.h>
