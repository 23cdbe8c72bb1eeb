#include "config.h"

/* F(1 x 4, 1 x 3) */
#define TILE_Y 1
#define TILE_X 4
#define TAPS_Y 1
#define TAPS_X 3
#define WINOGRAD_NAME "conv-winograd4-1x3-blocked"
#define WINOGRAD_KERNEL LCIP_ISA_KERNEL(conv_winograd4_1x3_blocked)
#include "lcip-conv-winograd-blocked.h"
