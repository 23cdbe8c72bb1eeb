#pragma once

#include <glib.h>

G_BEGIN_DECLS

/** LcipTeam: the threads of one CPU lane. The calling thread takes part; helpers spin at most 30
 * microseconds and then park, and while another program has their processor the caller works alone,
 * so that a busy neighbour costs little. One caller at a time. */
typedef struct _LcipTeam LcipTeam;

/** LcipTeamFunc: does chunk @chunk of n. @worker is below lcip_team_size(): index for scratch. */
typedef void (*LcipTeamFunc)(gpointer data, guint chunk, guint worker);

/** lcip_team_new: @n_threads including the caller; 0 for the processors available here. */
LcipTeam *lcip_team_new(guint n_threads);
void lcip_team_free(LcipTeam *team);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LcipTeam, lcip_team_free)
/** lcip_team_size: how many workers the next job has at most; 1 for NULL, and while the caller
 * works alone. Never more than the team was made with. */
guint lcip_team_size(const LcipTeam *team);
/** lcip_team_run: calls @func for every chunk and returns when all are done. @team may be NULL:
 * then the caller does all. What a chunk computes must not depend on which worker does it. */
void lcip_team_run(LcipTeam *team, guint n_chunks, LcipTeamFunc func, gpointer data);

/** lcip_team_end_library_threads: for programs of their own, first in main(). OpenBLAS starts its
 * threads with the program, and they yield their processors to each other for some 30 ms; lanes do
 * not use them. Should they be wanted again, OpenBLAS starts them. */
void lcip_team_end_library_threads(void);

G_END_DECLS
