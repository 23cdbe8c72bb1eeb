#include "config.h"

/* F(7 x 7, 3 x 3) */
#define TILE_Y 7
#define TILE_X 7
#define TAPS_Y 3
#define TAPS_X 3
#define WINOGRAD_SWEEPS
#define WINOGRAD_NAME "conv-winograd7-blocked"
#define WINOGRAD_KERNEL LCIP_ISA_KERNEL(conv_winograd7_blocked)
#include "lcip-conv-winograd-blocked.h"
