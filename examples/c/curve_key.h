/* CURVE keys from the files that `glass-edge keys` makes. What goes wrong is said on stderr. */
#ifndef CURVE_KEY_H
#define CURVE_KEY_H

#include <stdbool.h>

#define CURVE_KEY_ROOM 41 /* 40 characters of Z85 and a zero */

struct curve_keys {
    char station_public[CURVE_KEY_ROOM];
    char own_public[CURVE_KEY_ROOM];
    char own_secret[CURVE_KEY_ROOM];
};

/* Reads the station's public key and the pair of this subscriber, whose file nobody else may read. */
bool curve_keys_read(const char *station_file, const char *own_file, struct curve_keys *keys);

#endif
