/* Follows a station: every event once, in order, across restarts of either side.
 *
 * The rules are those of docs/reference/events.md, "Following a station". An event that was handled and whose place
 * was not written before a crash comes again; none is passed over: what the station no longer keeps, and a new
 * journal, are said on stderr.
 */
#ifndef FOLLOW_H
#define FOLLOW_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "curve_key.h"
#include "json_field.h"

/* Handles an event; false ends following. It comes again where the process ends before `follow_settle` returned. */
typedef bool (*follow_handle)(struct json_text document);

/* Makes durable what was handled; then the place is written. False ends following. */
typedef bool (*follow_settle)(void);

struct follow_settings {
    const char *publish_endpoint;
    const char *request_endpoint;
    const char *station;           /* name it must have; NULL takes whichever is there */
    const char *place_file;        /* NULL keeps the place in memory */
    const struct curve_keys *keys; /* for tcp endpoints; NULL connects without */
    bool begins_with_oldest;       /* without a place: the oldest event kept, or the next one */
    uint64_t limit;                /* ends after so many events; 0: never */
    double seconds;                /* ends after so long; 0: never */
    follow_handle handle;
    follow_settle settle;
};

enum {
    FOLLOW_DONE = 0,
    FOLLOW_FAILED = 1, /* events were lost, or what came cannot be followed */
    FOLLOW_WRONG = 2,  /* an endpoint, a file or the station is wrong */
};

/* Follows until the limit, the time or `*is_ended`, which a signal may set. */
int follow(const struct follow_settings *settings, const volatile sig_atomic_t *is_ended);

#endif
