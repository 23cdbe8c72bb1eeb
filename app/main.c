#include "config.h"

#include "lcip-application.h"
#include "lcip-runtime.h"

int main(int argc, char **argv) {
  lcip_runtime_compact_memory();
  g_autoptr(LcipApplication) application = lcip_application_new();
  g_set_application_name("LCIP");
  return g_application_run(G_APPLICATION(application), argc, argv);
}
