#pragma once

#include <glib.h>

/** LcipTestRelay: hands on what comes over TCP on loopback, as slowly as is wanted; and, without a
 * target, takes connections and never says a word. Has a thread of its own. */
typedef struct _LcipTestRelay LcipTestRelay;

/** lcip_test_relay_new: @target: "tcp://127.0.0.1:PORT", or NULL. */
LcipTestRelay *lcip_test_relay_new(const char *target);
void lcip_test_relay_free(LcipTestRelay *relay);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LcipTestRelay, lcip_test_relay_free)
/** lcip_test_relay_address: "tcp://127.0.0.1:PORT", where it listens. */
const char *lcip_test_relay_address(LcipTestRelay *relay);
/** lcip_test_relay_set_rate: of what goes to the target; 0: all that comes. */
void lcip_test_relay_set_rate(LcipTestRelay *relay, guint bytes_per_second);
/** lcip_test_relay_wait: until it has taken @n connections since it was made. */
void lcip_test_relay_wait(LcipTestRelay *relay, guint n);
