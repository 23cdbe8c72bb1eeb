#include "config.h"

/* F(5 x 5, 4 x 4): also what windows of 7x7 are with a stride of 2. */
#define TILE_Y 5
#define TILE_X 5
#define TAPS_Y 4
#define TAPS_X 4
#define WINOGRAD_NAME "conv-winograd5-4x4-blocked"
#define WINOGRAD_KERNEL LCIP_ISA_KERNEL(conv_winograd5_4x4_blocked)
#include "lcip-conv-winograd-blocked.h"
