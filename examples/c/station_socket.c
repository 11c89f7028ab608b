#include "station_socket.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <zmq.h>

#define HEARTBEAT_MS 5000
#define MOST_BYTES (4 << 20)

static bool set(void *sock, int option, int value)
{
    return zmq_setsockopt(sock, option, &value, sizeof value) == 0;
}

static bool set_key(void *sock, int option, const char *key)
{
    return zmq_setsockopt(sock, option, key, CURVE_KEY_ROOM) == 0;
}

static bool set_all(void *sock, int type, const char *endpoint, const struct curve_keys *keys)
{
    int64_t most_bytes = MOST_BYTES;
    bool is_set = set(sock, ZMQ_LINGER, 0) && set(sock, ZMQ_RECONNECT_IVL, 100)
                  && set(sock, ZMQ_RECONNECT_IVL_MAX, 2000) && set(sock, ZMQ_HANDSHAKE_IVL, 10000)
                  && set(sock, ZMQ_HEARTBEAT_IVL, HEARTBEAT_MS)
                  && set(sock, ZMQ_HEARTBEAT_TIMEOUT, 3 * HEARTBEAT_MS)
                  && set(sock, ZMQ_HEARTBEAT_TTL, 3 * HEARTBEAT_MS)
                  && set(sock, ZMQ_IPV6, strchr(endpoint, '[') != NULL)
                  && zmq_setsockopt(sock, ZMQ_MAXMSGSIZE, &most_bytes, sizeof most_bytes) == 0;
    /* No bound: libzmq (4.3.5) ends the process when the queue is full while heartbeats fail (its issue 3937). */
    is_set = is_set && set(sock, ZMQ_RCVHWM, 0);
    if (type == ZMQ_SUB)
        is_set = is_set && zmq_setsockopt(sock, ZMQ_SUBSCRIBE, "", 0) == 0;
    else /* a request to a station that is not there is not kept for later */
        is_set = is_set && set(sock, ZMQ_IMMEDIATE, 1);
    if (keys != NULL && strncmp(endpoint, "tcp://", 6) == 0)
        is_set = is_set && set_key(sock, ZMQ_CURVE_SERVERKEY, keys->station_public)
                 && set_key(sock, ZMQ_CURVE_PUBLICKEY, keys->own_public)
                 && set_key(sock, ZMQ_CURVE_SECRETKEY, keys->own_secret);
    return is_set;
}

void *station_socket(void *context, int type, const char *endpoint, const struct curve_keys *keys)
{
    void *sock = zmq_socket(context, type);
    if (sock != NULL && set_all(sock, type, endpoint, keys) && zmq_connect(sock, endpoint) == 0)
        return sock;
    fprintf(stderr, "%s: cannot be connected to (%s); give ipc:///absolute/path or tcp://ADDRESS:PORT\n", endpoint,
            zmq_strerror(zmq_errno()));
    if (sock != NULL)
        zmq_close(sock);
    return NULL;
}
