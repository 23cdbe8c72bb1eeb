#include "config.h"

/* F(6 x 6, 5 x 5) */
#define TILE_Y 6
#define TILE_X 6
#define TAPS_Y 5
#define TAPS_X 5
#define WINOGRAD_NAME "conv-winograd6-5x5-blocked"
#define WINOGRAD_KERNEL LCIP_ISA_KERNEL(conv_winograd6_5x5_blocked)
#include "lcip-conv-winograd-blocked.h"
