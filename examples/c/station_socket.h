/* Sockets to a station. */
#ifndef STATION_SOCKET_H
#define STATION_SOCKET_H

#include "curve_key.h"

/* A ZMQ_SUB or ZMQ_DEALER socket connected to `endpoint`; NULL where that cannot be, which is said on stderr.
 *
 * Its queues are bounded, and a station that is gone without a goodbye is noticed. `keys` are used for tcp; NULL: none.
 */
void *station_socket(void *context, int type, const char *endpoint, const struct curve_keys *keys);

#endif
