#include "config.h"

#include "lcip-io.h"
#include "lcip-media.h"
#include "lcip-run.h"

#include <malloc.h>
#include <stdio.h>
#include <unistd.h>

/* Runs a graph on the demo pictures while a random part of its actors changes lane again and again,
 * and counts every frame: none may be lost, repeated or out of order, and memory must not grow.
 *
 *   lcip-soak [--minutes M] [--remap-seconds S] [--seed N] [GRAPH.xml]
 */

/* MAX_GROWTH: of resident memory, from SETTLE_SECONDS (or a fifth of a shorter run) to the end. */
#define MAX_GROWTH 0.02
#define SETTLE_SECONDS 120.0

typedef struct {
  double minutes;
  double remap_seconds;
  gint64 seed;
} Args;

/* Soak: @lock guards the counters, which the run's sink thread writes. */
typedef struct {
  GMutex lock;
  GCond delivered;
  guint64 n_frames;
  guint64 next;
  guint64 lost, repeated, reordered;
  guint64 max_epoch;
  gint64 settled_bytes, end_bytes;
  guint remaps;
} Soak;

static void count_frame(const LcipFrame *frame, gpointer data) {
  Soak *soak = data;
  g_mutex_lock(&soak->lock);
  if (frame->number > soak->next)
    soak->lost += frame->number - soak->next;
  else if (frame->number + 1 == soak->next)
    soak->repeated++;
  else if (frame->number < soak->next)
    soak->reordered++;
  soak->next = MAX(soak->next, frame->number + 1);
  soak->n_frames++;
  soak->max_epoch = MAX(soak->max_epoch, frame->epoch);
  g_cond_signal(&soak->delivered);
  g_mutex_unlock(&soak->lock);
}

static double settle_seconds(const Args *args) {
  return MIN(SETTLE_SECONDS, args->minutes * 12);
}

static gint64 resident_bytes(void) {
  long long total = 0, resident = 0;
  FILE *file = fopen("/proc/self/statm", "re");
  if (!file)
    return 0;
  if (fscanf(file, "%lld %lld", &total, &resident) != 2)
    resident = 0;
  fclose(file);
  return resident * sysconf(_SC_PAGESIZE);
}

/* Memory in use under the mapping that the run began with, so that two figures can be compared:
 * waits until that mapping has delivered a frame, and gives back what is free. */
static gint64 measure_memory(LcipRun *run, LcipPlan *first, Soak *soak, GError **error) {
  if (!lcip_run_set_plan(run, first, error))
    return 0;
  g_mutex_lock(&soak->lock);
  soak->remaps++;
  while (soak->max_epoch < soak->remaps + 1 && !lcip_run_is_done(run, NULL))
    g_cond_wait_until(&soak->delivered, &soak->lock,
                      g_get_monotonic_time() + 100 * G_TIME_SPAN_MILLISECOND);
  g_mutex_unlock(&soak->lock);
  malloc_trim(0);
  return resident_bytes();
}

/* A plan of @graph with each actor that an OpenCL lane can run on it or on the CPU, by @random. */
static LcipPlan *random_plan(LcipGraph *graph, const char *const *ids, guint n, GRand *random,
                             GHashTable *sizes, GError **error) {
  g_autoptr(LcipGraph) copy = lcip_graph_copy(graph);
  LcipMapping *mapping = lcip_graph_find_mapping(copy, NULL);
  double share = g_rand_double(random);
  for (guint i = 0; i < n; i++)
    lcip_mapping_assign(mapping, ids[i],
                        g_rand_double(random) < share ? "Soak OpenCL"
                                                      : lcip_graph_first_cpu_lane(copy)->name);
  return lcip_plan_new(copy, &(LcipPlanOptions){.source_sizes = sizes}, NULL, NULL, error);
}

/* Ids of the actors that both kinds of lane run; borrowed. */
static GPtrArray *movable_actors(LcipGraph *graph) {
  GPtrArray *ids = g_ptr_array_new();
  for (guint i = 0; i < graph->actors->len; i++)
    if (lcip_lane_can_run(graph, (int)i, LCIP_LANE_OPENCL, NULL))
      g_ptr_array_add(ids, lcip_graph_actor(graph, (int)i)->id);
  return ids;
}

static gboolean remap(LcipRun *run, LcipGraph *graph, GPtrArray *ids, GRand *random,
                      GHashTable *sizes, Soak *soak, GError **error) {
  g_autoptr(LcipPlan) plan =
      random_plan(graph, (const char *const *)ids->pdata, ids->len, random, sizes, error);
  if (!plan || !lcip_run_set_plan(run, plan, error))
    return FALSE;
  g_mutex_lock(&soak->lock);
  soak->remaps++;
  g_mutex_unlock(&soak->lock);
  return TRUE;
}

static double seconds_since(gint64 start_us) {
  return (double)(g_get_monotonic_time() - start_us) / 1e6;
}

/* Until the time is over; measures memory once it has settled and at the end. */
static gboolean soak_run(LcipRun *run, LcipPlan *first, GHashTable *sizes, const Args *args,
                         Soak *soak, GError **error) {
  LcipGraph *graph = lcip_plan_graph(first);
  g_autoptr(GPtrArray) ids = movable_actors(graph);
  g_autoptr(GRand) random = g_rand_new_with_seed((guint32)args->seed);
  double total = args->minutes * 60;
  gint64 start_us = g_get_monotonic_time();
  for (double next = args->remap_seconds; seconds_since(start_us) < total;
       next = MAX(next + args->remap_seconds, seconds_since(start_us))) {
    double pause = MIN(next, total) - seconds_since(start_us);
    if (pause > 0)
      g_usleep((gulong)(pause * 1e6));
    if (lcip_run_is_done(run, error))
      return FALSE;
    if (!soak->settled_bytes && seconds_since(start_us) >= settle_seconds(args)) {
      soak->settled_bytes = measure_memory(run, first, soak, error);
      if (!soak->settled_bytes)
        return FALSE;
    } else if (!remap(run, graph, ids, random, sizes, soak, error)) {
      return FALSE;
    }
  }
  soak->end_bytes = measure_memory(run, first, soak, error);
  return soak->end_bytes > 0;
}

static gboolean report(const Soak *soak, guint64 drops, const Args *args) {
  gint64 end_bytes = resident_bytes();
  double growth = soak->settled_bytes ? (double)end_bytes / (double)soak->settled_bytes - 1 : 0;
  gboolean ok = soak->n_frames > 0 && soak->remaps > 0 && drops + soak->lost == 0 &&
                soak->repeated + soak->reordered == 0 && growth <= MAX_GROWTH;
  g_print("frames              %" G_GUINT64_FORMAT " (%.1f a second)\n", soak->n_frames,
          (double)soak->n_frames / (args->minutes * 60));
  g_print("mappings            %u, the last seen is number %" G_GUINT64_FORMAT "\n", soak->remaps,
          soak->max_epoch);
  g_print("source drops        %" G_GUINT64_FORMAT "\n", drops);
  g_print("lost frames         %" G_GUINT64_FORMAT "\n", soak->lost);
  g_print("repeated frames     %" G_GUINT64_FORMAT "\n", soak->repeated);
  g_print("reordered frames    %" G_GUINT64_FORMAT "\n", soak->reordered);
  g_print("memory at %3.0f s     %.2f MiB\n", settle_seconds(args),
          (double)soak->settled_bytes / 1048576);
  g_print("memory at %3.0f s     %.2f MiB (%+.2f %%, allowed %+.0f %%)\n", args->minutes * 60,
          (double)soak->end_bytes / 1048576, 100 * growth, 100 * MAX_GROWTH);
  g_print("%s\n", ok ? "passed" : "FAILED");
  return ok;
}

static GHashTable *source_sizes(const LcipGraph *graph, LcipMediaSource *source) {
  GHashTable *sizes = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, g_free);
  int width = 0, height = 0;
  lcip_media_source_max_size(source, &width, &height);
  LcipShape shape = lcip_shape(3, height, width, 3);
  for (guint i = 0; i < graph->actors->len; i++) {
    LcipActor *actor = lcip_graph_actor(graph, (int)i);
    if (actor->op && (actor->op->flags & LCIP_OP_SOURCE))
      g_hash_table_insert(sizes, actor->id, g_memdup2(&shape, sizeof shape));
  }
  return sizes;
}

static gboolean soak_graph(const char *path, const Args *args, Soak *soak, guint64 *drops,
                           GError **error) {
  g_autoptr(LcipGraph) graph = lcip_graph_load(path, NULL, error);
  g_autoptr(LcipMediaSource) source =
      graph ? lcip_media_open("demo", LCIP_MEDIA_EVERY_FRAME, error) : NULL;
  if (!source)
    return FALSE;
  lcip_graph_ensure_defaults(graph);
  lcip_graph_add_lane(graph, "Soak OpenCL", LCIP_LANE_OPENCL, 0, NULL);
  g_autoptr(GHashTable) sizes = source_sizes(graph, source);
  g_autoptr(LcipPlan) plan =
      lcip_plan_new(graph, &(LcipPlanOptions){.source_sizes = sizes}, NULL, NULL, error);
  if (!plan)
    return FALSE;
  LcipRunOptions options = {
      .source = source, .profile = TRUE, .frame_func = count_frame, .frame_data = soak};
  g_autoptr(LcipRun) run = lcip_run_start(plan, &options, error);
  if (!run || !soak_run(run, plan, sizes, args, soak, error))
    return FALSE;
  *drops = lcip_media_source_drops(source);
  gboolean ok = report(soak, *drops, args);
  lcip_run_cancel(run);
  if (!ok)
    g_set_error(error, LCIP_ERROR, LCIP_ERROR_INVALID, "frames were lost or memory grew");
  return ok && lcip_run_wait(run, error);
}

int main(int argc, char **argv) {
  Args args = {.minutes = 10, .remap_seconds = 1, .seed = 1};
  Soak soak = {0};
  guint64 drops = 0;
  g_autoptr(GError) error = NULL;
  const GOptionEntry entries[] = {
      {"minutes", 0, 0, G_OPTION_ARG_DOUBLE, &args.minutes, "How long; 10 by default", "M"},
      {"remap-seconds", 0, 0, G_OPTION_ARG_DOUBLE, &args.remap_seconds,
       "Time from one change of mapping to the next; 1 by default", "S"},
      {"seed", 0, 0, G_OPTION_ARG_INT64, &args.seed, "Of the random mappings; 1 by default", "N"},
      G_OPTION_ENTRY_NULL};
  g_autoptr(GOptionContext) context = g_option_context_new("[GRAPH.xml]");
  g_option_context_add_main_entries(context, entries, NULL);
  if (!g_option_context_parse(context, &argc, &argv, &error) || argc > 2 || args.minutes <= 0 ||
      args.remap_seconds <= 0) {
    g_printerr("soak: %s\n", error ? error->message : "wrong arguments; see --help");
    return 2;
  }
  g_autofree char *path = argc > 1 ? g_strdup(argv[1]) : lcip_data_path("blazeface-back.xml");
  g_print("%s for %g minutes, another mapping every %g s, seed %" G_GINT64_FORMAT "\n", path,
          args.minutes, args.remap_seconds, args.seed);
  lcip_runtime_compact_memory(); /* as the editor does */
  g_mutex_init(&soak.lock);
  g_cond_init(&soak.delivered);
  gboolean ok = soak_graph(path, &args, &soak, &drops, &error);
  g_cond_clear(&soak.delivered);
  g_mutex_clear(&soak.lock);
  if (!ok)
    g_printerr("soak: %s\n", error ? error->message : "the run ended by itself");
  return ok ? 0 : 1;
}
