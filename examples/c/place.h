/* How far a subscriber has come, kept in a file: the one that the Python client keeps, so either can go on with it.
 *
 * The file holds the last place written or the one before, never half of one, also after a power cut; one process at
 * a time uses it. What goes wrong is said on stderr.
 */
#ifndef PLACE_H
#define PLACE_H

#include <stdbool.h>
#include <stdint.h>

struct place {
    char station[65]; /* empty: not known yet */
    char epoch[33];   /* empty: not known yet */
    uint64_t seq;     /* the last event handled */
};

/* Locks the file until the process ends; false where another process has it. */
bool place_lock(const char *path);

/* Reads the place; an absent file leaves `place` as it is. False where the file is something else. */
bool place_read(const char *path, struct place *place);

/* Replaces the file; durable when this returns. */
bool place_write(const char *path, const struct place *place);

#endif
