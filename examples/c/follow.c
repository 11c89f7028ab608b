#include "follow.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <zmq.h>

#include "place.h"
#include "station_socket.h"

#define REQUEST_TIMEOUT_MS 2000
#define RETRY_MS 100
#define CONTRADICTION_MS 1000
#define SILENCE_MS 5000
#define TURN_MS 500
#define MESSAGES_A_TURN 256
#define EVENTS_A_REQUEST 500

struct follower {
    const struct follow_settings *settings;
    void *context, *subscriber, *requester;
    struct place place;
    uint64_t head;         /* newest event heard of in this epoch */
    bool has_doubts;       /* something was heard that only a reply can explain */
    bool is_asking;        /* one request at a time */
    uint64_t request_id;   /* of the request under way */
    uint64_t asked_from;   /* its from_seq */
    int64_t deadline_ms;   /* of the request under way */
    int64_t ask_after_ms;  /* no request before */
    int64_t heard_ms;      /* when the station was heard last */
    bool is_told_silent;
    bool has_lost;
    uint64_t handled;
    uint64_t settled;      /* handled when the place was written last */
    int result;            /* -1: go on */
};

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void end(struct follower *self, int result)
{
    if (self->result < 0)
        self->result = result;
}

/* For "%.*s": no more of a text than a person reads. */
static int shown(struct json_text text)
{
    return text.size < 200 ? (int)text.size : 200;
}

static struct json_text text_of(zmq_msg_t *frame)
{
    return (struct json_text){zmq_msg_data(frame), zmq_msg_size(frame)};
}

static bool is_behind(const struct follower *self)
{
    return self->place.epoch[0] == 0 || self->has_doubts || self->head > self->place.seq;
}

static void heard(struct follower *self)
{
    self->heard_ms = now_ms();
    if (self->is_told_silent)
        fprintf(stderr, "%s is heard again\n", self->place.station);
    self->is_told_silent = false;
}

/* Whether `name` is the station that is followed; the first one heard is. */
static bool is_station(struct follower *self, struct json_text name)
{
    char quoted[sizeof self->place.station + 2];
    int size = snprintf(quoted, sizeof quoted, "\"%s\"", self->place.station);
    if (self->place.station[0] == 0)
        return json_copy(name, self->place.station, sizeof self->place.station);
    if (name.size == (size_t)size && memcmp(name.start, quoted, name.size) == 0)
        return true;
    fprintf(stderr, "station %.*s answers, not \"%s\"; give its endpoints, or a place file of its own\n", shown(name),
            name.start, self->place.station);
    end(self, FOLLOW_WRONG);
    return false;
}

/* Whether a document is of a schema version that is understood; another ends it, since guessing would be wrong. */
static bool is_readable(struct follower *self, struct json_text document)
{
    struct json_text version;
    if (!json_find(document, "schema_version", &version))
        return false;
    if (version.size > 3 && memcmp(version.start, "\"1.", 3) == 0)
        return true;
    fprintf(stderr, "the station writes schema %.*s, this program reads 1.x\n", shown(version), version.start);
    end(self, FOLLOW_FAILED);
    return false;
}

/* Handles the event `seq`, which is the next. */
static void deliver(struct follower *self, uint64_t seq, struct json_text document)
{
    if (!self->settings->handle(document)) {
        end(self, FOLLOW_FAILED);
        return;
    }
    self->place.seq = seq;
    self->handled++;
    if (self->handled == self->settings->limit)
        end(self, FOLLOW_DONE);
}

/* Writes the place when the side effects of all that was handled are durable, in this order. */
static void settle(struct follower *self)
{
    if (self->handled == self->settled)
        return;
    self->settled = self->handled;
    if (!self->settings->settle())
        end(self, FOLLOW_FAILED);
    else if (self->settings->place_file != NULL && !place_write(self->settings->place_file, &self->place))
        end(self, FOLLOW_WRONG);
}

static void lose_until(struct follower *self, uint64_t seq)
{
    if (seq <= self->place.seq + 1)
        return;
    fprintf(stderr, "events %llu to %llu are no longer kept by the station (epoch %s)\n",
            (unsigned long long)self->place.seq + 1, (unsigned long long)seq - 1, self->place.epoch);
    self->place.seq = seq - 1;
    self->has_lost = true;
}

/* Asks for the events after the place; without an epoch, for the station's present one. */
static void ask(struct follower *self)
{
    char request[256], epoch[64] = "";
    bool is_new = self->place.epoch[0] == 0;
    uint64_t limit = is_new && !self->settings->begins_with_oldest ? 0 : EVENTS_A_REQUEST;
    if (!is_new)
        snprintf(epoch, sizeof epoch, "\"epoch\":\"%s\",", self->place.epoch);
    self->request_id++;
    self->asked_from = self->place.seq + 1;
    int size = snprintf(request, sizeof request,
                        "{\"request\":\"replay\",\"id\":\"%llu\",%s\"from_seq\":%llu,\"limit\":%llu}",
                        (unsigned long long)self->request_id, epoch, (unsigned long long)self->asked_from,
                        (unsigned long long)limit);
    self->is_asking = zmq_send(self->requester, request, (size_t)size, ZMQ_DONTWAIT) >= 0;
    if (!self->is_asking)
        self->ask_after_ms = now_ms() + RETRY_MS; /* the station is not there */
    self->deadline_ms = now_ms() + REQUEST_TIMEOUT_MS;
}

static void take_new_epoch(struct follower *self, const char *epoch, uint64_t oldest, uint64_t head)
{
    if (self->head > self->place.seq)
        lose_until(self, self->head + 1);
    fprintf(stderr, "the station has a new journal: epoch %s follows %s, of which event %llu was the last handled\n",
            epoch, self->place.epoch, (unsigned long long)self->place.seq);
    settle(self);
    snprintf(self->place.epoch, sizeof self->place.epoch, "%s", epoch);
    self->place.seq = 0;
    self->head = head;
    self->has_doubts = false;
    lose_until(self, oldest);
}

/* Takes the header of the reply that was waited for; true when events follow. */
static bool take_header(struct follower *self, struct json_text header)
{
    struct json_text value;
    char epoch[sizeof self->place.epoch];
    uint64_t oldest, head, count = 0;
    if (!json_find_copy(header, "epoch", epoch, sizeof epoch) || !json_find_integer(header, "head", &head)
        || !json_find_integer(header, "oldest", &oldest) || oldest == 0 || !json_find(header, "reply", &value)) {
        fprintf(stderr, "not a reply: %.*s\n", shown(header), header.start);
        end(self, FOLLOW_FAILED);
        return false;
    }
    if (json_is(value, "error")) {
        if (json_find(header, "code", &value) && json_is(value, "wrong_epoch")
            && strcmp(epoch, self->place.epoch) != 0) {
            take_new_epoch(self, epoch, oldest, head);
        } else {
            fprintf(stderr, "the station refused: %.*s\n", shown(header), header.start);
            end(self, FOLLOW_FAILED);
        }
        return false;
    }
    json_find_integer(header, "count", &count);
    if (self->place.epoch[0] == 0) {
        snprintf(self->place.epoch, sizeof self->place.epoch, "%s", epoch);
        self->place.seq = self->settings->begins_with_oldest ? oldest - 1 : head;
    } else if (head + 1 < self->asked_from) {
        fprintf(stderr, "the journal (epoch %s) ends at event %llu, and %llu was handled already; if an old copy was"
                " put back, remove the place file to begin anew\n",
                epoch, (unsigned long long)head, (unsigned long long)self->place.seq);
        end(self, FOLLOW_FAILED);
        return false;
    }
    self->has_doubts = false;
    if (head > self->head)
        self->head = head;
    if (count == 0)
        lose_until(self, oldest);
    if (count == 0 && is_behind(self))
        self->ask_after_ms = now_ms() + CONTRADICTION_MS; /* head and events do not fit: not asked again at once */
    return count > 0;
}

/* Takes an event of a reply; what cannot be read is not passed over. */
static void take_replayed(struct follower *self, struct json_text document)
{
    struct json_text epoch;
    uint64_t seq;
    if (!is_readable(self, document) || !json_find(document, "epoch", &epoch) || !json_is(epoch, self->place.epoch)
        || !json_find_integer(document, "seq", &seq)) {
        fprintf(stderr, "not an event of epoch %s: %.*s\n", self->place.epoch, shown(document), document.start);
        end(self, FOLLOW_FAILED);
    } else if (seq > self->place.seq) {
        lose_until(self, seq);
        deliver(self, seq, document);
    }
}

/* Whether `header` answers the request under way. */
static bool is_answer(struct follower *self, struct json_text header)
{
    char id[32];
    struct json_text value;
    snprintf(id, sizeof id, "%llu", (unsigned long long)self->request_id);
    return is_readable(self, header) && json_find(header, "station", &value) && is_station(self, value)
           && self->is_asking && json_find(header, "id", &value) && json_is(value, id);
}

/* A frame that is there, to be closed; false when none is. */
static bool receive(zmq_msg_t *frame, void *sock)
{
    zmq_msg_init(frame);
    if (zmq_msg_recv(frame, sock, ZMQ_DONTWAIT) >= 0)
        return true;
    zmq_msg_close(frame);
    return false;
}

/* Reads a reply that is there; false when none was. */
static bool read_reply(struct follower *self)
{
    bool has_events = false;
    for (bool is_first = true, has_more = true; has_more; is_first = false) {
        zmq_msg_t frame;
        if (!receive(&frame, self->requester))
            return false;
        if (is_first && is_answer(self, text_of(&frame))) {
            heard(self);
            self->is_asking = false;
            has_events = take_header(self, text_of(&frame));
        } else if (has_events && self->result < 0) {
            take_replayed(self, text_of(&frame));
        }
        has_more = zmq_msg_more(&frame) != 0;
        zmq_msg_close(&frame);
    }
    settle(self);
    return true;
}

/* Takes a published event or beacon; one that is broken is a missing one, and is replayed. */
static void take_published(struct follower *self, bool is_beacon, struct json_text document)
{
    struct json_text value;
    uint64_t number;
    if (!is_readable(self, document) || !json_find(document, "station", &value) || !is_station(self, value)
        || !json_find_integer(document, is_beacon ? "head" : "seq", &number) || !json_find(document, "epoch", &value))
        return;
    heard(self);
    if (self->place.epoch[0] == 0)
        return; /* the reply will tell where to begin */
    if (!json_is(value, self->place.epoch)) {
        self->has_doubts = true; /* a new journal, or a late message of an old publisher: the reply will tell */
        return;
    }
    if (number > self->head)
        self->head = number;
    if (is_beacon && number < self->place.seq)
        self->has_doubts = true; /* an old beacon, or a journal that went back: the reply will tell */
    if (!is_beacon && number == self->place.seq + 1)
        deliver(self, number, document);
}

/* Reads a published message that is there: two frames, topic and document. False when none was. */
static bool read_published(struct follower *self)
{
    static const char ending[] = "/beacon";
    bool is_beacon = false;
    int frames = 0;
    for (bool has_more = true; has_more; frames++) {
        zmq_msg_t frame;
        if (!receive(&frame, self->subscriber))
            return false;
        has_more = zmq_msg_more(&frame) != 0;
        struct json_text text = text_of(&frame);
        if (frames == 0) {
            size_t size = sizeof ending - 1;
            is_beacon = text.size > size && memcmp(text.start + text.size - size, ending, size) == 0;
        } else if (frames == 1 && !has_more) {
            take_published(self, is_beacon, text);
        }
        zmq_msg_close(&frame);
    }
    settle(self);
    return true;
}

static void tell_silence(struct follower *self)
{
    if (self->is_told_silent || now_ms() - self->heard_ms <= SILENCE_MS)
        return;
    fprintf(stderr, "nothing heard for %d s; does the station run, are these its endpoints, is this key allowed?\n",
            SILENCE_MS / 1000);
    self->is_told_silent = true;
}

/* One turn: ask if something is missing, wait, read. While a request is under way published messages stay in the
 * socket's queue: they come behind what the reply brings, in order. */
static void turn(struct follower *self, int64_t until_ms)
{
    if (self->is_asking && now_ms() >= self->deadline_ms) {
        self->is_asking = false;
        self->ask_after_ms = now_ms() + RETRY_MS;
    }
    if (!self->is_asking && is_behind(self) && now_ms() >= self->ask_after_ms)
        ask(self);
    int64_t next_ms = now_ms() + TURN_MS;
    if (self->is_asking && self->deadline_ms < next_ms)
        next_ms = self->deadline_ms;
    if (!self->is_asking && is_behind(self) && self->ask_after_ms < next_ms)
        next_ms = self->ask_after_ms;
    if (until_ms != 0 && until_ms < next_ms)
        next_ms = until_ms;
    int64_t wait_ms = next_ms > now_ms() ? next_ms - now_ms() : 0;
    zmq_pollitem_t items[] = {{self->requester, 0, ZMQ_POLLIN, 0}, {self->subscriber, 0, ZMQ_POLLIN, 0}};
    zmq_poll(items, self->is_asking ? 1 : 2, (long)wait_ms);
    while (self->result < 0 && read_reply(self))
        continue;
    for (int count = 0; count < MESSAGES_A_TURN && self->result < 0 && !self->is_asking; count++) {
        if (!read_published(self) || (is_behind(self) && now_ms() >= self->ask_after_ms))
            break;
    }
    tell_silence(self);
}

static bool begin(struct follower *self)
{
    const struct follow_settings *settings = self->settings;
    if (settings->place_file != NULL
        && (!place_lock(settings->place_file) || !place_read(settings->place_file, &self->place)))
        return false;
    if (settings->station != NULL && self->place.station[0] != 0
        && strcmp(settings->station, self->place.station) != 0) {
        fprintf(stderr, "%s: is the place in the events of '%s', not of '%s'; give another file\n",
                settings->place_file, self->place.station, settings->station);
        return false;
    }
    if (settings->station != NULL)
        snprintf(self->place.station, sizeof self->place.station, "%s", settings->station);
    self->has_doubts = true; /* where the station stands */
    self->heard_ms = now_ms();
    self->context = zmq_ctx_new();
    if (self->context == NULL)
        return false;
    self->requester = station_socket(self->context, ZMQ_DEALER, settings->request_endpoint, settings->keys);
    if (self->requester == NULL)
        return false;
    self->subscriber = station_socket(self->context, ZMQ_SUB, settings->publish_endpoint, settings->keys);
    return self->subscriber != NULL;
}

int follow(const struct follow_settings *settings, const volatile sig_atomic_t *is_ended)
{
    struct follower self = {.settings = settings, .result = -1};
    int64_t until_ms = settings->seconds > 0 ? now_ms() + (int64_t)(settings->seconds * 1000) : 0;
    if (!begin(&self))
        end(&self, FOLLOW_WRONG);
    while (self.result < 0 && !*is_ended && (until_ms == 0 || now_ms() < until_ms))
        turn(&self, until_ms);
    if (self.subscriber != NULL)
        zmq_close(self.subscriber);
    if (self.requester != NULL)
        zmq_close(self.requester);
    if (self.context != NULL)
        zmq_ctx_term(self.context);
    end(&self, FOLLOW_DONE);
    return self.result == FOLLOW_DONE && self.has_lost ? FOLLOW_FAILED : self.result;
}
