/* Prints the events of a station as they come, a JSON document a line; an example for the programmer of a line
 * controller. Put your own side effect in the place of `handle` and `settle`; `follow.c` does the rest. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "follow.h"

static volatile sig_atomic_t is_ended;

static void end_soon(int signal_number)
{
    (void)signal_number;
    is_ended = 1;
}

/* The side effect: a line on stdout. Kinds that are not known have to be passed over, not refused. */
static bool handle(struct json_text document)
{
    struct json_text kind, payload, reason;
    if (json_find(document, "kind", &kind) && json_is(kind, "stop.request") && json_find(document, "payload", &payload)
        && json_find(payload, "reason", &reason)) /* may be an old one that is replayed: look at stamp_utc */
        fprintf(stderr, "the station asks for a stop: %.*s\n", (int)reason.size, reason.start);
    return fwrite(document.start, 1, document.size, stdout) == document.size && putchar('\n') != EOF;
}

/* What was printed is on the disk, where stdout is a file. */
static bool settle(void)
{
    if (fflush(stdout) == 0 && (fdatasync(STDOUT_FILENO) == 0 || errno == EINVAL || errno == EROFS))
        return true;
    fprintf(stderr, "stdout: %s\n", strerror(errno));
    return false;
}

static const char usage[] =
    "usage: subscribe --endpoint ENDPOINT --request ENDPOINT [--station NAME] [--place FILE] [--from-start]\n"
    "                 [--server-key FILE.key --client-key FILE.key_secret] [--limit EVENTS] [--seconds S]\n"
    "Endpoints are ipc:///absolute/path or tcp://ADDRESS:PORT. Exit codes: 0 done, 1 events were lost or cannot be\n"
    "followed, 2 an argument, a file or the station is wrong.\n";

static int misused(const char *problem)
{
    fprintf(stderr, "%s\n%s", problem, usage);
    return FOLLOW_WRONG;
}

int main(int count, char **values)
{
    static const struct option options[] = {
        {"endpoint", required_argument, NULL, 'e'},   {"request", required_argument, NULL, 'r'},
        {"station", required_argument, NULL, 's'},    {"place", required_argument, NULL, 'p'},
        {"from-start", no_argument, NULL, 'f'},       {"server-key", required_argument, NULL, 'k'},
        {"client-key", required_argument, NULL, 'c'}, {"limit", required_argument, NULL, 'l'},
        {"seconds", required_argument, NULL, 't'},    {NULL, 0, NULL, 0},
    };
    struct follow_settings settings = {.handle = handle, .settle = settle};
    const char *server_key = NULL, *client_key = NULL;
    struct curve_keys keys;
    char *rest = NULL;
    for (int option; (option = getopt_long(count, values, "", options, NULL)) != -1;) {
        switch (option) {
        case 'e': settings.publish_endpoint = optarg; break;
        case 'r': settings.request_endpoint = optarg; break;
        case 's': settings.station = optarg; break;
        case 'p': settings.place_file = optarg; break;
        case 'f': settings.begins_with_oldest = true; break;
        case 'k': server_key = optarg; break;
        case 'c': client_key = optarg; break;
        case 'l':
            settings.limit = strtoull(optarg, &rest, 10);
            if (*rest != 0 || *optarg == '-' || settings.limit == 0)
                return misused("--limit needs a number of events from 1");
            break;
        case 't':
            settings.seconds = strtod(optarg, &rest);
            if (*rest != 0 || !(settings.seconds > 0 && settings.seconds < 1e9))
                return misused("--seconds needs a time above 0");
            break;
        default: return misused("");
        }
    }
    if (optind != count || settings.publish_endpoint == NULL || settings.request_endpoint == NULL)
        return misused("give --endpoint and --request");
    if ((server_key == NULL) != (client_key == NULL))
        return misused("give --server-key and --client-key, or neither");
    if (server_key != NULL && !curve_keys_read(server_key, client_key, &keys))
        return FOLLOW_WRONG;
    settings.keys = server_key == NULL ? NULL : &keys;
    struct sigaction action = {.sa_handler = end_soon}; /* without SA_RESTART: waiting ends too */
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    return follow(&settings, &is_ended);
}
