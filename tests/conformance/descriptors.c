/* SPDX-License-Identifier: MIT
 *
 * Conformance: descriptors that travel with messages, and who sent them. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conformance/conformance.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static bool carries(const struct trial *trial) {
    return trial_support(trial, CHAPPE_CAN_DESCRIPTORS) != CHAPPE_REFUSES;
}

/* Files with one line each, which tells their number. */
static void make_files(int *files, size_t count) {
    for (size_t i = 0; i < count; i++) {
        files[i] = memfd_create("travels", MFD_CLOEXEC);
        assert_true(files[i] >= 0);
        assert_true(dprintf(files[i], "file %zu\n", i) > 0);
        assert_int_equal(lseek(files[i], 0, SEEK_SET), 0);
    }
}

static void close_files(const int *files, size_t count) {
    for (size_t i = 0; i < count; i++)
        close(files[i]);
}

/* ---- refused ---- */

static void send_plain(struct side *side, void *context) {
    (void)context;
    side_send_content(side, 9, 9, NULL, CHAPPE_FOREVER);
}

static void check_refused(const struct trial *trial) {
    struct side near = join(trial, NULL, NULL, send_plain, NULL);
    int file = memfd_create("stays", MFD_CLOEXEC);
    chappe_settings settings = {
        .size = sizeof settings, .descriptors = &file, .descriptor_count = 1};
    const chappe_row *row;
    int outcome = side_send(&near, "x", 1, &settings, CHAPPE_NOW);
    fails(outcome, -ENOTSUP, chappe_address(near.endpoint));
    for (size_t i = 0; chappe_mechanism(i, &row) == 0; i++)
        if (row->support[CHAPPE_CAN_DESCRIPTORS] != CHAPPE_REFUSES)
            fails(outcome, -ENOTSUP, row->scheme);
    close(file);
    side_expect(&near, 9, 9);
    part(&near);
}

/* ---- carried ---- */

struct load {
    size_t descriptors, size;
};

static const struct load loads[] = {{1, 10},    {253, 10},  {3, 0},  {1, MIB},
                                    {252, MIB}, {2, 70000}, {0, 100}};

static void send_loads(struct side *side, void *context) {
    (void)context;
    int files[CHAPPE_DESCRIPTORS_MAX + 1];
    make_files(files, COUNT(files));
    for (size_t i = 0; i < COUNT(loads); i++) {
        chappe_settings settings = {.size = sizeof settings,
                                    .descriptors = files,
                                    .descriptor_count = loads[i].descriptors};
        side_send_content(side, loads[i].size, i, &settings, chappe_in_ms(LONG_MS));
    }
    chappe_settings settings = {
        .size = sizeof settings, .descriptors = files, .descriptor_count = 254};
    fails(side_send(side, "x", 1, &settings, CHAPPE_NOW), -EINVAL, "253");
    int closed = files[0];
    close_files(files, COUNT(files));
    settings =
        (chappe_settings){.size = sizeof settings, .descriptors = &closed, .descriptor_count = 1};
    fails(side_send(side, "x", 1, &settings, chappe_in_ms(LONG_MS)), -EBADF, NULL);
    /* The receiver has read the first line of the first file by then. */
    side_await(side);
    side_send_content(side, 5, 5, NULL, chappe_in_ms(LONG_MS));
}

/* The file, not a copy: its offset is shared by all duplicates. */
static void check_file(int file, size_t number) {
    char line[32] = "", wanted[32];
    snprintf(wanted, sizeof wanted, "file %zu\n", number);
    assert_int_equal(pread(file, line, sizeof line - 1, 0), strlen(wanted));
    assert_string_equal(line, wanted);
    assert_true((fcntl(file, F_GETFD) & FD_CLOEXEC) != 0);
}

static void check_load(chappe_message *message, const struct load *load) {
    assert_int_equal(field_of(message, CHAPPE_DESCRIPTORS), load->descriptors);
    fails(chappe_take_fd(message, load->descriptors), -ENOENT, NULL);
    for (size_t i = 0; i < load->descriptors; i += i < 5 ? 1 : 50) {
        int file = ok(chappe_take_fd(message, i));
        check_file(file, i);
        fails(chappe_take_fd(message, i), -ENOENT, NULL); /* taken */
        close(file);
    }
    assert_int_equal(field_of(message, CHAPPE_DESCRIPTORS), load->descriptors);
}

static void receive_loads(struct side *side, void *context) {
    (void)context;
    size_t before = harness_count_descriptors();
    for (size_t i = 0; i < COUNT(loads); i++) {
        chappe_message *message = side_receive(side);
        assert_int_equal(message->size, loads[i].size);
        content_check(message->data, message->size, i);
        check_load(message, &loads[i]);
        chappe_release(message); /* closes those that were not taken */
    }
    assert_int_equal(harness_count_descriptors(), before);
    side_tell(side, 0);
    side_expect(side, 5, 5);
}

static void test_descriptors(const struct trial *trial) {
    if (carries(trial))
        run_both(trial, NULL, send_loads, receive_loads, NULL);
    else
        check_refused(trial);
}

/* ---- one open file on both sides ---- */

static void read_a_part(struct side *side, void *context) {
    (void)context;
    char part_of_line[5] = "";
    chappe_message *message = side_receive(side);
    int file = ok(chappe_take_fd(message, 0));
    chappe_release(message);
    assert_int_equal(read(file, part_of_line, 4), 4);
    assert_string_equal(part_of_line, "file");
    close(file);
    side_tell(side, 0);
}

static void send_and_read_on(struct side *side, void *context) {
    (void)context;
    int file;
    char rest[8] = "";
    make_files(&file, 1);
    chappe_settings settings = {
        .size = sizeof settings, .descriptors = &file, .descriptor_count = 1};
    ok(side_send(side, NULL, 0, &settings, CHAPPE_FOREVER));
    side_await(side);
    assert_int_equal(read(file, rest, sizeof rest - 1), 3);
    assert_string_equal(rest, " 0\n");
    close(file);
}

static void test_shared_offset(const struct trial *trial) {
    if (!carries(trial))
        harness_skip("this row refuses descriptors");
    run_both(trial, NULL, send_and_read_on, read_a_part, NULL);
}

/* ---- in batches and in place ---- */

static void send_mixed(struct side *side, void *context) {
    (void)context;
    int files[3];
    make_files(files, 3);
    chappe_settings with = {.size = sizeof with, .descriptors = files, .descriptor_count = 2};
    chappe_settings all = side_settings(side, &with), plain = side_settings(side, NULL);
    chappe_item items[40];
    for (size_t i = 0; i < COUNT(items); i++)
        items[i] = (chappe_item){.data = "item", .size = 4, .settings = i % 4 == 1 ? &all : &plain};
    for (size_t sent = 0; sent < COUNT(items);)
        sent += (size_t)ok(chappe_send_batch(side->endpoint, items + sent, COUNT(items) - sent,
                                             chappe_in_ms(LONG_MS)));
    chappe_message *message;
    int numbers[] = {files[0], files[1], files[2]};
    all.descriptors = numbers;
    all.descriptor_count = 3;
    ok(chappe_reserve(side->endpoint, 10, &all, chappe_in_ms(LONG_MS), &message));
    memset(numbers, -1, sizeof numbers); /* the numbers were copied */
    content_fill(message->data, 10, 0);
    ok(chappe_commit(message, 10, chappe_in_ms(LONG_MS)));
    close_files(files, 3);
}

static void receive_mixed(struct side *side, void *context) {
    (void)context;
    chappe_message *messages[40];
    for (size_t got = 0; got < COUNT(messages);)
        got += (size_t)ok(chappe_receive_batch(side->endpoint, NULL, chappe_in_ms(LONG_MS),
                                               messages + got, COUNT(messages) - got));
    for (size_t i = 0; i < COUNT(messages); i++) {
        assert_int_equal(messages[i]->size, 4);
        assert_int_equal(field_of(messages[i], CHAPPE_DESCRIPTORS), i % 4 == 1 ? 2 : 0);
        int file = i % 8 == 1 ? ok(chappe_take_fd(messages[i], 1)) : -1;
        if (file >= 0)
            check_file(file, 1);
        close(file);
    }
    chappe_release_batch(messages, COUNT(messages));
    chappe_message *message = side_receive(side);
    check_load(message, &(struct load){3, 10});
    chappe_release(message);
}

static void test_mixed(const struct trial *trial) {
    if (!carries(trial))
        harness_skip("this row refuses descriptors");
    run_both(trial, NULL, send_mixed, receive_mixed, NULL);
}

/* ---- no room for them ---- */

static void send_too_many(struct side *side, void *context) {
    (void)context;
    int files[20];
    make_files(files, COUNT(files));
    chappe_settings settings = {
        .size = sizeof settings, .descriptors = files, .descriptor_count = COUNT(files)};
    side_await(side);
    side_send_content(side, 10, 1, NULL, CHAPPE_FOREVER);
    side_send_content(side, 10, 2, &settings, CHAPPE_FOREVER);
    side_send_content(side, 10, 3, NULL, CHAPPE_FOREVER);
    side_await(side);
    side_send_content(side, 10, 4, &settings, CHAPPE_FOREVER);
    close_files(files, COUNT(files));
}

static void set_limit(rlim_t most) {
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = most;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

/* The message with the descriptors is lost, the receiver is told, and the connection goes on. */
static void receive_too_many(struct side *side, void *context) {
    (void)context;
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    size_t before = harness_count_descriptors();
    int lowest = fcntl(side->control, F_DUPFD_CLOEXEC, 0);
    close(lowest);
    set_limit((rlim_t)lowest + 5);
    side_tell(side, 0);
    side_expect(side, 10, 1);
    chappe_message *message = NULL;
    fails(chappe_receive(side->endpoint, NULL, chappe_in_ms(LONG_MS), &message), -EMFILE,
          "descriptors");
    assert_null(message);
    side_expect(side, 10, 3);
    set_limit(limit.rlim_cur);
    assert_int_equal(harness_count_descriptors(), before);
    side_tell(side, 0);
    message = side_receive(side);
    check_load(message, &(struct load){20, 10});
    chappe_release(message);
    assert_int_equal(harness_count_descriptors(), before);
}

static void test_no_room(const struct trial *trial) {
    if (!carries(trial))
        harness_skip("this row refuses descriptors");
    run_both(trial, NULL, send_too_many, receive_too_many, NULL);
}

/* ---- who is there ---- */

static void check_identity(const chappe_identity *identity, pid_t pid) {
    assert_int_equal(identity->size, sizeof *identity);
    assert_int_equal(identity->pid, pid);
    assert_int_equal(identity->uid, getuid());
    assert_int_equal(identity->gid, getgid());
    assert_true(identity->verified != 0);
}

static void check_nobody(const struct side *side, const chappe_message *message) {
    chappe_identity identity = {.size = sizeof identity};
    fails(chappe_peer_identity(side->endpoint, &identity), -ENOTSUP, NULL);
    fails(chappe_sender(message, &identity), -ENOTSUP, NULL);
}

/* `other`: the process of the other side, or who made the pair for both. */
static void identify(struct side *side, pid_t other) {
    chappe_identity identity = {.size = sizeof identity};
    chappe_message *message = side_receive(side);
    if (trial_support(side->trial, CHAPPE_CAN_IDENTITY) == CHAPPE_REFUSES) {
        check_nobody(side, message);
    } else {
        ok(chappe_sender(message, &identity));
        check_identity(&identity, other);
        chappe_identity small = {.size = 4};
        fails(chappe_sender(message, &small), -EINVAL, NULL);
        identity = (chappe_identity){.size = sizeof identity};
        if (side->by_token)
            fails(chappe_peer_identity(side->endpoint, &identity), -ENOTCONN, NULL);
        else if (chappe_peer_identity(side->endpoint, &identity) == 0)
            check_identity(&identity, other);
        else
            assert_false(side->trial->connections);
    }
    chappe_release(message);
}

static void identify_near(struct side *far, void *context) {
    side_send_content(far, 10, 1, NULL, chappe_in_ms(LONG_MS));
    identify(far, *(pid_t *)context);
}

static void test_identity(const struct trial *trial) {
    pid_t here = getpid();
    struct side near = join(trial, NULL, NULL, identify_near, &here);
    identify(&near, trial->way == WAY_PAIR ? here : near.peer);
    side_send_content(&near, 10, 1, NULL, chappe_in_ms(LONG_MS));
    part(&near);
}

int main(int argc, char **argv) {
    static const struct conformance_test tests[] = {
        {.name = "descriptors", .function = test_descriptors},
        {.name = "one open file on both sides", .function = test_shared_offset},
        {.name = "descriptors in batches and in place", .function = test_mixed},
        {.name = "no room for descriptors", .function = test_no_room},
        {.name = "identity", .function = test_identity, .both = true},
    };
    return conformance_main(argc, argv, tests, COUNT(tests));
}
