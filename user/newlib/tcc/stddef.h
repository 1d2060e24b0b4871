// stddef.h - tcc's has int8_t and its like as well; here they are newlib's <stdint.h>'s.
#ifndef __int8_t_defined
#define __int8_t_defined 1
#endif
#include_next <stddef.h>
