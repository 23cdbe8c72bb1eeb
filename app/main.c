#include "config.h"

#include "lcip-application.h"

int main(int argc, char **argv) {
  g_autoptr(LcipApplication) application = lcip_application_new();
  g_set_application_name("LCIP");
  return g_application_run(G_APPLICATION(application), argc, argv);
}
