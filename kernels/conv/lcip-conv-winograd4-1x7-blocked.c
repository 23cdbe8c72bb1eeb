#include "config.h"

/* F(1 x 4, 1 x 7) */
#define TILE_Y 1
#define TILE_X 4
#define TAPS_Y 1
#define TAPS_X 7
#define WINOGRAD_NAME "conv-winograd4-1x7-blocked"
#define WINOGRAD_KERNEL LCIP_ISA_KERNEL(conv_winograd4_1x7_blocked)
#include "lcip-conv-winograd-blocked.h"
