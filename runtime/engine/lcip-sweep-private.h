#pragma once

#include "lcip-kernel.h"

G_BEGIN_DECLS

/** LcipSweep: where the streams of a group do one step together, whose time is that of reading its
 * weights. The parts of the weights stand in a circle. Who comes to the step while others are at it
 * joins them at the part where they are; every part is then computed for all of them at once, by
 * the thread that has claimed it, and each is done when it has been around. Whoever is done first
 * helps the others, so that all leave at once and come to the step together the next time too. None
 * of this is waiting: from one frame to the next it costs nothing if nobody joins. */
typedef struct _LcipSweep LcipSweep;

/** lcip_sweep_new: @kernel is borrowed and offers sweeps. @n_together: of so many streams that
 * follow each other one computes at a time; they are companions, who wait for each other at the
 * step, for nothing is idle meanwhile. */
LcipSweep *lcip_sweep_new(const LcipKernelSweep *kernel, guint n_streams, guint n_together);
void lcip_sweep_free(LcipSweep *sweep);

/** lcip_sweep_expect: @stream has begun at @origin_ns with a firing that comes to the step. */
void lcip_sweep_expect(LcipSweep *sweep, guint stream, gint64 origin_ns);
/** lcip_sweep_forget: the firing is over, whether it came to the step or not. */
void lcip_sweep_forget(LcipSweep *sweep, guint stream);

/** lcip_sweep_arrive: @stream has come to the step. Streams whose frames are too far apart to meet
 * are brought closer: until when to wait for another one is told, 0 for not at all. Waits are no
 * longer than half of what the step takes alone, which is what meeting saves in each frame from
 * then on; after some that were in vain there are none for a while. */
gint64 lcip_sweep_arrive(LcipSweep *sweep, guint stream, gint64 now_ns);
/** lcip_sweep_wait: after arriving; parks until @until_ns, or until another stream is at the step
 * or none is to be expected any more. */
void lcip_sweep_wait(LcipSweep *sweep, guint stream, gint64 until_ns);
/* The firing @call of the step: begin, wait for companions, run. */
gboolean lcip_sweep_begin(LcipSweep *sweep, guint stream, const LcipCall *call, LcipTeam *team,
                          GError **error);
/** lcip_sweep_must_wait: a companion is on its way: it is to compute now, not @stream, until it has
 * done the step for both or is found not to come. */
gboolean lcip_sweep_must_wait(LcipSweep *sweep, guint stream);
/** lcip_sweep_run: unless a companion has done it: with others or alone. Returns when the first
 * part began. @origin_ns: when @stream would have begun had it always been together with those that
 * it was here. */
gint64 lcip_sweep_run(LcipSweep *sweep, guint stream, LcipTeam *team, gint64 *origin_ns);

/** lcip_sweep_n_shared: parts that were computed for more than one stream. */
guint64 lcip_sweep_n_shared(LcipSweep *sweep);

G_END_DECLS
