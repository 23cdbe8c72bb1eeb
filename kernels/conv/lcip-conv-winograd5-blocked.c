#include "config.h"

/* F(5 x 5, 3 x 3) */
#define TILE_Y 5
#define TILE_X 5
#define TAPS_Y 3
#define TAPS_X 3
#define WINOGRAD_SWEEPS
#define WINOGRAD_NAME "conv-winograd5-blocked"
#define WINOGRAD_KERNEL LCIP_ISA_KERNEL(conv_winograd5_blocked)
#include "lcip-conv-winograd-blocked.h"
