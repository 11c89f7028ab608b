/* Sockets to a station. */
#ifndef STATION_SOCKET_H
#define STATION_SOCKET_H

#include "curve_key.h"

/* A ZMQ_SUB or ZMQ_DEALER socket connected to `endpoint`; NULL where that cannot be, which is said on stderr.
 *
 * A station that is gone without a goodbye is noticed. What was received waits without a bound: read it on. `keys` are
 * used for tcp; NULL: none.
 */
void *station_socket(void *context, int type, const char *endpoint, const struct curve_keys *keys);

#endif
