#include "config.h"

/* F(8 x 8, 3 x 3) */
#define TILE_Y 8
#define TILE_X 8
#define TAPS_Y 3
#define TAPS_X 3
#define WINOGRAD_POOLS
#define WINOGRAD_NAME "conv-winograd8-blocked"
#define WINOGRAD_KERNEL LCIP_ISA_KERNEL(conv_winograd8_blocked)
#include "lcip-conv-winograd-blocked.h"
