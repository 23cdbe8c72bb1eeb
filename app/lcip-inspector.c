#include "config.h"

#include "lcip-inspector.h"

#include "lcip-inspector-rows.h"
#include "lcip-palette.h"

#include <string.h>

struct _LcipInspector {
  GtkWidget parent;
  /* template */
  GtkWidget *box;
  GtkLabel *title_label;
  GtkLabel *subtitle_label;
  GtkBox *groups_box;
  /* owned */
  LcipSession *session;
  char **ids;
  /* borrowed: a row of what is shown */
  GtkLabel *time_label;

  guint idle;
};

G_DEFINE_FINAL_TYPE(LcipInspector, lcip_inspector, GTK_TYPE_WIDGET)

/* ---- groups ---- */

static AdwPreferencesGroup *add_group(LcipInspector *self, const char *title) {
  GtkWidget *group = adw_preferences_group_new();
  adw_preferences_group_set_title(ADW_PREFERENCES_GROUP(group), title);
  gtk_box_append(self->groups_box, group);
  return ADW_PREFERENCES_GROUP(group);
}

static void clear_groups(LcipInspector *self) {
  GtkWidget *child;
  self->time_label = NULL;
  while ((child = gtk_widget_get_first_child(GTK_WIDGET(self->groups_box))))
    gtk_box_remove(self->groups_box, child);
}

static void add_info(AdwPreferencesGroup *group, const char *title, const char *value) {
  adw_preferences_group_add(group, lcip_inspector_info_row(title, value, NULL));
}

static const LcipPlanActor *planned_actor(LcipInspector *self, const char *id) {
  LcipPlan *plan = lcip_session_get_plan(self->session);
  int index = plan ? lcip_graph_find_actor(lcip_plan_graph(plan), id) : -1;
  return index >= 0 ? lcip_plan_actor(plan, index) : NULL;
}

static const LcipPlanStep *planned_step(LcipInspector *self, const char *id) {
  const LcipPlanActor *planned = planned_actor(self, id);
  return planned && planned->step >= 0
             ? lcip_plan_step(lcip_session_get_plan(self->session), planned->step)
             : NULL;
}

/* ---- one actor ---- */

/* Of an operator that LCIP does not have: as they are in the file. */
static void add_raw_attributes(LcipInspector *self, const LcipActor *actor) {
  guint n;
  g_autofree const char **names = lcip_attrs_names(actor->attrs, &n);
  AdwPreferencesGroup *group = n ? add_group(self, "Attributes") : NULL;
  for (guint i = 0; i < n; i++) {
    g_autofree char *value = lcip_attrs_get_text(actor->attrs, names[i]);
    add_info(group, names[i], value ? value : "tensor");
  }
}

static void add_problems(LcipInspector *self, const LcipActor *actor) {
  const GPtrArray *problems = lcip_session_get_problems(self->session);
  AdwPreferencesGroup *group = NULL;
  for (guint i = 0; i < problems->len; i++) {
    const LcipProblem *problem = problems->pdata[i];
    if (g_strcmp0(problem->actor_id, actor->id) != 0)
      continue;
    if (!group)
      group = add_group(self, "Problems");
    adw_preferences_group_add(group, lcip_inspector_problem_row(problem));
  }
}

static void add_attributes(LcipInspector *self, const LcipActor *actor) {
  if (!actor->op)
    add_raw_attributes(self, actor);
  if (!actor->op || actor->op->n_attrs == 0)
    return;
  AdwPreferencesGroup *group = add_group(self, "Attributes");
  for (guint i = 0; i < actor->op->n_attrs; i++)
    adw_preferences_group_add(group,
                              lcip_inspector_attr_row(self->session, actor, &actor->op->attrs[i]));
}

static char *state_words(const LcipPlanActor *planned) {
  if (planned->state == LCIP_ACTOR_FOLDED)
    return g_strdup("Folded: computed once, before running");
  if (planned->state == LCIP_ACTOR_DEAD)
    return g_strdup("Not run: nothing uses its output");
  return NULL;
}

static void add_step(LcipInspector *self, AdwPreferencesGroup *group, const LcipActor *actor) {
  const LcipPlanActor *planned = planned_actor(self, actor->id);
  const LcipPlanStep *step = planned_step(self, actor->id);
  g_autofree char *state = planned ? state_words(planned) : NULL;
  if (state)
    add_info(group, "In the plan", state);
  if (!step)
    return;
  if (step->kernel)
    add_info(group, "Kernel", step->kernel->name);
  if (step->reason && *step->reason)
    add_info(group, "Because", step->reason);
  if (step->n_actors > 1) {
    g_autoptr(GString) names = g_string_new(NULL);
    LcipGraph *graph = lcip_plan_graph(lcip_session_get_plan(self->session));
    for (guint i = 0; i < step->n_actors; i++)
      g_string_append_printf(names, "%s%s", i ? " + " : "",
                             lcip_graph_actor(graph, step->actors[i])->op_name);
    add_info(group, "Fused", names->str);
  }
  adw_preferences_group_add(group, lcip_inspector_info_row("Time", "–", &self->time_label));
  if (step->cost.flops > 0) {
    g_autofree char *flops = g_strdup_printf("%.3g MFLOP", step->cost.flops / 1e6);
    add_info(group, "Work", flops);
  }
}

static void add_mapping(LcipInspector *self, int index, const LcipActor *actor) {
  AdwPreferencesGroup *group = add_group(self, "Mapping");
  adw_preferences_group_add(group,
                            lcip_inspector_lane_row(self->session, (const char *const *)self->ids));
  if (actor->op && !(actor->op->flags & (LCIP_OP_SOURCE | LCIP_OP_SINK)))
    adw_preferences_group_add(group, lcip_inspector_pin_row(self->session, index));
  add_step(self, group, actor);
  if (actor->op && actor->op->flags & LCIP_OP_CPU_ONLY && actor->op->cpu_only_reason)
    add_info(group, "CPU only", actor->op->cpu_only_reason);
}

static char *output_words(LcipInspector *self, const char *id, guint port) {
  const LcipTensorSpec spec = lcip_session_get_spec(self->session, id, port);
  return spec.type != LCIP_TYPE_NONE ? lcip_format_spec(&spec) : g_strdup("shape not known");
}

static char *input_words(LcipInspector *self, int index, guint port) {
  LcipGraph *graph = lcip_session_get_graph(self->session);
  const LcipActor *actor = lcip_graph_actor(graph, index);
  if (actor->constants[port]) {
    g_autofree char *spec = lcip_format_spec(lcip_tensor_get_spec(actor->constants[port]));
    return g_strdup_printf("%s constant", spec);
  }
  const LcipEdge *edge = lcip_graph_edge_to(graph, index, port);
  if (!edge)
    return g_strdup("–");
  if (edge->src_actor == LCIP_NO_ACTOR) {
    const LcipGraphPort *input = graph->inputs->pdata[edge->src_port];
    g_autofree char *spec = lcip_format_spec(&input->spec);
    return g_strdup_printf("%s from input %s", spec, input->name);
  }
  const LcipActor *src = lcip_graph_actor(graph, edge->src_actor);
  g_autofree char *spec = output_words(self, src->id, edge->src_port);
  return g_strdup_printf("%s from %s", spec, lcip_actor_title(src));
}

static void add_ports(LcipInspector *self, int index, const LcipActor *actor) {
  AdwPreferencesGroup *group = add_group(self, "Ports");
  for (guint i = 0; i < actor->n_inputs; i++) {
    g_autofree char *name =
        actor->op ? lcip_operator_input_name(actor->op, i) : g_strdup_printf("input %u", i);
    g_autofree char *words = input_words(self, index, i);
    add_info(group, name, words);
  }
  for (guint i = 0; i < actor->n_outputs; i++) {
    g_autofree char *name =
        actor->op ? lcip_operator_output_name(actor->op, i) : g_strdup_printf("output %u", i);
    g_autofree char *spec = output_words(self, actor->id, i);
    g_autofree char *title = g_strdup_printf("→ %s", name);
    add_info(group, title, spec);
  }
}

static void show_actor(LcipInspector *self, int index) {
  LcipGraph *graph = lcip_session_get_graph(self->session);
  const LcipActor *actor = lcip_graph_actor(graph, index);
  g_autofree char *subtitle =
      actor->op ? g_strdup_printf("%s – %s", actor->op_name, actor->op->summary)
                : g_strdup_printf("%s – LCIP has no such operator", actor->op_name);
  gtk_label_set_text(self->title_label, lcip_actor_title(actor));
  gtk_label_set_text(self->subtitle_label, subtitle);
  add_problems(self, actor);
  add_mapping(self, index, actor);
  add_attributes(self, actor);
  add_ports(self, index, actor);
}

/* ---- several actors, or none ---- */

static void show_several(LcipInspector *self, guint n) {
  g_autofree char *title = g_strdup_printf("%u Actors", n);
  gtk_label_set_text(self->title_label, title);
  gtk_label_set_text(self->subtitle_label, "Drag them to a lane, or choose it here");
  AdwPreferencesGroup *group = add_group(self, "Mapping");
  adw_preferences_group_add(group,
                            lcip_inspector_lane_row(self->session, (const char *const *)self->ids));
}

static void add_lane_info(AdwPreferencesGroup *group, const LcipPlanLane *lane) {
  g_autofree char *used = g_format_size(lane->arena_bytes);
  g_autofree char *unshared = g_format_size(lane->unshared_bytes);
  g_autofree char *weights = g_format_size(lane->weight_bytes);
  g_autofree char *words = g_strdup_printf("%u steps\n%s tensors\n%s without sharing\n%s weights",
                                           lane->n_steps, used, unshared, weights);
  add_info(group, lane->name, lane->n_steps ? words : "no steps");
}

static void show_graph(LcipInspector *self) {
  LcipGraph *graph = lcip_session_get_graph(self->session);
  LcipPlan *plan = lcip_session_get_plan(self->session);
  /* exporters give names that say nothing */
  static const char *const empty[] = {
      "torch_jit", "torch-jit-export", "main_graph", "tf2onnx", "graph", "model", NULL};
  gboolean named = graph->name && strlen(graph->name) > 2 && !g_strv_contains(empty, graph->name);
  gtk_label_set_text(self->title_label,
                     named ? graph->name : lcip_session_get_title(self->session));
  gtk_label_set_text(self->subtitle_label, graph->description ? graph->description : "");
  AdwPreferencesGroup *group = add_group(self, "Graph");
  g_autofree char *size =
      g_strdup_printf("%u actors, %u edges", graph->actors->len, graph->edges->len);
  g_autofree char *opset = graph->source_opset && graph->source_opset != graph->opset
                               ? g_strdup_printf("%d, from %d", graph->opset, graph->source_opset)
                               : g_strdup_printf("%d", graph->opset);
  add_info(group, "Size", size);
  add_info(group, "ONNX opset", opset);
  add_info(group, "Mapping", graph->active_mapping ? graph->active_mapping : "default");
  if (!plan)
    return;
  g_autofree char *steps = g_strdup_printf("%u steps in %u segments", lcip_plan_n_steps(plan),
                                           lcip_plan_n_segments(plan));
  add_info(group, "Plan", steps);
  AdwPreferencesGroup *lanes = add_group(self, "Lanes");
  for (guint i = 0; i < lcip_plan_n_lanes(plan); i++)
    add_lane_info(lanes, lcip_plan_lane(plan, i));
}

/* ---- update ---- */

static void update_time(LcipInspector *self) {
  const LcipProfile *profile = lcip_session_get_profile(self->session);
  if (!self->time_label || !self->ids || !self->ids[0])
    return;
  const LcipPlanActor *planned = planned_actor(self, self->ids[0]);
  if (!profile || !planned || profile->plan != lcip_session_get_plan(self->session) ||
      planned->step < 0 || profile->steps[planned->step].n == 0) {
    gtk_label_set_text(self->time_label, "–");
    return;
  }
  const LcipTimes *times = &profile->steps[planned->step];
  g_autofree char *median = lcip_format_ms(times->median_ms);
  g_autofree char *p95 = lcip_format_ms(times->p95_ms);
  g_autofree char *text = g_strdup_printf("%s median\n%s 95th percentile", median, p95);
  gtk_label_set_text(self->time_label, text);
}

static void rebuild(LcipInspector *self, int index, guint n) {
  clear_groups(self);
  if (n == 1 && index >= 0)
    show_actor(self, index);
  else if (n > 1)
    show_several(self, n);
  else
    show_graph(self);
  update_time(self);
}

static gboolean update(gpointer data) {
  LcipInspector *self = data;
  LcipGraph *graph = lcip_session_get_graph(self->session);
  self->idle = 0;
  if (!graph) {
    clear_groups(self);
    return G_SOURCE_REMOVE;
  }
  guint n = self->ids ? g_strv_length(self->ids) : 0;
  int index = n == 1 ? lcip_graph_find_actor(graph, self->ids[0]) : -1;
  rebuild(self, index, n);
  return G_SOURCE_REMOVE;
}

/* Rows may be the ones whose signal brought us here: rebuild when it is over. */
static void queue_update(LcipInspector *self) {
  if (!self->idle)
    self->idle = g_idle_add(update, self);
}

static void inspector_dispose(GObject *object) {
  LcipInspector *self = LCIP_INSPECTOR(object);
  g_clear_handle_id(&self->idle, g_source_remove);
  if (self->session)
    g_signal_handlers_disconnect_by_data(self->session, self);
  g_clear_object(&self->session);
  g_clear_pointer(&self->ids, g_strfreev);
  g_clear_pointer(&self->box, gtk_widget_unparent);
  G_OBJECT_CLASS(lcip_inspector_parent_class)->dispose(object);
}

static void lcip_inspector_class_init(LcipInspectorClass *klass) {
  GtkWidgetClass *widget_class = GTK_WIDGET_CLASS(klass);
  G_OBJECT_CLASS(klass)->dispose = inspector_dispose;
  gtk_widget_class_set_template_from_resource(widget_class, "/org/lcip/Editor/lcip-inspector.ui");
  gtk_widget_class_bind_template_child(widget_class, LcipInspector, box);
  gtk_widget_class_bind_template_child(widget_class, LcipInspector, title_label);
  gtk_widget_class_bind_template_child(widget_class, LcipInspector, subtitle_label);
  gtk_widget_class_bind_template_child(widget_class, LcipInspector, groups_box);
}

static void lcip_inspector_init(LcipInspector *self) {
  gtk_widget_init_template(GTK_WIDGET(self));
}

void lcip_inspector_set_session(LcipInspector *self, LcipSession *session) {
  g_set_object(&self->session, session);
  g_signal_connect_swapped(session, "document-changed", G_CALLBACK(queue_update), self);
  g_signal_connect_swapped(session, "graph-changed", G_CALLBACK(queue_update), self);
  g_signal_connect_swapped(session, "plan-changed", G_CALLBACK(queue_update), self);
  g_signal_connect_swapped(session, "links-changed", G_CALLBACK(queue_update), self);
  g_signal_connect_swapped(session, "profile-changed", G_CALLBACK(update_time), self);
}

void lcip_inspector_set_selection(LcipInspector *self, const char *const *ids) {
  g_strfreev(self->ids);
  self->ids = g_strdupv((char **)ids);
  queue_update(self);
}
