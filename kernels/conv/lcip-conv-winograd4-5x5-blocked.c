#include "config.h"

/* F(4 x 4, 5 x 5) */
#define TILE_Y 4
#define TILE_X 4
#define TAPS_Y 5
#define TAPS_X 5
#define WINOGRAD_NAME "conv-winograd4-5x5-blocked"
#define WINOGRAD_KERNEL LCIP_ISA_KERNEL(conv_winograd4_5x5_blocked)
#include "lcip-conv-winograd-blocked.h"
