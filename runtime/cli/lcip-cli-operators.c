#include "config.h"

#include "lcip-cli.h"
#include "lcip-kernel.h"

#include <string.h>

/* ---- words ---- */

static const char *type_name(LcipAttrType type) {
  static const char *const names[] = {
      [LCIP_ATTR_INT] = "int",      [LCIP_ATTR_FLOAT] = "float",   [LCIP_ATTR_STRING] = "string",
      [LCIP_ATTR_INTS] = "ints",    [LCIP_ATTR_FLOATS] = "floats", [LCIP_ATTR_STRINGS] = "strings",
      [LCIP_ATTR_TENSOR] = "tensor"};
  return names[type];
}

/* "lcip.PictureToTensor", "Conv". Transfer full. */
static char *full_name(const LcipOperator *op) {
  return *op->domain ? g_strdup_printf("%s.%s", op->domain, op->name) : g_strdup(op->name);
}

static const char *port_note(const LcipPortDef *port) {
  if (port->flags & LCIP_PORT_VARIADIC)
    return "one or more";
  if (port->flags & LCIP_PORT_OPTIONAL)
    return port->flags & LCIP_PORT_SHAPE ? "optional, known before the run" : "optional";
  return port->flags & LCIP_PORT_SHAPE ? "known before the run" : "";
}

static void append_number(GString *text, double value) {
  char number[G_ASCII_DTOSTR_BUF_SIZE];
  g_string_append(text, g_ascii_formatd(number, sizeof number, "%.9g", value));
}

/* The limits of a 32-bit number are none to people. */
static void append_range(GString *text, double min, double max) {
  const gboolean has_max = max < G_MAXINT32;
  if (min > -G_MAXINT32) {
    g_string_append(text, has_max ? "" : "from ");
    append_number(text, min);
  }
  if (has_max) {
    g_string_append(text, min > -G_MAXINT32 ? " to " : "up to ");
    append_number(text, max);
  }
}

/* "relu, linear" or "0 to 8, in pixels"; empty where anything goes. Transfer full. */
static char *values_of(const LcipAttrDef *attr) {
  g_autoptr(GString) text = g_string_new(NULL);
  for (guint i = 0; attr->choices && attr->choices[i]; i++)
    g_string_append_printf(text, "%s`%s`", i ? ", " : "", attr->choices[i]);
  if (attr->min != 0 || attr->max != 0)
    append_range(text, attr->min, attr->max);
  if (attr->unit)
    g_string_append_printf(text, "%s%s", text->len ? ", in " : "in ", attr->unit);
  return g_string_free(g_steal_pointer(&text), FALSE);
}

static const char *default_of(const LcipAttrDef *attr) {
  if (attr->required)
    return "required";
  return attr->default_text && *attr->default_text ? attr->default_text : "";
}

/* Reasons are sentences in some tables and clauses in others. */
static void append_reason(GString *text, const char *reason) {
  const gsize length = strlen(reason) - (g_str_has_suffix(reason, ".") ? 1 : 0);
  g_string_append_printf(text, " On CPU lanes only: %c%.*s.", g_ascii_tolower(*reason),
                         (int)(length - 1), reason + 1);
}

/* Where it runs and what is special, as a sentence; empty for most. Transfer full. */
static char *remarks_of(const LcipOperator *op) {
  g_autoptr(GString) text = g_string_new(NULL);
  if (op->flags & LCIP_OP_SOURCE)
    g_string_append(text, " A source: it has no inputs and a thread of its own.");
  if (op->flags & LCIP_OP_SINK)
    g_string_append(text, " A sink: it has no outputs and a thread of its own.");
  if (op->flags & LCIP_OP_VIEW)
    g_string_append(text, " It costs no time: the same memory is read with another shape.");
  if ((op->flags & LCIP_OP_CPU_ONLY) && !(op->flags & (LCIP_OP_SOURCE | LCIP_OP_SINK)))
    append_reason(text, op->cpu_only_reason);
  if (op->flags & LCIP_OP_DYNAMIC)
    g_string_append(text, " How large its result is depends on the data.");
  return g_string_free(g_steal_pointer(&text), FALSE);
}

/* ---- Markdown ---- */

/* A cell of a table: '|' ends it otherwise. */
static void print_cell(const char *text, gboolean as_code) {
  if (!text || !*text) {
    g_print(" |");
    return;
  }
  g_auto(GStrv) parts = g_strsplit(text, "|", -1);
  g_autofree char *escaped = g_strjoinv("\\|", parts);
  g_print(as_code ? " `%s` |" : " %s |", escaped);
}

static void markdown_ports(const char *kind, const LcipPortDef *ports, guint n) {
  for (guint i = 0; i < n; i++) {
    const char *note = port_note(&ports[i]);
    g_autofree char *what = *note ? g_strdup_printf("%s, %s", kind, note) : g_strdup(kind);
    g_print("|");
    print_cell(ports[i].name, TRUE);
    print_cell(what, FALSE);
    print_cell(ports[i].help, FALSE);
    g_print("\n");
  }
}

static void markdown_attrs(const LcipOperator *op) {
  if (op->n_attrs == 0)
    return;
  g_print("\n| attribute | type | default | values | |\n|---|---|---|---|---|\n");
  for (guint i = 0; i < op->n_attrs; i++) {
    const LcipAttrDef *attr = &op->attrs[i];
    g_autofree char *values = values_of(attr);
    g_print("|");
    print_cell(attr->name, TRUE);
    print_cell(type_name(attr->type), FALSE);
    print_cell(default_of(attr), !attr->required);
    print_cell(values, FALSE);
    print_cell(attr->help, FALSE);
    g_print("\n");
  }
}

static void markdown_operator(const LcipOperator *op) {
  g_autofree char *name = full_name(op);
  g_autofree char *remarks = remarks_of(op);
  g_print("\n### %s\n\n%s.%s\n", name, op->summary, remarks);
  g_print("\n| port | | |\n|---|---|---|\n");
  markdown_ports("input", op->inputs, op->n_inputs);
  markdown_ports("output", op->outputs, op->n_outputs);
  markdown_attrs(op);
}

/* LCIP's own Reorder is made by plans alone. */
static gboolean is_internal(const LcipOperator *op) {
  return op == lcip_reorder_operator();
}

static void markdown_domain(const char *domain, const char *title, const char *text) {
  guint n;
  const LcipOperator *const *ops = lcip_operator_list(&n);
  g_print("\n## %s\n\n%s\n", title, text);
  for (guint i = 0; i < n; i++)
    if (g_str_equal(ops[i]->domain, domain) && !is_internal(ops[i]))
      markdown_operator(ops[i]);
}

static void print_markdown(void) {
  g_print(
      "# Operators\n\n"
      "<!-- Made by `lcip operators --markdown` from the tables of the operators: change those. "
      "-->\n\n"
      "What LCIP's graphs can be made of, with the names that ONNX gives them. ONNX models of\n"
      "opsets 1 to 21 are brought to the forms of opset 21 when they are read, which are shown\n"
      "here. An input that is *known before the run* must be a constant, or be computed from\n"
      "constants and shapes alone. Element types are those that ONNX has for the operator as\n"
      "far as CNNs use them: float throughout, integers and bool where they are needed;\n"
      "float16, bfloat16 and double are read as float.\n");
  markdown_domain("", "ONNX's operators",
                  "[ONNX's own pages](https://onnx.ai/onnx/operators/) define what each computes.");
  markdown_domain("lcip", "LCIP's own operators",
                  "Sources, sinks, and what comes before and after a network. In the XML their "
                  "domain is `lcip`.");
}

/* ---- text ---- */

static void print_ports(const char *title, const LcipPortDef *ports, guint n) {
  for (guint i = 0; i < n; i++) {
    const char *note = port_note(&ports[i]);
    g_print("%-10s %-24s %s%s%s%s\n", i ? "" : title, ports[i].name, ports[i].help,
            *note ? " (" : "", note, *note ? ")" : "");
  }
}

static void print_attrs(const LcipOperator *op) {
  for (guint i = 0; i < op->n_attrs; i++) {
    const LcipAttrDef *attr = &op->attrs[i];
    g_autofree char *values = values_of(attr);
    const char *fallback = default_of(attr);
    g_print("%-10s %-24s %s: %s", i ? "" : "Attributes", attr->name, type_name(attr->type),
            attr->help);
    if (*values)
      g_print("; %s", values);
    if (*fallback)
      g_print(attr->required ? "; %s" : "; default %s", fallback);
    g_print("\n");
  }
}

static void print_kernels(const LcipOperator *op) {
  guint n, shown = 0;
  const LcipKernel *const *kernels = lcip_kernel_table(&n);
  const LcipStep step = {.op = op};
  for (guint i = 0; i < n; i++)
    if (lcip_kernel_handles(kernels[i], &step))
      g_print("%-10s %-24s %s\n", shown++ ? "" : "Kernels", kernels[i]->name, kernels[i]->family);
}

static void print_operator(const LcipOperator *op) {
  g_autofree char *name = full_name(op);
  g_autofree char *remarks = remarks_of(op);
  g_print("%s: %s.%s\n", name, op->summary, remarks);
  print_ports("Inputs", op->inputs, op->n_inputs);
  print_ports("Outputs", op->outputs, op->n_outputs);
  print_attrs(op);
  print_kernels(op);
}

static const LcipOperator *find_operator(const char *name) {
  return g_str_has_prefix(name, "lcip.") ? lcip_operator_find("lcip", name + strlen("lcip."))
                                         : lcip_operator_find("", name);
}

static gboolean print_named(char **names, GError **error) {
  for (guint i = 0; names[i]; i++) {
    const LcipOperator *op = find_operator(names[i]);
    if (!op) {
      g_set_error(error, LCIP_ERROR, LCIP_ERROR_UNSUPPORTED,
                  "LCIP has no operator '%s'; 'lcip operators' lists those it has", names[i]);
      return FALSE;
    }
    g_print("%s", i ? "\n" : "");
    print_operator(op);
  }
  return TRUE;
}

static void print_list(void) {
  guint n;
  const LcipOperator *const *ops = lcip_operator_list(&n);
  for (guint i = 0; i < n; i++) {
    g_autofree char *name = full_name(ops[i]);
    if (!is_internal(ops[i]))
      g_print("%-26s %s\n", name, ops[i]->summary);
  }
}

static LcipCliExit run(const LcipCliCommand *command, char **argv) {
  g_auto(GStrv) args = g_strdupv(argv);
  gboolean markdown = FALSE;
  g_autoptr(GError) error = NULL;
  const GOptionEntry entries[] = {{"markdown", 0, 0, G_OPTION_ARG_NONE, &markdown,
                                   "Print all as the Markdown page docs/operators.md", NULL},
                                  G_OPTION_ENTRY_NULL};
  if (!lcip_cli_parse(command, entries, &args, 0, LCIP_CLI_ANY_NUMBER))
    return LCIP_CLI_USAGE;
  if (markdown)
    print_markdown();
  else if (!args[1])
    print_list();
  else if (!print_named(args + 1, &error))
    return lcip_cli_report(command, error);
  return lcip_cli_finish(LCIP_CLI_DONE);
}

const LcipCliCommand lcip_cli_operators = {
    .name = "operators",
    .arguments = "[OPERATOR...]",
    .summary = "List the operators, or tell the ports, attributes and kernels of one",
    .description =
        "Examples:\n"
        "  lcip operators                       all of them, a line each\n"
        "  lcip operators Conv lcip.TopClasses  ports, attributes, kernels of this build",
    .run = run,
};
