#include "config.h"

/* F(4 x 4, 3 x 3) */
#define TILE_Y 4
#define TILE_X 4
#define TAPS_Y 3
#define TAPS_X 3
#define WINOGRAD_POOLS
#define WINOGRAD_SWEEPS
#define WINOGRAD_NAME "conv-winograd4-blocked"
#define WINOGRAD_KERNEL LCIP_ISA_KERNEL(conv_winograd4_blocked)
#include "lcip-conv-winograd-blocked.h"
