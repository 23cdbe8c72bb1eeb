#pragma once

#include <glib.h>

/** lcip_test_make_home: a new folder that the process has its configuration and cache in from now
 * on. Not GLib's isolated ones, which leak. Before any thread. Transfer full. */
char *lcip_test_make_home(void);
/** lcip_test_remove_home: @folder with all files and folders in it. */
void lcip_test_remove_home(const char *folder);
