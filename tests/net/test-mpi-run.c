#include "config.h"

#include "../lcip-test-cli.h"
#include "lcip-io.h"
#include "lcip-plan.h"

#include <string.h>

/* `mpirun -n 3 lcip run` of a graph over three ranks gives the bits that one process gives.
 * test-mpi-run WITH-MPIRUN runs that script. */

static const char *with_mpirun;

/* The face detector's network with its second and last thirds on the lanes R1 and R2. */
static char *write_graph(void) {
  g_autoptr(GError) error = NULL;
  g_autofree char *source = lcip_test_source("data/models/blazeface-back-256.onnx");
  g_autoptr(LcipGraph) graph = lcip_graph_load(source, NULL, &error);
  g_assert_no_error(error);
  lcip_graph_ensure_defaults(graph);
  lcip_graph_add_lane(graph, "R1", LCIP_LANE_REMOTE, 1, NULL);
  lcip_graph_add_lane(graph, "R2", LCIP_LANE_REMOTE, 1, NULL);
  LcipMapping *mapping = lcip_graph_add_mapping(graph, "ranks");
  g_autofree int *order = lcip_graph_order(graph, NULL);
  const guint n = graph->actors->len;
  guint moved[2] = {0};
  for (guint i = n / 3; i < n; i++) {
    const guint rank = i < 2 * n / 3 ? 0 : 1;
    if (!lcip_lane_can_run(graph, order[i], LCIP_LANE_REMOTE, NULL))
      continue;
    lcip_mapping_assign(mapping, lcip_graph_actor(graph, order[i])->id, rank ? "R2" : "R1");
    moved[rank]++;
  }
  g_assert_cmpuint(moved[0], >, 30);
  g_assert_cmpuint(moved[1], >, 20);
  char *path = lcip_test_temp("ranks.xml");
  lcip_xml_write(graph, path, &error);
  g_assert_no_error(error);
  return path;
}

/* A command's exit code; what it says is shown when it fails, and given to the caller. */
static int spawn(const char *const *args, char **says) {
  g_autoptr(GError) error = NULL;
  g_autoptr(GSubprocess) process = g_subprocess_newv(
      args, G_SUBPROCESS_FLAGS_STDOUT_PIPE | G_SUBPROCESS_FLAGS_STDERR_MERGE, &error);
  g_autofree char *output = NULL;
  g_assert_no_error(error);
  g_subprocess_communicate_utf8(process, NULL, NULL, &output, NULL, &error);
  g_assert_no_error(error);
  g_assert_true(g_subprocess_get_if_exited(process));
  if (g_subprocess_get_exit_status(process) != 0)
    g_test_message("%s", output);
  if (says)
    *says = g_steal_pointer(&output);
  return g_subprocess_get_exit_status(process);
}

/* NAME=FILE for the graph's input: the same numbers each time. */
static char *write_input(void) {
  const LcipTensorSpec spec = lcip_tensor_spec(LCIP_TYPE_F32, lcip_shape(4, 1, 256, 256, 3));
  g_autofree char *path = lcip_test_temp("input.npy");
  g_autoptr(LcipTensor) tensor = lcip_tensor_new(&spec);
  g_autoptr(GRand) random = g_rand_new_with_seed(1);
  g_autoptr(GError) error = NULL;
  float *values = lcip_tensor_get_mutable(tensor);
  for (gint64 i = 0; i < lcip_shape_count(&spec.shape); i++)
    values[i] = (float)g_rand_double_range(random, -1, 1);
  lcip_npy_write(tensor, path, &error);
  g_assert_no_error(error);
  return g_strdup_printf("input:0=%s", path);
}

static void run_alone(const char *graph, const char *input, const char *folder) {
  const char *const args[] = {
      g_getenv("LCIP_CLI"), "run",       graph,     "--input", input, "--output", folder,
      "--pinned",           "--mapping", "default", NULL};
  g_assert_cmpint(spawn(args, NULL), ==, 0);
}

/* That the ranks took their parts is what they say themselves. */
static void run_ranks(const char *graph, const char *input, const char *folder,
                      const char *second) {
  g_autofree char *says = NULL;
  g_autofree char *lane = g_strdup_printf("R2=%s", second);
  const char *const args[] = {with_mpirun, g_getenv("LCIP_CLI"),
                              "run",       graph,
                              "--input",   input,
                              "--output",  folder,
                              "--pinned",  "--mapping",
                              "ranks",     "--lane",
                              "R1=mpi:1",  "--lane",
                              lane,        NULL};
  g_assert_cmpint(spawn(args, &says), ==, 0);
  g_autofree char *session = g_strdup_printf("rank %s: client rank 0: session", second + 4);
  g_assert_nonnull(strstr(says, "rank 1: client rank 0: session 1: "));
  g_assert_nonnull(strstr(says, session));
}

/* Every file of folder @a is the same in folder @b; there is one at least. */
static void compare_folders(const char *a, const char *b) {
  g_autoptr(GError) error = NULL;
  g_autoptr(GDir) dir = g_dir_open(a, 0, &error);
  const char *name;
  guint n = 0;
  g_assert_no_error(error);
  for (; (name = g_dir_read_name(dir)); n++) {
    g_autofree char *path_a = g_build_filename(a, name, NULL), *data_a = NULL;
    g_autofree char *path_b = g_build_filename(b, name, NULL), *data_b = NULL;
    gsize size_a, size_b;
    g_file_get_contents(path_a, &data_a, &size_a, &error);
    g_assert_no_error(error);
    g_file_get_contents(path_b, &data_b, &size_b, &error);
    g_assert_no_error(error);
    g_assert_cmpmem(data_a, size_a, data_b, size_b);
  }
  g_assert_cmpuint(n, ==, 4);
}

static void test_three_ranks(gconstpointer second) {
  g_autofree char *graph = write_graph(), *input = write_input();
  g_autofree char *alone = lcip_test_temp("alone"), *ranks = lcip_test_temp("ranks");
  run_alone(graph, input, alone);
  run_ranks(graph, input, ranks, second);
  compare_folders(alone, ranks);
}

/* A rank that is not there is an error of rank 0 alone, and the job ends. */
static void test_no_such_rank(void) {
  g_autofree char *graph = write_graph(), *input = write_input();
  const char *const args[] = {with_mpirun, g_getenv("LCIP_CLI"), "run", graph, "--input", input,
                              "--lane",    "R1=mpi:3",           NULL};
  g_assert_cmpint(spawn(args, NULL), !=, 0);
}

int main(int argc, char **argv) {
  g_test_init(&argc, &argv, NULL);
  g_assert_cmpint(argc, ==, 2);
  with_mpirun = argv[1];
  g_autofree char *mpirun = g_find_program_in_path("mpirun");
  if (!mpirun) {
    g_print("1..0 # SKIP mpirun is missing (Debian: openmpi-bin)\n");
    return 0;
  }
  g_test_add_data_func("/mpi/run/three-ranks", "mpi:2", test_three_ranks);
  g_test_add_data_func("/mpi/run/two-lanes-on-one-rank", "mpi:1", test_three_ranks);
  g_test_add_func("/mpi/run/no-such-rank", test_no_such_rank);
  const int code = g_test_run();
  lcip_test_clean();
  return code;
}
