#include "config.h"

/* F(4 x 1, 7 x 1) */
#define TILE_Y 4
#define TILE_X 1
#define TAPS_Y 7
#define TAPS_X 1
#define WINOGRAD_NAME "conv-winograd4-7x1-blocked"
#define WINOGRAD_KERNEL LCIP_ISA_KERNEL(conv_winograd4_7x1_blocked)
#include "lcip-conv-winograd-blocked.h"
