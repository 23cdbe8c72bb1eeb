#include "config.h"

/* F(7 x 5, 3 x 3): 14 x 14 outputs are two rows of three tiles. */
#define TILE_Y 7
#define TILE_X 5
#define TAPS_Y 3
#define TAPS_X 3
#define WINOGRAD_SWEEPS
#define WINOGRAD_NAME "conv-winograd7x5-blocked"
#define WINOGRAD_KERNEL LCIP_ISA_KERNEL(conv_winograd7x5_blocked)
#include "lcip-conv-winograd-blocked.h"
