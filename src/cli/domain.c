/* SPDX-License-Identifier: MIT
 *
 * chappe domain: makes a domain, or shows what is in one.
 */
#include <errno.h>
#include <grp.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "command.h"
#include "json.h"
#include "options.h"
#include "port.h"
#include "text.h"

#define DOMAIN_SHARED 02770
#define DOMAIN_NAME 1024 /* room for the longest name of an object, escaped */

struct domain_values {
    const char *group, *mode;
    bool json;
};

const struct option_row domain_options[] = {
    {.name = "group",
     .argument = "G",
     .summary = "create: share it with all members of this group, by name or number",
     .kind = OPTION_TEXT,
     .offset = offsetof(struct domain_values, group)},
    {.name = "mode",
     .argument = "M",
     .summary = "create: 0700, one user's, or 2770, a group's; follows from --group",
     .kind = OPTION_TEXT,
     .offset = offsetof(struct domain_values, mode)},
    {.name = "json",
     .summary = "show: write one JSON object a line, first the domain, then its objects",
     .kind = OPTION_FLAG,
     .offset = offsetof(struct domain_values, json)},
    {.name = NULL}};

/* An object as it is shown. */
struct domain_row {
    char name[DOMAIN_NAME];
    char kind[32];
    chappe_domain_entry entry;
};

struct domain_listing {
    struct domain_row *rows;
    size_t count, room;
    char path[4096]; /* of the domain */
    chappe_domain_entry domain;
    bool found;
};

static const char *const domain_states[] = {
    [CHAPPE_OBJECT_ALIVE] = "alive",     [CHAPPE_OBJECT_STAYS] = "stays",
    [CHAPPE_OBJECT_DEAD] = "dead",       [CHAPPE_OBJECT_OTHER] = "other version",
    [CHAPPE_OBJECT_FOREIGN] = "foreign", [CHAPPE_OBJECT_FORBIDDEN] = "forbidden"};

static const char *domain_state(const chappe_domain_entry *entry) {
    return entry->state < sizeof domain_states / sizeof domain_states[0]
               ? domain_states[entry->state]
               : "?";
}

/* ---- create ---- */

/* The group's number, from its name or its number. */
static int domain_group(const char *text, uint32_t *ret_group) {
    const struct group *group = getgrnam(text);
    int64_t number;

    if (group != NULL) {
        *ret_group = group->gr_gid;
        return 0;
    }
    if (text_number(text, 0, UINT32_MAX - 1, &number) < 0) {
        return -ENOENT;
    }
    *ret_group = (uint32_t)number;
    return 0;
}

static int domain_create(const struct command *command, const struct domain_values *values,
                         const char *path) {
    chappe_domain_settings settings = {.size = sizeof settings};
    int error;

    if (values->mode != NULL) {
        char *end;
        unsigned long mode = strtoul(values->mode, &end, 8);

        if (values->mode[0] < '0' || values->mode[0] > '7' || *end != '\0' || mode > 07777) {
            return options_wrong(command, "--mode wants octal digits such as 2770, not “%s”",
                                 values->mode);
        }
        settings.mode = (uint32_t)mode;
    } else if (values->group != NULL) {
        settings.mode = DOMAIN_SHARED;
    }
    if (values->group != NULL && domain_group(values->group, &settings.group) < 0) {
        return options_wrong(command, "there is no group “%s” on this machine", values->group);
    }
    if ((values->group != NULL) != ((settings.mode & 0070) != 0)) {
        return options_wrong(command, "--mode 2770 goes with --group, and the other way round");
    }
    error = chappe_domain_create(path, &settings);
    if (error < 0) {
        complain_error();
        return port_opening_status(error);
    }
    return STATUS_DONE;
}

/* ---- show: gathering ---- */

/* The name as an address has it: what could be mistaken there is written %XX. */
static void domain_escape(const chappe_domain_entry *entry, char ret_name[DOMAIN_NAME]) {
    size_t used = 0;

    for (size_t i = 0; i < entry->name_size && used + 4 < DOMAIN_NAME; i++) {
        unsigned char byte = (unsigned char)entry->name[i];

        if (byte <= ' ' || byte == 0x7F || byte == '%' || byte == '?') {
            used += (size_t)snprintf(ret_name + used, DOMAIN_NAME - used, "%%%02X", byte);
        } else {
            ret_name[used++] = (char)byte;
        }
    }
    ret_name[used] = '\0';
}

/* Result: 0, or -ENOMEM, which ends the listing. */
static int domain_gather(void *context, const chappe_domain_entry *entry) {
    struct domain_listing *listing = context;
    struct domain_row *row;

    if (entry->name == NULL) {
        listing->found = true;
        listing->domain = *entry;
        snprintf(listing->path, sizeof listing->path, "%s", entry->path);
        return 0;
    }
    if (listing->count == listing->room) {
        size_t room = listing->room == 0 ? 64 : 2 * listing->room;
        struct domain_row *rows = reallocarray(listing->rows, room, sizeof *rows);

        if (rows == NULL) {
            return -ENOMEM;
        }
        listing->rows = rows;
        listing->room = room;
    }
    row = &listing->rows[listing->count];
    row->entry = *entry;
    domain_escape(entry, row->name);
    snprintf(row->kind, sizeof row->kind, "%s", entry->kind);
    listing->count++;
    return 0;
}

static int domain_order(const void *a, const void *b) {
    const struct domain_row *left = a, *right = b;
    int kinds = strcmp(left->kind, right->kind);

    return kinds != 0 ? kinds : strcmp(left->name, right->name);
}

/* ---- show: writing ---- */

static void domain_user(uint32_t uid, char *text, size_t size) {
    const struct passwd *user = getpwuid(uid);

    if (user != NULL) {
        snprintf(text, size, "%s", user->pw_name);
    } else {
        snprintf(text, size, "%" PRIu32, uid);
    }
}

static void domain_members(uint32_t gid, char *text, size_t size) {
    const struct group *group = getgrgid(gid);

    if (group != NULL) {
        snprintf(text, size, "%s", group->gr_name);
    } else {
        snprintf(text, size, "%" PRIu32, gid);
    }
}

static void domain_time(int64_t created, bool json, char *text, size_t size) {
    time_t seconds = (time_t)(created / 1000000000);
    struct tm date;

    text[0] = '\0';
    if (created <= 0) {
        return;
    }
    if (json && gmtime_r(&seconds, &date) != NULL) {
        size_t used = strftime(text, size, "%Y-%m-%dT%H:%M:%S", &date);

        snprintf(text + used, size - used, ".%09dZ", (int)(created % 1000000000));
    } else if (!json && localtime_r(&seconds, &date) != NULL) {
        strftime(text, size, "%Y-%m-%d %H:%M:%S", &date);
    }
}

static void domain_json_row(struct output *output, const struct domain_row *row) {
    const chappe_domain_entry *entry = &row->entry;
    char created[64];

    output_text(output, "{\"name\":");
    json_string(output, row->name);
    output_text(output, ",\"kind\":");
    json_string(output, row->kind);
    output_format(output, ",\"state\":\"%s\"", domain_state(entry));
    if (entry->pid != 0) {
        output_format(output, ",\"pid\":%d", (int)entry->pid);
    }
    output_format(output, ",\"uid\":%" PRIu32 ",\"bytes\":%" PRIu64, entry->owner, entry->bytes);
    domain_time(entry->created, true, created, sizeof created);
    if (created[0] != '\0') {
        output_format(output, ",\"created\":\"%s\"", created);
    }
    output_text(output, "}\n");
}

static void domain_json(struct output *output, const struct domain_listing *listing) {
    const chappe_domain_entry *domain = &listing->domain;

    output_text(output, "{\"domain\":");
    json_string(output, listing->path);
    output_format(output, ",\"mode\":\"%04" PRIo32 "\",\"uid\":%" PRIu32 ",\"gid\":%" PRIu32 "}\n",
                  domain->mode, domain->uid, domain->gid);
    for (size_t i = 0; i < listing->count; i++) {
        domain_json_row(output, &listing->rows[i]);
    }
}

static void domain_table_row(struct output *output, const struct domain_row *row) {
    const chappe_domain_entry *entry = &row->entry;
    char pid[16] = "-", user[64], created[64];

    if (entry->pid != 0) {
        snprintf(pid, sizeof pid, "%d", (int)entry->pid);
    }
    domain_user(entry->owner, user, sizeof user);
    domain_time(entry->created, false, created, sizeof created);
    output_style(output, entry->state == CHAPPE_OBJECT_ALIVE   ? STYLE_GOOD
                         : entry->state == CHAPPE_OBJECT_STAYS ? STYLE_PLAIN
                                                               : STYLE_DIM);
    output_cell(output, domain_state(entry), 14, false);
    output_style(output, STYLE_PLAIN);
    output_cell(output, row->kind[0] != '\0' ? row->kind : "-", 6, false);
    output_cell(output, pid, 9, false);
    output_cell(output, user, 9, false);
    output_cell(output, created[0] != '\0' ? created : "-", 21, false);
    output_visible(output, row->name);
    output_text(output, "\n");
}

static void domain_table(struct output *output, const struct domain_listing *listing) {
    const chappe_domain_entry *domain = &listing->domain;
    char user[64], members[64];

    domain_user(domain->uid, user, sizeof user);
    output_text(output, "Domain ");
    output_visible(output, listing->path);
    output_format(output, " of user %s", user);
    if ((domain->mode & 0070) == 0070) {
        domain_members(domain->gid, members, sizeof members);
        output_format(output, ", shared by group %s", members);
    }
    output_text(output, "\n");
    if (listing->count == 0) {
        output_text(output, "Nothing is in it.\n");
        return;
    }
    output_style(output, STYLE_BOLD);
    output_text(output, "\nstate         kind  process  user     made                 name\n");
    output_style(output, STYLE_PLAIN);
    for (size_t i = 0; i < listing->count; i++) {
        domain_table_row(output, &listing->rows[i]);
    }
}

static int domain_show(const struct domain_values *values, const char *path,
                       struct output *output) {
    struct domain_listing listing = {.rows = NULL};
    int error = chappe_domain_list(path, domain_gather, &listing);

    if (error < 0 && (error != -ENOMEM || !listing.found)) {
        complain_error();
        free(listing.rows);
        return port_opening_status(error);
    }
    if (error < 0) {
        complain("%s: there is no memory for a list of its objects", listing.path);
        free(listing.rows);
        return STATUS_FAILED;
    }
    if (listing.count > 0) {
        qsort(listing.rows, listing.count, sizeof *listing.rows, domain_order);
    }
    if (values->json) {
        domain_json(output, &listing);
    } else {
        domain_table(output, &listing);
    }
    free(listing.rows);
    return STATUS_DONE;
}

int domain_run(const struct command *command, int argc, char **argv, struct output *output) {
    struct domain_values values = {.json = false};
    char **words;
    int count;
    int outcome = options_parse(command, argc, argv, output, &values, &words, &count);
    bool shaping = values.group != NULL || values.mode != NULL;

    if (outcome != 0) {
        return outcome == OPTIONS_HELPED ? STATUS_DONE : STATUS_USAGE;
    }
    if (count == 0) {
        return options_wrong(command, "create or show is missing");
    }
    if (strcmp(words[0], "create") == 0) {
        if (count < 2) {
            return options_wrong(command, "create wants the PATH of the domain");
        }
        if (values.json) {
            return options_wrong(command, "--json goes with show");
        }
        return domain_create(command, &values, words[1]);
    }
    if (strcmp(words[0], "show") == 0) {
        if (shaping) {
            return options_wrong(command, "--group and --mode go with create");
        }
        return domain_show(&values, count > 1 ? words[1] : NULL, output);
    }
    return options_wrong(command, "it is create or show, not “%s”", words[0]);
}
