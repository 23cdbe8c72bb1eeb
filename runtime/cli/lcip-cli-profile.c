#include "config.h"

#include "lcip-cli.h"

void lcip_cli_json_lanes(LcipCliJson *json, const LcipPlan *plan) {
  lcip_cli_json_begin_array(json, "lanes");
  for (guint i = 0; i < lcip_plan_n_lanes(plan); i++) {
    const LcipPlanLane *lane = lcip_plan_lane(plan, i);
    lcip_cli_json_begin_object(json, NULL);
    lcip_cli_json_string(json, "name", lane->name);
    lcip_cli_json_string(json, "kind", lcip_lane_kind_name(lane->kind));
    lcip_cli_json_string(json, "device", lane->device ? lane->device->id : NULL);
    lcip_cli_json_string(json, "device_name", lane->device ? lane->device->name : NULL);
    lcip_cli_json_int(json, "threads", lane->threads);
    lcip_cli_json_int(json, "steps", lane->n_steps);
    lcip_cli_json_int(json, "arena_bytes", (gint64)lane->arena_bytes);
    lcip_cli_json_int(json, "weight_bytes", (gint64)lane->weight_bytes);
    lcip_cli_json_end_object(json);
  }
  lcip_cli_json_end_array(json);
}

void lcip_cli_json_times(LcipCliJson *json, const char *key, const LcipTimes *times) {
  lcip_cli_json_begin_object(json, key);
  lcip_cli_json_int(json, "n", times->n);
  lcip_cli_json_number(json, "median", times->median_ms, 4);
  lcip_cli_json_number(json, "p95", times->p95_ms, 4);
  lcip_cli_json_number(json, "min", times->min_ms, 4);
  lcip_cli_json_number(json, "mean", times->mean_ms, 4);
  lcip_cli_json_end_object(json);
}

static void json_remote(LcipCliJson *json, const LcipRemoteTimes *times) {
  if (times->compute.n == 0)
    return;
  lcip_cli_json_begin_object(json, "remote_ms");
  lcip_cli_json_times(json, "send", &times->send);
  lcip_cli_json_times(json, "queue", &times->queue);
  lcip_cli_json_times(json, "compute", &times->compute);
  lcip_cli_json_times(json, "return", &times->reply);
  lcip_cli_json_end_object(json);
}

static void json_step(LcipCliJson *json, const LcipPlan *plan, const LcipPlanStep *step,
                      const LcipTimes *times, const LcipRemoteTimes *remote) {
  const LcipGraph *graph = lcip_plan_graph(plan);
  g_autofree char *output = lcip_tensor_spec_to_string(&step->output);
  lcip_cli_json_begin_object(json, NULL);
  lcip_cli_json_string(json, "title", step->title);
  lcip_cli_json_begin_array(json, "actors");
  for (guint i = 0; i < step->n_actors; i++)
    lcip_cli_json_string(json, NULL, lcip_graph_actor(graph, step->actors[i])->id);
  lcip_cli_json_end_array(json);
  lcip_cli_json_string(json, "lane",
                       step->lane < 0 ? NULL : lcip_plan_lane(plan, (guint)step->lane)->name);
  lcip_cli_json_string(json, "kernel", step->kernel ? step->kernel->name : NULL);
  lcip_cli_json_string(json, "reason", step->reason);
  lcip_cli_json_string(json, "output", output);
  lcip_cli_json_number(json, "flops", step->cost.flops, 0);
  lcip_cli_json_times(json, "time_ms", times);
  json_remote(json, remote);
  lcip_cli_json_end_object(json);
}

static void json_lane_profile(LcipCliJson *json, const LcipProfile *profile, guint i) {
  const LcipLaneProfile *lane = &profile->lanes[i];
  lcip_cli_json_begin_object(json, NULL);
  lcip_cli_json_string(json, "name", lcip_plan_lane(profile->plan, i)->name);
  lcip_cli_json_number(json, "compute_ms", lane->compute_ms, 4);
  lcip_cli_json_number(json, "copy_ms", lane->copy_ms, 4);
  lcip_cli_json_number(json, "wait_ms", lane->wait_ms, 4);
  lcip_cli_json_number(json, "idle_ms", lane->idle_ms, 4);
  lcip_cli_json_number(json, "utilisation", lane->utilisation, 4);
  lcip_cli_json_number(json, "capacity_fps", lane->capacity_fps, 2);
  lcip_cli_json_end_object(json);
}

static const char *bottleneck(const LcipProfile *profile) {
  return profile->bottleneck_lane < 0
             ? NULL
             : lcip_plan_lane(profile->plan, (guint)profile->bottleneck_lane)->name;
}

void lcip_cli_json_profile(LcipCliJson *json, const LcipProfile *profile) {
  lcip_cli_json_begin_object(json, "profile");
  lcip_cli_json_number(json, "frame_ms", profile->frame_ms, 4);
  lcip_cli_json_number(json, "delivered_fps", profile->delivered_fps, 2);
  lcip_cli_json_number(json, "capacity_fps", profile->capacity_fps, 2);
  lcip_cli_json_string(json, "bottleneck_lane", bottleneck(profile));
  lcip_cli_json_begin_array(json, "lanes");
  for (guint i = 0; i < lcip_plan_n_lanes(profile->plan); i++)
    json_lane_profile(json, profile, i);
  lcip_cli_json_end_array(json);
  lcip_cli_json_begin_array(json, "steps");
  for (guint i = 0; i < lcip_plan_n_steps(profile->plan); i++)
    json_step(json, profile->plan, lcip_plan_step(profile->plan, i), &profile->steps[i],
              &profile->remotes[i]);
  lcip_cli_json_end_array(json);
  lcip_cli_json_end_object(json);
}

static void print_step(const LcipPlan *plan, const LcipPlanStep *step, const LcipTimes *times,
                       double total_ms) {
  g_autofree char *output = lcip_tensor_spec_to_string(&step->output);
  const char *lane = step->lane < 0 ? "-" : lcip_plan_lane(plan, (guint)step->lane)->name;
  g_print("%9.3f %9.3f %5.1f%%  %-8s %-30s %-28s %s\n", times->median_ms, times->p95_ms,
          total_ms > 0 ? 100 * times->median_ms / total_ms : 0, lane,
          step->kernel ? step->kernel->name : "-", output, step->title);
}

static void print_remote(const LcipRemoteTimes *times) {
  if (times->compute.n > 0)
    g_print("%19s         send %.3f, queue %.3f, compute %.3f, return %.3f ms (median)\n", "",
            times->send.median_ms, times->queue.median_ms, times->compute.median_ms,
            times->reply.median_ms);
}

void lcip_cli_print_profile(const LcipProfile *profile) {
  double total_ms = 0;
  guint n_steps = lcip_plan_n_steps(profile->plan);
  for (guint i = 0; i < n_steps; i++)
    total_ms += profile->steps[i].median_ms;
  g_print("\n%9s %9s %6s  %-8s %-30s %-28s %s\n", "MEDIAN ms", "P95 ms", "SHARE", "LANE", "KERNEL",
          "OUTPUT", "STEP");
  for (guint i = 0; i < n_steps; i++) {
    print_step(profile->plan, lcip_plan_step(profile->plan, i), &profile->steps[i], total_ms);
    print_remote(&profile->remotes[i]);
  }
  g_print("\n%-10s %10s %8s %8s %8s %6s %13s   (ms per frame of %.3f ms)\n", "LANE", "COMPUTE",
          "COPY", "WAIT", "IDLE", "BUSY", "CAPACITY fps", profile->frame_ms);
  for (guint i = 0; i < lcip_plan_n_lanes(profile->plan); i++) {
    const LcipLaneProfile *lane = &profile->lanes[i];
    g_print("%-10s %10.3f %8.3f %8.3f %8.3f %5.1f%% %13.1f\n",
            lcip_plan_lane(profile->plan, i)->name, lane->compute_ms, lane->copy_ms, lane->wait_ms,
            lane->idle_ms, 100 * lane->utilisation, lane->capacity_fps);
  }
  if (bottleneck(profile))
    g_print("The busiest lane is '%s': at most %.1f frames a second.\n", bottleneck(profile),
            profile->capacity_fps);
}

void lcip_cli_note_lane(LcipPlan *plan, guint lane, const LcipLinkStatus *status, gpointer data) {
  const char *name = lcip_plan_lane(plan, lane)->name;
  if (status->state == LCIP_LINK_READY)
    lcip_cli_note("lane '%s': worker %s at %s (%s), latency %.3f ms, %.0f MB/s", name,
                  status->worker, status->address, status->features,
                  (double)status->latency_ns / 1e6, status->bytes_per_second / 1e6);
  else
    lcip_cli_note("lane '%s' is offline, its fallback computes: %s", name, status->reason);
}
