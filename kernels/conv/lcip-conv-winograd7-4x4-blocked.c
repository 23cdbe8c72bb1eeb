#include "config.h"

/* F(7 x 7, 4 x 4): also what windows of 7x7 are with a stride of 2. */
#define TILE_Y 7
#define TILE_X 7
#define TAPS_Y 4
#define TAPS_X 4
#define WINOGRAD_NAME "conv-winograd7-4x4-blocked"
#define WINOGRAD_KERNEL LCIP_ISA_KERNEL(conv_winograd7_4x4_blocked)
#include "lcip-conv-winograd-blocked.h"
